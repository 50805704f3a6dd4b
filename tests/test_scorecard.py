"""The scorecard: every claim once, with its verdicts by machine, in the order of the post.

Seen to fail: with the first of two machines only; with `_cut` left out of `lines`.
"""

import math
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from caveatlib import claims, frames, scorecard, trials
from caveatlib.claims import Claim, Count, Whole
from caveatlib.errors import DataError, Unavailable, UsageError
from caveatlib.experiments import ALL, recorded, startup
from caveatlib.measuring.experiment import Conditions, complete
from caveatlib.page import cards, overview

pytestmark = pytest.mark.beside


def verdict(claim="C23", machine="a", kind=claims.HOLDS, **changes):
    """Return a verdict."""
    words = {"experiment": "little", "source": "live", "because": f"{claim} because. More."}
    return claims.Verdict(claim, verdict=kind, machine=machine, **words | changes)


def rows(*machines):
    """Return trials that a count can be read from."""
    row = {"run": "2026-11-01T00:00:00Z", "session": 0, "design": "d", "block": 0, "position": 0,
           "source": "live", "ok": True, "error": "", "place": "p", "tasks": 3.0,
           "busy_per_cpu": 1.5, "stolen_share": 0.0}  # fmt: skip
    return pd.DataFrame([row | {"machine": m} for m in machines], columns=[*row, "machine"])


def little(*verdicts, **changes):
    """Return what stands for an experiment whose claims these verdicts are of."""
    names = dict.fromkeys(v.claim for v in verdicts)
    own = {d.claim.id: d.claim for e in ALL for d in e.DECISIONS}
    text = {n: own[n] if n in own else Claim(n, n, "derived", "d", "little") for n in names}
    parts = {n: tuple(p for p in names if p.startswith(f"{n}/")) for n in names}
    decisions = [
        Whole(claim=text[n], parts=parts[n])
        if parts[n]
        else Count(claim=text[n], where={"place": "p"}, column="tasks", what="Tasks")
        for n in names
    ]
    settings = {"NAME": "little", "VERDICT_S": 33, "DECISIONS": decisions, "QUESTION": "How many?",
                "PLACES": {}, "Trials": frames.Trials, "DESIGNS": (), "trial": None}  # fmt: skip
    return SimpleNamespace(**settings | {"verdicts": lambda _: list(verdicts)} | changes)


def run_of(made, frame):
    """Return a run of what stands for an experiment."""
    run = trials.Run(complete(made), "x")
    run._tables.update(trials=frame, conditions=frames.empty(Conditions))
    return run


@pytest.fixture
def given(monkeypatch):
    """Return a function that lets one experiment have these verdicts, and no other be there."""

    def give(*verdicts, recorded=()):
        made = little(*verdicts)
        made.verdicts = lambda frame: list(
            recorded if set(frame["machine"]) == {"recorded"} else verdicts
        )
        monkeypatch.setattr(scorecard, "ALL", (made,))
        here = rows(*dict.fromkeys(v.machine for v in verdicts))
        runs = {True: run_of(made, RECORDED), False: run_of(made, here)}
        monkeypatch.setattr(scorecard, "_read", lambda e, s: runs[s == "recorded"])
        return scorecard.entries({"little": "x"})

    return give


RECORDED = rows("recorded")


def test_every_row_of_the_ledger(given):
    """Each is there once, in order, with its quotation; what nobody measured says so."""
    entries = given()
    ledger = claims.ledger()
    assert [e.id for e in entries] == list(ledger["id"])
    assert [e.quote for e in entries] == list(ledger["quote"])
    history = [e for e in entries if e.kind == "then-now"]
    assert {e.word for e in history} == {scorecard.HISTORY}
    assert {e.word for e in entries if e.kind != "then-now"} == {scorecard.NOT_YET}
    table = scorecard.as_table(entries)
    assert list(table.columns) == list(scorecard.COLUMNS)
    cards = table[table["verdict"] == scorecard.HISTORY]
    assert set(cards["source"]) == {"literature"}
    assert (cards["reason"].str.len() > 20).all()


def test_a_claim_has_a_row_for_each_machine(given):
    """Machines stay apart; parts are in their claim; what is ours stands at the end."""
    ours = next(c.id for c in startup.CLAIMS if c.kind == "ours")
    entries = given(
        verdict("C22", kind=claims.MIXED), verdict("C22/one"),
        verdict("C22/two", kind=claims.FAILS), verdict("C23", "a"),
        verdict("C23", "b", claims.FAILS), verdict(ours, "a"),
    )  # fmt: skip
    table = scorecard.as_table(entries)
    found = table[table["claim"] == "C23"]
    assert list(found["machine"]) == ["a", "b"]
    assert list(found["verdict"]) == [claims.HOLDS, claims.FAILS]
    assert table["claim"].iloc[-1] == ours
    assert table["headline"].iloc[-1] == f"{ours} because"
    assert len(table) == len(claims.ledger()) + 2
    by_id = {e.id: e for e in entries}
    assert by_id["C23"].word == scorecard.SEVERAL
    assert [v.verdict for part in by_id["C22"].parts.values() for v in part] == [
        claims.HOLDS, claims.FAILS,
    ]  # fmt: skip
    assert by_id[ours].section == scorecard.OURS


def test_a_claim_with_parts_says_in_a_line_what_it_says_aloud(recorded_entries):
    """The names of its parts are the code's own; a long id is no longer than its column.

    Seen to fail: with the headline that lists the parts.
    """
    for entry in recorded_entries:
        if isinstance(entry.decision, Whole) and entry.decision.sum_up:
            for told in entry.verdicts:
                if told.verdict != claims.NOT_MEASURED:
                    assert not told.headline.startswith(("Holds for", "Not for")), entry.id
        assert len(entry.id) <= scorecard.LONGEST_ID


def test_a_machine_that_measured_nothing_does_not_differ(given):
    """One has KVM, the other lacks it: what the first decides is the answer, on paper as well."""
    ours = next(c.id for c in startup.CLAIMS if c.kind == "ours")
    missing = {"kind": claims.NOT_MEASURED, "because": "No KVM."}
    entries = given(
        verdict("C23", "a", **missing), verdict("C23", "b"),
        verdict("C24", "a", **missing), verdict("C24", "b", **missing),
        verdict(ours, "a", **missing), verdict(ours, "b", because="Faster."),
    )  # fmt: skip
    by_id = {e.id: e for e in entries}
    assert [by_id[c].word for c in ("C23", "C24")] == [claims.HOLDS, claims.NOT_MEASURED]
    printed = overview.on_paper(entries)
    assert "Faster." in printed
    assert "No KVM." not in printed


def test_an_entry_holds_what_decided_it(given):
    """The rows that the decision reads, for the claim and each of its parts."""
    entries = given(verdict("C22"), verdict("C22/one"), verdict("C23"))
    by_id = {e.id: e for e in entries}
    assert list(by_id["C23"].evidence) == ["C23"]
    assert by_id["C23"].evidence["C23"]["tasks"].tolist() == [3.0]
    assert list(by_id["C22"].evidence) == ["C22", "C22/one"]


def test_another_run_stands_beside_the_recorded_one(given):
    """Live verdicts bring the recorded ones with them; recorded ones need none."""
    recorded = verdict("C23", "old", claims.FAILS, source="recorded")
    entries = given(verdict("C23"), recorded=[recorded])
    assert next(e for e in entries if e.id == "C23").recorded == (recorded,)
    entries = given(verdict("C23", source="recorded"), recorded=[recorded])
    assert next(e for e in entries if e.id == "C23").recorded == ()


@pytest.mark.parametrize("width", [120, 78, 64])
def test_lines_are_one_for_each_claim_and_machine(given, width):
    """None is wider than asked; machines are numbered, and named at the end."""
    long = verdict("C24", "b", because="x" * 500 + ". And so on.")
    table = scorecard.as_table(given(verdict("C23"), verdict("C23", "b"), long))
    lines = list(scorecard.lines(table, width=width))
    assert len(lines) == len(table) + 2
    assert max(map(len, lines)) <= width
    for row, line in zip(table.to_dict("records"), lines, strict=False):
        assert line.startswith(row["claim"])
        assert row["verdict"] in line
    assert lines[-2:] == ["[1] a (live)", "[2] b (live)"]
    assert "[2] C23 because" in next(x for x in lines if x.startswith("C23") and "[2]" in x)


def test_the_recorded_scorecard_fits_an_old_terminal(recorded_entries):
    """The one that everybody sees: one line of 78 columns for each claim and machine."""
    entries = recorded_entries
    lines = list(scorecard.lines(scorecard.as_table(entries)))
    assert max(map(len, lines)) <= 78
    machines = len({v.machine for e in entries for v in e.verdicts if v.machine})
    claimed = [line.split()[0] for line in lines[:-machines]]
    assert len(claimed) == len(set(claimed)) == len(entries)
    assert not any("nan" in line.split() for line in lines)


def test_the_tally_counts_statements_and_not_rows(given):
    """A statement with two answers counts once; those of ours are counted apart."""
    ours = next(c.id for c in startup.CLAIMS if c.kind == "ours")
    entries = given(
        verdict("C08"), verdict("C08", "b"), verdict("C23"), verdict("C23", "b", claims.FAILS),
        verdict(ours, kind=claims.OPEN),
    )  # fmt: skip
    history = sum(e.word == scorecard.HISTORY for e in entries)
    assert scorecard.tally(entries) == (
        f"37 statements of the post: holds 1, {scorecard.SEVERAL} 1, then and now {history}, "
        f"{scorecard.NOT_YET} {35 - history}; 1 of ours: inconclusive 1."
    )


def test_each_experiment_may_have_its_own_source(monkeypatch):
    """A mapping names them; an experiment that it leaves out has no verdicts."""
    asked = []

    def read(experiment, source):
        asked.append((experiment.NAME, source))

    monkeypatch.setattr(scorecard, "_read", read)
    scorecard.verdicts({"startup": "a"})
    assert asked == [("startup", "a")]
    scorecard.verdicts("b")
    assert asked[1:] == [(e.NAME, "b") for e in ALL]


def test_what_has_no_trials_has_no_verdict(monkeypatch, tmp_path):
    """Not recorded yet, nothing runs here, left out of a run: silence. A bad folder: an error."""
    monkeypatch.setattr(scorecard.store, "versions", lambda name: [])
    assert scorecard._read(little(), "recorded") is None

    def unavailable(*_, **__):
        raise Unavailable("no such place")

    monkeypatch.setattr(scorecard.trials, "open", unavailable)
    assert scorecard._read(little(), "live") is None
    monkeypatch.undo()
    (tmp_path / "quota").mkdir()
    (tmp_path / "quota" / "datapackage.json").write_text("{}")
    assert scorecard._read(startup, str(tmp_path)) is None
    with pytest.raises(UsageError, match="'nowhere'"):
        scorecard._read(startup, "nowhere")


def test_what_a_run_left_out_says_so(monkeypatch, tmp_path):
    """Its claims have an experiment, which the folder lacks, or this machine.

    Seen to fail: with no verdict for them, which reads as no experiment.
    """
    made = little(verdict("C10"), verdict("C23"), verdict("C23/one"))
    monkeypatch.setattr(scorecard, "ALL", (made,))
    (tmp_path / "quota").mkdir()
    (tmp_path / "quota" / "datapackage.json").write_text("{}")
    found = {e.id: e for e in scorecard.entries(str(tmp_path))}
    told = "Not in this run: `caveatlib measure little` measures it."
    assert [found[c].word for c in ("C10", "C23")] == [claims.NOT_MEASURED] * 2
    assert {v.because for e in ("C10", "C23") for v in found[e].verdicts} == {told}
    assert found["C23"].parts["C23/one"][0].because == told

    def unavailable(*_, **__):
        raise Unavailable("no such place")

    monkeypatch.setattr(scorecard.trials, "open", unavailable)
    (entry,) = (e for e in scorecard.entries("live") if e.id == "C23")
    assert entry.word == claims.NOT_MEASURED
    assert "`caveatlib doctor`" in entry.verdicts[0].because


def test_what_is_not_recorded_yet_names_the_command(monkeypatch, tmp_path):
    """Each of its claims says what decides it; left out of somebody's run it says nothing."""
    made = little(verdict("C10"), verdict("C10/waits"))
    monkeypatch.setattr(scorecard, "ALL", (made,))
    monkeypatch.setattr(scorecard.store, "versions", lambda name: [])
    entry = next(e for e in scorecard.entries("recorded") if e.id == "C10")
    assert entry.word == claims.NOT_MEASURED
    assert "`sudo .venv/bin/caveatlib measure little`" in entry.verdicts[0].because
    assert "measure little" in entry.parts["C10/waits"][0].because
    assert entry.history
    (tmp_path / "quota").mkdir()
    (tmp_path / "quota" / "datapackage.json").write_text("{}")
    entry = next(e for e in scorecard.entries({"other": str(tmp_path)}) if e.id == "C10")
    assert (entry.word, entry.verdicts) == (scorecard.NOT_YET, ())
    monkeypatch.setattr(scorecard.store, "versions", lambda name: [1])
    monkeypatch.setattr(scorecard, "_read", lambda experiment, source: run_of(made, rows("m")))
    entry = next(e for e in scorecard.entries("recorded") if e.id == "C10")
    assert entry.word == claims.HOLDS


def test_then_and_now_stands_beside_a_verdict(given):
    """A statement that is measured has its history folded, and the measurement as its answer."""
    given(verdict("C10", because="Nobody waits."))
    (entry,) = (e for e in scorecard.entries({"little": "x"}) if e.id == "C10")
    assert entry.word == claims.HOLDS
    shown = cards.card(replace(entry, experiment="entropy"), data=False)
    answer, _, folded = shown.partition("<details>")
    assert "Nobody waits" in answer
    assert entry.history.now not in answer
    assert entry.history.then in folded
    assert entry.history.now in folded


def test_a_prediction_stands_beside_what_is_measured(given):
    """What was expected of a machine that can decide it, and whether that came."""
    given(verdict("C23", effect=0.1, low=0.08, high=0.12, n=20, unit="x"))
    (entry,) = (e for e in scorecard.entries({"little": "x"}) if e.id == "C23")
    answer, _, folded = cards.card(replace(entry, experiment="startup"), data=False).partition(
        "<details>"
    )
    assert "0.03 to 0.3, first output of runc over that of a microVM" in answer
    assert "Measured: 0.10× [0.08, 0.12], inside." in answer
    assert entry.prediction.reasoning.split(".")[0] in folded


def test_damaged_data_are_an_error_and_no_silence(monkeypatch):
    """A claim whose data are damaged is not one without an experiment."""

    def damaged(*_, **__):
        raise DataError("checksum")

    monkeypatch.setattr(trials.store, "load", damaged)
    with pytest.raises(DataError, match="checksum"):
        scorecard.table("recorded")


def test_live_has_a_budget(monkeypatch):
    """Live measures until there can be verdicts; recorded measures nothing."""
    asked = []

    def opened(experiment, **options):
        asked.append(options)
        return "a run"

    monkeypatch.setattr(scorecard.trials, "open", opened)
    monkeypatch.setattr(scorecard.store, "versions", lambda name: [1, 2, 10])
    assert scorecard._read(little(), "live") == "a run"
    scorecard._read(little(), "recorded")
    assert asked[0]["budget_s"] == 33
    assert "budget_s" not in asked[1]


def test_the_default_is_the_variables_source(monkeypatch, tmp_path):
    """As `trials.open`: the variable's run; what it left out is recorded, never a silence."""
    (tmp_path / "quota").mkdir()
    (tmp_path / "quota" / "datapackage.json").write_text("{}")
    asked = []

    def opened(experiment, *, source, **_):
        asked.append((experiment.NAME, source))
        raise Unavailable("nothing is read here")

    monkeypatch.setattr(scorecard.trials, "open", opened)
    monkeypatch.setenv("CAVEATLIB_SOURCE", str(tmp_path))
    scorecard.table()
    assert dict(asked) == {e.NAME: "recorded" for e in recorded()} | {"quota": str(tmp_path)}
    asked.clear()
    scorecard.table(str(tmp_path))
    assert dict(asked) == {"quota": str(tmp_path)}
    monkeypatch.delenv("CAVEATLIB_SOURCE")
    asked.clear()
    scorecard.table()
    assert {source for _, source in asked} == {"recorded"}


def test_a_run_that_is_unfinished_is_no_silence(tmp_path):
    """Its claims are not without an experiment: it says how to end the run."""
    (tmp_path / "startup").mkdir()
    (tmp_path / "startup" / "journal.jsonl").touch()
    with pytest.raises(UsageError, match="is unfinished"):
        scorecard.table(str(tmp_path))


def test_an_effect_without_a_number_is_no_nan(given):
    """Nothing in a line reads nan."""
    entries = given(verdict(effect=math.nan, low=math.nan, high=math.nan))
    assert "nan" not in " ".join(scorecard.lines(scorecard.as_table(entries))).lower().split()


def test_what_a_run_left_undecided_is_filled_from_the_recorded(given):
    """Its card says both; what the run decided stays, and what nobody judged is not filled.

    Seen to fail: with all that the run decided filled, and all that it has no verdict of.
    """
    known = given(
        verdict("C23", source="recorded"), verdict("C24", source="recorded"),
        verdict("C25", source="recorded"),
    )  # fmt: skip
    here = given(verdict("C23", kind=claims.OPEN), verdict("C24", kind=claims.FAILS))
    found = {e.id: e for e in scorecard.filled(here, known)}
    assert (found["C23"].word, found["C24"].word) == (claims.HOLDS, claims.FAILS)
    assert [v.source for v in found["C23"].verdicts] == ["recorded"]
    assert [v.verdict for v in found["C23"].undecided] == [claims.OPEN]
    shown = cards.card(replace(found["C23"], experiment="startup"), data=False)
    assert "this run</th>" in shown
    assert 'class="card h span"' in shown  # the table is as wide as the page
    assert "inconclusive" in shown
    assert not found["C24"].undecided
    assert found["C25"].word == scorecard.NOT_YET


def test_what_a_run_did_not_measure_is_told_by_what_was_recorded(given):
    """Undecided as well, it says more; a run that measured something speaks for itself.

    Seen to fail: with recorded verdicts only where they decide.
    """
    kind = claims.NOT_MEASURED
    known = given(*(verdict(c, kind=kind, source="recorded", n=20) for c in ("C23", "C24")))
    here = given(verdict("C23", kind=kind, n=0), verdict("C24", kind=kind, n=2))
    found = {e.id: e for e in scorecard.filled(here, known)}
    assert [v.n for v in found["C23"].verdicts] == [20]
    assert [v.n for v in found["C23"].undecided] == [0]
    assert [v.n for v in found["C24"].verdicts] == [2]
    assert not found["C24"].undecided
