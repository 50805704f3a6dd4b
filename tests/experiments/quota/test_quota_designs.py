"""Which arms `quota` has, how large their bursts are, and how long they take."""

import numpy as np
import pytest
from experiments.quota.made_up import named_design

from caveatlib.experiments import quota
from caveatlib.experiments.quota import schema, workloads
from caveatlib.experiments.quota.designs import arm
from caveatlib.measuring.experiment import complete

pytestmark = pytest.mark.beside


@pytest.mark.parametrize("cores", [1, 2, 16])
def test_arms_fit_the_machine(cores):
    """Quota and generator stay below the cores, and no quota is below what the kernel takes."""
    designs = quota.DESIGNS(cores)
    for design in designs:
        for planned in design.arms:
            each = planned.conditions
            assert each["quota_cpus"] < cores
            assert each["quota_cpus"] * each["period_s"] >= 0.001
            assert planned.place in quota.PLACES
            assert each["pattern"] != "full" or each["workers"] > each["quota_cpus"]
        assert len(set(map(str, design.arms))) == len(design.arms)


def test_core_design():
    """The core design has 12 arms on two cores, 16 where a quota of two fits."""
    assert len(named_design("core").arms) == 12
    assert len(named_design("core", cores=4).arms) == 16


def test_all_verdicts_within_three_minutes():
    """The eighth block of the claims begins within 180 s, after the first session's others."""
    main = [d for d in quota.DESIGNS(2) if not d.optional and d.name != "claims"]
    others = sum(d.block_s * d.blocks_per_session for d in main if d.due(0))
    engine_s = 2 * 2.5  # brought up and down in two sessions
    assert 7 * named_design("claims").block_s + others + engine_s < 180


def test_all_sessions_take_forty_minutes():
    """By what the designs say of themselves, all blocks of the default sessions."""
    planned_s = sum(
        d.lasts_s() * d.blocks_by(complete(quota).SESSIONS - 1) for d in quota.DESIGNS(2)
    )
    assert planned_s < 40 * 60


@pytest.mark.parametrize("cores", [1, 2, 16])
def test_bursts_are_as_large_as_they_say(cores):
    """Each size is so many times what the quota allows in a period, at half of the quota."""
    arms = named_design("sizes", cores).arms
    assert [a.conditions["replicate"] for a in arms].count(1) == 1
    for size in schema.BURSTS:
        mine = [a.conditions for a in arms if a.conditions["burst"] == size]
        assert {c["pattern"] for c in mine} == {"bursts", schema.UNLIMITED}
        each = mine[0]
        due = workloads.arrivals(each, seed=1)
        budget_s = each["quota_cpus"] * each["period_s"]
        counts = np.unique(due, return_counts=True)[1]
        assert counts.max() * workloads.COST_S == pytest.approx(float(size) * budget_s, rel=0.35)
        if cores > 1:
            assert counts.max() * workloads.COST_S == pytest.approx(float(size) * budget_s)
        assert len(counts) >= workloads.LEAST_BURSTS
        wanted = len(due) * workloads.COST_S / (0.5 * each["quota_cpus"])
        assert due[-1] == pytest.approx(wanted, rel=0.2)
    assert float(schema.BURSTS[0]) == 0.25
    assert float(schema.BURSTS[-1]) == 4


def test_arrivals_keep_the_load():
    """Arrivals want the named share of the quota, in bursts that outlast a period."""
    each = arm(cores=2, load=0.2).conditions
    due = workloads.arrivals(each, seed=1)
    assert len(due) == workloads.REQUESTS
    sizes = np.unique(due, return_counts=True)[1]
    assert sizes.max() * workloads.COST_S == pytest.approx(0.2 * each["quota_cpus"])
    wanted = workloads.REQUESTS * workloads.COST_S / (0.2 * each["quota_cpus"])
    assert due[-1] == pytest.approx(wanted, rel=0.15)
