"""The rooms of the house: imports go downwards only, nowhere in a circle; replaying is light.

Seen to fail: with `caveatlib.experiments.ALL` imported by `trials`, with a
circle of two modules closed by an import inside a function, with a top-level
module that has no room, and with `psutil` imported at the top of
`measuring.machine`.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import caveatlib

pytestmark = pytest.mark.beside

HOUSE = Path(caveatlib.__file__).parent
ROOMS = (
    ("errors",),
    ("support", "frames"),
    ("stats",),
    ("claims",),
    ("literature", "plots"),
    ("images",),
    ("places",),
    ("instruments",),
    ("measuring", "store"),
    ("trials",),
    ("experiments",),
    ("host", "prepare"),
    ("runs", "exchange", "fleet"),
    ("scorecard",),
    ("schedule",),
    ("page",),
    ("talk",),
    ("notebooks",),
    ("report",),
    ("cli",),
)
"""From the ground up. A module imports from its own row and from rows above it in this list."""
LEVEL = {name: level for level, row in enumerate(ROOMS) for name in row}


def modules() -> dict[str, Path]:
    """Return every module of the package by its name from the package on: ``"places.runc"``."""
    paths = (path.relative_to(HOUSE) for path in HOUSE.rglob("*.py"))
    names = ((".".join(path.with_suffix("").parts), HOUSE / path) for path in paths)
    return {name.removesuffix("__init__").rstrip("."): path for name, path in names}


def imports(text: str, known: set[str]) -> set[str]:
    """Return which modules of the package a module imports, within functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        names = []
        if isinstance(node, ast.Import):
            names = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            names = [(f"{node.module}.{alias.name}", node.module) for alias in node.names]
        for (
            name,
            module,
        ) in names:  # "from caveatlib.places import runc": a module, or a name in one
            for full in (name, module):
                short = full.removeprefix("caveatlib").lstrip(".")
                if full.startswith("caveatlib.") and short in known:
                    found.add(short)
                    break
    return found


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    """Return what each module imports."""
    paths = modules()
    return {name: imports(path.read_text(), set(paths)) - {name} for name, path in paths.items()}


def test_every_module_has_a_room(graph):
    """What stands at the top is in the plan, and the plan has nothing that is not there."""
    assert {name.partition(".")[0] for name in graph if name} == LEVEL.keys()


def test_imports_go_downwards(graph):
    """No room imports from one above it."""
    against = [
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in others
        if name and LEVEL[other.partition(".")[0]] > LEVEL[name.partition(".")[0]]
    ]
    assert against == []


def test_no_circles(graph):
    """No module imports itself through others, not even later, within a function."""
    left = {name: set(others) for name, others in graph.items()}
    while leaves := [name for name, others in left.items() if not others & left.keys()]:
        for name in leaves:
            del left[name]
    assert left == {}


BORROWED = {"noise": {"startup"}}
"""Experiment -> whose folders it reads: the noise floor is measured with an arm of `startup`."""


def test_experiments_do_not_import_each_other(graph):
    """What two of them use is in the kit or further down."""
    used: dict[str, set[str]] = {}
    for name, others in graph.items():
        mine = name.removeprefix("experiments.").partition(".")[0]
        theirs = {o.split(".")[1] for o in others if o.startswith("experiments.")}
        if name.startswith("experiments."):
            used[mine] = used.get(mine, set()) | theirs - {mine, "kit"}
    assert used.pop("kit") == set()
    assert {name: others for name, others in used.items() if others} == BORROWED


def test_this_reads_imports():
    """Modules, names in modules, imports in functions and for types only are all seen."""
    text = """
from typing import TYPE_CHECKING
import caveatlib.places.runc
from caveatlib.errors import DataError
from caveatlib import frames, stats
if TYPE_CHECKING:
    from caveatlib.places.spec import Spec
def late():
    from caveatlib.measuring import loop
import caveatlibs, os
"""
    known = {"places.runc", "errors", "frames", "stats", "places.spec", "measuring.loop", "cli"}
    assert imports(text, known) == known - {"cli"}


REPLAY = """
import sys
sys.modules["dask"] = None  # pandera imports it where it is installed, and it imports psutil
from caveatlib import claims, trials
from caveatlib.experiments import quota
assert len(claims.judge(trials.get(quota, source="recorded"), quota.DECISIONS))
print(*sorted({"docker", "matplotlib", "psutil", "requests"} & sys.modules.keys()))
"""


def test_replaying_imports_nothing_that_measures():
    """Who only reads recorded data does not wait for what talks to engines, or for what draws."""
    done = subprocess.run(
        [sys.executable, "-c", REPLAY],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(HOUSE.parent)},
    )
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr
