"""Run every notebook on the recorded data and keep its outputs.

What would differ from run to run or from machine to machine is left out of the
files: execution times, the interpreter's version, identifiers of widgets.
"""

import sys

import nbformat

from caveatlib import report

for path in report.notebooks():
    print(path.name, file=sys.stderr)
    notebook = report.execute(path, "recorded")
    notebook.metadata.pop("language_info", None)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, path)
