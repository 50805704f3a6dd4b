"""What a trial of `pods` does, and what it makes of what it is told."""

from __future__ import annotations

import re
from collections.abc import Mapping

from caveatlib.errors import MeasurementError
from caveatlib.experiments.pods.designs import TRIPS
from caveatlib.experiments.pods.schema import LIVES, SIGHTS
from caveatlib.places.base import TrialResult


def trial(place, conditions: Mapping, *, seed: int) -> TrialResult:
    """Time round trips in an arrangement, or probe what it seals off."""
    arrangement = conditions["arrangement"]
    if conditions["task"] == TRIPS:
        timed = place.trips(arrangement, delayed=bool(conditions["delayed"]))
        return TrialResult(
            counted(timed.said) | {"ready_s": timed.ready_s, "memory_bytes": timed.memory_bytes}
        )
    found = seen(place.look(arrangement))
    for name in LIVES:
        event = name.removeprefix("lives_")
        found[name] = float(place.survives(arrangement, event))
    return TrialResult(found)


def counted(said: str) -> dict[str, float]:
    """Return what the sidecar counted.

    Raises
    ------
    MeasurementError
        If it was not answered to the end.
    """
    # "= 800 0.000016 0.000041 0.000011": round trips, p50, p99, CPU time of each
    _, p50_s, p99_s, cpu_s = _numbers(said, 4)
    return {"p50_s": p50_s, "p99_s": p99_s, "cpu_s": cpu_s}


def seen(said: str) -> dict[str, float]:
    """Return what the probe saw of the application, and whether it could have its port.

    Raises
    ------
    MeasurementError
        If it told nothing.
    """
    *sights, binds = _numbers(said, len(SIGHTS) + 1)
    return dict(zip(SIGHTS, sights, strict=True)) | {"seen": sum(sights), "binds": binds}


def _numbers(said: str, count: int) -> list[float]:
    lines = re.findall(r"= ([\d. ]+)\n", said)
    if len(lines) != 1 or len(found := lines[0].split()) != count:
        raise MeasurementError(f"pair: {said[-80:]!r}. Must be {count} numbers.")
    return list(map(float, found))
