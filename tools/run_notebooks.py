"""Run every notebook on the recorded data and keep its outputs.

What would differ from run to run or from machine to machine is left out of the
files: execution times, the interpreter's version, identifiers of widgets.
"""

import sys

import nbformat

from caveatlib import report, trials
from caveatlib.experiments import by_name

for path in report.notebooks():
    print(path.name, file=sys.stderr)
    notebook = report.execute(path, "recorded")
    name = notebook.metadata["caveatlib"].get("experiment")
    if name:  # the answer in the title is made from the recorded trials, too
        answer = trials.open(by_name(name), source="recorded").answer()
        report.put_answer(notebook, f"**Answer, from the recorded trials:** {answer}")
    notebook.metadata.pop("language_info", None)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if report.INTERACTIVE in cell.metadata.get("tags", []):
            cell.outputs = []  # holds identifiers of this very run
    nbformat.write(notebook, path)
