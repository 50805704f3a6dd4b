"""A model of CFS bandwidth control: what a CPU quota does to threads, simulated.

What the kernel's text says (Documentation/scheduler/sched-bwc.rst, Linux 6.18),
and what this model takes from it:

* "Within each given period, a task group is allocated up to quota microseconds
  of CPU time. That quota is assigned to per-cpu run queues in slices as threads
  in the cgroup become runnable." A run queue without run time asks the global
  pool for what fills it up to one slice (``sched_cfs_bandwidth_slice_us``, 5 ms).
* "Once all quota has been assigned any additional requests for quota will
  result in those threads being throttled. Throttled threads will not be able to
  run again until the next period when the quota is replenished."
* Run time is looked at when a thread starts or stops and at every timer tick,
  so a queue may overrun by up to a tick; the debt is paid from the next period.
* "All but 1ms of the slice may be returned to the global pool if all threads on
  that cpu become unrunnable" (``min_cfs_rq_runtime``); the slack timer hands it
  to throttled queues 5 ms later unless the period is nearly over.
* Run time on a run queue does not expire at the end of a period (since 5.4).
* The period timer stops after a period in which nothing asked, so idle periods
  are not counted.

Left out on purpose: wake-up and switching time, other load on the machine,
burst (``cpu.cfs_burst_us``), nested limits, and how the scheduler alternates
between threads on one core (they share it evenly here). A waiting thread moves
to a core that becomes idle, and a woken one to its last core or an idle one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from caveatlib.errors import UsageError
from caveatlib.support.arguments import check_number

SLICE_S = 0.005
"""``/proc/sys/kernel/sched_cfs_bandwidth_slice_us``."""
TICK_S = 0.004
"""One over CONFIG_HZ: 250 here, 1000 in other kernels."""
KEEP_S = 0.001
"""``min_cfs_rq_runtime``: what a queue keeps when its last thread stops."""
SLACK_S = 0.005
"""``cfs_bandwidth_slack_period``: when returned run time is handed out again."""
SLACK_LATEST_S = 0.007
"""The slack timer is not started this near to the end of the period."""
_SOON = 1e-9


@dataclass(frozen=True, repr=False)
class Simulation:
    """What a simulation yields.

    Attributes
    ----------
    requests : pandas.DataFrame
        One row per request: `scheduled_s`, `started_s`, `ended_s`, `latency_s`
        (NaN where the simulation ended first), `source`.
    timeline : pandas.DataFrame
        Cumulative counters as ``cpu.stat`` has them, one row per sample: `t_s`,
        `nr_periods`, `nr_throttled`, `throttled_s`, `usage_s`, `source`. The
        last row is the end.
    """

    requests: pd.DataFrame
    timeline: pd.DataFrame

    def __repr__(self):
        end = self.totals
        return (
            f"Simulation of {end['t_s']:.3g} s: {len(self.requests)} requests, "
            f"{end['nr_throttled']:.0f} of {end['nr_periods']:.0f} periods throttled"
        )

    @property
    def totals(self) -> pd.Series:
        """The counters at the end."""
        return self.timeline.iloc[-1]


def simulate(
    due_s: Sequence[float] = (),
    *,
    quota_cpus: float,
    period_s: float = 0.1,
    cores: int,
    threads: int,
    cost_s: float = 0.005,
    busy: int = 0,
    duration_s: float | None = None,
    slice_s: float = SLICE_S,
    sample_every_s: float = 0.0,
    seed: int = 0,
) -> Simulation:
    """Simulate threads under a CPU quota.

    Parameters
    ----------
    due_s : sequence of float
        When requests are due, ascending. Each free thread takes the oldest.
    quota_cpus : float
        Quota over period, in CPUs; ``math.inf`` for no limit.
    period_s : float
        From 0.001 to 1.
    cores : int
    threads : int
        Threads that serve requests.
    cost_s : float
        CPU time of one request.
    busy : int, optional
        Further threads that run without a pause.
    duration_s : float, optional
        When to end; default when every request is served. Needed with no requests.
    slice_s : float, optional
        Of the kernel, in seconds.
    sample_every_s : float, optional
        Distance of the timeline's samples, 0 for the end only.
    seed : int
        Decides where in a period and a tick the time begins, and which core
        comes first when several ask at once.

    Returns
    -------
    Simulation

    Raises
    ------
    UsageError
        If a number is out of range.
    """
    if not quota_cpus > 0:  # infinite: no limit
        raise UsageError(f"Invalid quota_cpus {quota_cpus!r}. Must be > 0.")
    for name, value in (("cost_s", cost_s), ("slice_s", slice_s)):
        check_number(name, value, above=0)
    check_number("period_s", period_s, least=0.001, most=1)
    check_number("sample_every_s", sample_every_s, least=0)
    if duration_s is not None:
        check_number("duration_s", duration_s, above=0)
    for name, count in (("cores", cores), ("threads", threads), ("busy", busy)):
        check_number(f"number of {name}", count, least=0, whole=True)
    if cores < 1 or threads + busy < 1 or threads < (len(due_s) > 0) or busy < 0:
        raise UsageError(f"{cores} cores, {threads} + {busy} threads. Must be at least one each.")
    if duration_s is None and not len(due_s):
        raise UsageError("No requests and no duration. One of them must say when it ends.")
    machine = _Machine(cores, threads, busy, quota_cpus, period_s, slice_s, seed)
    end = math.inf if duration_s is None else duration_s
    due = np.asarray(due_s, dtype=float)
    rows, started, ended = machine.run(due, cost_s, end, sample_every_s)
    names = ["t_s", "nr_periods", "nr_throttled", "throttled_s", "usage_s"]
    timeline = pd.DataFrame(rows, columns=names).astype(dict.fromkeys(names[1:3], int))
    requests = pd.DataFrame({"scheduled_s": due, "started_s": started, "ended_s": ended})
    requests["latency_s"] = requests["ended_s"] - requests["scheduled_s"]
    return Simulation(requests.assign(source="simulated"), timeline.assign(source="simulated"))


class _Machine:
    """Cores with run time, threads with work, one global pool, one period timer."""

    def __init__(self, cores, threads, busy, quota_cpus, period_s, slice_s, seed):
        self.rng = np.random.default_rng(seed)
        self.quota, self.period = quota_cpus * period_s, period_s
        self.limited = math.isfinite(self.quota)
        self.slice = slice_s
        self.pool = self.quota
        self.runtime = np.zeros(cores)
        self.throttled = np.zeros(cores, dtype=bool)
        self.nr = np.zeros(cores, dtype=int)  # runnable threads per core
        total = threads + busy
        self.core = np.arange(total) % cores
        self.work = np.zeros(total)  # CPU seconds left of the request in hand
        self.request = np.full(total, -1)
        self.free = deque(range(threads))
        self.waiting: deque[int] = deque()
        self.timer_on, self.idle, self.slack_at = False, False, math.inf
        # an active kernel's timers know nothing of our zero
        self.next_period = self.rng.uniform(0, period_s)
        self.next_tick = self.rng.uniform(0, TICK_S)
        self.nr_periods = self.nr_throttled = 0
        self.throttled_s = self.usage_s = 0.0
        self.now = 0.0
        for thread in range(threads, total):
            self._wake(thread, math.inf)

    def run(self, due, cost, end, every):
        """Go from event to event; return samples and when requests started and ended."""
        started, ended = np.full(len(due), np.nan), np.full(len(due), np.nan)
        rows, next_sample, arrived, served = [], (0.0 if every else math.inf), 0, 0
        while served < len(due) or math.isfinite(end):
            rate = self._rates()
            next_due = due[arrived] if arrived < len(due) else math.inf
            active = bool(rate.any())
            next_end = float(np.min(self.work[rate > 0] / rate[rate > 0])) if active else math.inf
            at = min(
                next_due,
                self.now + next_end,
                self.next_tick if active else math.inf,
                self.next_period if self.timer_on else math.inf,
                self.slack_at,
                next_sample,
                end,
            )
            self._advance(at, rate)
            if at == next_sample:
                rows.append(self._counters())
                next_sample += every
            if at >= end:
                break
            while arrived < len(due) and due[arrived] <= self.now + _SOON:
                self.waiting.append(arrived)
                arrived += 1
            done = np.flatnonzero((self.request >= 0) & (self.work <= _SOON))
            for thread in done:
                ended[self.request[thread]] = self.now
                served += 1
                self._stop_or_go_on(thread, cost, started)
            while self.waiting and self.free:
                thread = self.free.popleft()
                self._take(thread, cost, started)
                self._wake(thread, cost)
            self._timers()
        rows.append(self._counters())
        return rows, started, ended

    def _rates(self) -> np.ndarray:
        """Return how fast each thread's work shrinks: threads of a core share it evenly."""
        runs = (self.work > 0) & ~self.throttled[self.core]
        return np.where(runs, 1.0 / np.maximum(self.nr, 1)[self.core], 0.0)

    def _advance(self, at: float, rate: np.ndarray) -> None:
        step = at - self.now
        if step > 0:
            self.work -= rate * step
            running = (self.nr > 0) & ~self.throttled
            self.runtime[running] -= step
            self.usage_s += step * np.count_nonzero(running)
            self.throttled_s += step * np.count_nonzero(self.throttled)
        self.now = at

    def _counters(self) -> tuple:
        return (self.now, self.nr_periods, self.nr_throttled, self.throttled_s, self.usage_s)

    # ---- threads ---------------------------------------------------------------

    def _take(self, thread: int, cost: float, started: np.ndarray) -> None:
        self.request[thread] = self.waiting.popleft()
        started[self.request[thread]] = self.now
        self.work[thread] = cost

    def _stop_or_go_on(self, thread: int, cost: float, started: np.ndarray) -> None:
        self.request[thread], self.work[thread] = -1, 0.0
        if self.waiting:
            self._take(thread, cost, started)
            return
        self.free.append(thread)
        core = self.core[thread]
        self.nr[core] -= 1
        if self.nr[core] == 0:
            self._go_idle(core)

    def _wake(self, thread: int, work: float) -> None:
        """Make a thread runnable: on its last core if that is idle, else where least waits."""
        core = self.core[thread]
        if self.nr[core]:
            core = int(np.argmin(self.nr))
        self.core[thread], self.work[thread] = core, work
        self.nr[core] += 1
        if self.nr[core] == 1:
            self._ask(np.array([core]))

    def _go_idle(self, core: int) -> None:
        """Return what is left of the slice, then pull a thread that waits elsewhere."""
        if self.limited and self.runtime[core] > KEEP_S:
            self.pool += self.runtime[core] - KEEP_S
            self.runtime[core] = KEEP_S
            near = self.timer_on and self.next_period - self.now <= SLACK_LATEST_S
            if self.pool > self.slice and self.throttled.any() and not near:
                self.slack_at = min(self.slack_at, self.now + SLACK_S)
        crowd = np.where(self.throttled, 0, self.nr)
        other = int(np.argmax(crowd))
        # a thread that ends at this very instant is not worth pulling
        waits = np.flatnonzero((self.core == other) & (self.work > _SOON))
        if crowd[other] >= 2 and len(waits):
            self.core[waits[-1]] = core
            self.nr[other] -= 1
            self.nr[core] = 1
            self._ask(np.array([core]))

    # ---- bandwidth -------------------------------------------------------------

    def _ask(self, cores: np.ndarray) -> None:
        """Fill run queues without run time up to a slice each; throttle those left without."""
        cores = cores[(self.runtime[cores] <= 0) & ~self.throttled[cores]]
        if not self.limited or not len(cores):
            return
        self._start_timer()
        cores = self.rng.permutation(cores)
        self._hand_out(cores, self.slice - self.runtime[cores])
        self.throttled[cores] = self.runtime[cores] <= 0

    def _hand_out(self, cores: np.ndarray, wanted: np.ndarray) -> None:
        before = np.cumsum(wanted) - wanted
        given = np.clip(self.pool - before, 0, wanted)
        self.runtime[cores] += given
        self.pool -= float(given.sum())
        self.idle = False if given.any() else self.idle

    def _start_timer(self) -> None:
        if not self.timer_on:
            self.timer_on = True
            missed = math.floor((self.now - self.next_period) / self.period) + 1
            self.next_period += max(0, missed) * self.period

    def _timers(self) -> None:
        if self.slack_at <= self.now + _SOON:
            self.slack_at = math.inf
            if self.pool > self.slice:
                self._unthrottle()
        if self.timer_on and self.next_period <= self.now + _SOON:
            self._period()
        if self.next_tick <= self.now + _SOON:
            self._ask(np.flatnonzero(self.nr > 0))
            missed = math.floor((self.now - self.next_tick + _SOON) / TICK_S) + 1
            self.next_tick += missed * TICK_S

    def _period(self) -> None:
        self.next_period += self.period
        self.nr_periods += 1
        if self.idle and not self.throttled.any():
            self.timer_on = False
            self.pool = self.quota
            return
        self.pool = self.quota
        if not self.throttled.any():
            self.idle = True
            return
        self.nr_throttled += 1
        self._unthrottle()
        self.idle = False

    def _unthrottle(self) -> None:
        """Pay the debts of throttled queues; those that are paid run on."""
        cores = self.rng.permutation(np.flatnonzero(self.throttled))
        self._hand_out(cores, _SOON - self.runtime[cores])
        self.throttled[cores] = self.runtime[cores] <= 0
