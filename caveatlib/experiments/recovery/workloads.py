"""What one trial of `recovery` comes to: phases, requests, the volume, the price."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from caveatlib.experiments.recovery.asking import LATE_S, RATE, Answer
from caveatlib.experiments.recovery.striking import Watched
from caveatlib.places.base import TrialResult

BEFORE_S = 0.5
"""So much of the time before the fault is in the timeline."""
AT_END_S = 0.5
"""Who answered in this time before the end of the watch was there at the end."""


def trial(place, conditions: Mapping, *, seed: int) -> TrialResult:
    """Let a fault happen to a service that is kept; see `striking`.

    Raises
    ------
    DeadlineExceeded
        If not all replicas answer in the beginning.
    MeasurementError
        If a node, a service or a keeper fails otherwise than by the fault.
    """
    keeper, fault, replicas = (conditions[name] for name in ("keeper", "fault", "replicas"))
    found = place.strike(keeper, fault, replicas, seed=seed)
    own = {"keeper": keeper, "fault": fault, "replicas": replicas}
    shown = not conditions["replicate"] and fault not in ("none", "pause")
    rows = [own | {"t_s": t, "answering": n} for t, n in timeline(found)] if shown else []
    return TrialResult(measures(found, fault), {"timeline": rows})


def measures(found: Watched, fault: str) -> dict[str, float]:
    """Return what became of a service, as columns of `schema.Trials`."""
    in_time = answered(found)
    numbers = [n for n, due in enumerate(found.due) if found.fault_s <= due <= found.ended_s]
    lost = sum(not in_time[n] for n in numbers)
    slots = range(1, found.replicas + 1)
    missed = sum(slots[n % found.replicas] not in in_time[n] for n in numbers)
    at_end = [n for n in numbers if found.due[n] >= found.ended_s - AT_END_S]
    there = set().union(*(in_time[n] for n in at_end)) if at_end else set()
    row = {
        "requests": len(numbers),
        "lost": lost,
        "missed": missed,
        "answered_share": 1 - lost / len(numbers) if numbers else math.nan,
        "silent_s": lost / RATE,
        "lacking": found.replicas - len(there),
        "ready_s": found.ready_s,
        "keeper_processes": found.price.processes,
        "keeper_bytes": found.price.memory_bytes,
        "keeper_ports": found.price.ports,
        "client_late_s": found.client_late_s,
    }
    row |= _on_volume(found) | (_phases(found) if fault not in ("none", "pause") else {})
    if fault == "cut":
        row |= _still(found)
    return {name: float(value) for name, value in row.items()}


def answered(found: Watched) -> list[set[int]]:
    """Return for each request the slots whose replica answered in time."""
    in_time: list[set[int]] = [set() for _ in found.due]
    for told in found.answers:
        if told.number < len(found.due) and told.at_s - found.due[told.number] <= LATE_S:
            in_time[told.number].add(told.slot)
    return in_time


def timeline(found: Watched) -> Iterator[tuple[float, int]]:
    """Yield when the number of replicas that answer changed, from before the fault to the end."""
    known = None
    for due, slots in zip(found.due, answered(found), strict=True):
        if found.fault_s - BEFORE_S <= due <= found.ended_s and len(slots) != known:
            known = len(slots)
            yield due - found.fault_s, known
    if known is not None:
        yield found.ended_s - found.fault_s, known


def replacements(found: Watched) -> dict[int, Answer]:
    """Return for each slot that was hit the first answer of the process that took its place."""
    first: dict[int, Answer] = {}
    for told in found.answers:
        new = told.begun_ns * 1e-9 > found.fault_s
        if new and told.slot in found.hit and told.slot not in first:
            first[told.slot] = told
    return first


def _phases(found: Watched) -> dict[str, float]:
    first = replacements(found)
    recovered = bool(found.hit) and first.keys() == found.hit
    row: dict[str, float] = {"recovered": recovered}
    if found.noticed_s is not None:
        row["noticed_s"] = found.noticed_s - found.fault_s
    if first:
        row["restarted_s"] = min(t.begun_ns for t in first.values()) * 1e-9 - found.fault_s
        row["answered_s"] = min(t.at_s for t in first.values()) - found.fault_s
    if recovered:
        row["back_s"] = max(t.at_s for t in first.values()) - found.fault_s
    return row


def _on_volume(found: Watched) -> dict[str, float]:
    """Return which tickets that clients were given are missing there, and which are twice."""
    given = {(told.slot, told.ticket, told.begun_ns) for told in (*found.answers, *found.inside)}
    numbers: dict[tuple[int, int], set[int]] = {}
    for slot, ticket, begun in found.written:
        numbers.setdefault((slot, ticket), set()).add(begun)
    return {
        "unkept": len(given - set(found.written)),
        "twice": sum(len(writers) > 1 for writers in numbers.values()),
    }


def _still(found: Watched) -> dict[str, float]:
    """Return whether one that was cut off answered on its side after its replacement did."""
    first = replacements(found)
    later = [told for told in found.inside if told.slot in first]
    return {"still_serving": any(told.at_s > first[told.slot].at_s for told in later)}
