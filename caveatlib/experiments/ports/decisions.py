"""What decides the claims of `ports`, path by path and as a whole, and the answer in words."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import FAILS, HOLDS, NOT_MEASURED, OPEN, Effect, Fact, Finding, Reading, Whole
from caveatlib.experiments.kit.sentences import listed, per_machine, ranged
from caveatlib.experiments.ports.claims import EARLY, MEMORY, PARTS, SIZED, WHOLE, named
from caveatlib.experiments.ports.designs import (
    AGAIN,
    CASES,
    HAIRPIN,
    LESS_MEMORY,
    MEASURES,
    PRICED,
    PROXY,
    Case,
    compared,
    contrast,
    where,
)
from caveatlib.experiments.ports.flows import FLOWS
from caveatlib.experiments.ports.sentences import (
    beside,
    both,
    case_label,
    controlled,
    cpu_bound,
    few_cores,
    less_cpu,
    only_own,
    tell,
)
from caveatlib.experiments.ports.tables import joined
from caveatlib.support.quantities import format_quantity

WORDS = ("More without the proxy", "Less without the proxy")
LABELS = {
    "reachable": "connects",
    "address": "client's address",
    "throughput": "throughput",
    "cpu": "CPU per byte",
    "loopback": "localhost (IPv4)",
    "loopback-ipv6": "localhost (IPv6)",
    "gateway": "the bridge's address",
    "own-address": "the host's own address",
    "hairpin": "a neighbour container",
    "self": "the container itself",
    "other-network": "a container of another network",
    "outside": "a machine outside",
    "memory": "memory of docker-proxy",
} | {named(case): case_label(case) for case in CASES}
SEEN = {
    "own": "the client's own address",
    "loopback": "a loopback address",
    "gateway": "the gateway's address",
    "other": "some other address",
}
SERVED = {
    "proxy": "docker-proxy serves it",
    "nat": "a NAT rule serves it",
    "process": "the process itself serves it",
    "both": "docker-proxy and a NAT rule serve it",
}


def _share(values: pd.Series) -> str:
    return f"{values.sum():.0f} of {claims.counted(len(values), 'session')}"


def _word(fact: bool, *values: pd.Series) -> str:
    """Return the verdict of a fact: "inconclusive" if its values differ between sessions."""
    if any(v.nunique() > 1 for v in values):
        return OPEN
    return HOLDS if fact else FAILS


def _reachable(path: str) -> Fact:
    def find(here: pd.DataFrame) -> Finding:
        on, off = both(here, path, "reachable")
        served, refused = both(here, path, "served_by"), both(here, path, "refusal")
        how = [
            joined([*map(SERVED.get, s), *r], by=" or ")
            for s, r in zip(served, refused, strict=True)
        ]
        because = (
            f"Path {path} connected in {_share(on)} with the proxy, in {_share(off)} without. "
            f"With the proxy: {how[0]}. Without: {how[1]}."
        )
        if not on.any() and not off.any():
            return Finding(NOT_MEASURED, "", because, 0)
        return Finding(_word(bool(off.all()), on, off), "", because, len(off))

    readings = [Reading(where(path, place), "reachable") for place in (PROXY, HAIRPIN)]
    return Fact(claim=PARTS[path, "reachable"], readings=tuple(readings), find=find)


def _address(path: str) -> Fact:
    def find(here: pd.DataFrame) -> Finding:
        on, off = both(here, path, "source_class", reachable=1)
        for values, setting in ((off, "without"), (on, "with")):
            if values.empty:
                because = f"Path {path} does not connect {setting} the proxy: no address is seen."
                return Finding(NOT_MEASURED, "", because, 0)
        before, after = (joined(map(SEEN.get, values), by=" or ") for values in (on, off))
        because = f"On path {path} the server sees {after} without the proxy, {before} with it."
        if before == after:
            because = f"On path {path} the server sees {after} with and without the proxy."
        return Finding(_word(not only_own(on, off), on, off), "", because, len(off))

    readings = [
        Reading(where(path, place), column, optional=column == "source_class")
        for column in ("reachable", "source_class")
        for place in (PROXY, HAIRPIN)
    ]
    return Fact(claim=PARTS[path, "address"], readings=tuple(readings), find=find)


def _again(path: str, aspect: str) -> stats.Contrast:
    """Return the A/A control of a path: the second engine with the proxy over the first."""
    name = f"{path}, with the proxy twice: {LABELS[aspect]}"
    return contrast(path, MEASURES[aspect], arm=AGAIN, name=name)


def _cpu(path: str) -> Effect:
    return Effect(
        claim=PARTS[path, "cpu"],
        label=f"CPU per byte, {LABELS[path]}",
        contrast=contrast(path, MEASURES["cpu"]),
        direction="less",
        words=WORDS,
        null=_again(path, "cpu"),
        qualify=lambda here, verdict: controlled(here, path, "cpu"),
    )


def _case(case: Case) -> Effect:
    """Return the decision about the CPU per byte of a pinned case."""
    reno = case._replace(congestion="reno")
    flow = FLOWS[case.flow].words
    twice = f"{case.path}, pinned {case.placement}, with the proxy twice: CPU per byte, {flow}"
    return Effect(
        claim=SIZED[case],
        label=f"CPU per byte, {case_label(case)}",
        contrast=compared(case),
        direction="less",
        words=WORDS,
        null=compared(reno, arm=AGAIN, name=twice),
        qualify=lambda here, verdict: beside(here, case),
    )


def _throughput(path: str) -> Effect:
    rates = contrast(path, MEASURES["throughput"])

    def qualified(here: pd.DataFrame, verdict=None) -> str:
        return f"{controlled(here, path, 'throughput')} {cpu_bound(here, path)}".strip()

    def unfair(here: pd.DataFrame) -> str:
        (row,) = stats.jointly([(here, rates)])
        cores = few_cores(here)
        if not row["n"] or not cores:
            return ""
        return (
            f"Throughput on path {path}: {row['estimate']:.2f}x without the proxy, n = {row['n']}; "
            f"not judged, {cores:.0f} cores serve proxy, client and server. {qualified(here)}"
        )

    return Effect(
        claim=PARTS[path, "throughput"],
        label=f"Throughput, {LABELS[path]}",
        contrast=rates,
        direction="greater",
        words=WORDS,
        null=_again(path, "throughput"),
        unfair=unfair,
        qualify=qualified,
    )


def _early(here: pd.DataFrame) -> Finding:
    loopback, outside = (
        claims.values_of(here, reading.where, reading.column) for reading in _UNHEARD
    )
    because = (
        f"docker-proxy accepted without a listener in {_share(loopback)} on loopback, in "
        f"{_share(outside)} from outside."
    )
    fact = bool(loopback.all() and not outside.any())
    return Finding(_word(fact, loopback, outside), "", because, len(loopback))


def _processes(here: pd.DataFrame, verdict: claims.Verdict) -> str:
    """Say how many processes the memory is of."""
    on, off = (
        claims.values_of(here, arm, "processes").median()
        for arm in (LESS_MEMORY.baseline, LESS_MEMORY.arm)
    )
    if pd.isna(on) or pd.isna(off):
        return ""
    return (
        f"With the proxy {on:.0f} processes, one for each port and address family, without it "
        f"{off:.0f}."
    )


_UNHEARD = tuple(Reading(where(path, PROXY), "accepts_unheard") for path in ("loopback", "outside"))
_DECIDES = {"reachable": _reachable, "address": _address, "throughput": _throughput, "cpu": _cpu}
_PARTS = (
    *(_DECIDES[aspect](path) for path, aspect in PARTS),
    *map(_case, CASES),
    Effect(
        claim=MEMORY,
        label=f"Memory of {PRICED} published ports",
        contrast=LESS_MEMORY,
        qualify=_processes,
        direction="less",
        words=WORDS,
        unit="B",
    ),
)


def _hangs(sizes: Mapping[str | tuple, float]) -> str:
    """Say what sizes that differ hang on."""
    if all(isinstance(name, str) for name in sizes):
        return ", depending on the path"
    pinned = any(isinstance(name, Case) for name in sizes)
    more = ", and on which CPUs it runs" if pinned else ""
    return f", depending on path, connections and congestion control{more}"


def _sum_up(here: pd.DataFrame, parts: dict[str, claims.Verdict]) -> str:
    word = parts[WHOLE.id].verdict
    if word not in claims.DECIDED:
        return ""
    cpu = [parts[c.id] for (_, aspect), c in PARTS.items() if aspect == "cpu"]
    less = less_cpu(here, parts)
    ways = [parts[c.id] for (_, aspect), c in PARTS.items() if aspect == "reachable"]
    lost = [v.claim.split("/")[1] for v in ways if v.verdict == FAILS]
    said = ["It depends on the path."] if word == claims.MIXED else []
    if less:
        count = sum(v.verdict == HOLDS for v in cpu)
        of = f"{count} of {len(cpu)} paths need" if count else "a service needs"
        size = ranged(less.values(), ".1f")
        why = _hangs(less) if " to " in size else ""
        said.append(f"Without docker-proxy {of} {size} times less CPU per byte{why}.")
    if parts[MEMORY.id].verdict == HOLDS:
        size = format_quantity(abs(parts[MEMORY.id].effect), "B")
        said.append(f"{PRICED} published ports take {size} less memory.")
    if lost:
        named = listed([LABELS[path] for path in lost])
        said.append(f"{len(lost)} of {len(ways)} ways in no longer connect: {named}.")
    return " ".join(said)


DECISIONS = (
    Whole(
        claim=WHOLE,
        parts=tuple(part.claim.id for part in _PARTS),
        labels=LABELS,
        tell=tell,
        sum_up=_sum_up,
    ),
    *_PARTS,
    Fact(claim=EARLY, readings=_UNHEARD, find=_early),
)


@per_machine
def answer(trials: pd.DataFrame) -> str:
    """Return what the trials of each machine show as a whole."""
    return claims.judge(trials, DECISIONS)[0].because
