"""What a trial of `quota` states, what is refused, and how a quota that does not hold is seen."""

import re
from dataclasses import replace

import numpy as np
import pytest
from experiments.quota.fake import FakeLimitedPlace
from experiments.quota.made_up import by_claim, measured_rows, named_design, trial_row

from caveatlib import frames
from caveatlib.errors import DataError, MeasurementError
from caveatlib.experiments import quota
from caveatlib.experiments.quota import schema, workloads
from caveatlib.experiments.quota.designs import arm
from caveatlib.experiments.quota.load import Load
from caveatlib.measuring.experiment import check_trials, complete
from caveatlib.places.cgroups.cgroup import Stat

pytestmark = pytest.mark.beside


def test_without_a_limit_there_is_no_quota(runs):
    """The same bursts come without a limit; what only a quota has is left empty."""
    limit = runs[runs["design"] == "limit"]
    free = limit[limit["pattern"] == schema.UNLIMITED]
    none = ["used_ratio", "periods", "throttled_share", "throttled_s"]
    assert free[none].isna().all(axis=None)
    assert limit.loc[limit["pattern"] == "bursts", none].notna().all(axis=None)
    assert free["used_s"].median() == pytest.approx(workloads.REQUESTS * workloads.COST_S)
    conditions = free.iloc[0].to_dict()
    due = workloads.arrivals(conditions, seed=3)
    assert (due == workloads.arrivals(conditions | {"pattern": "bursts"}, seed=3)).all()
    assert set(free["replicate"]) == {0, 1}


def test_sampled_without_a_limit():
    """The counters of a group without a limit make a valid timeline, with no periods."""
    conditions = arm(cores=2, pattern=schema.UNLIMITED, sampled_s=0.01).conditions
    outcome = quota.trial(FakeLimitedPlace("cgroup"), conditions, seed=1)
    key = {"run": "r", "design": "limit", "block": 0, "place": "cgroup"}
    rows = [key | row for row in outcome.tables["timeline"]]
    assert set(frames.from_rows(rows, schema.Timeline)["nr_periods"]) == {0}


@pytest.mark.parametrize(
    ("column", "factor", "words"),
    [
        ("used_s", 1000, "'used_cpus' is 0.001 times"),  # microseconds for milliseconds
        ("period_s", 1, ""),
        ("quota_cpus", 10, "'used_cpus' is 10 times"),
        ("p90_s", 0.01, "'p90_s'"),
        ("cores", 0.01, "share_of_cores"),
    ],
)
def test_impossible_trials_are_refused(runs, column, factor, words):
    """Guards name what cannot be, in one row as in a table; what was measured passes."""
    row = runs[runs["pattern"] == "bursts"].iloc[[0]].reset_index(drop=True)
    check_trials(complete(quota), row)
    check_trials(complete(quota), runs)
    changed = row.assign(**{column: row[column] * factor})
    if not words:
        return check_trials(complete(quota), changed)
    with pytest.raises(DataError, match=re.escape(words)):
        check_trials(complete(quota), changed)
    return None


def test_a_coarse_clock_is_refused(runs):
    """Latencies in whole milliseconds in every trial come from another clock."""
    with pytest.raises(DataError, match="finer clock"):
        check_trials(complete(quota), runs.assign(p50_s=runs["p50_s"].round(3)))


PARTS = ("C08/quota-100ms", "C08/quota-10ms", "C08/docker")


def test_a_leaking_quota_does_not_hold(runs):
    """A quota that lets a tenth more through is found out."""
    found = by_claim(runs.assign(used_ratio=runs["used_ratio"] * 1.1))
    assert [found[part].verdict for part in PARTS] == ["does not hold"] * 3


def test_a_leak_is_measured_not_refused():
    """A quota that leaks throttles little; its trials count, and C08 says what they show."""
    leaking = frames.from_rows(measured_rows("claims", 9, leak=1.3, pattern="full"), quota.Trials)
    assert leaking["ok"].all()
    assert (leaking["throttled_share"] < 0.2).all()
    found = by_claim(leaking)
    assert [found[part].verdict for part in PARTS] == ["does not hold"] * 3
    assert all("1.3" in found[part].headline for part in PARTS)
    assert found["C08"].verdict == "does not hold"


def _load(due, ended, throttled=0, periods=10):
    due, ended = np.array(due), np.array(ended)
    used = Stat(periods, throttled, 0.1, 0.5)
    return Load(due, due, ended, np.full(len(due), 0.005), used, 1.0, [], 0.001, 0.0)


def test_impossible_latency():
    """A latency shorter than the work is refused, never shown."""
    each = arm(cores=2).conditions
    with pytest.raises(MeasurementError, match="shorter than the work"):
        workloads.measures_of(_load([0.0, 0.1], [0.006, 0.102]), each)


class Beside:
    """A place whose group used so much of a second, beside neighbours that took so much."""

    group = None

    def __init__(self, used_s: float, neighbours_s: float, throttled: int = 10):
        self.done = replace(
            _load([], [], throttled=throttled),
            used=Stat(10, throttled, 0.1, used_s),
            neighbours_s=neighbours_s,
        )

    def limited(self, **_):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def saturate(self, **_):
        return self.done


@pytest.mark.parametrize("used_s", [0.2, 0.5, 0.99, 1.3])
@pytest.mark.parametrize("throttled", [0, 10])
def test_a_starved_load_is_told_by_its_neighbours(used_s, throttled):
    """A full load counts unless others took the CPU, whatever it used and how it was throttled.

    So a quota that gives a fifth of what it says is measured, and one that was reached beside
    busy neighbours is not.
    """
    conditions = arm(cores=2, pattern="full", load=0.0).conditions
    calm = quota.trial(Beside(used_s, 0.49, throttled), conditions, seed=1)
    assert calm.measures["used_ratio"] == pytest.approx(used_s)
    assert calm.measures["neighbours_s"] == 0.49
    with pytest.raises(MeasurementError, match=r"took 0\.51 CPUs .* at most 0\.50 of the 1 that"):
        quota.trial(Beside(used_s, 0.51, throttled), conditions, seed=1)
    wider = arm(cores=4, pattern="full", load=0.0).conditions  # of three others half may be taken
    assert quota.trial(Beside(used_s, 1.4, throttled), wider, seed=1).measures
    with pytest.raises(MeasurementError, match=r"took 1\.60 CPUs"):
        quota.trial(Beside(used_s, 1.6, throttled), wider, seed=1)


def test_less_than_a_quota_fails_its_claim():
    """Full loads that get less than their quota on a quiet machine are found out."""
    full = [a for a in named_design("claims").arms if a.conditions["pattern"] == "full"]
    rows = []
    for block in range(9):
        for each in full:
            used_s = each.conditions["quota_cpus"] * (0.9 + block / 1e4)
            place = Beside(used_s, 0.1, throttled=1)
            measures = quota.trial(place, each.conditions, seed=1).measures
            rows.append(trial_row("claims", each, block, **measures))
    found = by_claim(frames.from_rows(rows, quota.Trials))
    assert [found[part].verdict for part in PARTS] == ["does not hold"] * 3


def test_neighbours_and_load_are_no_more_than_the_machine(runs):
    """CPU time of both together that the machine does not have is refused."""
    row = runs[runs["pattern"] == "full"].iloc[[0]].reset_index(drop=True)
    check_trials(complete(quota), row.assign(neighbours_s=0.5 * row["window_s"]))
    with pytest.raises(DataError, match="share_with_neighbours"):
        check_trials(complete(quota), row.assign(neighbours_s=2 * row["window_s"]))


def test_p99_needs_a_thousand():
    """p99 is shown over a thousand requests, p90 over fewer."""
    each = arm(cores=2).conditions
    few = workloads.measures_of(_load(np.zeros(200), np.full(200, 0.01)), each)
    many = workloads.measures_of(_load(np.zeros(1000), np.full(1000, 0.01)), each)
    assert "p99_s" not in few
    assert few["p90_s"] == many["p99_s"] == pytest.approx(0.01)


def test_sampled_trial_has_tables():
    """A sampled trial brings its timeline and its requests, and they are valid tables."""
    (arm,) = named_design("once").arms
    outcome = quota.trial(FakeLimitedPlace("cgroup"), arm.conditions, seed=1)
    key = {"run": "r", "design": "once", "block": 0, "place": "cgroup"}
    for name, table_model in quota.TABLES.items():
        table = frames.from_rows([key | row for row in outcome.tables[name]], table_model)
        assert len(table) >= workloads.REQUESTS
    plain = dict(arm.conditions, sampled_s=0.0)
    assert quota.trial(FakeLimitedPlace("cgroup"), plain, seed=1).tables == {}
