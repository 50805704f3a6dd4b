"""What decides the claims of `platform`."""

from __future__ import annotations

from functools import partial

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import (
    FAILS,
    HOLDS,
    NOT_MEASURED,
    Claim,
    Effect,
    Fact,
    Finding,
    Reading,
    Verdict,
    calibration,
)
from caveatlib.experiments.kit import sentences
from caveatlib.experiments.platform import claims as stated
from caveatlib.experiments.platform import designs as arms
from caveatlib.experiments.platform.tables import OTHERS, coverage, made
from caveatlib.support.quantities import format_quantity


def _common(here: pd.DataFrame) -> tuple[int, int, list[str], pd.Series]:
    """Return calls that programs make, those that gVisor has, the lacking, and all others' row."""
    table = coverage(here).set_index("made_by")
    others = table.loc[OTHERS]
    calls = set().union(*made(here).values())
    lacking = sorted(
        {n for names in table.drop(OTHERS)["names_lacking"] for n in names.split(", ")} - {""}
    )
    return len(calls), len(calls) - len(lacking), lacking, others


def _covered(here: pd.DataFrame) -> Finding:
    calls, present, lacking, others = _common(here)
    used = present / max(calls, 1)
    word = HOLDS if used >= stated.COVERED and others["share"] <= stated.RARE else FAILS
    line = (
        f"gVisor has {present} of {calls} calls that programs made, {others['present']} of "
        f"{others['calls']} others"
    )
    without = f" Lacking of those made: {', '.join(lacking)}." if lacking else ""
    watched = sentences.listed(sorted(made(here)))
    return Finding(word, line, f"{line}. Watched: {watched}.{without}", len(here))


def _said(here: pd.DataFrame, verdict: Verdict) -> str:
    if verdict.verdict == NOT_MEASURED:
        return ""
    calls, present, lacking, others = _common(here)
    said = (
        f"gVisor has {present / max(calls, 1):.0%} of the {calls} system calls that everyday "
        f"programs made and {others['share']:.0%} of the {others['calls']} that none of them made"
    )
    return f"{said}; of the former it lacks {sentences.listed(lacking)}." if lacking else f"{said}."


def _priced(here: pd.DataFrame, verdict: Verdict, *, column: str, what: str) -> str:
    took = [claims.values_of(here, arm.where(), column) for arm in (arms.PLAIN, arms.SLOW)]
    if not all(map(len, took)):
        return ""
    plain, slow = (format_quantity(float(values.median()), "s") for values in took)
    return f"{what} takes {plain} in a container and {slow} under gVisor."


def _effect(claim: Claim, column: str, what: str) -> Effect:
    return Effect(
        claim=claim,
        contrast=stats.Contrast(claim.id, column, arms.SLOW.where(), arms.PLAIN.where()),
        at_most=stated.COSTLY,
        direction="less",
        words=("Slower", "Faster"),
        null=stats.Contrast(
            f"{what}, the same twice", column, arms.AGAIN.where(), arms.PLAIN.where()
        ),
        label=f"{what} under gVisor, over a container",
        say=partial(_priced, column=column, what=what),
    )


DECISIONS = (
    Fact(
        claim=stated.COMMON,
        readings=(
            Reading(arms.NATIVE.where(), "named"),
            Reading(arms.LAYER.where(), "named"),
            Reading({"task": "trace"}, "named"),
        ),
        find=_covered,
        say=_said,
    ),
    _effect(stated.CHEAP, "getppid_s", "A getppid"),
    _effect(stated.OPENS, "open_s", "Opening a file"),
)
KNOWN = tuple(
    calibration.Known(
        name=f"numbers that no system call has are refused, {words}",
        contrast=stats.Contrast(arm.place, "unassigned_absent_share", arm.where(), None),
        truth=1.0,
        within=0.0,
    )
    for arm, words in ((arms.NATIVE, "kernel"), (arms.LAYER, "gVisor"))
)
CONTROLS = calibration.aa_controls(DECISIONS)


@sentences.per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say what the trials of each machine show."""
    return " ".join(verdict.sentence for verdict in claims.judge(trials, DECISIONS))
