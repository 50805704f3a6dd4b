"""The quota experiment on a place that simulates: designs, guards, verdicts, residuals."""

import math
import re

import numpy as np
import pytest
from experiments.quota.fake import FakeLimitedPlace

from caveatlib import frames
from caveatlib.errors import DataError, MeasurementError, UsageError
from caveatlib.experiments import quota
from caveatlib.experiments.quota import decisions, model
from caveatlib.experiments.quota.load import Load
from caveatlib.places.cgroups.cgroup import Stat

pytestmark = pytest.mark.beside

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


def _measure(name, blocks, *, leak=1.0, pattern=None):
    place = FakeLimitedPlace("cgroup", leak=leak)
    arms = [a for a in _design(name).arms if pattern in (None, a.conditions["pattern"])]
    return [
        _row(
            name, arm, block, i, **quota.trial(place, arm.conditions, seed=100 * block + i).measures
        )
        for block in range(blocks)
        for i, arm in enumerate(arms)
    ]


@pytest.fixture(scope="module")
def runs():
    """Return nine blocks of what the claims are decided by, and two of weights.

    Seven comparisons have no adjusted interval below nine blocks.
    """
    rows = _measure("claims", 9) + _measure("weights", 2) + _measure("limit", 9)
    return frames.from_rows(rows, quota.Trials)


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
    """The eighth block of the claims begins within 180 s, after the first session's others."""
    main = [d for d in quota.designs(2) if not d.optional and d.name != "claims"]
    others = sum(d.block_s * d.blocks_per_session for d in main if d.due(0))
    engine_s = 2 * 2.5  # brought up and down in two sessions
    assert 7 * _design("claims").block_s + others + engine_s < 180


def test_verdicts(runs):
    """Nine blocks decide each claim; bursts are slower by a shorter period, a neighbour is not."""
    found = _by_claim(runs)
    assert [v.verdict for v in found["C08"]][:3] == ["holds"] * 3
    assert [v.verdict for v in found["quota-bursts"]] == ["holds"]
    assert [v.verdict for v in found["quota-period-bursts"]] == ["does not hold"]
    assert [v.verdict for v in found["quota-period-busy"]] == ["holds"]
    assert found["quota-period-bursts"][0].because.startswith("Slower: 1.")
    assert found["quota-period-busy"][0].because.startswith("Faster: ")
    assert found["quota-bursts"][0].because.startswith("Throttled in 0.3")


def test_a_limit_makes_bursts_wait(runs):
    """Bursts wait longer under a limit than without; with the two exchanged the words turn."""
    (verdict,) = _by_claim(runs)["quota-latency"]
    assert verdict.verdict == "holds"
    assert verdict.because.startswith("Longer with the limit: 1.")
    assert "51% of the limit was used on average." in verdict.because
    assert "times as long (p90) as without it" in quota.answer(runs)
    free = {"bursts": quota.UNLIMITED, quota.UNLIMITED: "bursts"}
    mine = runs["design"] == "limit"
    swapped = runs.assign(pattern=runs["pattern"].where(~mine, runs["pattern"].replace(free)))
    once = swapped[~(mine & (swapped["replicate"] == 1))]
    again = once[(once["design"] == "limit") & (once["pattern"] == quota.UNLIMITED)]
    rows = once.to_dict("records") + again.assign(replicate=1).to_dict("records")
    (verdict,) = _by_claim(frames.from_rows(rows, quota.Trials))["quota-latency"]
    assert verdict.verdict == "does not hold"
    assert verdict.because.startswith("Shorter with the limit: 1.")


def test_without_a_limit_there_is_no_quota(runs):
    """The same bursts come without a limit; what only a quota has is left empty."""
    limit = runs[runs["design"] == "limit"]
    free = limit[limit["pattern"] == quota.UNLIMITED]
    none = ["used_ratio", "periods", "throttled_share", "throttled_s"]
    assert free[none].isna().all(axis=None)
    assert limit.loc[limit["pattern"] == "bursts", none].notna().all(axis=None)
    assert free["used_s"].median() == pytest.approx(quota.REQUESTS * quota.COST_S)
    conditions = free.iloc[0].to_dict()
    due = quota.arrivals(conditions, seed=3)
    assert (due == quota.arrivals(conditions | {"pattern": "bursts"}, seed=3)).all()
    assert set(free["replicate"]) == {0, 1}


def test_sampled_without_a_limit():
    """The counters of a group without a limit make a valid timeline, with no periods."""
    conditions = quota.arm(cores=2, pattern=quota.UNLIMITED, sampled_s=0.01).conditions
    outcome = quota.trial(FakeLimitedPlace("cgroup"), conditions, seed=1)
    key = {"run": "r", "design": "limit", "block": 0, "place": "cgroup"}
    rows = [key | row for row in outcome.tables["timeline"]]
    assert set(frames.from_rows(rows, quota.Timeline)["nr_periods"]) == {0}


def test_data_without_the_comparison(runs):
    """Data that lack the design say so; a limit nearly used up answers another question."""
    (verdict,) = _by_claim(runs[runs["design"] != "limit"])["quota-latency"]
    assert verdict.verdict == "not measured here"
    assert "no bursts without a limit" in verdict.because
    assert "as without it" not in quota.answer(runs[runs["design"] != "limit"])
    (verdict,) = _by_claim(runs.assign(used_ratio=0.9))["quota-latency"]
    assert verdict.verdict == "not measured here"
    assert "90%" in verdict.because


def test_the_comparison_alone(runs):
    """A run of that design alone is judged, summarised and put into words."""
    alone = runs[runs["design"] == "limit"]
    assert _by_claim(alone)["quota-latency"][0].verdict == "holds"
    words = "With a limit that is half used on average, bursts wait 1."
    assert quota.answer(alone).startswith(words)
    assert len(quota.summarize(alone)) == 2


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


def test_the_answer_names_what_helps_and_what_harms(runs):
    """The words but and only come from the data: with both periods alike there is neither."""
    told = quota.answer(runs)
    assert re.search(
        r"bursts wait 1\.\d times as long, but requests beside a busy thread only 0", told
    )
    assert re.search(r"the group used \d+\.\d% of its quota", told)
    busy = (runs["pattern"] == "beside-busy") & (runs["period_s"] == 0.01)
    both = quota.answer(runs.assign(p90_s=runs["p90_s"].where(~busy, runs["p90_s"] * 100)))
    assert re.search(r"bursts wait 1\.\d times as long, and requests beside a busy thread \d", both)


def test_noise_of_another_arm_is_named(runs):
    """No null arm runs beside a busy thread: the card says whose noise it borrows."""
    found = _by_claim(runs)
    assert found["quota-period-busy"][0].because.endswith(decisions.BORROWED)
    assert decisions.BORROWED not in found["quota-period-bursts"][0].because
    assert decisions.BORROWED not in found["quota-latency"][0].because
    assert not any(a.conditions["pattern"] == "beside-busy" and a.conditions["replicate"] == 1
                   for d in quota.designs(2) for a in d.arms)  # fmt: skip


def test_known_answers(runs):
    """What should read 1 or a half does, or the table says no and why."""
    again = (runs["design"] == "claims") & (runs["replicate"] == 1)
    once = (runs["design"] == "claims") & (runs["pattern"] == "bursts") & (runs["replicate"] == 0)
    once &= (runs["load"] == 0.5) & (runs["period_s"] == 0.1)
    calm = runs.copy()
    calm.loc[again, "p90_s"] = runs.loc[once, "p90_s"].to_numpy()  # nine noisy pairs are too few
    table = quota.known_answers(calm)
    assert list(table["truth"]) == [1.0, 0.5, 1.0, 1.0]
    assert set(table["passes"]) == {"yes"}
    assert set(table["note"].iloc[[0, 2, 3]]) == {""}  # of the weights there are two blocks
    leak = quota.known_answers(calm.assign(used_ratio=calm["used_ratio"] * 1.06))
    assert list(leak["passes"]) == ["no", "no", "yes", "yes"]
    free = (runs["pattern"] == quota.UNLIMITED) & (runs["replicate"] == 1)
    noisy = calm.assign(p90_s=calm["p90_s"].where(~free, calm["p90_s"] * 1.2))
    table = quota.known_answers(noisy)
    assert list(table["passes"]) == ["yes", "yes", "yes", "no"]
    assert table["note"].iloc[3].startswith("Too noisy for effects below 1.20x")
    assert quota.limit_effect(noisy)["estimate"].iloc[1] == pytest.approx(1.2, rel=0.01)
    gone = quota.known_answers(calm[calm["design"] != "weights"])
    assert list(gone["passes"]) == ["yes", "not known", "yes", "yes"]
    assert gone["note"].iloc[1].startswith("Nothing to compare")


@pytest.mark.parametrize(
    ("column", "factor", "words"),
    [
        ("used_s", 1000, "'used_cpus' in row 0 is 0.001 times"),  # microseconds for milliseconds
        ("period_s", 1, ""),
        ("quota_cpus", 10, "'used_cpus' in row 0 is 10 times"),
        ("p90_s", 0.01, "'p90_s'"),
        ("cores", 0.01, "share_of_cores"),
    ],
)
def test_impossible_trials_are_refused(runs, column, factor, words):
    """Guards name what cannot be, in one row as in a table; what was measured passes."""
    row = runs[runs["pattern"] == "bursts"].iloc[[0]].reset_index(drop=True)
    quota.check(row)
    quota.check(runs)
    changed = row.assign(**{column: row[column] * factor})
    if not words:
        return quota.check(changed)
    with pytest.raises(DataError, match=re.escape(words)):
        quota.check(changed)
    return None


def test_a_coarse_clock_is_refused(runs):
    """Latencies in whole milliseconds in every trial come from another clock."""
    with pytest.raises(DataError, match="finer clock"):
        quota.check(runs.assign(p90_s=runs["p90_s"].round(3)))


def test_a_leaking_quota_does_not_hold(runs):
    """A quota that lets a tenth more through is found out."""
    leaking = runs.assign(used_ratio=runs["used_ratio"] * 1.1)
    assert [v.verdict for v in _by_claim(leaking)["C08"]][:3] == ["does not hold"] * 3


def test_a_leak_is_measured_not_refused():
    """A quota that leaks throttles little; its trials count, and C08 says what they show."""
    leaking = frames.from_rows(_measure("claims", 9, leak=1.3, pattern="full"), quota.Trials)
    assert leaking["ok"].all()
    assert (leaking["throttled_share"] < 0.2).all()
    judged = _by_claim(leaking)["C08"][:3]
    assert [v.verdict for v in judged] == ["does not hold"] * 3
    assert all("1.3" in v.because for v in judged)


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


def _asked(seen, cores=2, place="cgroup", tool="nproc", version="9.7"):
    arm = quota.arm(place, cores=cores, pattern="tool", tool=tool, workers=0, quota_cpus=0.5)
    return _row("tools", arm, 0, cpus_seen=seen, tool_version=version)


def _judged(*rows):
    return _by_claim(frames.from_rows(list(rows), quota.Trials))


def test_tools_see_or_do_not():
    """Each tool has one verdict per version, naming every answer and place."""
    rows = [_asked(2.0), _asked(2.0, place="docker")]
    found = _judged(*rows)
    (verdict,) = found["C07/nproc"]
    assert verdict.verdict == "holds"
    assert "nproc 9.7 says 2 of 2 CPUs under a quota of 0.5 (cgroup, docker)" in verdict.because
    assert "node" in found["C07/node os.cpus"][0].because
    assert found["C07/node os.cpus"][0].verdict == "not measured here"
    (verdict,) = _judged(_asked(1.0))["C07/nproc"]
    assert verdict.verdict == "does not hold"
    assert list(quota.tools(frames.from_rows(rows, quota.Trials))["sees_it"]) == [False, False]
    (verdict,) = _judged(_asked(1.0), _asked(2.0, place="docker"))["C07/nproc"]
    assert verdict.verdict == "inconclusive"
    versions = _judged(_asked(1.0), _asked(2.0, version="10"))["C07/nproc"]
    assert [v.verdict for v in versions] == ["holds", "does not hold"]


def test_tools_as_a_whole():
    """C07 itself has one verdict: holds if no tool sees its limit, fails if all do, else mixed."""
    java = {"tool": "java availableProcessors", "version": "17"}
    (verdict,) = _judged(_asked(2.0), _asked(2.0, place="docker"), _asked(1.0, **java))["C07"]
    assert verdict.verdict == "inconclusive"
    assert verdict.because == (
        "Mixed. 1 of 2 tools do not see the limit: nproc 9.7; "
        "sees it: java 17 (availableProcessors)."
    )
    assert [v.verdict for v in _judged(_asked(2.0), _asked(2.0, **java))["C07"]] == ["holds"]
    assert [v.verdict for v in _judged(_asked(1.0), _asked(1.0, **java))["C07"]] == [
        "does not hold"
    ]
    (verdict,) = _judged(_asked(1.0), _asked(2.0, place="docker"))["C07"]
    assert verdict.because.startswith("Mixed. 0 of 1 tools")
    assert "in part only: nproc 9.7" in verdict.because


def test_a_tool_is_a_program_not_a_function():
    """Three functions of one program are one tool; one that differs makes it see in part."""
    names = ("os.cpu_count", "os.process_cpu_count", "os.sched_getaffinity")
    python = [_asked(2.0, tool=f"python {name}", version="3.13.5") for name in names]
    (verdict,) = _judged(*python, _asked(2.0))["C07"]
    assert (verdict.verdict, verdict.n) == ("holds", 2)
    assert verdict.because == (
        "2 of 2 tools do not see the limit: nproc 9.7, "
        f"python 3.13.5 ({', '.join(names)}); sees it: none."
    )
    aware = [*python[:2], _asked(1.0, tool=f"python {names[2]}", version="3.13.5")]
    (verdict,) = _judged(*aware, _asked(2.0))["C07"]
    assert verdict.because.startswith("Mixed. 1 of 2 tools do not see the limit: nproc 9.7; ")
    assert "in part only: python 3.13.5" in verdict.because
    assert [v.verdict for v in _judged(*aware)[f"C07/python {names[2]}"]] == ["does not hold"]
    told = quota.answer(frames.from_rows([*aware, _asked(2.0)], quota.Trials))
    assert told == "The limit is seen by none, in part by python 3.13.5, not by nproc 9.7."


def test_a_tool_that_failed():
    """A tool that was asked and gave no answer says why."""
    failed = _asked(None) | {"ok": False, "error": "No version in ''.", "tool_version": None}
    (verdict,) = _judged(failed)["C07/nproc"]
    assert verdict.verdict == "not measured here"
    assert verdict.because == "nproc gave no answer: No version in ''."


def test_every_claim_is_judged_without_tools(runs):
    """Where no tool was asked each has a verdict all the same."""
    assert set(_by_claim(runs)) == {c.id for c in quota.CLAIMS}


def test_tools_on_one_core():
    """On one CPU nobody can tell whether a tool sees its quota."""
    found = _judged(_asked(1.0, cores=1))
    for claim in ("C07", "C07/nproc"):
        (verdict,) = found[claim]
        assert verdict.verdict == "not measured here"
        assert "On 1 CPU" in verdict.because


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
    with pytest.raises(MeasurementError, match="50% of the quota was used and 5 of 10 periods"):
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
    for name, table_model in quota.TABLES.items():
        table = frames.from_rows([key | row for row in outcome.tables[name]], table_model)
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
    simulated = model.simulate(part, repeats=8)
    assert set(simulated["source"]) == {"simulated"}
    limit = runs[runs["design"] == "limit"]
    free = model.residuals(limit, model.simulate(limit, repeats=8))
    free = free[free["pattern"] == quota.UNLIMITED].set_index("measure")
    assert set(free.index) == {"p50_s", "p90_s"}
    assert free["explained"].all()
    table = model.residuals(part, simulated)
    assert table["explained"].mean() > 0.75
    slower = model.residuals(part.assign(p90_s=part["p90_s"] * 1.5), simulated)
    worst = model.unexplained(slower)
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
    shown = model.burst(timeline, requests, number=2)
    table = shown.pivot(index="t_s", columns="source", values="usage_s")
    assert (table["measured"] - table["simulated"]).abs().max() < 0.01
    assert table.index.min() >= 0
    assert table["measured"].iloc[-1] == pytest.approx(0.2, abs=0.002)
    assert "ms" in model.plot_burst(shown).get_ylabel()


def test_no_such_burst():
    """Tables of several trials, or a burst that is not there, are refused."""
    timeline, requests = _sampled()
    with pytest.raises(UsageError, match="burst 5 of 5"):
        model.burst(timeline, requests, number=5)
    with pytest.raises(UsageError, match="2 trials"):
        model.burst(
            frames.from_rows(
                [r | {"block": b} for b in (0, 1) for r in timeline.to_dict("records")],
                quota.Timeline,
            ),
            requests,
        )
