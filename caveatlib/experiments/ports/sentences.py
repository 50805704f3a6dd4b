"""What cards of `ports` say besides their effects: congestion control, limits, the whole claim."""

from __future__ import annotations

import math

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import FAILS, HOLDS, NOT_MEASURED, OPEN, Verdict
from caveatlib.experiments.kit.sentences import listed
from caveatlib.experiments.ports.claims import MEMORY, PARTS
from caveatlib.experiments.ports.designs import HAIRPIN, MEASURES, PRICED, PROXY, contrast, where
from caveatlib.experiments.ports.tables import joined
from caveatlib.instruments.iperf3 import CPU_BOUND_SHARE
from caveatlib.support.quantities import format_quantity

FEW_CORES = 4
"""Below so many the proxy competes with client and server for the CPU."""
CHANGES = {
    "cpu": ("less CPU per byte", "more CPU per byte"),
    "reachable": ("", "no connection"),
    "address": ("the client's own address seen", "the client's own address hidden"),
    "throughput": ("more throughput", "less throughput"),
}
"""Aspect -> what changes without the proxy where it holds, and where it does not."""


def both(
    here: pd.DataFrame, path: str, column: str, **conditions: object
) -> tuple[pd.Series, pd.Series]:
    """Return a column's values on a path, with the proxy and without it."""
    on, off = (
        claims.values_of(here, where(path, place) | conditions, column)
        for place in (PROXY, HAIRPIN)
    )
    return on[on != ""], off[off != ""]


def only_own(one: pd.Series, other: pd.Series) -> bool:
    """Return whether the server sees the client's own address under the first setting only."""
    return joined(one) == "own" and joined(other) not in ("", "own")


def few_cores(here: pd.DataFrame) -> float:
    """Return the machine's number of cores if that is too few to judge throughput, else 0."""
    cores = here["cores"].max()
    return cores if cores < FEW_CORES else 0


def controlled(here: pd.DataFrame, path: str, aspect: str) -> str:
    """Say which congestion control was used, and what the effect was under the machine's own."""
    used, default = (_algorithm(here, asked) for asked in ("reno", "default"))
    effect = _by_default(here, path, aspect)
    beside = f" With {default}, the machine's own: {effect} (not judged)." if effect else ""
    return f"Congestion control: {used}.{beside}"


def _algorithm(here: pd.DataFrame, asked: str) -> str:
    """Return which congestion control was used where one was asked for, "" if none was."""
    return joined(here.loc[here["congestion"] == asked, "algorithm"])


def _by_default(here: pd.DataFrame, path: str, aspect: str) -> str:
    """Return the effect under the machine's own congestion control, "" if it was not tried."""
    if _algorithm(here, "default") in ("", _algorithm(here, "reno")):
        return ""
    (row,) = stats.jointly([(here, contrast(path, MEASURES[aspect], design="congestion"))])
    if not row["n"]:
        return ""
    effect = row["estimate"]
    return f"{max(effect, 1 / effect):.2f}x {'less' if effect < 1 else 'more'}"


def cpu_bound(here: pd.DataFrame, path: str) -> str:
    """Say where client and server alone used the cores up: there the CPU limits the rate."""
    settings = zip(("with the proxy", "without"), both(here, path, "cpu_bound"), strict=True)
    found = [
        f"{flags.sum():.0f} of {len(flags)} trials {setting}"
        for setting, flags in settings
        if flags.any()
    ]
    if not found:
        return ""
    return f"Client and server alone used {CPU_BOUND_SHARE:.0%} of the cores in {listed(found)}."


def _changes(here: pd.DataFrame, parts: dict[str, Verdict]) -> list[tuple[bool, str, str]]:
    """Return what changes without the proxy: whether for the better, in brief, in full."""
    found = []
    for aspect, words in CHANGES.items():
        judged = _measured(parts, aspect)
        for word, what in zip((HOLDS, FAILS), words, strict=True):
            effects = {path: v.effect for path, v in judged.items() if v.verdict == word}
            if aspect == "address" and word == HOLDS:  # most of these see the same either way
                gained = (p for p in effects if only_own(*both(here, p, "source_class")[::-1]))
                effects = {path: effects[path] for path in gained}
            if what and effects:
                found.append((word == HOLDS, *_sized(what, effects, len(judged))))
    memory = parts[MEMORY.id]
    if memory.verdict in (HOLDS, FAILS):
        better = memory.verdict == HOLDS
        size = f"{format_quantity(abs(memory.effect), 'B')} {'less' if better else 'more'} memory"
        found.append((better, *[f"{size} for {PRICED} published ports"] * 2))
    return found


def _sized(what: str, effects: dict[str, float], of: int) -> tuple[str, str]:
    """Return what changes on how many paths by how much, and the same path by path."""
    times = {path: max(e, 1 / e) for path, e in effects.items() if not math.isnan(e)}
    ends = dict.fromkeys(f"{end(times.values()):.2g}" for end in (min, max) if times)
    size = f" ({' to '.join(ends)}x)" if ends else ""
    sized = [f"{path} ({times[path]:.2g}x)" if path in times else path for path in effects]
    return f"{what} on {len(effects)} of {of} paths{size}", f"{what} on {listed(sized)}"


def _measured(parts: dict[str, Verdict], aspect: str) -> dict[str, Verdict]:
    """Return the verdicts on an aspect by path, where it was measured."""
    found = {path: parts[claim.id] for (path, a), claim in PARTS.items() if a == aspect}
    return {path: v for path, v in found.items() if v.verdict != NOT_MEASURED}


def tell(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
    """Tell of the claim as a whole: what is better and what is worse without the proxy."""
    changes = _changes(here, parts)
    sides = [[c for c in changes if c[0] == better] for better in (True, False)]
    brief = ", but ".join(side[0][1] for side in sides if side)
    told = [f"Without the proxy: {brief or 'nothing is found to change'}."]
    for lead, side in zip(("Better", "Worse"), sides, strict=True):
        told += [f"{lead}: {'; '.join(full for _, _, full in side)}."] if side else []
    cpu = _measured(parts, "cpu")
    if undecided := [path for path, v in cpu.items() if v.verdict == OPEN]:
        told.append(f"CPU per byte is undecided on {listed(undecided)}.")
    if cores := few_cores(here):
        told.append(f"Throughput is not judged on {cores:.0f} cores.")
    if cpu:
        told.append(f"Congestion control: {_algorithm(here, 'reno')}.")
    beside = {path: _by_default(here, path, "cpu") for path, v in cpu.items() if v.verdict != OPEN}
    if sized := [f"{size} on {path}" for path, size in beside.items() if size]:
        own = _algorithm(here, "default")
        told.append(f"CPU per byte with {own}, the machine's own (not judged): {listed(sized)}.")
    return " ".join(told)
