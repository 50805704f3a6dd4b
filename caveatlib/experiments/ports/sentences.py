"""What cards of `ports` say besides their effects: what sizes hang on, limits, the whole claim."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import FAILS, HOLDS, NOT_MEASURED, OPEN, Verdict
from caveatlib.experiments.kit.sentences import listed, ranged
from caveatlib.experiments.ports.claims import MEMORY, PARTS, SIZED
from caveatlib.experiments.ports.designs import (
    HAIRPIN,
    MEASURES,
    PRICED,
    PROXY,
    Case,
    compared,
    contrast,
    pinned,
    where,
)
from caveatlib.experiments.ports.flows import FLOWS, MACHINE_CPU, RATE
from caveatlib.experiments.ports.tables import joined
from caveatlib.instruments.iperf3 import CPU_BOUND_SHARE
from caveatlib.support.quantities import format_quantity, percent

FEW_CORES = 4
"""Below so many the proxy competes with client and server for the CPU."""
CHANGES = {
    "cpu": ("less CPU per byte", "more CPU per byte"),
    "reachable": ("", "no connection"),
    "address": ("the client's own address seen", "the client's own address hidden"),
    "throughput": ("more throughput", "less throughput"),
}
"""Aspect -> what changes without the proxy where it holds, and where it does not."""
WITH_FOUR = {
    aspect: FLOWS["four"].columns[measure]
    for aspect, measure in (("cpu", MACHINE_CPU), ("throughput", RATE))
}
"""Aspect of a path -> the same with four connections."""


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
    """Say which congestion control was used, and what the effect was in other trials of it."""
    said = [f"Congestion control: {_algorithm(here, 'reno')}."]
    others = _otherwise(here, path, aspect)
    said += [f"With {how}: {_times(effect)} (not judged)." for how, effect in others.items()]
    return " ".join(said)


def _times(effect: float) -> str:
    """Return ``"1.50x less"`` of a ratio below 1, ``"1.50x more"`` of another."""
    return f"{max(effect, 1 / effect):.2f}x {'less' if effect < 1 else 'more'}"


def _otherwise(here: pd.DataFrame, path: str, aspect: str) -> dict[str, float]:
    """Return effects on a path that the same trials show and nobody judges, by what is other."""
    own = _algorithm(here, "default")
    tried = {"4 connections": contrast(path, WITH_FOUR[aspect])}
    if own not in ("", _algorithm(here, "reno")):
        how = f"{own}, the machine's own"
        tried[how] = contrast(path, MEASURES[aspect], design="congestion")
    rows = stats.jointly([(here, each) for each in tried.values()])
    return {how: row["estimate"] for how, row in zip(tried, rows, strict=True) if row["n"]}


def _algorithm(here: pd.DataFrame, asked: str) -> str:
    """Return which congestion control was used where one was asked for, "" if none was."""
    return joined(here.loc[here["congestion"] == asked, "algorithm"])


def case_label(case: Case) -> str:
    """Return a pinned case in a few words: ``"loopback apart, reno, 4 connections"``."""
    control = "default control" if case.congestion == "default" else case.congestion
    return f"{case.path} {case.placement}, {control}, {FLOWS[case.flow].words}"


def beside(here: pd.DataFrame, case: Case) -> str:
    """Say of a pinned case which congestion control was used, and what else was measured."""
    used = claims.values_of(here, pinned(case, PROXY), "algorithm")
    said = [f"Congestion control: {joined(used)}."]
    for name, figure in (("CPU time of the whole machine", MACHINE_CPU), ("Throughput", RATE)):
        if figure in FLOWS[case.flow].columns:
            (row,) = stats.jointly([(here, compared(case, figure=figure))])
            said += [f"{name}: {row['estimate']:.2f}x (not judged)."] if row["n"] else []
    return " ".join(said)


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
    return (
        f"Client and server alone used {percent(CPU_BOUND_SHARE)} of the cores in {listed(found)}."
    )


def less_cpu(here: pd.DataFrame, parts: Mapping[str, Verdict]) -> dict[str | tuple, float]:
    """Return how many times less CPU per byte is needed without the proxy, by what it hangs on.

    All that hold; and on the paths where it holds, what other trials of them show with four
    connections or another congestion control, which nobody judges.
    """
    sizes: dict[str | tuple, float] = {}
    for path, verdict in _on_paths(parts, "cpu").items():
        if verdict.verdict == HOLDS:
            others = _otherwise(here, path, "cpu")
            sizes |= {path: 1 / verdict.effect}
            sizes |= {(path, how): 1 / effect for how, effect in others.items() if effect < 1}
    judged = _in_cases(parts).items()
    return sizes | {case: 1 / v.effect for case, v in judged if v.verdict == HOLDS}


def _changes(here: pd.DataFrame, parts: dict[str, Verdict]) -> list[tuple[bool, str, str]]:
    """Return what changes without the proxy: whether for the better, in brief, in full."""
    found = []
    for aspect, words in CHANGES.items():
        judged = _on_paths(parts, aspect)
        for word, what in zip((HOLDS, FAILS), words, strict=True):
            effects = {path: v.effect for path, v in judged.items() if v.verdict == word}
            if aspect == "address" and word == HOLDS:  # most of these see the same either way
                gained = (p for p in effects if only_own(*both(here, p, "source_class")[::-1]))
                effects = {path: effects[path] for path in gained}
            if what and effects:
                wide = less_cpu(here, parts) if (aspect, word) == ("cpu", HOLDS) else {}
                found.append((word == HOLDS, *_sized(what, effects, len(judged), wide.values())))
            if aspect == "cpu" and (told := _cases_told(parts, word, what)):
                found.append((word == HOLDS, *told))
    memory = parts[MEMORY.id]
    if memory.verdict in (HOLDS, FAILS):
        better = memory.verdict == HOLDS
        size = f"{format_quantity(abs(memory.effect), 'B')} {'less' if better else 'more'} memory"
        found.append((better, *[f"{size} for {PRICED} published ports"] * 2))
    return found


def _sized(
    what: str, effects: dict[str, float], of: int, wide: Collection[float] = ()
) -> tuple[str, str]:
    """Return what changes on how many paths by how much, and the same path by path.

    `wide` has further sizes, which the range in brief is to hold as well.
    """
    times = {path: max(e, 1 / e) for path, e in effects.items() if not math.isnan(e)}
    size = ranged([*times.values(), *wide], ".2g")
    size = f" ({size}x)" if size else ""
    sized = [f"{path} ({times[path]:.2g}x)" if path in times else path for path in effects]
    return f"{what} on {len(effects)} of {of} paths{size}", f"{what} on {listed(sized)}"


def _cases_told(parts: Mapping[str, Verdict], word: str, what: str) -> tuple[str, str] | None:
    """Return in how many pinned cases a verdict was drawn, in brief and with the ends named."""
    judged = _in_cases(parts)
    sizes = {c: max(v.effect, 1 / v.effect) for c, v in judged.items() if v.verdict == word}
    if not sizes:
        return None
    ends = dict.fromkeys(end(sizes, key=sizes.__getitem__) for end in (min, max))
    brief = " to ".join(dict.fromkeys(f"{sizes[case]:.2g}x" for case in ends))
    named = " to ".join(f"{sizes[case]:.2g}x, {case_label(case)}" for case in ends)
    of = f"{what} in {len(sizes)} of {len(judged)} pinned cases"
    return f"{of} ({brief})", f"{of} ({named})"


def _on_paths(parts: Mapping[str, Verdict], aspect: str) -> dict[str, Verdict]:
    """Return the verdicts on an aspect by path, where it was measured."""
    return _measured(parts, {path: c for (path, a), c in PARTS.items() if a == aspect})


def _in_cases(parts: Mapping[str, Verdict]) -> dict[Case, Verdict]:
    """Return the verdicts on pinned cases, those that were measured."""
    return _measured(parts, SIZED)


def _measured(parts: Mapping[str, Verdict], of: Mapping) -> dict:
    found = {key: parts[claim.id] for key, claim in of.items()}
    return {key: v for key, v in found.items() if v.verdict != NOT_MEASURED}


def tell(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
    """Tell of the claim as a whole: what is better and what is worse without the proxy."""
    changes = _changes(here, parts)
    sides = [[c for c in changes if c[0] == better] for better in (True, False)]
    brief = ", but ".join(side[0][1] for side in sides if side)
    told = [f"Without the proxy: {brief or 'nothing is found to change'}."]
    for lead, side in zip(("Better", "Worse"), sides, strict=True):
        told += [f"{lead}: {'; '.join(full for _, _, full in side)}."] if side else []
    cpu = _on_paths(parts, "cpu")
    if undecided := [path for path, v in cpu.items() if v.verdict == OPEN]:
        told.append(f"CPU per byte is undecided on {listed(undecided)}.")
    if cases := sum(v.verdict == OPEN for v in _in_cases(parts).values()):
        count = claims.counted(cases, "pinned case")
        told.append(f"CPU per byte is undecided in {count}.")
    if cores := few_cores(here):
        told.append(f"Throughput is not judged on {cores:.0f} cores.")
    if cpu:
        told.append(f"Congestion control: {_algorithm(here, 'reno')}.")
    for how, sizes in _by_what_is_other(here, cpu).items():
        told.append(f"CPU per byte with {how} (not judged): {listed(sizes)}.")
    return " ".join(told)


def _by_what_is_other(here: pd.DataFrame, cpu: Mapping[str, Verdict]) -> dict[str, list[str]]:
    """Return the sizes that nobody judges of paths that are decided, by what is other there."""
    found: dict[str, list[str]] = {}
    for path in (path for path, v in cpu.items() if v.verdict != OPEN):
        for how, effect in _otherwise(here, path, "cpu").items():
            found.setdefault(how, []).append(f"{_times(effect)} on {path}")
    return found
