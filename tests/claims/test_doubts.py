"""Doubts about verdicts: each sign is planted, said once, and only where it touches.

Seen to fail: with the derived table's own measure asked for instead of what it is made of, with
the A/A control as an arm of its own, and with the doubts of parts left out of their whole.
"""

import numpy as np
import pandas as pd
import pytest

from caveatlib import claims, stats
from caveatlib.claims import Claim, Effect, Fact, Finding, Reading, Whole, doubts
from caveatlib.measuring.orders import order

pytestmark = pytest.mark.beside

SESSIONS = 12
KINDS, SIZES = ("pull", "copy"), (1, 2, 3, 4)
ARMS = [(kind, size, again) for kind in KINDS for size in SIZES for again in (0, 1)
        if kind == "pull" or not again]  # fmt: skip


def table(rows):
    """Return what is compared: seconds per byte, one row per session and kind."""
    keys = ["machine", "source", "run", "session", "design", "block", "kind", "replicate"]
    sums = rows.groupby(keys)[["took_s", "size_bytes", "ok"]].agg(
        {"took_s": "sum", "size_bytes": "sum", "ok": "all"}
    )
    return sums.assign(slope=sums["took_s"] / sums["size_bytes"]).reset_index()


def effect(name, **changes):
    """Return a decision about the derived table."""
    arm, base = {"kind": "pull", "replicate": 0}, {"kind": "copy", "replicate": 0}
    settings = {
        "claim": Claim(name, "Pulls are slower.", "ours", "the ratio", "made"),
        "contrast": stats.Contrast(name, "slope", arm, base, pairing="session"),
        "direction": "greater",
        "words": ("Slower", "Faster"),
        "null": stats.Contrast("twice", "slope", {**arm, "replicate": 1}, arm, pairing="session"),
        "table": table,
    }
    return Effect(**settings | changes)


SLOWER = effect("made/slower")
FACT = Fact(
    claim=Claim("made-fact", "It moved.", "ours", "the bytes", "made"),
    readings=(Reading({"kind": "copy"}, "took_s"),),
    find=lambda here: Finding(claims.HOLDS, "It moved", "It moved."),
)
WHOLE = Whole(claim=Claim("made", "Slower.", "ours", "its part", "made"), parts=("made/slower",))
DECISIONS = (SLOWER, FACT, WHOLE)


def trials(seed=1, noise=0.02, runs=("r",)):
    """Return sound trials: every arm once per session, in orders as the loop draws them."""
    rng, rows = np.random.default_rng(seed), []
    for run in runs:
        for session in range(SESSIONS):
            ran = order(len(ARMS), session, lambda square: np.random.default_rng([seed, square]))
            for position, i in enumerate(ran):
                kind, size, again = ARMS[i]
                took = size * {"pull": 2.0, "copy": 1.0}[kind] * rng.lognormal(0, noise)
                rows.append((run, session, position, kind, size, again, took))
    names = ["run", "session", "position", "kind", "size_bytes", "replicate", "took_s"]
    same = {"machine": "m", "source": "live", "design": "d", "place": "here", "ok": True,
            "error": "", "busy_per_cpu": 0.0, "stolen_share": 0.0, "other_s": 1.0}  # fmt: skip
    frame = pd.DataFrame(rows, columns=names).assign(**same)
    return frame.assign(block=frame["session"])


def said(rows, claim="made/slower", **more):
    """Return the doubts about a claim."""
    judged = claims.judge(rows, DECISIONS)
    found = doubts.about(
        rows, DECISIONS, judged, conditions=["kind", "size_bytes", "replicate"], **more
    )
    assert list(found) == doubts.COLUMNS
    return list(found.loc[found["claim"] == claim, "doubt"])


def test_sound_trials_of_one_run_raise_only_that():
    """Several thousand bytes of nothing wrong: one run, said of every claim alike."""
    assert said(trials()) == said(trials(), "made") == said(trials(), "made-fact")
    assert said(trials()) == [doubts.ONE_RUN]
    assert said(trials(runs=("r", "s"))) == []
    both = trials(runs=("r", "s"))
    apart = both[(both["size_bytes"] > 2) == (both["run"] == "s")]
    assert said(apart) == [doubts.ONE_RUN_EACH], "two runs, and no arm in both"


def slowed(rows, where, factor):
    """Return the trials, of which some take longer."""
    return rows.assign(took_s=rows["took_s"].where(~where, rows["took_s"] * factor))


def late(rows):
    """Whether a trial is in the last half of its session."""
    return rows["position"] >= len(ARMS) / 2


def drifting(rows):
    return rows.assign(took_s=rows["took_s"] * (1 + 0.03 * rows["session"]))


def after_copy(rows):
    """Let what follows a copy of the largest size take longer, whatever it is."""
    largest = (rows["kind"] == "copy") & (rows["size_bytes"] == 4)
    return slowed(rows, largest.shift(fill_value=False) & (rows["position"] > 0), 1.3)


def failing(rows):
    """Let the slow ones of one arm fail."""
    rows = rows.assign(lasted_s=rows["took_s"])
    arm = (rows["kind"] == "pull") & (rows["size_bytes"] == 4) & (rows["replicate"] == 0)
    gone = arm & (rows["session"] % 4 == 0)
    rows = rows.assign(lasted_s=rows["lasted_s"].where(~gone, 60.0))
    rows = rows.assign(took_s=rows["took_s"].where(~gone), ok=rows["ok"] & ~gone)
    return rows.assign(error=np.where(gone, "too long", ""))


PLANTED = {
    "ageing": (
        lambda rows: slowed(rows, late(rows) & (rows["kind"] == "pull"), 1.3),
        "pull: within a session took_s changes",
    ),
    "carry-over": (after_copy, "Trials after copy, size 4 B: took_s is"),
    "drift": (drifting, "The machine: took_s drifted over 12 sessions"),
    "ticks": (lambda rows: rows.assign(took_s=rows["took_s"].round(1)), "steps of 100 ms"),
    "spread": (
        lambda rows: slowed(rows, (rows["kind"] == "copy") & (rows["session"] % 2 == 0), 1.5),
        "In 4 of 12 arms values are spread out, most in copy, size",
    ),
    "busy": (lambda rows: rows.assign(busy_per_cpu=2.0), "The machine was busy: 2.0 other"),
    "stolen": (lambda rows: rows.assign(stolen_share=0.05), "stole 5.0 % of the CPU time"),
    "failed": (failing, "trials of what is compared failed: 3 of 12 of pull, size 4 B"),
    "missing": (failing, "those that failed lasted longer than those that succeeded"),
    "runs": (
        lambda rows: slowed(
            pd.concat([rows, rows.assign(run="s")], ignore_index=True),
            np.repeat([False, True], len(rows)) & np.tile(rows["kind"] == "pull", 2),
            1.5,
        ),
        "Runs differ in slope: ",
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_said_of_the_verdict_and_of_its_whole(fault):
    """On what was timed, over all arms; a fact beside it has no doubts of an effect."""
    change, words = PLANTED[fault]
    rows = change(trials())
    found = [doubt for doubt in said(rows) if words in doubt]
    assert len(found) == 1, said(rows)
    assert found[0] in said(rows, "made")
    if fault not in ("busy", "stolen"):
        assert not [doubt for doubt in said(rows, "made-fact") if words in doubt]


def test_what_is_compared_is_asked_for_what_it_is_made_of():
    """The slope is made of `took_s`; another time of the same trials raises nothing."""
    rows = trials()
    odd = np.random.default_rng(3).lognormal(0, 2, len(rows))
    assert said(rows.assign(other_s=odd)) == [doubts.ONE_RUN]


def test_a_control_that_does_not_pass_is_said_where_its_measure_decides():
    """Of a verdict's own A/A control the card says it already."""
    case = {"machine": "m", "measure": "took_s", "check": "0.1 s more", "estimate": 0.0969,
            "low": 0.0897, "high": 0.1032, "tolerance": "0.1 ± 0.01",
            "passes": "undecided"}  # fmt: skip
    table = pd.DataFrame([
        case,
        case | {"check": "twice", "passes": "no", "tolerance": "interval holds 1"},
        case | {"check": "fine", "passes": "yes"},
        case | {"check": "elsewhere", "measure": "other_s", "passes": "no"},
    ])  # fmt: skip
    calibration = [doubt for doubt in said(trials(), calibration=table) if "Calibration" in doubt]
    assert calibration == [
        "Calibration: 0.1 s more reads 0.0969 [0.0897, 0.1032] where 0.1 ± 0.01 is true; it is "
        "undecided."
    ]


def test_a_control_that_must_be_exact_is_told_with_its_truth():
    """Not with the 1 of an A/A control."""
    case = {"machine": "m", "measure": "took_s", "check": "tasks", "estimate": 65.0, "low": 65.0,
            "high": 65.0, "tolerance": "exactly 64", "passes": "no"}  # fmt: skip
    again = case | {"check": "a copy twice", "tolerance": "interval holds 1"}
    found = said(trials(), calibration=pd.DataFrame([case, again]))
    assert [doubt for doubt in found if "Calibration" in doubt] == [
        "Calibration: tasks reads 65 [65, 65] where 64 is true; it fails.",
        "Calibration: a copy twice reads 65 [65, 65] where 1 is true; it fails.",
    ]


def test_a_run_that_ended_early_says_so():
    """Complete is silent; a run of before, which does not tell, says that."""
    fact = {"run": "r", "machine": "m", "place": "", "name": "complete"}
    told = {value: said(trials(), facts=pd.DataFrame([fact | {"value": value}]))
            for value in ("yes", "no: 12 of 20 sessions")}  # fmt: skip
    assert told["yes"] == [doubts.ONE_RUN]
    early = "Run r ended before its plan: 12 of 20 sessions."
    assert told["no: 12 of 20 sessions"] == [doubts.ONE_RUN, early]
    unknown = said(trials(), facts=pd.DataFrame([fact | {"value": "yes", "name": "seed"}]))
    assert unknown[1:] == ["How many sessions were planned was not recorded."]


def test_what_was_not_measured_has_no_doubts():
    """Nothing that decides is there, or it was not fair to compare."""
    rows = trials()
    assert said(rows[rows["kind"] != "copy"]) == []
    unfair = effect("made/slower", unfair=lambda here: "It was another disk.")
    judged = claims.judge(rows, (unfair,))
    found = doubts.about(rows, (unfair,), judged, conditions=["kind", "size_bytes", "replicate"])
    assert found.empty
