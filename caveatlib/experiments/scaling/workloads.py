"""What a trial of `scaling` does, and what it makes of what it is told."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from caveatlib.errors import MeasurementError
from caveatlib.experiments.scaling.balancing import FRONT
from caveatlib.experiments.scaling.client import Request
from caveatlib.experiments.scaling.discovery import Watched
from caveatlib.experiments.scaling.schema import MOMENTS
from caveatlib.places.base import TrialResult

SERVICE_US = 20_000
UNITS = 16
"""Work of a batch in requests of `SERVICE_US`: as much as the most replicas do at once."""
MEASURED_S, KEPT_S = 0.8, 0.2
"""How long replicas are under load; the end of a watch."""


def trial(place, conditions: Mapping, *, seed: int) -> TrialResult:
    """Put replicas under load, or let a container come and go."""
    if conditions["work"] == "register":
        found_by, ttl_s = conditions["found_by"], conditions["ttl_s"]
        at = moments(ttl_s, seed=seed)
        return TrialResult(told(place.watch(found_by, ttl_s, **at)) | at)
    said, cpu_share = place.load(conditions["replicas"], asked(conditions))
    return TrialResult(counted(said, conditions["work"]) | {"cpu_share": cpu_share})


def moments(ttl_s: int, *, seed: int) -> dict[str, float]:
    """Return when to start and to kill a container; nothing where clients have no period.

    A client asks the DNS, and a container renews its lease, at moments that hang on when the
    client began and when it was first answered. So each is drawn, uniformly over one TTL.
    """
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(0, ttl_s) for name in MOMENTS} if ttl_s else {}


def asked(conditions: Mapping) -> list[str]:
    """Return the arguments of the load generator for an arm."""
    replicas, share = conditions["replicas"], conditions["serial_share"]
    if conditions["work"] == "lock":
        numbers = (2 * replicas, MEASURED_S, SERVICE_US, round(share * SERVICE_US))
        return ["closed", str(FRONT), *map(_number, numbers)]
    whole = UNITS * SERVICE_US
    numbers = (replicas, MEASURED_S, round(share * whole), round((1 - share) * whole / replicas))
    return ["batch", str(FRONT), *map(_number, numbers)]


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def counted(said: str, work: str) -> dict[str, float]:
    """Return what the load generator counted.

    Raises
    ------
    MeasurementError
        If requests failed, or too few were served to tell a rate.
    """
    # "= 237 0 0.996 0.081 0.084": served, failed, seconds, p50, p99
    found = re.fullmatch(r"= (\d+) (\d+) ([\d.]+) ([\d.]+) ([\d.]+)\n", said)
    if found is None:
        raise MeasurementError(f"load: {said[-80:]!r}. Must be five numbers.")
    served, failed, lasted_s, p50_s, p99_s = map(float, found.groups())
    if failed or not served or not lasted_s:
        raise MeasurementError(f"{failed:g} requests failed, {served:g} were served.")
    if work == "barrier":
        return {"throughput_per_s": UNITS * served / lasted_s}
    return {"throughput_per_s": served / lasted_s, "p50_s": p50_s, "p99_s": p99_s}


def told(watched: Watched) -> dict[str, float]:
    """Return what became of the requests to a container that came and was killed.

    Raises
    ------
    MeasurementError
        If none was served.
    """
    own = [request for request in watched.requests if request.newcomer]
    served = [request for request in own if not math.isnan(request.answered_s)]
    if not served:
        raise MeasurementError("No request to the container was answered.")
    first = min(request.answered_s for request in served)
    lost = [request.due_s for request in own if math.isnan(request.answered_s)]
    begun = min(request.due_s for request in served)
    last = max(request.due_s for request in watched.requests)
    leaving = [due_s for due_s in lost if due_s > begun]
    found = {
        "served_s": first - watched.started_s,
        "lost_joining": float(sum(watched.started_s <= due_s <= begun for due_s in lost)),
        "lost_s": max(0.0, max(leaving, default=0.0) - watched.killed_s),
        "lost_leaving": float(len(leaving)),
        "kept": float(max(r.due_s for r in own) > last - KEPT_S),
        "others_lost": float(_lost(watched.requests)),
    }
    known = {"expiry_s": watched.expiry_s, "dns_ttl_s": watched.dns_ttl_s}
    return found | {name: value for name, value in known.items() if not math.isnan(value)}


def _lost(requests: Sequence[Request]) -> int:
    """Return how many requests to the other container were lost."""
    return sum(math.isnan(request.answered_s) for request in requests if not request.newcomer)
