"""What decides the claims of `kernel`, and the answer in words."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from caveatlib import claims
from caveatlib.claims import NOT_MEASURED, Claim, Share, Verdict, Whole
from caveatlib.experiments.kernel.claims import (
    APART,
    GUESTS,
    HAPPENS,
    LEAST,
    LIMITED,
    RELIABILITY,
    SENTRY,
    TOGETHER,
    UNLIMITED,
    WITH,
    WITHOUT,
)
from caveatlib.experiments.kernel.designs import EXHAUSTED, PANIC_APART, PANIC_SHARED
from caveatlib.experiments.kernel.schema import FAULTS, NEIGHBOURS
from caveatlib.experiments.kit.sentences import listed, per_machine

LABELS = {
    "together": "neighbours on its kernel end",
    "apart": "those on kernels of their own live",
    **{fault: f"one {words}" for fault, words in HAPPENS.items()},
}
DESIGN_OF = {fault: fault if fault in EXHAUSTED else "exit" for fault in WITHOUT}


class Some(NamedTuple):
    """So many of all: ``"0 of 18"``."""

    n: int
    of: int

    def __str__(self):
        return f"{self.n} of {self.of}"


def lived(here: pd.DataFrame, where: dict) -> Some:
    """Return how many neighbours survived."""
    survivors = claims.values_of(here, where, "survivors")
    return Some(int(survivors.sum()), NEIGHBOURS * len(survivors))


def unharmed(here: pd.DataFrame, where: dict) -> Some:
    """Return in how many trials no neighbour was harmed."""
    values = claims.values_of(here, where, "all_unharmed")
    return Some(int(values.sum()), len(values))


def _say_panic(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
    shared, apart = (lived(here, arm.where()) for arm in (PANIC_SHARED, PANIC_APART))
    if not (shared.of and apart.of):
        return ""
    return (
        f"When one container panics its kernel, {shared} neighbours on that kernel survive, and "
        f"{apart} in guests of their own."
    )


def _say_parts(whole: Claim, lead: str, *, limited: bool = False):
    """Return what names the faults of a whole that harm neighbours, and those that do not.

    With a limit those that harm nobody without it, either, are named apart.
    """

    def say(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
        by_word: dict[str, list[str]] = {}
        for name, verdict in parts.items():
            if name != whole.id:
                fault = name.partition("/")[2]
                idle = limited and verdict.verdict == claims.HOLDS and harmless(here, fault)
                by_word.setdefault(_IDLE if idle else verdict.verdict, []).append(HAPPENS[fault])
        spared, harmed = by_word.get(claims.HOLDS, []), by_word.get(claims.FAILS, [])
        said = [f"one that {listed(harmed, 'or')} harms its neighbours"] if harmed else []
        them = "them" if harmed else "its neighbours"
        said += [f"one that {listed(spared, 'or')} does not harm {them}"] if spared else []
        if idle := by_word.get(_IDLE):
            said.append(f"one that {listed(idle, 'or')} harms none with a limit or without")
        return f"{lead}, {'; '.join(said)}." if said else ""

    return say


_IDLE = "needs no limit"
"""The word of a part whose limit has nothing to prevent, beside those of verdicts."""


def harmless(here: pd.DataFrame, fault: str) -> bool:
    """Whether a fault was tried without a limit and harmed nobody."""
    found = unharmed(here, _exhausted(fault, 0))
    return found.n == found.of > 0


def _without(fault: str):
    """Return what says that a limit had nothing to prevent, where that is so."""

    def say(here: pd.DataFrame, verdict: Verdict) -> str:
        if not harmless(here, fault):
            return ""
        found = unharmed(here, _exhausted(fault, 0))
        return f"Without it none was harmed either, in {found} trials: the limit shows no benefit."

    return say


def _say_guests(here: pd.DataFrame, verdict: Verdict) -> str:
    if verdict.verdict == NOT_MEASURED:
        return ""
    found = unharmed(here, _GUESTS)
    each = {fault: unharmed(here, _GUESTS | {"fault": fault}).of for fault in FAULTS}
    tried = [f"{HAPPENS[fault]} {n}" for fault, n in each.items() if n]
    return (
        f"In {found} trials none of {claims.counted(len(tried), 'fault')} in a guest of its own "
        f"harmed those in others (trials of one that {listed(tried)})."
    )


def _say_sentry(here: pd.DataFrame, verdict: Verdict) -> str:
    found = lived(here, _SENTRY)
    if not found.of:
        return ""
    said = f"When one gVisor sandbox's own kernel ends, {found} neighbours survive."
    return " ".join(filter(None, (said, _other_faults(here, verdict))))


def _other_faults(here: pd.DataFrame, verdict: Verdict) -> str:
    """Say which other faults in a sandbox ended or harmed its neighbours, and in what trials."""
    said = []
    for fault, happens in HAPPENS.items():
        where = {"place": "gvisor", "design": "gvisor", "fault": fault}
        living, harmed = lived(here, where), claims.values_of(here, where, "harmed")
        hurt = {"ended": living.of - living.n, "were harmed": int(harmed.sum())}
        told = [f"{Some(n, living.of)} {word}" for word, n in hurt.items() if n]
        if told:
            trials = claims.counted(len(harmed), "trial")
            said.append(f"of one that {happens} {' and '.join(told)} ({trials})")
    return f"But without limits, of the neighbours {'; '.join(said)}." if said else ""


_GUESTS = {"place": "four-guests"}
_SENTRY = {"place": "gvisor", "design": "sentry", "fault": "panic"}


def _unharmed(claim: Claim, where: dict, label: str, **more) -> Share:
    return Share(
        claim=claim,
        where=where,
        column="all_unharmed",
        what="Trials in which no neighbour was harmed",
        label=label,
        **{"at_least": LEAST, **more},
    )


def _exhausted(fault: str, limited: int) -> dict:
    place = {"place": "one-guest", "design": DESIGN_OF[fault]}
    return place | {"fault": fault, "limited": limited}


DECISIONS = (
    Whole(
        claim=RELIABILITY,
        parts=(TOGETHER.id, APART.id),
        labels=LABELS,
        sum_up=_say_panic,
        label="neighbours of a panic",
    ),
    Share(
        claim=TOGETHER,
        where={**PANIC_SHARED.where(), "design": "panic"},
        column="none_survived",
        at_least=LEAST,
        what="Panics that no neighbour in the same guest survived",
        label="a panic ends all on its kernel",
    ),
    Share(
        claim=APART,
        where={**PANIC_APART.where(), "design": "panic"},
        column="all_survived",
        at_least=LEAST,
        what="Panics that all neighbours in other guests survived",
        label="a panic spares other guests",
    ),
    Whole(
        claim=UNLIMITED,
        parts=tuple(claim.id for claim in WITHOUT.values()),
        labels=LABELS,
        sum_up=_say_parts(UNLIMITED, "On one kernel without limits"),
        label="neighbours without limits",
    ),
    *(
        _unharmed(claim, _exhausted(fault, 0), f"{LABELS[fault]}, no limit")
        for fault, claim in WITHOUT.items()
    ),
    Whole(
        claim=LIMITED,
        parts=tuple(claim.id for claim in WITH.values()),
        labels=LABELS,
        sum_up=_say_parts(LIMITED, "On one kernel with limits", limited=True),
        label="neighbours with limits",
    ),
    *(
        _unharmed(
            claim,
            _exhausted(fault, 1),
            f"{LABELS[fault]}, with a limit",
            qualify=_without(fault),
        )
        for fault, claim in WITH.items()
    ),
    _unharmed(
        GUESTS,
        _GUESTS,
        "any fault in another guest",
        at_least=0.8,
        say=_say_guests,
    ),
    _unharmed(
        SENTRY,
        _SENTRY,
        "the end of a gVisor kernel",
        say=_say_sentry,
        qualify=_other_faults,
    ),
)


@per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say what the trials of each machine show."""
    found = claims.judge(trials, DECISIONS)
    wanted = (RELIABILITY.id, UNLIMITED.id, LIMITED.id, SENTRY.id)
    return " ".join(v.sentence for v in found if v.claim in wanted and v.n)
