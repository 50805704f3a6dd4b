"""Readings and the sentences made of them: what is missing is left out, once, for everybody."""

import pandas as pd
import pytest

from caveatlib import claims
from caveatlib.claims import Claim, Sentence, Text, fact
from caveatlib.claims.readings import count, least, median, most, number, share, total

ROWS = pd.DataFrame(
    {
        "place": ["a", "a", "a", "b", "c"],
        "ok": [True, True, False, True, True],
        "error": ["", "", "It broke.", "", ""],
        "took_s": [0.1, 0.3, 9.0, 2.0, None],
        "failed": [0.0, 1.0, 9.0, 5.0, 0.0],
        "requests": [100.0, 300.0, 9.0, 10.0, 0.0],
        "taken_bytes": [1024.0, 2048.0, 1.0, 1.0, 1.0],
    }
)
A, B, C = ({"place": name} for name in "abc")
CLAIM = Claim("x", "it is quick", "ours", "seconds, at most 1", "sample")


@pytest.mark.parametrize(
    ("reading", "value"),
    [
        (median("took_s", A), 0.2),
        (least("took_s", A), 0.1),
        (most("took_s", A), 0.3),
        (total("requests", A), 400),
        (count("failed", A), 1),
        (number("failed", A), 2),
        (share("failed", A, of="requests"), 1 / 400),
        (median("took_s", C), None),
        (share("failed", C, of="requests"), None),
    ],
)
def test_a_reading_is_of_the_trials_that_succeeded(reading, value):
    """Failed trials are not read; what has no value, and a share of nothing, is missing."""
    assert reading.of(ROWS) == (value if value is None else pytest.approx(value))


def test_a_sentence_writes_each_reading_in_its_unit():
    """Seconds, bytes, shares, counts and constants."""
    found = Sentence(
        "{took}, {taken}, {failed:%} of {requests}, {ratio:x} by {word}, limit {limit}.",
        took=median("took_s", A),
        taken=most("taken_bytes", A),
        failed=share("failed", A, of="requests"),
        requests=total("requests", A),
        ratio=most("failed", B),
        word="hand",
        limit=64,
    )(ROWS)
    assert found == "200 ms, 2 KiB, 0.25 % of 400, 5x by hand, limit 64."


def test_a_sentence_is_left_out_where_a_reading_is_missing():
    """So nobody asks; others beside it stay."""
    gone, kept = Sentence("{it}.", it=median("took_s", C)), Sentence("{it}.", it=least("took_s", B))
    assert gone(ROWS) == ""
    assert Text(gone, kept, kept)(ROWS) == "2 s. 2 s."
    assert Text(gone, kept, kept, first=True)(ROWS) == "2 s."


@pytest.mark.parametrize(("limit", "found"), [(1.0, "so."), (2.0, ""), (3.0, "")])
def test_a_sentence_is_left_out_where_its_condition_does_not_hold(limit, found):
    """A condition on what is missing does not hold."""
    assert Sentence("so.", given=least("took_s", B) > limit)(ROWS) == found
    assert Sentence("so.", given=least("took_s", C) > limit)(ROWS) == ""


def test_a_sentence_may_be_only_of_what_was_measured():
    """The account of a verdict without trials is a reason, and no answer."""
    sentence = Sentence("{because}", measured=True)
    verdict = claims.not_measured(CLAIM, "No trial.")
    assert sentence(ROWS, verdict) == ""
    assert Sentence("{because}")(ROWS, verdict) == "No trial."


@pytest.mark.parametrize(
    ("where", "word", "n"),
    [(A, claims.HOLDS, 2), (B, claims.FAILS, 1), (C, claims.NOT_MEASURED, 0)],
)
def test_a_fact_holds_where_all_its_conditions_do(where, word, n):
    """It is not measured where a reading of one is missing; its conditions are its readings."""
    decision = fact(
        CLAIM,
        most("took_s", where) <= 1,
        least("requests", where) > 1,
        line=Sentence("{it} at most.", it=most("took_s", where)),
        beside=(total("failed", where),),
    )
    rows = ROWS.assign(machine="m", source="recorded", session=1, block=1, design="d")
    (found,) = claims.judge(rows, [decision])
    assert (found.verdict, found.n) == (word, n)
    assert [reading.optional for reading in decision.readings] == [False, False, True]
