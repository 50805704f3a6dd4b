"""What decides the claims of `platform`."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import pandas as pd

from caveatlib import claims, literature, stats
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
from caveatlib.experiments.platform.tables import (
    ONE_ERROR,
    OTHERS,
    absent,
    asked,
    coverage,
    made,
)
from caveatlib.experiments.platform.workloads import UNTRIED, names
from caveatlib.support.quantities import format_quantity, percent

OF_BEFORE = "gVisor 20240729, platform systrap"
EPERM_SAYS = (
    "to a process without rights gVisor gives EPERM, which counts as an answer, also for calls "
    "that it does not have"
)


class _Common(NamedTuple):
    """What gVisor has of the calls that programs make, and of all others."""

    calls: int
    present: int
    lacking: list[str]
    others: pd.Series
    with_rights: bool


def _common(here: pd.DataFrame) -> _Common:
    there, layer = asked(here) or (set(), set())
    calls = there & set().union(*made(here).values())
    others = coverage(here).set_index("made_by").loc[OTHERS]
    lacking = sorted(calls & layer)
    return _Common(
        len(calls),
        len(calls) - len(lacking),
        lacking,
        others,
        absent(here, arms.RIGHTS) is not None,
    )


def _covered(here: pd.DataFrame) -> Finding:
    found = _common(here)
    used, others = found.present / max(found.calls, 1), found.others
    word = HOLDS if used >= stated.COVERED and others["share"] <= stated.RARE else FAILS
    has = "gVisor has" if found.with_rights else "Without rights, gVisor answers"
    line = (
        f"{has} {found.present} of {found.calls} calls that programs made, "
        f"{others['present']} of {others['calls']} others"
    )
    return Finding(word, line, " ".join([f"{line}.", *_behind(here, found)]), _sessions(here))


def _behind(here: pd.DataFrame, found: _Common) -> list[str]:
    """Return what the numbers rest on, sentence by sentence."""
    programs = made(here)
    said = [f"Watched: {sentences.listed(sorted(programs))}."]
    if found.lacking:
        said.append(f"Lacking of those made: {', '.join(found.lacking)}.")
    untried = set().union(UNTRIED, *programs.values()) - set(names().values())
    said.append(f"Not tried, and in no count: {sentences.listed(sorted(untried))}.")
    there, layer = asked(here) or (set(), set())
    if found.with_rights:
        only = sorted((there & layer) - (absent(here, arms.LAYER) or set()))
        said.append(
            f"Tried with and without rights: {EPERM_SAYS}. Of those that the kernel here has, "
            f"these answered ENOSYS only with rights: {', '.join(only) or 'none'}."
        )
    else:
        said.append(f"Not tried with rights: {EPERM_SAYS}, so it has fewer.")
    empty = sorted((there - layer).intersection(ONE_ERROR))
    if empty:
        said.append(
            f"An answer may be all there is: gVisor's own table gives {', '.join(empty)} one error "
            "whoever asks, and they count as had."
        )
    return [*said, _which(here)]


def _sessions(here: pd.DataFrame) -> int:
    """Return in how many sessions the calls were tried or programs watched."""
    read = here[here["ok"] & (here["task"] != "cost")]
    return len(read[["run", "session"]].drop_duplicates())


def _which(here: pd.DataFrame) -> str:
    """Return version and platform of gVisor, as far as the trials have them."""
    told = sorted(set(here["layer"].dropna()) - {""})
    if told:
        return f"{sentences.listed(told)}."
    return (
        f"{OF_BEFORE}: neither is in these trials; the version is that of Debian 13, the platform "
        "what caveatlib sets."
    )


def _platform(here: pd.DataFrame, verdict: Verdict) -> str:
    """Say of which gVisor the price is, and that another platform has another."""
    if verdict.verdict == NOT_MEASURED:
        return ""
    cited = literature.figures("platform").set_index("id")["value_si"]
    kvm, plain = (format_quantity(cited[f"gv_syscall_{name}"], "s") for name in ("kvm", "runc"))
    return (
        f"{_which(here)} On another platform a call has another price: of 2019, gVisor's makers "
        f"tell {kvm} on KVM and {plain} in a container."
    )


def _said(here: pd.DataFrame, verdict: Verdict) -> str:
    if verdict.verdict == NOT_MEASURED:
        return ""
    found = _common(here)
    others = found.others
    has = "gVisor has" if found.with_rights else "Without rights, gVisor answers"
    common = percent(found.present / max(found.calls, 1))
    said = (
        f"{has} {common} of the {found.calls} system calls that everyday programs made and "
        f"{percent(others['share'])} of the {others['calls']} that none of them made"
    )
    lacking = sentences.listed(found.lacking)
    return f"{said}; of the former its platform systrap lacks {lacking}." if lacking else f"{said}."


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
        qualify=_platform,
    )


DECISIONS = (
    Fact(
        claim=stated.COMMON,
        readings=(
            Reading(arms.NATIVE.where(), "named"),
            Reading(arms.LAYER.where(), "named"),
            Reading(arms.RIGHTS.where(), "named", optional=True),
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
    for arm, words in (
        (arms.NATIVE, "kernel"),
        (arms.LAYER, "gVisor"),
        (arms.RIGHTS, "gVisor, with rights"),
    )
)
CONTROLS = calibration.aa_controls(DECISIONS)


@sentences.per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say what the trials of each machine show."""
    return " ".join(verdict.sentence for verdict in claims.judge(trials, DECISIONS))
