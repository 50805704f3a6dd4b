"""CONTRIBUTING says what is there: the rooms in their order, files by their paths, the sample."""

import re
from pathlib import Path

import pytest
from experiments.sample import sample
from test_rooms import ROOMS

pytestmark = pytest.mark.beside

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
LONGEST = 105
"""Lines of the smallest honest experiment."""


def test_rooms_are_those_that_are_held():
    """The table names every room, from the ground up."""
    table = TEXT.partition("| room |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert re.findall(r"`(\w+)`", " ".join(rows)) == [name for row in ROOMS for name in row]


def test_paths_lead_somewhere():
    """What looks like the path of a file or folder of ours is one."""
    paths = set(re.findall(r"`((?:tests|tools|measuring|places|contract)/[\w./-]+)`", TEXT))
    assert len(paths) > 5
    bases = (ROOT, ROOT / "caveatlib", ROOT / "tests" / "experiments")
    assert not [p for p in paths if "NAME" not in p and not any((b / p).exists() for b in bases)]


def test_the_sample_is_small_and_shown():
    """It is referred to, and no longer than is said."""
    path = Path(sample.__file__)
    assert f"`{path.relative_to(ROOT)}` is one in {LONGEST} lines" in TEXT
    assert len(path.read_text().splitlines()) <= LONGEST


def test_the_review_names_tests_that_are_there():
    """Each finding is held by a test of that name, or is called open."""
    text = (ROOT / "REVIEW.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) > 20
    for path, name in named:
        assert f"def {name or 'test_'}" in (ROOT / path).read_text(), (path, name)
    rows = [line.split(" | ") for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row[0].strip("| ")) for row in rows] == list(range(1, 17))
    for row in rows:
        assert "`tests/" in row[-1] or "**open**" in row[2], row[1]
