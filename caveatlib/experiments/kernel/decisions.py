"""What decides the claims of `kernel`, and the answer in words."""

from __future__ import annotations

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
from caveatlib.experiments.kernel.schema import NEIGHBOURS
from caveatlib.experiments.kit.sentences import listed, per_machine

LABELS = {
    "together": "neighbours on its kernel end",
    "apart": "those on kernels of their own live",
    **{fault: f"one {words}" for fault, words in HAPPENS.items()},
}
DESIGN_OF = {fault: fault if fault in EXHAUSTED else "exit" for fault in WITHOUT}


def _lived(here: pd.DataFrame, where: dict) -> str:
    """Return ``"0 of 18"``: the neighbours that survived."""
    survivors = claims.values_of(here, where, "survivors")
    return f"{survivors.sum():.0f} of {NEIGHBOURS * len(survivors)}" if len(survivors) else ""


def _say_panic(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
    shared, apart = (_lived(here, arm.where()) for arm in (PANIC_SHARED, PANIC_APART))
    if not (shared and apart):
        return ""
    return (
        f"When one container panics its kernel, {shared} neighbours on that kernel survive, and "
        f"{apart} in guests of their own."
    )


def _say_parts(whole: Claim, lead: str):
    """Return what names the faults of a whole that harm neighbours, and those that do not."""

    def say(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
        by_word: dict[str, list[str]] = {}
        for name, verdict in parts.items():
            if name != whole.id:
                happens = HAPPENS[name.partition("/")[2]]
                by_word.setdefault(verdict.verdict, []).append(happens)
        spared, harmed = by_word.get(claims.HOLDS, []), by_word.get(claims.FAILS, [])
        said = [f"one that {listed(harmed, 'or')} harms its neighbours"] if harmed else []
        them = "them" if harmed else "its neighbours"
        said += [f"one that {listed(spared, 'or')} does not harm {them}"] if spared else []
        return f"{lead}, {'; '.join(said)}." if said else ""

    return say


def _say_guests(here: pd.DataFrame, verdict: Verdict) -> str:
    if verdict.verdict == NOT_MEASURED:
        return ""
    where = {"place": "four-guests"}
    unharmed = claims.values_of(here, where, "all_unharmed")
    return (
        f"In {unharmed.sum():.0f} of {len(unharmed)} trials nothing that one did in a guest of its "
        "own harmed those in others."
    )


def _say_sentry(here: pd.DataFrame, verdict: Verdict) -> str:
    lived = _lived(here, dict(_SENTRY))
    if not lived:
        return ""
    return f"When one gVisor sandbox's own kernel ends, {lived} neighbours survive."


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
        sum_up=_say_parts(LIMITED, "On one kernel with limits"),
        label="neighbours with limits",
    ),
    *(
        _unharmed(claim, _exhausted(fault, 1), f"{LABELS[fault]}, with a limit")
        for fault, claim in WITH.items()
    ),
    _unharmed(
        GUESTS,
        {"place": "four-guests"},
        "any fault in another guest",
        at_least=0.8,
        say=_say_guests,
    ),
    _unharmed(SENTRY, _SENTRY, "the end of a gVisor kernel", say=_say_sentry),
)


@per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say what the trials of each machine show."""
    found = claims.judge(trials, DECISIONS)
    wanted = (RELIABILITY.id, UNLIMITED.id, LIMITED.id, SENTRY.id)
    return " ".join(v.sentence for v in found if v.claim in wanted and v.n)
