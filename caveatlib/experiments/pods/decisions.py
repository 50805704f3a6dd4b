"""What decides the claims of `pods`, its controls, and the answer in words."""

from __future__ import annotations

from functools import partial

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import FAILS, HOLDS, Claim, Effect, Fact, Finding, Reading, Verdict, Whole
from caveatlib.claims.calibration import Known, aa_controls
from caveatlib.experiments.kit.sentences import listed, per_machine
from caveatlib.experiments.pods import claims as stated
from caveatlib.experiments.pods.arranging import DELAY_US
from caveatlib.experiments.pods.designs import (
    DELAYED,
    EVERY,
    HELD,
    HOP,
    ONE,
    ONE_AGAIN,
    OVER_BRIDGE,
    SEES_ALL,
    SEES_LITTLE,
    SHARED,
    SHARED_AGAIN,
)
from caveatlib.experiments.pods.schema import SEALED_OFF, SIGHTS
from caveatlib.measuring.designs import Arm
from caveatlib.support.quantities import format_quantity

WORDS = {
    "sees_processes": "processes",
    "sees_environment": "environment",
    "sees_files": "files",
    "sees_memory": "shared memory",
    "lives_crash": "a crash",
    "lives_oom": "an OOM kill",
    "lives_restart": "a restart",
    "lives_upgrade": "an upgrade",
}


def _of(design: str, arm: Arm) -> dict[str, object]:
    return {"design": design, **arm.where()}


def _found(
    here: pd.DataFrame, *, arm: Arm, columns: tuple[str, ...], wanted: float, lead: str
) -> Finding:
    """Find whether measures read what is wanted in every trial."""
    values = {name: claims.values_of(here, arm.where(), name) for name in columns}
    said = [f"{WORDS[name]} in {int(v.sum())} of {len(v)}" for name, v in values.items()]
    good = all((found == wanted).all() for found in values.values())
    line = f"{lead} {listed(said)}"
    return Finding(HOLDS if good else FAILS, line, f"{line} trials.", len(values[columns[0]]))


def _always(
    claim: Claim, arm: Arm, columns: tuple[str, ...], wanted: float, lead: str, **options
) -> Fact:
    return Fact(
        claim=claim,
        readings=tuple(Reading(arm.where(), name) for name in columns),
        find=partial(_found, arm=arm, columns=columns, wanted=wanted, lead=lead),
        **options,
    )


def _ports(here: pd.DataFrame, verdict: Verdict) -> str:
    """Say what two that listen must agree on: ports."""
    sees, binds = (
        claims.values_of(here, SEES_LITTLE.where(), name) for name in ("sees_sockets", "binds")
    )
    if sees.empty or binds.empty:
        return ""
    return (
        f"The application's listening ports decide nothing: the sidecar sees them in "
        f"{int(sees.sum())} of {len(sees)} trials, and can listen on the same one in "
        f"{int(binds.sum())} of {len(binds)}."
    )


def _trips(here: pd.DataFrame, design: str, arm: Arm) -> str:
    median = claims.values_of(here, _of(design, arm), "p50_s").median()
    return "" if pd.isna(median) else format_quantity(float(median), "s")


def _say_sealed(here: pd.DataFrame) -> str:
    sees = [claims.values_of(here, SEES_LITTLE.where(), name) for name in SIGHTS]
    if any(values.empty for values in sees):
        return ""
    *kept_from, ports = sees
    none = sum(values == 0 for values in kept_from) == len(kept_from)
    things = listed([WORDS[name] for name in SEALED_OFF], "or")
    return (
        f"A sidecar in its application's network sees no {things} of it in {int(none.sum())} of "
        f"{len(none)} trials, and its listening ports in {int(ports.sum())} of {len(ports)}."
    )


def _say(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
    alone, shared = _trips(here, HOP, ONE), _trips(here, HOP, SHARED)
    said = []
    for arm, words in (
        (SEES_LITTLE, "the application's network"),
        (HELD, "that of a third container"),
    ):
        lives = claims.values_of(here, arm.where(), "lives_restart")
        if len(lives):
            said.append(f"in {int(lives.sum())} of {len(lives)} trials where both share {words}")
    after = cost = ""
    if said:
        after = f"A sidecar reaches its application again after a restart {listed(said)}."
    if alone and shared:
        cost = (
            f"A round trip between two containers in one network takes {shared}, within one "
            f"container {alone}."
        )
    return " ".join(filter(None, (_say_sealed(here), after, cost)))


def _say_bridge(here: pd.DataFrame, verdict: Verdict) -> str:
    over, within = _trips(here, EVERY, OVER_BRIDGE), _trips(here, EVERY, SHARED)
    if not (over and within):
        return ""
    return f"Over a bridge a round trip takes {over}, in a shared network {within}."


def _ratio(name: str, design: str, arm: Arm, baseline: Arm) -> stats.Contrast:
    return stats.Contrast(name, "p50_s", _of(design, arm), _of(design, baseline))


DECISIONS = (
    Whole(
        claim=stated.COMPONENTS,
        parts=tuple(
            part.id
            for part in (
                stated.SEALED,
                stated.OUTLIVES,
                stated.RESTART,
                stated.PAUSE,
                stated.COST,
            )
        ),
        labels={
            "sealed": "sees no processes, environment, files or shared memory of it",
            "outlives": "outlives crash and OOM kill",
            "restart": "reaches it after restart and upgrade",
            "pause": "… where a third owns the network",
            "cost": "cheap",
        },
        sum_up=_say,
    ),
    _always(stated.SEALED, SEES_LITTLE, SEALED_OFF, 0.0, "A sidecar sees", qualify=_ports),
    _always(stated.OUTLIVES, SEES_LITTLE, ("lives_crash", "lives_oom"), 1.0, "A sidecar outlives"),
    _always(
        stated.RESTART,
        SEES_LITTLE,
        ("lives_restart", "lives_upgrade"),
        1.0,
        "In its application's network a sidecar reaches it again after",
    ),
    _always(
        stated.PAUSE,
        HELD,
        ("lives_restart", "lives_upgrade"),
        1.0,
        "In a third container's network the application is reached after",
    ),
    Effect(
        claim=stated.COST,
        contrast=_ratio("cost", HOP, SHARED, ONE),
        at_most=stated.COSTS,
        direction="less",
        words=("Slower", "Faster"),
        null=_ratio("one container twice", HOP, ONE_AGAIN, ONE),
        label="round trip, shared network over one container",
    ),
    Effect(
        claim=stated.BRIDGE,
        contrast=_ratio("bridge", EVERY, OVER_BRIDGE, SHARED),
        direction="greater",
        words=("Slower", "Faster"),
        null=_ratio("shared network twice", EVERY, SHARED_AGAIN, SHARED),
        say=_say_bridge,
        label="round trip, bridge over shared network",
    ),
)
KNOWN = (
    Known(
        name=f"a delay of {DELAY_US} µs before each answer",
        contrast=stats.Contrast(
            "delay", "p50_s", _of(EVERY, DELAYED), _of(EVERY, ONE), kind="difference"
        ),
        truth=DELAY_US / 1e6,
        within=0.1,
    ),
    Known(
        name="seen in one container, of five things",
        contrast=stats.Contrast("seen", "seen", SEES_ALL.where(), None),
        truth=float(len(SIGHTS)),
        within=0,
    ),
)
CONTROLS = aa_controls(DECISIONS)


@per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say what the trials of each machine show."""
    said = claims.judge(trials, DECISIONS)
    return " ".join(verdict.sentence for verdict in said if "/" not in verdict.claim and verdict.n)
