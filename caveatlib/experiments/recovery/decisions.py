"""What decides the claims of `recovery`, its controls, and the answer in words."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import Claim, Count, Effect, Share, Verdict, Whole
from caveatlib.claims.calibration import Known, aa_controls
from caveatlib.experiments.kit.sentences import listed, per_machine
from caveatlib.experiments.recovery.claims import (
    CUT,
    HALF,
    HANG,
    LEAST,
    LIGHTER,
    LOOP,
    NODE,
    NODES,
    REDUNDANCY,
    RELIABILITY,
    REPLICAS,
    REQUESTS,
    SIMPLE,
    SOONER,
    TENFOLD,
    WRITERS,
)
from caveatlib.experiments.recovery.designs import (
    ALONE,
    ALONE_OF_THREE,
    BARE,
    CUT_OFF,
    HEALED,
    NODE_KILLED,
    NODE_KILLED_THREE,
    PAUSED,
    QUIET,
    RESTARTED,
    RESTARTED_AGAIN,
    TWO_OF_THREE,
)
from caveatlib.measuring.designs import Arm
from caveatlib.support.quantities import format_quantity

LABELS = {
    "requests": "a restart policy saves requests",
    "hang": "back after a process hung",
    "node": "back after a node was killed",
    "cut": "back after a node was cut off",
    "writers": "one writer after a node was cut off",
    "replicas": "back after two of three were killed",
    "time": "a supervisor is sooner",
    "memory": "an engine takes ten times the memory",
}


def median(here: pd.DataFrame, arm: Arm, column: str, unit: str = "s") -> str:
    """Return an arm's median as it is read; empty without one."""
    value = claims.values_of(here, arm.where(), column).median()
    return "" if pd.isna(value) else format_quantity(value, unit)


def _took(here: pd.DataFrame, arm: Arm, column: str) -> str:
    """Return an arm's median time, and in how many trials there is one, if not in all."""
    known = median(here, arm, column)
    count, of = (len(claims.values_of(here, arm.where(), name)) for name in (column, "lost"))
    return f"{known} (in {count} of {of} trials)" if known and count < of else known


def _say_redundancy(here: pd.DataFrame, verdict: Verdict) -> str:
    one, three = (median(here, a, "silent_s") for a in (NODE_KILLED, NODE_KILLED_THREE))
    if not (one and three):
        return ""
    return (
        f"When a node is killed, a service with one replica is silent for {one}, one with three "
        f"on three nodes for {three}."
    )


def _without_failover(here: pd.DataFrame, verdict: Verdict) -> str:
    missed, asked = (
        claims.values_of(here, NODE_KILLED_THREE.where(), name) for name in ("missed", "requests")
    )
    if missed.empty or asked.empty:
        return ""
    return (
        "The client asks all replicas at once; one that asks each in its turn, and no other, "
        f"misses {missed.median():.0f} of {asked.median():.0f} requests meanwhile (medians)."
    )


def _say_reliability(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
    times = {
        "its process was killed (restart policy)": RESTARTED,
        "it hung (health check and a loop that restarts)": HEALED,
        "its node was killed (Swarm)": NODE_KILLED,
    }
    known = {what: took for what, arm in times.items() if (took := _took(here, arm, "answered_s"))}
    said = [f"{took} after {what}" for what, took in known.items()]
    told = f"A service answers again {listed(said)}." if said else ""
    given = claims.values_of(here, CUT_OFF.where(), "twice")
    if len(given):
        told += (
            f" After a node was cut off, {given.median():.0f} tickets (median) were given twice: "
            "the old replica goes on writing to the shared volume."
            if given.median()
            else " After a node was cut off, 0 tickets were given twice."
        )
    return told.strip()


def _say_loop(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
    took = {
        "two of three replicas were killed": _took(here, TWO_OF_THREE, "back_s"),
        "one of three nodes was": _took(here, NODE_KILLED_THREE, "back_s"),
    }
    said = [f"{after} after {what}" for what, after in took.items() if after]
    if not said:
        return ""
    return f"Swarm has all three replicas back {listed(said)}; Kubernetes was not measured."


def _say_simple(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
    bare, engine = (median(here, arm, "answered_s") for arm in (BARE, RESTARTED))
    little, much = (median(here, arm, "keeper_bytes", "B") for arm in (BARE, RESTARTED))
    if not (bare and engine and little and much):
        return ""
    return (
        f"A killed process answers again after {bare} under runsv, which takes {little}, and after "
        f"{engine} under an engine, which takes {much}."
    )


def _contrast(name: str, measure: str, one: Arm, other: Arm | None = None, **settings):
    base = other.where() if other else None
    settings = {"pairing": "session"} | settings
    return stats.Contrast(name, measure, one.where(), base, **settings)


def _back(claim: Claim, arm: Arm, label: str) -> Share:
    return Share(
        claim=claim,
        where=arm.where(),
        column="recovered",
        at_least=LEAST,
        what="Trials in which all replicas came back",
        label=label,
    )


def _again(measure: str) -> stats.Contrast:
    name = f"{measure} of the same restart policy twice"
    return _contrast(name, measure, RESTARTED_AGAIN, RESTARTED)


def _all_kept(here: pd.DataFrame) -> pd.DataFrame:
    """Return the trials with `kept`: whether nothing that was acknowledged is missing."""
    known = here["unkept"].notna()
    return here.assign(kept=(here["unkept"] == 0).astype(float).where(known))


DECISIONS = (
    Effect(
        claim=REDUNDANCY,
        contrast=_contrast("C03", "silent_s", NODE_KILLED_THREE, NODE_KILLED, kind="difference"),
        direction="less",
        words=("Longer", "Shorter"),
        unit="s",
        qualify=_without_failover,
        say=_say_redundancy,
        label="silence after a node is killed: three replicas minus one",
    ),
    Whole(
        claim=RELIABILITY,
        parts=tuple(part.id for part in (REQUESTS, HANG, NODE, CUT, WRITERS)),
        labels=LABELS,
        sum_up=_say_reliability,
    ),
    Effect(
        claim=REQUESTS,
        contrast=_contrast("C04/requests", "lost", RESTARTED, ALONE, threshold=HALF),
        direction="less",
        words=("More", "Fewer"),
        null=_again("lost"),
        label="requests lost after a kill: restart policy over nobody",
    ),
    _back(HANG, HEALED, "hung process, health check and loop"),
    _back(NODE, NODE_KILLED, "killed node, Swarm"),
    _back(CUT, CUT_OFF, "cut-off node, Swarm"),
    Count(
        claim=WRITERS,
        where=CUT_OFF.where(),
        column="twice",
        most=0,
        what="Tickets given twice after a node was cut off",
        label="writers after a cut-off node",
    ),
    Whole(
        claim=LOOP,
        parts=(REPLICAS.id, NODES.id),
        labels=LABELS,
        sum_up=_say_loop,
    ),
    _back(REPLICAS, TWO_OF_THREE, "two of three killed, Swarm"),
    _back(NODES, NODE_KILLED_THREE, "one of three nodes killed, Swarm"),
    Whole(
        claim=SIMPLE,
        parts=(SOONER.id, LIGHTER.id),
        labels=LABELS,
        sum_up=_say_simple,
    ),
    Effect(
        claim=SOONER,
        contrast=_contrast("C06/time", "answered_s", BARE, RESTARTED),
        direction="less",
        words=("Later", "Sooner"),
        null=_again("answered_s"),
        label="answer after a kill: runsv over restart policy",
    ),
    Effect(
        claim=LIGHTER,
        contrast=_contrast("C06/memory", "keeper_bytes", RESTARTED, BARE, threshold=TENFOLD),
        direction="greater",
        words=("More", "Less"),
        null=_again("keeper_bytes"),
        label="memory of the keeper: engine over runsv",
    ),
)
KNOWN = (
    *(
        Known(
            name=f"replicas lacking of {count} where nobody restarts",
            contrast=_contrast(f"lacking of {count}", "lacking", arm, kind="difference"),
            truth=truth,
            within=0,
            relative=False,
        )
        for count, arm, truth in ((1, ALONE, 1), (3, ALONE_OF_THREE, 2))
    ),
    Known(
        name="volume complete after a node was killed, nodes sharing a kernel",
        contrast=_contrast("kept", "kept", NODE_KILLED, kind="difference"),
        truth=1,
        within=0,
        table=_all_kept,
    ),
    Known(
        name="share of requests answered where nothing happens",
        contrast=_contrast("answered", "answered_share", QUIET, kind="difference"),
        truth=1,
        within=0.01,
    ),
    Known(
        name="silence of a service that is stopped for 1 s more than an answer may take",
        contrast=_contrast("silent", "silent_s", PAUSED, kind="difference"),
        truth=1,
        within=0.05,
    ),
)
CONTROLS = aa_controls(DECISIONS)


@per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say what the trials of each machine show."""
    found = claims.judge(trials, DECISIONS)
    return " ".join(v.sentence for v in found if "/" not in v.claim and v.n)
