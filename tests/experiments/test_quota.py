"""The quota experiment on a place that simulates: designs, guards, verdicts, residuals."""

import math

import numpy as np
import pytest

from caveatlib import frames
from caveatlib.backends.cpu.cgroup import Stat
from caveatlib.backends.cpu.load import Load
from caveatlib.backends.fakes.fake_limits import FakeLimitedPlace
from caveatlib.errors import MeasurementError, UsageError
from caveatlib.experiments import quota, quota_model

MACHINE = "test, 2 CPUs"


def _row(design, arm, block, position=0, **more):
    return {
        "run": "r",
        "source": "live",
        "machine": MACHINE,
        "session": 0,
        "design": design,
        "block": block,
        "position": position,
        "place": arm.place,
        "started_at": "",
        "ok": True,
        "error": "",
        **arm.conditions,
        **more,
    }


def _design(name, cores=2):
    return next(d for d in quota.designs(cores) if d.name == name)


def _measure(name, blocks):
    place = FakeLimitedPlace("cgroup")
    arms = _design(name).arms
    return [
        _row(
            name, arm, block, i, **quota.trial(place, arm.conditions, seed=100 * block + i).measures
        )
        for block in range(blocks)
        for i, arm in enumerate(arms)
    ]


@pytest.fixture(scope="module")
def runs():
    """Return eight blocks of what the claims are decided by, and two of weights."""
    return frames.from_rows(_measure("claims", 8) + _measure("weights", 2), quota.Trials)


def _by_claim(trials):
    found = {}
    for verdict in quota.verdicts(trials):
        found.setdefault(verdict.claim, []).append(verdict)
    return found


@pytest.mark.parametrize("cores", [1, 2, 16])
def test_arms_fit_the_machine(cores):
    """Quota and generator stay below the cores, and no quota is below what the kernel takes."""
    designs = quota.designs(cores)
    for design in designs:
        for arm in design.arms:
            each = arm.conditions
            assert each["quota_cpus"] < cores
            assert each["quota_cpus"] * each["period_s"] >= 0.001
            assert arm.place in quota.PLACES
            assert each["pattern"] != "full" or each["workers"] > each["quota_cpus"]
        assert len({str(arm) for arm in design.arms}) == len(design.arms)


def test_core_design():
    """The core design has 12 arms on two cores, 16 where a quota of two fits."""
    assert len(_design("core").arms) == 12
    assert len(_design("core", cores=4).arms) == 16


def test_grid_on_request(monkeypatch):
    """The large grid comes in by its environment variable alone."""
    assert "grid" not in [d.name for d in quota.designs(2)]
    monkeypatch.setenv(quota.GRID_VARIABLE, "1")
    assert len(_design("grid").arms) == 72


def test_all_verdicts_within_three_minutes():
    """Eight blocks of the claims fit into 180 s beside what is done once."""
    once = sum(d.block_s for d in quota.designs(2) if d.sessions and not d.spare)
    engine_s = 2 * 2.5  # brought up and down in two sessions
    assert 7 * _design("claims").block_s + once + engine_s < 180


def test_verdicts(runs):
    """Eight blocks decide each claim; bursts are slower by a shorter period, a neighbour is not."""
    found = _by_claim(runs)
    assert [v.verdict for v in found["C08"]][:3] == ["holds"] * 3
    assert [v.verdict for v in found["quota-bursts"]] == ["holds"]
    assert [v.verdict for v in found["quota-period-bursts"]] == ["does not hold"]
    assert [v.verdict for v in found["quota-period-busy"]] == ["holds"]
    assert found["quota-period-bursts"][0].because.startswith("Slower: 1.")
    assert found["quota-period-busy"][0].because.startswith("Faster: ")
    assert found["quota-bursts"][0].because.startswith("Throttled in 0.3")


def test_prose_follows_data(runs):
    """With the periods swapped every sentence and verdict on them flips."""
    swapped = runs.copy()
    other = {0.01: 0.1, 0.1: 0.01}
    mine = swapped["pattern"].isin(("bursts", "beside-busy")) & (swapped["load"] != 0.2)
    swapped.loc[mine, "period_s"] = swapped.loc[mine, "period_s"].map(other)
    # the null arm belongs to the baseline, wherever that is now
    swapped = swapped[~((swapped["replicate"] == 1) & mine)]
    slow = (swapped["period_s"] == 0.1) & (swapped["load"] == 0.5)
    null = swapped[slow & (swapped["pattern"] == "bursts")]
    swapped = frames.from_rows(
        swapped.to_dict("records") + null.assign(replicate=1).to_dict("records"), quota.Trials
    )
    found = _by_claim(swapped)
    assert found["quota-period-bursts"][0].because.startswith("Faster: 1.")
    assert found["quota-period-bursts"][0].verdict == "holds"
    assert found["quota-period-busy"][0].because.startswith("Slower: ")
    assert found["quota-period-busy"][0].verdict == "does not hold"


def test_a_leaking_quota_does_not_hold(runs):
    """A quota that lets a tenth more through is found out."""
    leaking = runs.assign(used_ratio=runs["used_ratio"] * 1.1)
    assert [v.verdict for v in _by_claim(leaking)["C08"]][:3] == ["does not hold"] * 3


def test_not_far_below_the_quota(runs):
    """A service that used most of its quota says nothing about idle ones."""
    used = runs["used_ratio"].where(runs["load"] != 0.2, 0.7)
    verdict = _by_claim(runs.assign(used_ratio=used))["quota-bursts"][0]
    assert verdict.verdict == "not measured here"
    assert "70%" in verdict.because


def test_nothing_could_run():
    """Where no arm can run every verdict says so and why."""
    rows = [
        _row("claims", arm, 0, i, ok=False, error="unavailable: cgroup-cpu: run as root")
        for i, arm in enumerate(_design("claims").arms)
    ]
    found = quota.verdicts(frames.from_rows(rows, quota.Trials))
    assert {v.verdict for v in found} == {"not measured here"}
    assert all("run as root" in v.because for v in found)


def test_only_the_places_wanted(runs):
    """Without a Docker arm there is no verdict on it."""
    found = _by_claim(runs[runs["place"] == "cgroup"])
    assert not any("Docker" in v.because for v in found["C08"])
    assert len(found["C08"]) == len(_by_claim(runs)["C08"]) - 1


def test_few_blocks_decide_nothing(runs):
    """Five blocks have no interval, and the verdicts say so."""
    found = _by_claim(runs[runs["block"] < 5])
    assert found["quota-bursts"][0].verdict == "inconclusive"
    assert "Too few" in found["quota-period-busy"][0].because


def _asked(seen, cores=2, place="cgroup"):
    arm = quota.arm(place, cores=cores, pattern="tool", tool="nproc", workers=0, quota_cpus=0.5)
    return _row("tools", arm, 0, cpus_seen=seen, tool_version="9.7")


def test_tools_see_or_do_not():
    """C07 has one verdict per tool, version and answer, naming every place that was asked."""
    rows = [_asked(2.0), _asked(2.0, place="docker")]
    trials = frames.from_rows(rows, quota.Trials)
    (verdict,) = _by_claim(trials)["C07"]
    assert verdict.verdict == "holds"
    assert "nproc 9.7 says 2 of 2 CPUs under a quota of 0.5 (cgroup, docker)" in verdict.because
    (verdict,) = _by_claim(frames.from_rows([_asked(1.0)], quota.Trials))["C07"]
    assert verdict.verdict == "does not hold"
    assert list(quota.tools(trials)["sees_it"]) == [False, False]


def test_tools_on_one_core():
    """On one CPU nobody can tell whether a tool sees its quota."""
    (verdict,) = _by_claim(frames.from_rows([_asked(1.0, cores=1)], quota.Trials))["C07"]
    assert verdict.verdict == "not measured here"


def _load(due, ended, throttled=0, periods=10):
    due, ended = np.array(due), np.array(ended)
    used = Stat(periods, throttled, 0.1, 0.5)
    return Load(due, due, ended, np.full(len(due), 0.005), used, 1.0, [], 0.001, 0.0)


def test_impossible_latency():
    """A latency shorter than the work is refused, never shown."""
    each = quota.arm(cores=2).conditions
    with pytest.raises(MeasurementError, match="shorter than the work"):
        quota.measures_of(_load([0.0, 0.1], [0.006, 0.102]), each)


def test_starved_load():
    """A full load that was hardly throttled was starved by others, and says nothing."""

    class Starved:
        group = None

        def limited(self, **_):
            return self

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def saturate(self, **_):
            return _load([], [], throttled=5)

    conditions = quota.arm(cores=2, pattern="full", load=0.0).conditions
    with pytest.raises(MeasurementError, match="5 of 10 periods were throttled"):
        quota.trial(Starved(), conditions, seed=1)


def test_p99_needs_a_thousand():
    """p99 is shown over a thousand requests, p90 over fewer."""
    each = quota.arm(cores=2).conditions
    few = quota.measures_of(_load(np.zeros(200), np.full(200, 0.01)), each)
    many = quota.measures_of(_load(np.zeros(1000), np.full(1000, 0.01)), each)
    assert "p99_s" not in few
    assert few["p90_s"] == many["p99_s"] == pytest.approx(0.01)


def test_sampled_trial_has_tables():
    """A sampled trial brings its timeline and its requests, and they are valid tables."""
    (arm,) = _design("once").arms
    outcome = quota.trial(FakeLimitedPlace("cgroup"), arm.conditions, seed=1)
    key = {"run": "r", "design": "once", "block": 0, "place": "cgroup"}
    for name, model in quota.TABLES.items():
        table = frames.from_rows([key | row for row in outcome.tables[name]], model)
        assert len(table) >= quota.REQUESTS
    plain = dict(arm.conditions, sampled_s=0.0)
    assert quota.trial(FakeLimitedPlace("cgroup"), plain, seed=1).tables == {}


def test_arrivals_keep_the_load():
    """Arrivals want the named share of the quota, in bursts that outlast a period."""
    each = quota.arm(cores=2, load=0.2).conditions
    due = quota.arrivals(each, seed=1)
    assert len(due) == quota.REQUESTS
    sizes = np.unique(due, return_counts=True)[1]
    assert sizes.max() * quota.COST_S == pytest.approx(0.2 * each["quota_cpus"])
    wanted = quota.REQUESTS * quota.COST_S / (0.2 * each["quota_cpus"])
    assert due[-1] == pytest.approx(wanted, rel=0.15)


def test_summary_and_figure(runs):
    """The summary has a row per arm, failures counted; the figure says its unit."""
    failed = runs.copy()
    failed.loc[0, ["ok", "error"]] = [False, "tried"]
    table = quota.summarize(failed)
    assert table["n"].sum() == len(runs)
    assert table["failed"].sum() == 1
    assert "ms" in quota.plot(runs).get_xlabel()


def test_residuals(runs):
    """Measured rows that come from the model are explained; a slower machine is not."""
    part = runs[runs["design"] == "claims"]
    simulated = quota_model.simulate(part, repeats=8)
    assert set(simulated["source"]) == {"simulated"}
    table = quota_model.residuals(part, simulated)
    assert table["explained"].mean() > 0.75
    slower = quota_model.residuals(part.assign(p90_s=part["p90_s"] * 1.5), simulated)
    worst = quota_model.unexplained(slower)
    assert set(slower.loc[slower["measure"] == "p90_s", "explained"]) == {False}
    assert worst["residual"].abs().is_monotonic_decreasing
    assert (slower["residual"] == slower["measured"] - slower["simulated"]).all()
    assert not math.isnan(worst["residual"].iloc[0])


def _sampled():
    (arm,) = _design("once").arms
    outcome = quota.trial(FakeLimitedPlace("cgroup"), arm.conditions, seed=1)
    key = {"run": "r", "design": "once", "block": 0, "place": "cgroup"}
    return [
        frames.from_rows([key | row for row in outcome.tables[name]], model)
        for name, model in quota.TABLES.items()
    ]


def test_one_burst():
    """A burst that the model made is found again by the model, from zero to all its work."""
    timeline, requests = _sampled()
    shown = quota_model.burst(timeline, requests, number=2)
    table = shown.pivot(index="t_s", columns="source", values="usage_s")
    assert (table["measured"] - table["simulated"]).abs().max() < 0.01
    assert table.index.min() >= 0
    assert table["measured"].iloc[-1] == pytest.approx(0.2, abs=0.002)
    assert "ms" in quota_model.plot_burst(shown).get_ylabel()


def test_no_such_burst():
    """Tables of several trials, or a burst that is not there, are refused."""
    timeline, requests = _sampled()
    with pytest.raises(UsageError, match="burst 5 of 5"):
        quota_model.burst(timeline, requests, number=5)
    with pytest.raises(UsageError, match="2 trials"):
        quota_model.burst(
            frames.from_rows(
                [r | {"block": b} for b in (0, 1) for r in timeline.to_dict("records")],
                quota.Timeline,
            ),
            requests,
        )
