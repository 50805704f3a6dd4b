"""Fakes of the places of `scaling`: replicas in made-up times, newcomers in made-up lives.

For tests without an engine; never makes a number that is shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
from places.fake import CLOCK, on_clock, spec

from caveatlib.experiments.scaling import fitting
from caveatlib.experiments.scaling.client import RATE, Request
from caveatlib.experiments.scaling.discovery import Watched

ONE_PER_S, HELD = 48.5, 0.97
"""What one replica serves, and how much of the time the lock is held when all want it."""
STARTS_S = {"list": 0.3, "etcd": 0.32, "dns": 0.8}
SERVES_S, WATCHED_S = 0.4, 1.2
_RNG = np.random.default_rng(4)


def _near(value: float) -> float:
    return value * _RNG.uniform(0.99, 1.01)


class FakeBalanced:
    """Stands for `balancing.Balanced`."""

    def __init__(self, name: str):
        self.name = name

    def load(self, replicas: int, arguments: list[str]) -> tuple[str, float]:
        """Return what the load generator would count of a queue, or of a barrier."""
        CLOCK.passes(3)
        kind, _, clients, _, first, second = arguments
        if kind == "batch":
            lasted_s = _near(10 * (int(first) + int(second)) / 1e6)
            return f"= 10 0 {lasted_s:.9f} 0 0\n", 0.1
        rate = replicas * ONE_PER_S
        if int(second):
            rate = min(rate, HELD * 1e6 / int(second))
        rate = _near(rate)
        p50_s = int(clients) / rate
        return f"= 1000 0 {1000 / rate:.9f} {p50_s:.9f} {1.1 * p50_s:.9f}\n", 0.1

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}


class FakeDiscovery(FakeBalanced):
    """Stands for `discovery.Discovery`."""

    def watch(
        self, found_by: str, ttl_s: int, *, start_after_s: float = 0.0, kill_after_s: float = 0.0
    ) -> Watched:
        """Return the requests to a newcomer that is forgotten when its TTL is nearly over."""
        CLOCK.passes(8 + 3 * ttl_s)
        started_s = 100.0 + start_after_s
        served_s = started_s + _near(STARTS_S[found_by])
        killed_s = served_s + SERVES_S + kill_after_s
        over_s = killed_s + ttl_s + WATCHED_S
        known = (served_s, killed_s + _near(0.9 * ttl_s)) if ttl_s else (started_s, over_s)
        requests = []
        for number in range(round((over_s - started_s) * RATE)):
            due_s = started_s + number / RATE + _near(0.001)
            newcomer = number % 2 == 1 and known[0] <= due_s <= known[1]
            lost = newcomer and not served_s <= due_s <= killed_s
            requests.append(Request(due_s, newcomer, math.nan if lost else due_s + 0.001))
        own = {"etcd": {"expiry_s": _near(ttl_s + 0.2)}, "dns": {"dns_ttl_s": 600.0}}
        return Watched(started_s, killed_s, requests, **own.get(found_by, {}))


PLACES = {
    "haproxy": spec(FakeBalanced, "haproxy", on_clock),
    "discovery": spec(FakeDiscovery, "discovery", on_clock),
}


@contextmanager
def patched() -> Iterator[None]:
    """Resample few times."""
    with patch.object(fitting, "RESAMPLES", 20):
        yield
