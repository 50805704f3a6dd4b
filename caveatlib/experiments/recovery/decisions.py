"""What decides the claims of `recovery`, its controls, and the answer in words."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import (
    FAILS,
    HOLDS,
    OPEN,
    Claim,
    Effect,
    Fact,
    Finding,
    Reading,
    Share,
    Verdict,
    Whole,
)
from caveatlib.claims.calibration import Known, aa_controls
from caveatlib.experiments.kit.sentences import listed, per_machine
from caveatlib.experiments.recovery.asking import LATE_S, RATE
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
from caveatlib.experiments.recovery.striking import WATCH_S
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


def _worth(here: pd.DataFrame, arm: Arm, column: str) -> str:
    """Return an arm's median of a number of requests, as the time in which so many are due."""
    return median(here.assign(**{column: here[column] / RATE}), arm, column)


def _say_redundancy(here: pd.DataFrame, verdict: Verdict) -> str:
    one, three = (_worth(here, arm, "missed") for arm in (NODE_KILLED, NODE_KILLED_THREE))
    if not (one and three):
        return ""
    return (
        f"When a node is killed, a client without failover misses {one} worth of requests to one "
        f"replica, and {three} worth to three on three nodes, each asked in its turn."
    )


def _of_all_at_once(here: pd.DataFrame, verdict: Verdict) -> str:
    """Return what follows from the way in which is asked."""
    lost, asked = (
        claims.values_of(here, NODE_KILLED_THREE.where(), name) for name in ("lost", "requests")
    )
    if lost.empty or asked.empty:
        return ""
    return (
        "Two turns of three are those of replicas that nothing hits, so it would be the other way "
        "round if the third took three times as long to be replaced as a single one. A client "
        f"that asks all three at once lost {lost.median():.0f} of {asked.median():.0f} requests "
        "(medians): it must, as two are not hit, and that decides nothing."
    )


def _say_requests(here: pd.DataFrame, verdict: Verdict) -> str:
    """Return what was lost as time, of how much: the ratio depends on that."""
    kept, alone, all_of_it = (
        _worth(here, arm, column)
        for arm, column in ((RESTARTED, "lost"), (ALONE, "lost"), (ALONE, "requests"))
    )
    if not (kept and alone):
        return ""
    return (
        f"After a kill {kept} worth of requests were lost with a restart policy, and {alone} worth "
        f"of {all_of_it} watched without any keeper; the longer the watch, the smaller the ratio."
    )


def _of_writers(here: pd.DataFrame) -> Finding:
    """Find out how often two wrote, for how long that was watched, and how much they wrote."""
    given = claims.values_of(here, CUT_OFF.where(), "twice")
    count, of = int((given > 0).sum()), len(given)
    word = OPEN if 0 < count < of else FAILS if count else HOLDS
    asked_s = here["requests"] / RATE - here["answered_s"] + LATE_S  # the clients ask so long more
    watched = median(here.assign(both_s=asked_s), CUT_OFF, "both_s")
    line = f"Both wrote in {count} of {of} trials"
    if watched:
        line = f"For the {watched} watched after a new replica answered, b{line[1:]}"
    least, most = given.min(), given.max()
    told = f"{least:.0f}" if least == most else f"{least:.0f} to {most:.0f}"
    more = f"Tickets given twice: {told}; how many follows from the watch, at {RATE} a second."
    return Finding(word, line, f"{line}. {more}", of)


def _say_reliability(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
    times = {
        "its process was killed (restart policy)": RESTARTED,
        "it hung (health check and a loop that restarts)": HEALED,
        "its node was killed (Swarm)": NODE_KILLED,
    }
    known = {what: took for what, arm in times.items() if (took := _took(here, arm, "answered_s"))}
    said = [f"{took} after {what}" for what, took in known.items()]
    told = f"A service answers again {listed(said)}." if said else ""
    lost, written = parts[REQUESTS.id], parts[WRITERS.id]
    if lost.n:
        told += f" {_say_requests(here, lost)}"
    if written.n:
        line = written.headline
        told += f" After a node was cut off: {line[0].lower()}{line[1:]}."
    return told.strip()


def _say_loop(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
    took = {
        "two of three replicas were killed": _took(here, TWO_OF_THREE, "back_s"),
        "one of three nodes was": _took(here, NODE_KILLED_THREE, "back_s"),
    }
    said = [f"{after} after {what}" for what, after in took.items() if after]
    if not said:
        return ""
    told = f"Swarm has all three replicas back {listed(said)}; Kubernetes was not measured."
    waits = here.assign(delay_s=here["restarted_s"] - here["noticed_s"])
    delays = [median(waits, arm, "delay_s") for arm in (TWO_OF_THREE, NODE_KILLED_THREE)]
    if passed := listed(list(dict.fromkeys(filter(None, delays)))):
        told += (
            f" Of this, {passed} pass between noticing and restarting: Swarm's default delay "
            "before it restarts a task, 5 s, was left as it is."
        )
    return told


def _say_simple(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
    bare, engine = (median(here, arm, "answered_s") for arm in (BARE, RESTARTED))
    little, much = (median(here, arm, "keeper_bytes", "B") for arm in (BARE, RESTARTED))
    if not (bare and engine and little and much):
        return ""
    return (
        "A killed process that had run for more than a second answers again after "
        f"{bare} under runsv, which takes {little}, and after {engine} under an engine, which "
        f"takes {much}. {_restarted(here)}"
    ).strip()


def _restarted(here: pd.DataFrame) -> str:
    """Return when the new process began, which no client has to ask for."""
    bare, engine = (median(here, arm, "restarted_s") for arm in (BARE, RESTARTED))
    if not (bare and engine):
        return ""
    began = stats.contrasts(here, [_contrast("began", "restarted_s", BARE, RESTARTED)]).iloc[0]
    ratio = f" ({began['estimate']:.2g}x)" if began["n"] else ""
    return (
        f"Requests come every {format_quantity(1 / RATE, 's')}, so an answer is up to that "
        f"late; the new process has begun after {bare} against {engine}{ratio}."
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


def _by_turns(here: pd.DataFrame) -> pd.DataFrame:
    """Return the trials with `missed_s`: the time in which as many requests are due as missed."""
    return here.assign(missed_s=here["missed"] / RATE)


def _all_kept(here: pd.DataFrame) -> pd.DataFrame:
    """Return the trials with `kept`: whether nothing that was acknowledged is missing."""
    known = here["unkept"].notna()
    return here.assign(kept=(here["unkept"] == 0).astype(float).where(known))


DECISIONS = (
    Effect(
        claim=REDUNDANCY,
        contrast=_contrast("C03", "missed_s", NODE_KILLED_THREE, NODE_KILLED, kind="difference"),
        table=_by_turns,
        direction="less",
        words=("Longer", "Shorter"),
        unit="s",
        qualify=_of_all_at_once,
        say=_say_redundancy,
        label="silence without failover, node killed: three replicas minus one",
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
        qualify=_say_requests,
        label=f"requests lost in {WATCH_S['crash']:g} s: restart policy over no keeper",
    ),
    _back(HANG, HEALED, "hung process, health check and loop"),
    _back(NODE, NODE_KILLED, "killed node, Swarm"),
    _back(CUT, CUT_OFF, "cut-off node, Swarm"),
    Fact(
        claim=WRITERS,
        readings=(
            Reading(CUT_OFF.where(), "twice"),
            *(Reading(CUT_OFF.where(), name, optional=True) for name in ("requests", "answered_s")),
        ),
        find=_of_writers,
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
        qualify=lambda here, verdict: _restarted(here),
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
