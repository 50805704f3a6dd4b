"""What one trial of `kernel` does, and what its heartbeats come to."""

from __future__ import annotations

import errno
import statistics
from collections.abc import Mapping

from caveatlib.experiments.kernel.tenants import NAMES
from caveatlib.experiments.kernel.watching import Beat, Watched, between
from caveatlib.places.base import TrialResult

GAP_S, USUAL = 1.0, 2
"""A gap is harm that is longer by more than this than so many times any before the fault, and any
of the host's own heartbeat: where sandboxes are emulated, seconds pass between two heartbeats."""
MOVED_S = 60.0
"""A clock that steps by more has been moved; an emulated guest's strays by less."""
REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOENT, errno.EROFS, errno.ENOSYS)


def trial(place, conditions: Mapping, *, seed: int) -> TrialResult:
    """Let one of four tenants, drawn by the seed, do its harm, and count how its neighbours fare.

    Raises
    ------
    DeadlineExceeded
        If a tenant's heartbeat, or the fault, does not come in time.
    MeasurementError
        If a guest ends before the fault, or the host lacks memory for the guests.
    """
    culprit = NAMES[seed % len(NAMES)]
    found = place.strike(conditions["fault"], culprit, limited=bool(conditions["limited"]))
    bomb = conditions["fault"] == "tasks" and found.struck
    tasks = {"tasks": float(found.struck[0])} if bomb else {}
    return TrialResult(measures(found, culprit) | tasks | {"accel": place.accel})


def measures(found: Watched, culprit: str) -> dict[str, float]:
    """Return what became of the culprit's neighbours, as columns of `schema.Trials`."""
    told = {name: _fate(beats, found) for name, beats in found.beats.items()}
    ended_itself = not told.pop(culprit)["survived"]
    alive = [fate for fate in told.values() if fate["survived"]]
    harmed = sum(_is_harmed(fate, found.host_gap_s) for fate in alive)
    row = {
        "survivors": len(alive),
        "harmed": harmed,
        "none_survived": not alive,
        "all_survived": len(alive) == len(told),
        "all_unharmed": len(alive) == len(told) and not harmed,
        "failed_forks": sum(fate["forks"] for fate in told.values()),
        "failed_writes": sum(fate["writes"] for fate in told.values()),
        "clock_step_s": max(fate["step_s"] for fate in told.values()),
        "culprit_ended": ended_itself,
        "refused": found.struck is not None and found.struck[1] in REFUSALS,
        "ready_s": found.ready_s - found.started_s,
        "clock_rate": max((fate["rate"] for fate in told.values()), key=lambda r: abs(r - 1)),
        "host_gap_s": found.host_gap_s,
    }
    lasts = [fate["last_s"] for fate in told.values() if not fate["survived"]]
    gaps = [gap for fate in told.values() for gap in fate["gaps"]]
    beats = [gap for fate in alive for gap in fate["gaps"]]
    row |= {"last_beat_s": min(lasts)} if lasts else {}
    row |= {"longest_gap_s": max(gaps)} if gaps else {}
    row |= {"beat_s": statistics.median(beats)} if beats else {}
    return {name: float(value) for name, value in row.items()}


def _fate(beats: list[Beat], found: Watched) -> dict:
    """Return what one tenant's heartbeats tell of the time after the fault."""
    before = [beat for beat in beats if beat.at_s <= found.fault_s]
    after = [beat for beat in beats if beat.at_s > found.fault_s]
    first, last_before = before[0], before[-1]
    offset = last_before.clock_s - last_before.at_s
    steps = [abs(beat.clock_s - beat.at_s - offset) for beat in after]
    last = beats[-1]
    return {
        "survived": last.at_s >= found.ended_s - found.silent_s,
        "last_s": last.at_s - found.fault_s,
        "gaps": between([last_before, *after]) if after else [],
        "usual_s": max(between(before)),
        "forks": last.failed_forks - last_before.failed_forks,
        "writes": last.failed_writes - last_before.failed_writes,
        "step_s": max(steps, default=0.0),
        "rate": (last_before.clock_s - first.clock_s) / (last_before.at_s - first.at_s),
    }


def _is_harmed(fate: dict, host_gap_s: float) -> bool:
    slowed = max(fate["gaps"], default=0.0) > GAP_S + USUAL * max(fate["usual_s"], host_gap_s)
    failed = fate["forks"] or fate["writes"]
    return bool(slowed or failed or fate["step_s"] > MOVED_S)
