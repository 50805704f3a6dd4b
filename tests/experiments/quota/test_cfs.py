"""The model of CFS bandwidth control against cases whose answer is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caveatlib.errors import UsageError
from caveatlib.experiments.quota import cfs
from caveatlib.experiments.quota.load import schedule

pytestmark = pytest.mark.beside


@pytest.mark.parametrize("quota", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("period", [0.01, 0.1])
def test_full_load_uses_the_quota(quota, period):
    """Four busy threads on two cores use the quota and are throttled in every period."""
    done = cfs.simulate(
        quota_cpus=quota, period_s=period, cores=2, threads=0, busy=4, duration_s=20, seed=1
    ).totals
    assert done["usage_s"] == pytest.approx(quota * 20, rel=0.02)
    assert done["nr_throttled"] >= 0.99 * done["nr_periods"]
    assert done["nr_periods"] == pytest.approx(20 / period, abs=2)


def test_below_the_quota_is_never_throttled():
    """One thread that steadily wants half of its quota is throttled in no period."""
    due = schedule(rate_per_s=50, requests=200, seed=1)
    done = cfs.simulate(due, quota_cpus=0.5, cores=2, threads=1)
    assert done.totals["nr_throttled"] == 0
    assert done.requests["latency_s"].max() == pytest.approx(0.005, abs=1e-6)


def test_no_quota_is_never_throttled():
    """Without a limit four threads fill two cores and no period is counted."""
    done = cfs.simulate(quota_cpus=math.inf, cores=2, threads=0, busy=4, duration_s=1).totals
    assert done["usage_s"] == pytest.approx(2)
    assert done["nr_periods"] == done["nr_throttled"] == done["throttled_s"] == 0


def test_it_ends_with_the_last_request():
    """With no limit and no duration the end is when everything is served, not never."""
    done = cfs.simulate([0.0, 0.01], quota_cpus=math.inf, cores=2, threads=2)
    assert done.totals["t_s"] == done.requests["ended_s"].max() == pytest.approx(0.015)
    assert done.totals["usage_s"] == pytest.approx(0.01)


def test_a_burst_stands_still_until_the_next_period():
    """A burst of 0.2 s on one CPU per 100 ms runs 50 ms on two cores, stalls, and runs on."""
    done = cfs.simulate(
        np.zeros(40), quota_cpus=1.0, cores=2, threads=4, sample_every_s=0.001, seed=5
    )
    ended = np.sort(done.requests["ended_s"])
    assert np.diff(ended).max() > 0.03  # nothing is answered while it stands
    assert ended[-1] < 0.2
    usage = done.timeline["usage_s"].diff()
    assert (usage[1:] < 1e-9).sum() > 20  # samples of 1 ms in which nothing ran


def test_a_longer_period_serves_a_burst_earlier():
    """With the same quota a period of 100 ms answers a burst before one of 10 ms does."""
    due = schedule(rate_per_s=100, requests=200, burst=40, seed=1)
    ended = {}
    for period in (0.01, 0.1):
        done = cfs.simulate(due, quota_cpus=1.0, period_s=period, cores=2, threads=4, seed=1)
        ended[period] = done.requests["latency_s"].quantile(0.9)
    assert ended[0.1] < 0.85 * ended[0.01]


def test_sixty_four_threads():
    """64 threads with a quota of 2 spend a period's budget at once and stand still for most."""
    done = cfs.simulate(quota_cpus=2, cores=64, threads=0, busy=64, duration_s=1).totals
    assert done["throttled_s"] > 0.9 * 64
    # at most the first tick of every core and the last budget beyond 2 CPUs
    assert 2.0 <= done["usage_s"] <= 2.0 + 0.2 + 64 * cfs.TICK_S


def test_a_shorter_slice_strands_less():
    """Run time handed out in large slices is stranded on other cores; small slices are not."""
    due = np.zeros(8)
    used = []
    for slice_s in (0.02, 0.001):
        done = cfs.simulate(
            due, quota_cpus=0.4, cores=8, threads=8, cost_s=0.005, slice_s=slice_s, seed=3
        )
        used.append(done.requests["latency_s"].median())
    assert used[1] <= used[0]


def test_run_time_is_neither_made_nor_lost():
    """What a core returns when it becomes idle, it no longer has."""
    machine = cfs._Machine(1, 1, 0, 1.0, 0.1, cfs.SLICE_S, seed=1)
    machine.next_period = 0.1
    machine.run(np.array([0.001]), 0.0015, math.inf, 0.0)
    assert machine.runtime[0] == pytest.approx(cfs.KEEP_S)
    assert machine.pool + machine.runtime.sum() + machine.usage_s == pytest.approx(0.1)


def test_same_seed_same_frames():
    """A simulation repeats itself to the last digit, and another seed differs."""
    due = schedule(rate_per_s=50, requests=100, burst=20, seed=2)
    options = {"quota_cpus": 0.5, "cores": 2, "threads": 4, "sample_every_s": 0.01}
    one, two, other = (cfs.simulate(due, seed=s, **options) for s in (7, 7, 8))
    assert one.requests.equals(two.requests)
    assert one.timeline.equals(two.timeline)
    assert not one.requests.equals(other.requests)
    assert set(one.requests["source"]) == set(one.timeline["source"]) == {"simulated"}


@settings(max_examples=40, deadline=None)
@given(
    quota=st.floats(0.1, 4),
    period=st.floats(0.005, 0.2),
    cores=st.integers(1, 6),
    threads=st.integers(1, 9),
    busy=st.integers(0, 3),
    burst=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_invariants(quota, period, cores, threads, busy, burst, seed):
    """No request ends early, all work is done once, and no one gets more than is there."""
    due = schedule(rate_per_s=60, requests=60, burst=burst, seed=seed)
    done = cfs.simulate(
        due,
        quota_cpus=quota,
        period_s=period,
        cores=cores,
        threads=threads,
        busy=busy,
        cost_s=0.003,
        seed=seed,
        duration_s=3.0,
        sample_every_s=0.05,
    )
    requests, times = done.requests.dropna(), done.timeline
    assert (requests["latency_s"] >= 0.003 - 1e-6).all()
    assert (requests["started_s"] >= requests["scheduled_s"] - 1e-9).all()
    assert (
        np.diff(times[["nr_periods", "nr_throttled", "throttled_s", "usage_s"]], axis=0) >= 0
    ).all()
    assert (times["nr_throttled"] <= times["nr_periods"]).all()
    assert times["t_s"].iloc[-1] == pytest.approx(3.0)
    used = times["usage_s"].iloc[-1]
    # the budget of every period begun, and one tick of debt per core
    assert used <= min(cores * 3.0, quota * (3.0 + 2 * period) + cores * cfs.TICK_S) + 1e-6
    if not busy and len(requests) == 60:
        assert used == pytest.approx(60 * 0.003, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"quota_cpus": 0}, "quota_cpus 0. Must be > 0"),
        ({"quota_cpus": math.nan}, "quota_cpus nan"),
        ({"period_s": 2}, "period_s 2. Must be a finite number >= 0.001 and <= 1"),
        ({"cores": 0}, "0 cores"),
        ({"threads": 0}, "0 \\+ 0 threads"),
        ({"due_s": (), "duration_s": None}, "No requests and no duration"),
        ({"slice_s": -1}, "slice_s -1"),
    ],
)
def test_out_of_range(options, rule):
    """A number out of range is refused with the rule."""
    usual = {"due_s": [0.0], "quota_cpus": 1.0, "cores": 2, "threads": 1}
    with pytest.raises(UsageError, match=rule):
        cfs.simulate(**(usual | options))
