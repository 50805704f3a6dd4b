"""What decides the claims of `scaling`, its controls, and the answer in words."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import Claim, Count, Effect, Verdict, Whole
from caveatlib.claims.calibration import Known, aa_controls
from caveatlib.experiments.kit.sentences import per_machine
from caveatlib.experiments.scaling import claims as stated
from caveatlib.experiments.scaling import fitting
from caveatlib.experiments.scaling.designs import (
    BY_DNS,
    BY_ETCD,
    CURVE,
    DEFAULT_S,
    DNS,
    DOUBLING,
    ETCD,
    FEW,
    LEASES,
    LISTED,
    LISTED_AGAIN,
    LONG_S,
    MANY,
    MOST,
    REGISTERED,
    TTLS,
    found,
    lock,
    percent,
)
from caveatlib.experiments.scaling.discovery import SERVES_S
from caveatlib.experiments.scaling.schema import MOMENTS
from caveatlib.experiments.scaling.workloads import SERVICE_US
from caveatlib.measuring.designs import Arm
from caveatlib.support.quantities import format_quantity

SERVICE_S = SERVICE_US / 1e6


def doubled(replicas: int, share: float, replicate: int = 0) -> dict[str, object]:
    """Return the filter of an arm of the design in which replicas are doubled."""
    return _of(DOUBLING, lock(replicas, share, replicate=replicate))


def _of(design: str, arm: Arm) -> dict[str, object]:
    return {"design": design, **arm.where()}


def _median(here: pd.DataFrame, where: Mapping[str, object], column: str) -> float:
    return float(claims.values_of(here, where, column).median())


def _doubling(claim: Claim, share: float, *, threshold: float = 1.0, **options) -> Effect:
    words = f"{percent(share)} under a lock" if share else "nothing serial"
    many, few = doubled(MANY, share), doubled(FEW, share)
    null = stats.Contrast(f"{FEW} replicas twice, {words}", "throughput_per_s",
                          doubled(FEW, share, 1), few)  # fmt: skip
    return Effect(
        claim=claim,
        contrast=stats.Contrast(claim.id, "throughput_per_s", many, few, threshold=threshold),
        words=("More", "Fewer"),
        null=null,
        label=f"requests a second, {MANY} replicas over {FEW}, {words}",
        **options,
    )


def _only_ours(here: pd.DataFrame) -> str:
    return (
        "No application of others was scaled here. One that was made to wait decides claims of "
        f"ours: {stated.PARALLEL.id}, {stated.SERIAL.id}."
    )


def _not_scaled(here: pd.DataFrame, verdict: Verdict) -> str:
    return "Whether replicas alone help an application of others was not measured."


def _say_rates(share: float):
    """Return what says how many requests few and many replicas serve."""
    lead = f"Where {percent(share)} of each request is done under one lock" if share else ""

    def say(here: pd.DataFrame, verdict: Verdict) -> str:
        rates = [_median(here, doubled(n, share), "throughput_per_s") for n in (FEW, MANY)]
        if pd.isna(rates).any():
            return ""
        few, many = (f"{rate:.0f}" for rate in rates)
        said = f"{FEW} replicas serve {few} requests a second and {MANY} serve {many}."
        return f"{lead}, {said}" if lead else said

    return say


def _say_autopilot(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
    ways = {
        f"a lease of {stated.TTL_S} s in etcd": BY_ETCD,
        f"Docker's DNS, asked every {stated.TTL_S} s,": BY_DNS,
    }
    said = []
    for way, arm in ways.items():
        came, went = (_median(here, _of(REGISTERED, arm), n) for n in ("served_s", "lost_s"))
        if pd.notna(came) and pd.notna(went):
            came_in, went_in = (format_quantity(seconds, "s") for seconds in (came, went))
            said.append(f"with {way} a container serves {came_in} after its start, and requests "
                        f"to it are lost until {went_in} after its kill")  # fmt: skip
    if not said:
        return ""
    whole = "; ".join(said)
    first = f"{whole[0].upper()}{whole[1:]}."
    return " ".join(filter(None, (first, _by_defaults(here), _believed(here))))


def _by_defaults(here: pd.DataFrame) -> str:
    """Say that etcd grants no such lease by default, and what came of the least that it does."""
    said = f"etcd grants a lease of {stated.TTL_S} s only with a shorter election than its default"
    if late := _late(here, ETCD, DEFAULT_S, "lost_s"):
        said += (
            f"; with its least by default, {DEFAULT_S} s, requests were lost for over "
            f"{stated.WITHIN_S} s in {late} trials"
        )
    return f"{said}."


def _with_longer(here: pd.DataFrame) -> str:
    """Say how often clients knew too late where what they know is good for longer."""
    leased, went, came = (
        _late(here, by, LONG_S, column)
        for by, column in ((ETCD, "lost_s"), (DNS, "lost_s"), (DNS, "served_s"))
    )
    if not (leased and went and came):
        return ""
    return (
        f"With a lease of {LONG_S} s they were in {leased} trials, with the DNS asked every "
        f"{LONG_S} s in {went}; by that a container served later than {stated.WITHIN_S} s in "
        f"{came}."
    )


def _late(here: pd.DataFrame, by: str, ttl_s: int, column: str) -> str:
    seconds = claims.values_of(here, _of(LEASES, found(by, ttl_s)), column)
    return f"{int((seconds > stated.WITHIN_S).sum())} of {len(seconds)}" if len(seconds) else ""


def _qualify_autopilot(here: pd.DataFrame, verdict: Verdict) -> str:
    return f"{_by_defaults(here)} {_with_longer(here)}".strip()


def _believed(here: pd.DataFrame) -> str:
    """Say what the times of the DNS are, and what a client that believes it would do."""
    ttl_s = _median(here, _of(REGISTERED, BY_DNS), "dns_ttl_s")
    if pd.isna(ttl_s):
        return ""
    return (
        "What the DNS takes is the time to the client's next question; a client that keeps its "
        f"answers as long as it states goes on sending requests for up to {ttl_s:.0f} s."
    )


def _by_dns(here: pd.DataFrame, verdict: Verdict) -> str:
    return f"{_moments(here)} {_believed(here)}".strip()


def _moments(here: pd.DataFrame) -> str:
    """Say at which moments of its period the client met a start and a kill."""
    seen, drawn = (
        len(claims.values_of(here, _of(REGISTERED, BY_DNS), name))
        for name in ("served_s", MOMENTS[0])
    )
    if drawn == seen:
        return (
            f"The container is started, and killed once it has served for {SERVES_S:g} s, at "
            "moments drawn at random over the client's period."
        )
    which = f"{seen - drawn} of {seen} trials" if drawn else "each trial"
    return (
        f"The container is started right after a question and killed {SERVES_S:g} s after it "
        f"served, the same in {which}."
    )


def _say_registers(here: pd.DataFrame, verdict: Verdict) -> str:
    took = [_median(here, _of(REGISTERED, arm), "served_s") for arm in (BY_ETCD, LISTED)]
    if pd.isna(took).any():
        return ""
    own, listed = (format_quantity(seconds, "s") for seconds in took)
    return f"A container that registers itself serves after {own}, one on a list after {listed}."


def _made_to_wait(here: pd.DataFrame, verdict: Verdict) -> str:
    return (
        f"One application, which was made to wait: {percent(MOST)} of 20 ms under a lock is a "
        f"ceiling of {1 / (MOST * SERVICE_S):.0f} requests a second, which {1 / MOST:.0f} replicas "
        "reach, so it could hardly be otherwise."
    )


def _soon(claim: Claim, arm: Arm, column: str, what: str, **options) -> Count:
    return Count(
        claim=claim,
        where=_of(REGISTERED, arm),
        column=column,
        most=stated.WITHIN_S,
        what=what,
        **options,
    )


_IN = "Seconds from start to first request served"
_OUT = "Seconds from kill to last request lost"
DECISIONS = (
    _doubling(
        stated.SCALES,
        MOST,
        at_most=stated.HELPS_NOT,
        direction="less",
        unfair=_only_ours,
        say=_not_scaled,
    ),
    _doubling(
        stated.PARALLEL,
        0.0,
        threshold=stated.HELPS,
        direction="greater",
        say=_say_rates(0.0),
    ),
    _doubling(
        stated.SERIAL,
        MOST,
        at_most=stated.HELPS_NOT,
        direction="less",
        qualify=_made_to_wait,
        say=_say_rates(MOST),
    ),
    Whole(
        claim=stated.AUTOPILOT,
        parts=(stated.ETCD_IN.id, stated.ETCD_OUT.id, stated.DNS_IN.id, stated.DNS_OUT.id),
        labels={
            "etcd-in": f"found by a lease of {stated.TTL_S} s in etcd",
            "etcd-out": "dropped when that is over",
            "dns-in": f"found by Docker's DNS, asked every {stated.TTL_S} s",
            "dns-out": "dropped when its name is gone",
        },
        qualify=_qualify_autopilot,
        sum_up=_say_autopilot,
    ),
    _soon(stated.ETCD_IN, BY_ETCD, "served_s", f"{_IN}, etcd"),
    _soon(stated.ETCD_OUT, BY_ETCD, "lost_s", f"{_OUT}, etcd"),
    _soon(stated.DNS_IN, BY_DNS, "served_s", f"{_IN}, DNS", qualify=_by_dns),
    _soon(stated.DNS_OUT, BY_DNS, "lost_s", f"{_OUT}, DNS", qualify=_by_dns),
    Effect(
        claim=stated.REGISTERS,
        contrast=stats.Contrast(
            "registers", "served_s", _of(REGISTERED, BY_ETCD), _of(REGISTERED, LISTED)
        ),
        at_most=stated.LATE,
        direction="less",
        words=("Later", "Earlier"),
        null=stats.Contrast(
            "on a list, twice", "served_s", _of(REGISTERED, LISTED_AGAIN), _of(REGISTERED, LISTED)
        ),
        say=_say_registers,
        label="first request served, etcd over a list",
    ),
)
_CURVE = {n: _of(CURVE, lock(n, MOST)) for n in (1, MANY)}
KNOWN = (
    Known(
        name=f"ceiling, {percent(MOST)} under a lock, requests a second",
        contrast=stats.Contrast("ceiling", "throughput_per_s", _CURVE[MANY], None),
        truth=1 / (MOST * SERVICE_S),
        within=0.1,
    ),
    Known(
        name=f"knee, {percent(MOST)} under a lock, replicas",
        contrast=stats.Contrast("knee", "throughput_per_s", _CURVE[MANY], _CURVE[1]),
        truth=1 / MOST,
        within=0.15,
    ),
    Known(
        name="a list is kept to the end of the watch",
        contrast=stats.Contrast("kept", "kept", _of(REGISTERED, LISTED), None),
        truth=1.0,
        within=0,
    ),
    Known(
        name=f"share at a barrier, {percent(MOST)}, by Amdahl's law",
        contrast=stats.Contrast("barrier", "share", {"work": "barrier"}, None),
        truth=MOST,
        within=0.1,
        table=fitting.barrier_shares,
    ),
    *(
        Known(
            name=f"a lease of {ttl_s} s, since its last renewal",
            contrast=stats.Contrast(
                f"lease of {ttl_s} s", "expiry_s", _of(LEASES, found(ETCD, ttl_s)), None
            ),
            truth=float(ttl_s),
            within=0.6,
            relative=False,
        )
        for ttl_s in TTLS[1:]
    ),
)
CONTROLS = aa_controls(DECISIONS)


@per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say what the trials of each machine show."""
    said = claims.judge(trials, DECISIONS)
    return " ".join(verdict.sentence for verdict in said if "/" not in verdict.claim and verdict.n)
