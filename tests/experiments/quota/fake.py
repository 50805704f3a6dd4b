"""A fake place with CPU limits: answers by the model of `caveatlib.experiments.quota.cfs`, at once.

For tests of the experiment and its errors without root; never makes a number
that is shown.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from itertools import count
from unittest.mock import patch

import numpy as np
from places.fake import spec

from caveatlib.experiments.quota import cfs, designs, model, workloads
from caveatlib.experiments.quota.cpu_counts import TOOLS, Answer
from caveatlib.experiments.quota.load import SETTLE_S, Load
from caveatlib.places.cgroups.cgroup import Stat

CORES = 2
READINGS = count(1)
"""Of all places and sessions: a clock reads no two alike."""
SEEDS = 0
"""So many of the loads of an arm differ but by what a clock reads; 0: each does."""
REAL = {"arrivals": workloads.arrivals, "simulated": model._simulated}
_simulated = cache(cfs.simulate)


class FakeLimitedPlace:
    """A place whose groups simulate.

    With a `leak` of 1.3 a quota lets 1.3 times its CPU time through, and throttles
    in few of the periods.
    """

    def __init__(self, name: str, *, leak: float = 1.0):
        self.name, self.leak = name, leak
        self.created = 0

    @contextmanager
    def limited(
        self, *, quota_us: int | None = None, period_us: int = 100_000, weight: int = 100
    ) -> Iterator[FakeLimitedGroup]:
        """Yield a group with these limits."""
        self.created += 1
        yield FakeLimitedGroup(quota_us, period_us, weight, seed=self.created, leak=self.leak)

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}


class FakeLimitedGroup:
    """Stands for `load.LimitedGroup`; its group runs programs without any limit."""

    def __init__(
        self, quota_us: int | None, period_us: int, weight: int, *, seed: int, leak: float = 1.0
    ):
        self.group = self
        self._weight, self._seed, self._leaks = weight, seed, leak > 1
        self._period_s = period_us / 1e6
        self._quota = float("inf") if quota_us is None else leak * quota_us / period_us

    def spawn(self, argv: list[str], **popen) -> subprocess.Popen:
        """Start a program as it is."""
        return subprocess.Popen(argv, **popen)

    def serve(
        self,
        due_s: Sequence[float],
        *,
        cost_s: float,
        workers: int,
        busy: int = 0,
        sample_every_s: float = 0.0,
    ) -> Load:
        """Simulate `load.LimitedGroup.serve`."""
        return self._load(due_s, sample_every_s, cost_s=cost_s, threads=workers, busy=busy)

    def saturate(self, *, workers: int, duration_s: float) -> Load:
        """Simulate `load.LimitedGroup.saturate`, counted after it settled."""
        return self._load((), SETTLE_S, threads=0, busy=workers, duration_s=SETTLE_S + duration_s)

    def contend(self, other: FakeLimitedGroup, *, duration_s: float) -> tuple[Stat, Stat]:
        """Share one core by weight."""
        mine = duration_s * self._weight / (self._weight + other._weight)
        return Stat(0, 0, 0.0, mine), Stat(0, 0, 0.0, duration_s - mine)

    def _load(self, due_s, every, **options) -> Load:
        done = _simulated(
            tuple(due_s),
            quota_cpus=self._quota,
            period_s=self._period_s,
            cores=CORES,
            sample_every_s=every,
            seed=self._seed % SEEDS if SEEDS else self._seed,
            **options,
        )
        names = ["nr_periods", "nr_throttled", "throttled_s", "usage_s"]
        rows = done.timeline.to_dict("records")
        samples = [(row["t_s"], Stat(*(row[n] for n in names))) for row in rows]
        begun_s, begun = (0.0, Stat(0, 0, 0.0, 0.0)) if len(due_s) else samples[1]
        end_s, end = samples[-1]
        times = [done.requests[n].to_numpy() for n in ("scheduled_s", "started_s", "ended_s")]
        # A model's times are as round as its costs; a clock's are not.
        random = np.random.default_rng(next(READINGS))
        times[2] = times[2] + random.uniform(0, 1e-6, len(times[2]))
        spent = np.full(len(due_s), options.get("cost_s", 0.0))
        used = end.since(begun)
        late = random.uniform(0, 1e-6, 3)
        throttled_s = used.throttled_s + late[1] * (used.throttled_s > 0)
        used = replace(used, usage_s=used.usage_s + late[0], throttled_s=throttled_s)
        if self._leaks:
            used = replace(used, nr_throttled=used.nr_throttled // 10)
        return Load(*times, spent, used, end_s - begun_s + late[2], samples[:-1], 0.001, 0.0)


PLACES = {name: spec(FakeLimitedPlace, name) for name in ("cgroup", "docker")}
ARGUMENTS = {
    "simulate": None,
    "residuals": lambda trials: {"simulated": model.simulate(trials, repeats=1)},
}


def _asked(tool: str, group) -> Answer:
    """Answer for a tool: Java sees its limit, the others do not."""
    return Answer("1.0", 1 if tool.startswith("java") else CORES)


def _arrivals(conditions, *, seed: int):
    """Return when requests are due, in each trial of an arm at the same times."""
    return REAL["arrivals"](conditions, seed=0)


def _by_model(conditions: dict, *, seed: int) -> dict:
    return _by_model_once(tuple(conditions.items()), seed)


@cache
def _by_model_once(conditions: tuple, seed: int) -> dict:
    return REAL["simulated"](dict(conditions), seed=seed)


@contextmanager
def patched() -> Iterator[None]:
    """Have every tool installed, few requests, two loads an arm, and nothing simulated twice."""
    with ExitStack() as stack:
        for module, name, stand_in in (
            (designs, "installed", lambda: list(TOOLS)),
            (workloads, "ask", _asked),
            (workloads, "REQUESTS", 30),
            (workloads, "FEWEST", 30),
            (workloads, "LEAST_BURSTS", 2),
            (workloads, "FULL_S", 0.3),
            (workloads, "arrivals", _arrivals),
            (model, "_simulated", _by_model),
            (sys.modules[__name__], "SEEDS", 2),
        ):
            stack.enter_context(patch.object(module, name, stand_in))
        yield
