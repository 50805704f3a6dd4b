"""REVIEW.md says of the scorecard what it was at commit 1faf23a and what it is now, claim by claim.

What was before is `kept_verdicts.csv`, for what had an experiment then, and the ledger. A new
recording that changes a word fails here until the tables are written anew.

Seen to fail: without the data of `pods`; with C02 mixed; without the row of C17/loopback/cpu; with
one claim of ours fewer; with C13 for C12 among what was never measured.
"""

from pathlib import Path

import pytest
from experiments.test_kept_verdicts import KEPT, RENAMED

from caveatlib import scorecard

pytestmark = pytest.mark.beside

TEXT = (Path(__file__).parents[1] / "REVIEW.md").read_text()
SECTION = TEXT.partition("## The scorecard before and after\n")[2].partition("\n## ")[0]
UNMEASURED = "not measured here"
WORDS_THEN = KEPT.groupby("claim")["verdict"].unique().map(lambda words: "/".join(words))
"""Claim or part -> its word at that commit."""


@pytest.fixture(scope="module")
def entries(recorded_entries):
    """Return today's scorecard of the recorded data."""
    return recorded_entries


def rows(head):
    """Return the cells of the table that begins with this line, row by row, without the head."""
    table = SECTION.partition(f"\n{head}\n")[2].partition("\n\n")[0]
    return [_cells(line) for line in table.splitlines()[1:]]


def _cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def before(entry):
    """Return what the scorecard said of a claim then; None of a claim of ours that came later."""
    if entry.id in WORDS_THEN:
        return WORDS_THEN[entry.id]
    if entry.section == scorecard.OURS:
        return None
    return scorecard.HISTORY if entry.kind == "then-now" else scorecard.NOT_YET


def parts_of_then(entries):
    """Return the parts of then that are there today: part -> its word before and now."""
    found = {part: verdicts for entry in entries for part, verdicts in entry.parts.items()}
    for verdict in scorecard.verdicts({"quota": "recorded"}):  # programs are no parts of a Whole
        if verdict.claim.startswith("C07/"):
            found[verdict.claim] = (*found.get(verdict.claim, ()), verdict)
    now = {
        part: words.pop() if len(words) == 1 else scorecard.SEVERAL
        for part, words in ((p, {v.verdict for v in vs}) for p, vs in found.items())
    }
    then = {RENAMED.get(part, part): word for part, word in WORDS_THEN.items() if "/" in part}
    assert set(then) <= set(now)
    return {part: (word, now[part]) for part, word in then.items()}


def test_every_word_that_changed_is_listed(entries):
    """Each claim and part once, with its word before, its word now, and a reason."""
    found = {e.id: (before(e), e.word) for e in entries if before(e)} | parts_of_then(entries)
    changed = {name: words for name, words in found.items() if words[0] != words[1]}
    listed = {}
    for names, then, now, why in rows("| claim | before | now | why |"):
        assert len(why) > 10, names
        for name in names.split(", "):
            assert name not in listed, name
            listed[name] = (then, now)
    assert listed == changed


def test_the_tally_is_the_scorecards(entries):
    """Statements of the post and claims of ours, by word, before and now."""
    head = next(line for line in SECTION.splitlines() if line.startswith("| |"))
    words = _cells(head)[1:-1]
    ours = [entry for entry in entries if entry.section == scorecard.OURS]
    post = [entry for entry in entries if entry.section != scorecard.OURS]
    expected = {
        "statements of the post, before": [before(e) for e in post],
        "statements of the post, now": [e.word for e in post],
        "claims of our own, before": [before(e) for e in ours if before(e)],
        "claims of our own, now": [e.word for e in ours],
    }
    assert set().union(*expected.values()) <= set(words)
    assert {name: list(map(int, numbers)) for name, *numbers in rows(head)} == {
        name: [*map(found.count, words), len(found)] for name, found in expected.items()
    }


def test_what_was_never_measured_is_listed(entries):
    """What nothing decided before, and nothing decides now."""
    listed = [name for names, why in rows("| not measured | why |") for name in names.split(", ")]
    both = [e.id for e in entries if before(e) == e.word == UNMEASURED]
    assert listed == both
