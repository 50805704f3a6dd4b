"""Run every notebook, or those whose names begin as given, on recorded data; keep the outputs.

What would differ from run to run or from machine to machine is left out of the
files: execution times, the interpreter's version, identifiers of widgets.
"""

import sys

import nbformat

from caveatlib import notebooks, report

wanted = sys.argv[1:]  # names that begin so, or all
for path in [*notebooks.files(), *notebooks.talks()]:
    if wanted and not path.name.startswith(tuple(wanted)):
        continue
    print(path.name, file=sys.stderr)
    notebook = notebooks.execute(path, "recorded")
    if names := notebooks.experiments_of(notebook):
        # the answer in the title is made from the recorded trials, too
        answer = notebooks.in_points(report.answer(dict.fromkeys(names, "recorded")))
        notebooks.put_answer(notebook, f"**Answer, from the recorded trials:** {answer}")
    notebook.metadata.pop("language_info", None)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if {notebooks.INTERACTIVE, notebooks.HERE} & set(cell.metadata.get("tags", [])):
            cell.outputs = []  # of this very run, or of this very machine
    nbformat.write(notebook, path)
