"""The contract itself: sound declarations of every kind pass it, and each mistake is seen."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from experiments.contract.calibrated import miscalibrated, reading
from experiments.contract.disturb import problems
from experiments.contract.judging import judged, signature
from experiments.contract.machines import mixed
from experiments.contract.mutants import miscalibrations, mutants

from caveatlib import claims, frames, stats
from caveatlib.claims import (
    FAILS,
    HOLDS,
    Claim,
    Count,
    Effect,
    Equality,
    Fact,
    Finding,
    Reading,
    Share,
    Whole,
)
from caveatlib.claims.calibration import Control, Known

pytestmark = pytest.mark.beside
BLOCKS = 20


class Trials(frames.Trials):
    """One trial of anything."""

    replicate: frames.Series[int] = frames.field("1 for the A/A control", isin=(0, 1))
    took_s: frames.Series[float] = frames.measure("Time taken", "s")
    lived: frames.Series[float] = frames.measure("Whether a neighbour survived")
    tasks: frames.Series[float] = frames.measure("Tasks that could be started")
    who: frames.Series[str] = frames.field("Who answered", isin=("us", "them"), nullable=True)


def made_up():
    """Return trials in which b takes twice as long as a, and lets no neighbour live."""
    rng, rows = np.random.default_rng(1), []
    for block in range(BLOCKS):
        for position, (place, replicate) in enumerate((("a", 0), ("a", 1), ("b", 0))):
            slow = place == "b"
            row = {"run": "r", "source": "live", "machine": "m", "session": block, "design": "d",
                   "block": block, "position": position, "place": place, "started_at": "t",
                   "ok": True, "error": "", "replicate": replicate, "lived": float(not slow),
                   "tasks": 12.0 if slow else 10.0, "who": "them" if slow else "us",
                   "took_s": (2.0 if slow else 1.0) * np.exp(rng.normal(0, 0.01))}  # fmt: skip
            rows.append(row)
    return frames.from_rows(rows, Trials)


def claim(name, decides):
    """Return a claim of ours."""
    return Claim(name, "something", "ours", decides, "made")


def contrast(name, measure="took_s", **settings):
    """Return b over a."""
    return stats.Contrast(name, measure, B, A, **settings)


A, AGAIN, B = ({"place": p, "replicate": r} for p, r in (("a", 0), ("a", 1), ("b", 0)))
NULL = stats.Contrast("a twice", "took_s", AGAIN, A)
WORDS = ("Slower", "Faster")


def by_us(rows):
    """Find whether we answered in a, and not in b."""
    mine, theirs = (claims.values_of(rows, where, "who") for where in (A, B))
    line = f"{mine.iloc[0]} answered in a, {theirs.iloc[0]} in b"
    word = HOLDS if (mine == "us").all() and (theirs == "them").all() else FAILS
    return Finding(word, line, f"{line}.", len(mine))


READINGS = (Reading(A, "who"), Reading(B, "who"))
EFFECT = Effect(claim=claim("made/slower", "ratio above 1"), contrast=contrast("slower"),
                direction="greater", words=WORDS, null=NULL)  # fmt: skip
MARGIN = Effect(claim=claim("made/much", "ratio below 3"), contrast=contrast("much"), at_most=3.0,
                direction="less", words=WORDS)  # fmt: skip
EQUAL = Equality(claim=claim("twice", "within 5 % of 2"), tolerance=0.05, what="Twice",
                 contrast=contrast("twice", threshold=2.0))  # fmt: skip
SHARE = Share(claim=claim("live", "survivors, at least 80 %"), where=A, column="lived",
              at_least=0.8, what="Neighbours that survived")  # fmt: skip
COUNT = Count(claim=claim("ten", "tasks, exactly 10"), where=A, column="tasks", least=10, most=10,
              what="Tasks")  # fmt: skip
FACT = Fact(claim=claim("us", "who answers"), readings=READINGS, find=by_us)
WHOLE = Whole(claim=claim("made", "its parts"), parts=("made/slower", "made/much"))
SOUND = (EFFECT, MARGIN, EQUAL, SHARE, COUNT, FACT, WHOLE)
MADE = SimpleNamespace(Trials=Trials, DECISIONS=SOUND)
KNOWN = Known(name="one second", contrast=contrast("more", kind="difference"), truth=1.0,
              within=0.05)  # fmt: skip
CONTROL = Control(name="a twice", contrast=NULL)


@pytest.mark.parametrize("decision", SOUND, ids=lambda d: d.claim.id)
def test_sound_decisions_have_no_problems_and_mutants_have(decision):
    """No mistake leaves both the verdict and the contract's answer as they are."""
    rows = made_up()
    assert not list(problems(MADE, rows, decision))
    made = list(mutants(rows, decision))
    assert made
    for what, mutant in made:
        same = isinstance(decision, Whole) or signature(rows, mutant) == signature(rows, decision)
        assert not same or any(problems(MADE, rows, mutant)), what


@pytest.mark.parametrize("case", [KNOWN, CONTROL], ids=lambda c: c.name)
def test_a_sound_calibration_has_no_problems_and_a_broken_one_has(case):
    """A case that passes whatever is read, or reads the wrong arm, is seen."""
    rows = made_up()
    assert reading(rows, case)[0] == "yes"
    assert not miscalibrated(rows, case)
    for what, mutant in miscalibrations(case):
        assert miscalibrated(rows, mutant) or reading(rows, mutant)[0] == "no", what


def deaf(rows):
    """Find the same whatever is read."""
    return Finding(HOLDS, "We answered", "We answered.")


def half_deaf(rows):
    """Find by what a reads alone."""
    mine = claims.values_of(rows, A, "who")
    return Finding(HOLDS if (mine == "us").all() else FAILS, f"{mine.iloc[0]} answered", "So.")


def unmoved(rows):
    """Return a table that no trial has a say in."""
    slow = (rows["place"] == "b") + 1.0
    return rows.assign(took_s=slow + rows["block"] / 1000)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (replace(EFFECT, claim=claim("made/slower", "ratio above 2")), "'above 1'"),
        (replace(EFFECT, contrast=contrast("slower", threshold=1e-9)), "above 1e-09"),
        (replace(EFFECT, null=replace(NULL, arm=A)), "A/A control"),
        (replace(FACT, find=deaf), "whatever is read, it is 'holds'"),
        (replace(FACT, find=half_deaf), "whatever 'who' of {'place': 'b'"),
        (replace(SHARE, at_least=0.0), "at least 0 %"),
        (replace(COUNT, least=-np.inf, most=np.inf), "any count"),
        (replace(EQUAL, tolerance=0.9), "within 90 % of 2"),
        (replace(WHOLE, parts=("made/slower",)), "its parts are"),
    ],
)
def test_each_problem_is_named(wrong, words):
    """The contract says what is wrong, not only that something is."""
    assert words in " ".join(problems(MADE, made_up(), wrong))


def test_a_word_that_does_not_depend_on_its_arms_is_seen(monkeypatch):
    """A rule that decides every effect alike passes no exchange and no side."""
    rows, honest = made_up(), claims.rules.by_effect

    def always(*args, **options):
        return replace(honest(*args, **options), verdict=HOLDS)

    monkeypatch.setattr(claims.rules, "by_effect", always)
    assert judged(rows, EFFECT).verdict == HOLDS
    said = " ".join(problems(MADE, rows, EFFECT))
    assert "with its arms exchanged" in said
    assert "not 'does not hold'" in said
    assert "with an A/A control of" in said
    assert "without its A/A control" in said


def test_a_result_that_pools_machines_is_seen():
    """A table, a sentence and verdicts over two machines must hold each machine's own."""
    one, other = (made_up().assign(machine=m) for m in ("m", "n"))
    both = pd.concat([one, other.assign(took_s=other["took_s"] * 10)], ignore_index=True)
    pooled = both.groupby("place")[["took_s"]].median().assign(machine="m")
    assert mixed(pooled, {"m": one.groupby("place")[["took_s"]].median().assign(machine="m")})
    assert mixed("It took 5 s.", {"m": "It took 1 s."})
    assert not mixed("m: It took 1 s. n: It took 10 s.", {"m": "It took 1 s."})
