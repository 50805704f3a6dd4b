"""Open-loop load on a CPU group: requests of known CPU cost, at scheduled times.

Worker processes run inside the group and burn CPU time by their own CPU clock. The
load generator, which also collects the answers, is this process, outside of the
group; its CPU time and its delay are part of the result. Open-loop: a request is
sent when its time has come, whether or not earlier ones were answered, and its
latency counts from that time, so a stall is seen by all requests that it delays.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from caveatlib.errors import DeadlineExceeded, MeasurementError
from caveatlib.experiments.quota.crew import Crew, ahead, started
from caveatlib.instruments import cpu
from caveatlib.places.cgroups.cgroup import Group, Stat
from caveatlib.support.arguments import check_number
from caveatlib.support.quantities import percent

COST_TOLERANCE = 0.05
"""A request whose burnt CPU time is further off than this is off cost."""
OFF_COST_SHARE = 0.01
FOREVER_S = 1e9
SETTLE_S, CONTEND_SETTLE_S = 0.3, 0.1
"""How long workers burn before they are counted: against a quota, and against each other."""


@dataclass(frozen=True)
class Load:
    """What a load did and what came of it. Times in seconds after the load's zero.

    Attributes
    ----------
    scheduled_s, started_s, ended_s : numpy.ndarray
        One value per request.
    request_cpu_s : numpy.ndarray
        CPU time that the worker's own clock counted for it.
    used : Stat
        What the group's counters added while the load ran.
    window_s : float
        How long it ran.
    samples : list of (float, Stat)
        Time and counters, where samples were wanted.
    generator_cpu_s : float
        CPU time of the load generator.
    generator_lag_s : float
        Longest delay in sending a request.
    neighbours_s : float
        CPU time that others took of our CPUs while it ran, the generator and the hypervisor
        among them.
    """

    scheduled_s: np.ndarray
    started_s: np.ndarray
    ended_s: np.ndarray
    request_cpu_s: np.ndarray
    used: Stat
    window_s: float
    samples: list[tuple[float, Stat]]
    generator_cpu_s: float
    generator_lag_s: float
    neighbours_s: float = 0.0

    @property
    def latency_s(self) -> np.ndarray:
        """From the scheduled time to the end of the work."""
        return self.ended_s - self.scheduled_s


def schedule(*, rate_per_s: float, requests: int, burst: int = 1, seed: int = 0) -> np.ndarray:
    """Return when requests are due, in seconds from zero on, ascending.

    They come one by one, or `burst` at once, at even distances; every distance is
    shifted at random by up to a tenth either way, so that a load never marches in
    step with the kernel's periods.

    Parameters
    ----------
    rate_per_s : float
        Mean rate of single requests, > 0.
    requests : int
    burst : int, optional
        Requests that are due at once.
    seed : int
    """
    check_number("rate_per_s", rate_per_s, above=0)
    check_number("number of requests", requests, least=1, whole=True)
    check_number("burst", burst, least=1, whole=True)
    count = math.ceil(requests / burst)
    shift = np.random.default_rng(seed).uniform(-0.1, 0.1, count)
    starts = (np.arange(count) + 0.5 + shift) * burst / rate_per_s
    return np.repeat(starts, burst)[:requests]


class LimitedGroup:
    """A limited group, and the loads that can be put on it.

    Attributes
    ----------
    group : Group
    """

    def __init__(self, group: Group):
        self.group = group

    def serve(
        self,
        due_s: Sequence[float],
        *,
        cost_s: float,
        workers: int,
        busy: int = 0,
        sample_every_s: float = 0.0,
        grace_s: float = 60.0,
    ) -> Load:
        """Send requests at their due times to workers in the group; wait for all answers.

        Parameters
        ----------
        due_s : sequence of float
            From `schedule`.
        cost_s : float
            CPU time of one request.
        workers : int
        busy : int, optional
            Further processes in the group that burn without a pause.
        sample_every_s : float, optional
            Distance of counter samples, 0 for none.
        grace_s : float, optional
            How long after the last due time answers may still come.

        Raises
        ------
        DeadlineExceeded
            If they do not all come.
        MeasurementError
            If a worker ends early, or more than 1 % of the requests are off their
            cost by more than 5 %.
        """
        due = np.asarray(due_s, dtype=float)
        with (
            started(self.group, workers) as crew,
            started(self.group, busy) as burning,
            ahead(),
        ):
            for number in range(busy):
                burning.send(number, FOREVER_S)
            watch = _Watch(self.group, crew, sample_every_s)
            lag = 0.0
            for number, at in enumerate(due):
                watch.until(at)
                lag = max(lag, watch.now() - at)
                crew.send(number, cost_s)
            deadline = due[-1] + grace_s
            while len(crew.answers) < len(due):
                if watch.now() > deadline:
                    raise DeadlineExceeded(
                        f"{len(due) - len(crew.answers)} of {len(due)} requests unanswered "
                        f"{grace_s:g} s after the last was due."
                    )
                watch.until(watch.now() + 0.02, lambda: len(crew.answers) == len(due))
            came_to = watch.stop()
        table = np.array(sorted(crew.answers), dtype=float)
        spent = table[:, 3]
        off = float(np.mean(np.abs(spent / cost_s - 1) > COST_TOLERANCE))
        if off > OFF_COST_SHARE:
            raise MeasurementError(
                f"{percent(off)} of requests burnt other than {cost_s:g} s of CPU time."
            )
        starts, ends = (table[:, 1] / 1e9 - watch.zero), (table[:, 2] / 1e9 - watch.zero)
        return Load(due, starts, ends, spent, generator_lag_s=lag, **came_to)

    def saturate(self, *, workers: int, duration_s: float) -> Load:
        """Keep workers burning without a pause, and count over a window after they settled."""
        none = np.array([])
        with started(self.group, workers) as crew, ahead():
            for number in range(workers):
                crew.send(number, FOREVER_S)
            time.sleep(SETTLE_S)
            watch = _Watch(self.group, crew)
            watch.until(duration_s)
            came_to = watch.stop()
        return Load(none, none, none, none, generator_lag_s=0.0, **came_to)

    def contend(self, other: LimitedGroup, *, duration_s: float) -> tuple[Stat, Stat]:
        """Let a process here compete with one in another group for one core; count both."""
        core = max(os.sched_getaffinity(0))
        groups = (self.group, other.group)
        with started(groups[0], 1) as one, started(groups[1], 1) as two, ahead():
            for crew in (one, two):
                os.sched_setaffinity(crew.processes[0].pid, {core})
                crew.send(0, FOREVER_S)
            time.sleep(CONTEND_SETTLE_S)
            before = [group.stat() for group in groups]
            time.sleep(duration_s)
            mine, theirs = (g.stat().since(b) for g, b in zip(groups, before, strict=True))
        return mine, theirs


class _Watch:
    """The clock of one load: waits, collects answers, takes samples."""

    def __init__(self, group: Group, crew: Crew, every_s: float = 0.0):
        self.group, self.crew, self.every = group, crew, every_s
        self.samples: list[tuple[float, Stat]] = []
        self._cpu = time.thread_time()
        self._busy = cpu.busy_s(stolen=True)
        self.begun = group.stat()
        self.zero = time.monotonic()
        self._next = 0.0 if every_s else math.inf

    def now(self) -> float:
        return time.monotonic() - self.zero

    def until(self, at: float, done: Callable[[], bool] = lambda: False) -> None:
        while (now := self.now()) < at and not done():
            if now >= self._next:
                self.samples.append((now, self.group.stat()))
                self._next = max(self._next + self.every, now)
                continue
            self.crew.collect(max(0.0, min(at, self._next) - now))

    def stop(self) -> dict:
        """Return what the load came to while it was watched, as `Load` names it."""
        used = self.group.stat().since(self.begun)
        busy_s = cpu.busy_s(stolen=True) - self._busy
        return {
            "used": used,
            "window_s": self.now(),
            "samples": [(t, stat.since(self.begun)) for t, stat in self.samples],
            "generator_cpu_s": time.thread_time() - self._cpu,
            "neighbours_s": max(0.0, busy_s - used.usage_s),
        }
