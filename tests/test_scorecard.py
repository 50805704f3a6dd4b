"""The scorecard: every claim once per verdict, in the order of the post.

Seen to fail: with the first of two machines only.
"""

import math
from types import SimpleNamespace

import pytest

from caveatlib import claims, scorecard, trials
from caveatlib.errors import DataError, Unavailable, UsageError
from caveatlib.experiments import ALL, startup


def verdict(claim="C23", machine="a", kind=claims.HOLDS, **changes):
    """Return a verdict."""
    words = {"experiment": "startup", "source": "live", "because": f"{claim} because"}
    return claims.Verdict(claim, verdict=kind, machine=machine, **words | changes)


@pytest.fixture
def given(monkeypatch):
    """Return a function that lets `startup` have verdicts and the others none."""

    def give(*verdicts):
        monkeypatch.setattr(scorecard, "_of", lambda e, s: list(verdicts) if e is startup else [])

    return give


def test_every_row_of_the_ledger(given):
    """Each is there once, in order, with its quotation; what nobody measured says so."""
    given()
    table = scorecard.table({"startup": "x"})
    ledger = claims.ledger()
    assert list(table.columns) == list(scorecard.COLUMNS)
    assert list(table["claim"]) == list(ledger["id"])
    assert list(table["quote"]) == list(ledger["quote"])
    open_ones = table[table["kind"] != "then-now"]
    assert set(open_ones["verdict"]) == {scorecard.NOT_YET}
    cards = table[table["verdict"] == "then and now"]
    assert len(cards) >= 1
    assert set(cards["source"]) == {"literature"}
    assert (cards["effect"].str.len() > 20).all()


def test_a_claim_has_a_row_for_each_verdict(given):
    """Machines stay apart; what is ours stands at the end."""
    ours = next(c.id for c in startup.CLAIMS if c.kind == "ours")
    given(
        verdict("C23", "a"),
        verdict("C23", "b", claims.FAILS),
        verdict(ours, "a"),
    )
    table = scorecard.table({"startup": "x"})
    rows = table[table["claim"] == "C23"]
    assert list(rows["machine"]) == ["a", "b"]
    assert list(rows["verdict"]) == [claims.HOLDS, claims.FAILS]
    assert table["claim"].iloc[-1] == ours
    assert (table["kind"].iloc[-1], table["effect"].iloc[-1]) == ("ours", f"{ours} because")
    assert len(table) == len(claims.ledger()) + 2


def test_text_and_page_say_the_same(given):
    """One line, and one row of the table, for each row; verdicts keep their class."""
    given(verdict(), verdict("C24", kind=claims.NOT_MEASURED))
    table = scorecard.table({"startup": "x"})
    card = scorecard.Scorecard(table)
    lines = repr(card).splitlines()
    assert lines == list(scorecard.lines(table))
    assert len(lines) == len(table)
    page = card._repr_html_()
    assert page.count("<tr class=") == len(table)
    for row, line in zip(table.to_dict("records"), lines, strict=True):
        assert line.startswith(row["claim"])
        assert row["verdict"] in line
        assert row["quote"] in line
    assert page.count('<tr class="holds">') == 1
    assert page.count('<tr class="not-measured-here">') == 1


def test_the_tally_counts_statements_and_not_rows(given):
    """A statement with two answers counts once; those of ours are counted apart."""
    ours = next(c.id for c in startup.CLAIMS if c.kind == "ours")
    given(
        verdict("C08"),
        verdict("C08", "b"),
        verdict("C23"),
        verdict("C23", "b", claims.FAILS),
        verdict(ours, kind=claims.OPEN),
    )
    table = scorecard.table({"startup": "x"})
    history = sum(table["verdict"] == scorecard.HISTORY)
    assert scorecard.tally(table) == (
        f"37 statements of the post: holds 1, {scorecard.SEVERAL} 1, then and now {history}, "
        f"not measured yet {35 - history}; 1 of ours: inconclusive 1."
    )


def test_words_that_are_not_the_posts_say_so(given):
    """What the post only suggests, and what is ours, is marked; a claim's name comes once."""
    given(verdict("C08"), verdict("C08", "b"))
    table = scorecard.table({"startup": "x"})
    text = {row["claim"]: line for row, line in
            zip(table.to_dict("records"), scorecard.lines(table), strict=True)}  # fmt: skip
    assert "(derived)" in text["C25"]
    assert "(" not in text["C24"].split("”")[-1]
    assert scorecard.Scorecard(table)._repr_html_().count(">C08<") == 1


def test_each_experiment_may_have_its_own_source(monkeypatch):
    """A mapping names them; an experiment that it leaves out has no verdicts."""
    asked = []

    def of(experiment, source):
        asked.append((experiment.NAME, source))
        return []

    monkeypatch.setattr(scorecard, "_of", of)
    scorecard.verdicts({"startup": "a"})
    assert asked == [("startup", "a")]
    scorecard.verdicts("b")
    assert asked[1:] == [(e.NAME, "b") for e in ALL]


LITTLE = SimpleNamespace(NAME="startup", VERDICT_S=33)
"""Stands for an experiment."""


def test_what_has_no_trials_has_no_verdict(monkeypatch, tmp_path):
    """Not recorded yet, nothing runs here, left out of a run: silence. A bad folder: an error."""
    monkeypatch.setattr(scorecard.store, "versions", lambda name: [])
    assert scorecard._of(LITTLE, "recorded") == []

    def unavailable(*_, **__):
        raise Unavailable("no such place")

    monkeypatch.setattr(scorecard.trials, "open", unavailable)
    assert scorecard._of(LITTLE, "live") == []
    monkeypatch.undo()
    (tmp_path / "quota").mkdir()
    (tmp_path / "quota" / "datapackage.json").write_text("{}")
    assert scorecard._of(startup, str(tmp_path)) == []
    with pytest.raises(UsageError, match="'nowhere'"):
        scorecard._of(startup, "nowhere")


def test_damaged_data_are_an_error_and_no_silence(monkeypatch):
    """A claim whose data are damaged is not "not measured yet"."""

    def damaged(*_, **__):
        raise DataError("checksum")

    monkeypatch.setattr(trials, "open", damaged)
    with pytest.raises(DataError, match="checksum"):
        scorecard.table("recorded")


def test_live_has_a_budget_and_recorded_no_version(monkeypatch):
    """Live measures until there can be verdicts; of what is recorded the newest is opened."""
    asked = []

    def opened(experiment, **options):
        asked.append(options)
        return SimpleNamespace(verdicts=lambda: ["found"])

    monkeypatch.setattr(scorecard.trials, "open", opened)
    assert scorecard._of(LITTLE, "live") == ["found"]
    assert scorecard._of(LITTLE, "recorded") == ["found"]
    assert asked == [{"source": "live", "budget_s": 33}, {"source": "recorded"}]


def test_the_default_is_the_variables_source(monkeypatch, tmp_path):
    """As `trials.open`: the variable's run; what it left out is recorded, never a silence."""
    (tmp_path / "quota").mkdir()
    (tmp_path / "quota" / "datapackage.json").write_text("{}")
    asked = []

    def opened(experiment, *, source):
        asked.append((experiment.NAME, source))
        raise Unavailable("nothing is read here")

    monkeypatch.setattr(scorecard.trials, "open", opened)
    monkeypatch.setenv("CAVEATLIB_SOURCE", str(tmp_path))
    scorecard.table()
    assert dict(asked) == {e.NAME: "recorded" for e in ALL} | {"quota": str(tmp_path)}
    asked.clear()
    scorecard.table(str(tmp_path))
    assert dict(asked) == {"quota": str(tmp_path)}
    monkeypatch.delenv("CAVEATLIB_SOURCE")
    asked.clear()
    scorecard.table()
    assert {source for _, source in asked} == {"recorded"}


def test_a_run_that_is_unfinished_is_no_silence(tmp_path):
    """Its claims are not "not measured yet": it says how to end the run."""
    (tmp_path / "startup").mkdir()
    (tmp_path / "startup" / "journal.jsonl").touch()
    with pytest.raises(UsageError, match="is unfinished"):
        scorecard.table(str(tmp_path))


def test_an_effect_without_a_number_is_no_nan(given):
    """Nothing in text or page reads nan."""
    given(verdict(effect=math.nan, low=math.nan, high=math.nan))
    card = scorecard.Scorecard(scorecard.table({"startup": "x"}))
    assert "nan" not in repr(card).lower().split()
    assert ">nan<" not in card._repr_html_()
