"""Numbers that cannot be meant are refused by name, at every door where people give them."""

import math

import numpy as np
import pandas as pd
import pytest

from caveatlib import stats, store
from caveatlib.errors import UsageError
from caveatlib.experiments import startup
from caveatlib.experiments.quota import cfs, load
from caveatlib.measuring.designs import Design
from caveatlib.measuring.experiment import complete
from caveatlib.places.cgroups import cgroup
from caveatlib.places.engines import deadline
from caveatlib.stats import guards
from caveatlib.support.arguments import check_number

pytestmark = pytest.mark.beside


@pytest.mark.parametrize(
    ("value", "bounds", "rule"),
    [
        (math.nan, {}, "a finite number"),
        (math.inf, {"above": 0}, "a finite number > 0"),
        (-math.inf, {"most": 0}, "a finite number <= 0"),
        (np.float64("nan"), {"least": 1}, "a finite number >= 1"),
        (0, {"above": 0}, "a finite number > 0"),
        (0, {"least": 1, "whole": True}, "a whole number >= 1"),
        (1.5, {"whole": True}, "a whole number"),
        (2, {"least": 0, "most": 1}, "a finite number >= 0 and <= 1"),
        (1, {"above": 0, "below": 1}, "a finite number > 0 and < 1"),
        (2**32, {"least": 0, "most": 2**32 - 1}, "a finite number >= 0 and <= 4,294,967,295"),
        (True, {}, "a finite number"),
        ("1", {}, "a finite number"),
        (None, {}, "a finite number"),
    ],
)
def test_what_is_refused(value, bounds, rule):
    """The message has the name, the value and the rule."""
    with pytest.raises(UsageError) as caught:
        check_number("width", value, **bounds)
    assert str(caught.value) == f"Invalid width {value!r}. Must be {rule}."


@pytest.mark.parametrize(
    ("value", "bounds"),
    [
        (0, {"least": 0}),
        (1, {"most": 1, "whole": True}),
        (2.0, {"whole": True}),
        (-3.5, {}),
        (np.int64(7), {"above": 6, "below": 8}),
        (np.float32(0.5), {"above": 0, "below": 1}),
    ],
)
def test_what_is_taken(value, bounds):
    """Bounds may be reached, or not, as they say; NumPy's numbers are numbers."""
    check_number("width", value, **bounds)


def trials():
    """Return six pairs of trials."""
    rows = [
        {
            "run": "r", "source": "live", "machine": "m", "session": b, "design": "d", "block": b,
            "position": 0, "place": p, "ok": True, "took_s": b + n, "busy_per_cpu": 0.0,
            "stolen_share": 0.0,
        }
        for b in range(1, 7) for n, p in enumerate(("a", "b"))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _group(**limits):
    with cgroup.temporary(**limits):
        pass


def _simulate(**changes):
    return cfs.simulate([0.0], **{"quota_cpus": 1.0, "cores": 2, "threads": 1} | changes)


DOORS = {
    "sessions, every": lambda x: Design("d", (), block_s=1, every=x),
    "sessions of a design": lambda x: Design("d", (), block_s=1, sessions=x),
    "blocks per session": lambda x: Design("d", (), block_s=1, blocks_per_session=x),
    "length of a block": lambda x: Design("d", (), block_s=x),
    "level of a comparison": lambda x: stats.compare(
        trials(), "took_s", by="place", baseline="a", level=x
    ),
    "level of a summary": lambda x: stats.summarize(trials(), "took_s", level=x),
    "level of an estimate": lambda x: stats.hodges_lehmann([1.0] * 6, level=x),
    "level of a share": lambda x: stats.share(1, 2, level=x),
    "threshold": lambda x: stats.Contrast("c", "took_s", {}, None, threshold=-x),
    "tick of a measure": lambda x: stats.quality(trials(), "took_s", tick_s=x),
    "overhead of a sample": lambda x: stats.quality(trials(), "took_s", overhead_s=x),
    "tick of a clock": lambda x: guards.finer_than(trials(), ["took_s"], tick=x),
    "deadline": lambda x: deadline.Budget(x),
    "quota in the model": lambda x: _simulate(quota_cpus=x),
    "period in the model": lambda x: _simulate(period_s=x),
    "cores in the model": lambda x: _simulate(cores=x),
    "duration in the model": lambda x: _simulate(duration_s=x),
    "samples in the model": lambda x: _simulate(sample_every_s=x),
    "rate": lambda x: load.schedule(rate_per_s=x, requests=1),
    "requests": lambda x: load.schedule(rate_per_s=1, requests=x),
    "quota": lambda x: _group(quota_us=x),
    "period": lambda x: _group(period_us=x),
    "version": lambda x: store.record(complete(startup), [], version=x),
}
"""What people, and experiments, give as a number; of a run's plan see `test_trials`."""


@pytest.mark.parametrize("value", [math.inf, math.nan, -1.0], ids=str)
@pytest.mark.parametrize("door", DOORS)
def test_no_door_lets_it_pass(door, value):
    """NaN is on no side of any bound, so a question that asks "too small?" lets it in."""
    if door == "threshold" and value != math.inf:
        value = -math.inf if math.isnan(value) else 1.0  # NaN is its "not given"
    if door == "deadline" and value == -1.0:
        return  # one that is over ends the call
    if door == "quota in the model" and value == math.inf:
        return  # no limit
    with pytest.raises(UsageError, match="Invalid"):
        DOORS[door](value)
