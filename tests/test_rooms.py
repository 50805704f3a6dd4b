"""Which room may know which: imports go upwards only."""

import ast
from pathlib import Path

import pytest

import caveatlib

pytestmark = pytest.mark.beside

ROOT = Path(caveatlib.__file__).parent
ABOVE = ("experiments", "host", "prepare", "scorecard", "report", "cli")
"""The experiments and what lies above them; all else is below."""


def imported(source: str) -> set[str]:
    """Return the modules of ours that a module imports, also within functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith("caveatlib.")}


def test_every_kind_of_import_is_seen():
    """Those of modules, of names from them, and of those in functions."""
    source = (
        "import caveatlib.host\nfrom caveatlib import cli\n"
        "def f():\n    from caveatlib.experiments import ALL\nimport os\n"
    )
    assert imported(source) == {
        "caveatlib.host", "caveatlib.cli", "caveatlib.experiments", "caveatlib.experiments.ALL",
    }  # fmt: skip


@pytest.mark.parametrize("above", [ABOVE, ABOVE[1:]], ids=["below experiments", "experiments"])
def test_nothing_imports_what_lies_above_it(above):
    """Places, instruments and the measuring loop are handed what they need."""
    below = [p.relative_to(ROOT) for p in ROOT.rglob("*.py")]
    paths = [ROOT / p for p in below if p.with_suffix("").parts[0] not in above]
    assert len(paths) > 60
    wrong = {
        str(path.relative_to(ROOT)): name
        for path in paths
        for name in imported(path.read_text())
        if name.split(".")[1] in above
    }
    assert wrong == {}
