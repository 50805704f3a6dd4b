"""Does a pause last longer in new namespaces?

Our claim: a process that sleeps for 50 ms takes no longer in new pid, mount, UTS and IPC
namespaces, since these change what it sees and not how fast it runs. Measured from the start
call until the word that it writes after the pause has been read, on one clock; each arm once
per block, in random order. Nothing outlives a trial, so the block is the unit of replication.

What would mislead you: a pause so short that starting the process is most of it; a busy
machine, on which whoever wakes up waits for a CPU.
"""

from __future__ import annotations

import time

import pandas as pd

from caveatlib import claims, frames, plots, stats
from caveatlib.claims import FAILS, HOLDS, Claim, Effect, Fact, Finding, Reading, calibration
from caveatlib.experiments.kit import sentences, tables
from caveatlib.measuring.designs import Arm, Design
from caveatlib.places import standard
from caveatlib.places.base import TrialResult, Workload
from caveatlib.places.output import await_lines

NAME = "sample"
QUESTION = "Does a pause last longer in new namespaces?"
PLACES = {"process": standard.PROCESS, "namespaces": standard.NAMESPACES}
PAUSE_S, LONG_S = 0.05, 0.15


class Trials(frames.Trials):
    """One pause."""

    asked_s: frames.Series[float] = frames.field("Length of the pause that was asked for", "s")
    replicate: frames.Series[int] = frames.field("1 for the A/A control, else 0", isin=(0, 1))
    took_s: frames.Series[float] = frames.measure("Start call until the word after the pause", "s")


BARE = Arm("process", {"asked_s": PAUSE_S, "replicate": 0})
AGAIN = Arm("process", {"asked_s": PAUSE_S, "replicate": 1})
LONG = Arm("process", {"asked_s": LONG_S, "replicate": 0})
SPACED = Arm("namespaces", {"asked_s": PAUSE_S, "replicate": 0})
DESIGNS = (Design("pauses", (BARE, AGAIN, LONG, SPACED), block_s=0.4),)


def trial(place, conditions: dict, *, seed: int) -> TrialResult:
    """Sleep, and read the word that follows."""
    instance = place.create(Workload(f"sleep {conditions['asked_s']:g}; echo done"))
    try:
        begun = time.monotonic()
        instance.start()
        (done,) = await_lines(instance.output, ["done"], 10)
        return TrialResult({"took_s": done - begun})
    finally:
        instance.remove()


LONGER = Claim(
    "sample-longer",
    "a pause of 50 ms lasts no more than 1.1 times as long in new namespaces",
    "ours",
    "start call until the word after the pause, namespaces over a bare process, ratio below 1.1; "
    "the A/A control is the bare process",
    NAME,
)
EARLY = Claim(
    "sample-early", "no pause ends early", "ours", "the shortest of 50 ms, in both places", NAME
)
READINGS = tuple(Reading(arm.where(), "took_s") for arm in (BARE, SPACED))


def _none_early(here: pd.DataFrame) -> Finding:
    shortest = min(claims.values_of(here, r.where, r.column).min() for r in READINGS)
    line = f"The shortest pause of {PAUSE_S * 1e3:g} ms took {shortest * 1e3:.1f} ms"
    return Finding(HOLDS if shortest >= PAUSE_S else FAILS, line, f"{line}.", len(here))


DECISIONS = (
    Effect(
        claim=LONGER,
        contrast=stats.Contrast(LONGER.id, "took_s", SPACED.where(), BARE.where()),
        at_most=1.1,
        direction="less",
        words=("Longer", "Shorter"),
        null=stats.Contrast("the same pause twice", "took_s", AGAIN.where(), BARE.where()),
    ),
    Fact(claim=EARLY, readings=READINGS, find=_none_early),
)
ADDED = stats.Contrast("a longer pause", "took_s", LONG.where(), BARE.where(), kind="difference")
KNOWN = (calibration.Known(name="0.1 s more", contrast=ADDED, truth=0.1, within=0.1),)
CONTROLS = calibration.aa_controls(DECISIONS)


@sentences.per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say what the trials of each machine show."""
    return " ".join(verdict.sentence for verdict in claims.judge(trials, DECISIONS))


@tables.figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw how long each pause took, one row per place."""
    short = trials[trials["asked_s"] == PAUSE_S]
    return plots.dots(short, "took_s", by="place", unit="s", label="Time of a pause", ax=ax)
