"""The open-loop load: schedules, the cost of a request, and what happens when it goes wrong."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from caveatlib.errors import DeadlineExceeded, MeasurementError, UsageError
from caveatlib.experiments.quota import load, load_worker
from caveatlib.places.cgroups.cgroup import Stat


@pytest.fixture(autouse=True)
def busy_machine(monkeypatch):
    """Where the time that a machine is held up counts as used, requests may cost more."""
    monkeypatch.setattr(load, "OFF_COST_SHARE", 1.0)


class NoGroup:
    """A group without limits, for loads that need none."""

    def __init__(self):
        self.joined = []

    def add(self, pid):
        self.joined.append(pid)

    def stat(self):
        return Stat(0, 0, 0.0, 0.0)


def test_steady_schedule():
    """Steady requests come one by one at the wanted rate, never far from their place."""
    due = load.schedule(rate_per_s=100, requests=500, seed=1)
    assert len(due) == 500
    assert due[-1] == pytest.approx(5, abs=0.02)
    assert 0.008 - 1e-9 <= np.diff(due).min() < 0.0099
    assert 0.0101 < np.diff(due).max() <= 0.012 + 1e-9


def test_burst_schedule():
    """Bursts hold so many requests at one instant and keep the mean rate."""
    due = load.schedule(rate_per_s=100, requests=90, burst=20, seed=1)
    times, sizes = np.unique(due, return_counts=True)
    assert list(sizes) == [20, 20, 20, 20, 10]
    assert np.diff(times).mean() == pytest.approx(0.2, rel=0.15)


def test_schedule_follows_its_seed():
    """The same seed gives the same schedule, another one does not."""
    one, two, other = (load.schedule(rate_per_s=10, requests=20, seed=s) for s in (1, 1, 2))
    assert (one == two).all()
    assert (one != other).any()


@pytest.mark.parametrize(("rate", "burst", "rule"), [(0, 1, "> 0"), (1, 0, ">= 1")])
def test_impossible_schedule(rate, burst, rule):
    """An impossible rate or size of bursts is refused."""
    with pytest.raises(UsageError, match=rule):
        load.schedule(rate_per_s=rate, requests=10, burst=burst)


def test_requests_cost_what_they_should():
    """Each request burns its CPU time, counts from its schedule and is answered once."""
    group = NoGroup()
    due = load.schedule(rate_per_s=60, requests=40, seed=3)
    done = load.LimitedGroup(group).serve(due, cost_s=0.004, workers=2, sample_every_s=0.1)
    assert len(group.joined) == 2
    assert np.median(done.request_cpu_s) == pytest.approx(0.004, rel=0.02)
    assert (done.started_s >= done.scheduled_s).all()
    assert (done.latency_s >= 0.0039).all()
    assert 2 <= len(done.samples) <= done.window_s / 0.1 + 1
    assert done.window_s >= due[-1]
    assert 0 < done.generator_cpu_s < 0.5 * done.window_s


def test_open_loop():
    """Requests are sent when due though none was answered: a lone worker makes them queue."""
    done = load.LimitedGroup(NoGroup()).serve(np.zeros(10), cost_s=0.01, workers=1)
    queued = np.sort(done.latency_s)
    assert (queued >= 0.0098 * np.arange(1, 11)).all()


def test_the_kernel_agrees_on_the_cost():
    """The worker's own clock and the kernel's count of its process agree."""
    before = os.times().children_user + os.times().children_system
    done = load.LimitedGroup(NoGroup()).serve(np.zeros(30), cost_s=0.01, workers=1)
    counted = os.times().children_user + os.times().children_system - before
    assert np.median(done.request_cpu_s) == pytest.approx(0.01, rel=0.02)
    # the rest is the start of the interpreter
    assert -0.02 < counted - done.request_cpu_s.sum() < 0.5


def test_off_cost_is_refused(monkeypatch):
    """A load whose requests burn something else is no measurement."""
    monkeypatch.setattr(load, "COST_TOLERANCE", -1)
    monkeypatch.setattr(load, "OFF_COST_SHARE", 0.01)
    with pytest.raises(MeasurementError, match="burnt other than"):
        load.LimitedGroup(NoGroup()).serve(np.zeros(3), cost_s=0.002, workers=1)


def test_unanswered_requests_end_in_time():
    """Requests that nobody can answer in time end in a deadline, not in a wait."""
    with pytest.raises(DeadlineExceeded, match="of 5 requests unanswered"):
        load.LimitedGroup(NoGroup()).serve(np.zeros(5), cost_s=5.0, workers=1, grace_s=0.2)


def test_workers_that_die_are_noticed():
    """All workers killed in the middle is a typed error, within a moment."""
    group = NoGroup()

    def kill():
        while not group.joined:
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(group.joined[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(MeasurementError, match="ended early"):
        load.LimitedGroup(group).serve(np.zeros(5), cost_s=5.0, workers=1)
    killer.join()


def test_no_worker_outlives_the_load():
    """After a load, and after an error in it, its workers are gone."""
    group = NoGroup()
    with pytest.raises(DeadlineExceeded):
        load.LimitedGroup(group).serve(np.zeros(2), cost_s=9.0, workers=2, busy=1, grace_s=0.1)
    assert len(group.joined) == 3
    assert not [pid for pid in group.joined if os.path.exists(f"/proc/{pid}")]


def test_no_worker_outlives_its_parent():
    """A burning worker ends when whoever started it is killed."""
    code = (
        "import os, subprocess, sys, time\n"
        "from caveatlib.experiments.quota import load_worker as w\n"
        "r, end = os.pipe()\n"
        "p = subprocess.Popen([sys.executable, '-I', '-S', w.__file__], stdin=r, stdout=2)\n"
        "os.write(end, w.REQUEST.pack(0, 1e9))\n"
        "print(p.pid, flush=True); time.sleep(60)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with owner:
        worker = int(owner.stdout.readline())
        time.sleep(0.3)
        owner.kill()
    until = time.monotonic() + 5
    while _runs(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(worker)


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return " Z " not in file.read()
    except FileNotFoundError:
        return False


def test_generator_gives_its_priority_back():
    """The generator runs ahead during a load only."""
    before = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)
    load.LimitedGroup(NoGroup()).serve([0.0], cost_s=0.001, workers=1)
    assert (os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)) == before


def test_workers_run_as_everybody_does():
    """Workers do not inherit the generator's priority: no quota binds a real-time process."""
    found = []

    class Looks(NoGroup):
        def stat(self):
            found.extend((os.sched_getscheduler(p), os.getpriority(0, p)) for p in self.joined)
            return super().stat()

    load.LimitedGroup(Looks()).serve([0.0], cost_s=0.001, workers=2, busy=1)
    assert set(found) == {(os.SCHED_OTHER, os.getpriority(os.PRIO_PROCESS, 0))}


def test_overhead_is_small_beside_the_cost():
    """What a request costs beside its work is far below the 5 ms it burns."""
    assert 0 < load_worker.overhead_s() < 0.0005
