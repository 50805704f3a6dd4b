"""The quota experiment on a place that simulates: designs, guards, verdicts, residuals."""

import math
import re
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from experiments.quota.fake import FakeLimitedPlace

from caveatlib import claims, frames, plots
from caveatlib.errors import DataError, MeasurementError, UsageError
from caveatlib.experiments import quota
from caveatlib.experiments.quota import cpu_counts, model, schema, workloads
from caveatlib.experiments.quota.designs import arm
from caveatlib.experiments.quota.load import Load
from caveatlib.measuring.experiment import check_trials, complete
from caveatlib.places.cgroups.cgroup import Stat

pytestmark = pytest.mark.beside

MACHINE = "test, 2 CPUs"
THROTTLED = "Throttled share of active periods, bursts of twice the budget"
LIMITED = "Bursts of twice the budget, with the limit against without"


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
    return next(d for d in quota.DESIGNS(cores) if d.name == name)


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
    return {verdict.claim: verdict for verdict in claims.judge(trials, quota.DECISIONS)}


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
    assert len(_design("core").arms) == 12
    assert len(_design("core", cores=4).arms) == 16


def test_all_verdicts_within_three_minutes():
    """The eighth block of the claims begins within 180 s, after the first session's others."""
    main = [d for d in quota.DESIGNS(2) if not d.optional and d.name != "claims"]
    others = sum(d.block_s * d.blocks_per_session for d in main if d.due(0))
    engine_s = 2 * 2.5  # brought up and down in two sessions
    assert 7 * _design("claims").block_s + others + engine_s < 180


def test_all_sessions_take_forty_minutes():
    """By what the designs say of themselves, all blocks of the default sessions."""
    planned_s = sum(d.lasts_s() * d.blocks_by(quota.SESSIONS - 1) for d in quota.DESIGNS(2))
    assert planned_s < 40 * 60


def test_verdicts(runs):
    """Nine blocks decide each claim; bursts are slower by a shorter period, a neighbour is not."""
    found = _by_claim(runs)
    for part in ("quota-100ms", "quota-10ms", "docker"):
        assert found[f"C08/{part}"].verdict == "holds"
    assert found["quota-bursts"].verdict == "holds"
    assert found["quota-bursts"].headline.startswith(f"{THROTTLED}: 0.3")
    assert found["quota-period-bursts"].verdict == "does not hold"
    assert "10 against 100 ms periods: slower, 1." in found["quota-period-bursts"].headline
    assert found["quota-period-busy"].verdict == "holds"
    assert "10 against 100 ms periods: faster, " in found["quota-period-busy"].headline


def test_whole_of_quotas_and_weights(runs):
    """C08 is decided by its parts: one quota that leaks makes it mixed, one not measured is named.

    Two blocks of weights leave it undecided.
    """
    assert _by_claim(runs)["C08"].verdict == "inconclusive"
    used = runs[runs["design"] != "weights"]
    whole = _by_claim(used)["C08"]
    assert (whole.verdict, whole.n) == ("holds", 9)
    assert whole.headline == "Under full load, groups used 99.8 to 100.1 % of their quotas"
    assert "Not measured: weights-2, weights-10. It is about CPU time only: " in whole.because
    docker = used["place"] == "docker"
    leaking = used.assign(used_ratio=used["used_ratio"].where(~docker, used["used_ratio"] * 1.1))
    whole = _by_claim(leaking)["C08"]
    assert whole.verdict == "mixed"
    assert whole.headline.startswith("Holds for quota-100ms, quota-10ms; not for docker; ")


def test_a_limit_makes_bursts_wait(runs):
    """Bursts wait longer under a limit than without; with the two exchanged the words turn."""
    verdict = _by_claim(runs)["quota-latency"]
    assert verdict.verdict == "holds"
    assert verdict.headline.startswith(f"{LIMITED}: slower, 1.")
    assert re.search(r"a limit of which 51 % is used on average, bursts of twice the quota of a "
                     r"period wait 1\.\d times as long",
                     quota.answer(runs))  # fmt: skip
    free = {"bursts": schema.UNLIMITED, schema.UNLIMITED: "bursts"}
    mine = runs["design"] == "limit"
    swapped = runs.assign(pattern=runs["pattern"].where(~mine, runs["pattern"].replace(free)))
    once = swapped[~(mine & (swapped["replicate"] == 1))]
    again = once[(once["design"] == "limit") & (once["pattern"] == schema.UNLIMITED)]
    rows = once.to_dict("records") + again.assign(replicate=1).to_dict("records")
    verdict = _by_claim(frames.from_rows(rows, quota.Trials))["quota-latency"]
    assert verdict.verdict == "does not hold"
    assert verdict.headline.startswith(f"{LIMITED}: faster, 1.")


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


def test_data_without_the_comparison(runs):
    """Data that lack the design say so; a limit nearly used up answers another question."""
    without = runs[runs["design"] != "limit"]
    verdict = _by_claim(without)["quota-latency"]
    assert verdict.verdict == "not measured here"
    assert verdict.because.startswith("No bursts-unlimited: not asked for")
    assert "as without it" not in quota.answer(without)
    verdict = _by_claim(runs.assign(used_ratio=0.9))["quota-latency"]
    assert verdict.verdict == "not measured here"
    assert verdict.because == "90 % of the limit was used: nearly all of it."
    assert verdict.effect > 1  # shown, and decides nothing


def test_the_comparison_alone(runs):
    """A run of that design alone is judged, summarised and put into words."""
    alone = runs[runs["design"] == "limit"]
    assert _by_claim(alone)["quota-latency"].verdict == "holds"
    assert quota.answer(alone).startswith("With a limit of which 51 % is used on average, bursts")
    assert len(quota.summarize(alone)) == 2


@pytest.fixture(scope="module")
def swept():
    """Return nine blocks of the sweep over sizes of bursts."""
    return frames.from_rows(_measure("sizes", 9), quota.Trials)


@pytest.mark.parametrize("cores", [1, 2, 16])
def test_bursts_are_as_large_as_they_say(cores):
    """Each size is so many times what the quota allows in a period, at half of the quota."""
    arms = _design("sizes", cores).arms
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


def test_large_bursts_wait_and_small_ones_do_not(swept):
    """The sweep is decided size by size, and the whole names both sides, workers and cores."""
    found = _by_claim(swept)
    assert found["quota-sizes/0.25"].verdict == "does not hold"
    assert found["quota-sizes/4"].verdict == "holds"
    whole = found["quota-sizes"]
    assert whole.verdict == "mixed"
    assert re.match(r"With a limit that is half used, bursts of .* 4 times what it allows in a "
                    r"period wait 1\.\d", whole.headline)  # fmt: skip
    assert "ursts of 0.25" in whole.sentence
    assert "do not wait 10 % longer" in whole.sentence
    assert whole.sentence in quota.answer(swept)
    assert found["quota-sizes/4"].because.endswith(
        "Bursts of 80 requests of 5 ms: 4 times what the quota allows in a period of 100 ms; "
        "4 workers on 2 cores, a quota of 1 CPU."
    )
    assert "4 budgets" in plots.describe(quota.plot_sizes(swept))
    assert quota.summarize(swept).empty


def test_every_burst_is_named_on_its_card(runs):
    """Cards about bursts name their size, workers and cores; C08 says that it is CPU only."""
    found = _by_claim(runs)
    for claim in ("quota-bursts", "quota-latency", "quota-period-bursts"):
        said = "40 requests of 5 ms: 2 times what the quota allows in a period of 100 ms; 4 workers"
        assert f"{said} on 2 cores" in found[claim].because
        assert "bursts of twice what the quota allows" in found[claim].quote
        assert "4 workers" in found[claim].quote
    assert "Requests of 5 ms beside a busy thread; 4 workers" in found["quota-period-busy"].because
    assert "CPU time only" in found["C08"].because
    assert "CPU time only" in found["C08"].decides


def test_prose_follows_data(runs):
    """With the periods swapped every sentence and verdict on them flips."""
    swapped = runs.copy()
    other = {0.01: 0.1, 0.1: 0.01}
    mine = swapped["pattern"].isin(("bursts", "beside-busy")) & (swapped["load"] != 0.2)
    swapped.loc[mine, "period_s"] = swapped.loc[mine, "period_s"].map(other)
    # the A/A control belongs to the baseline, wherever that is now
    swapped = swapped[~((swapped["replicate"] == 1) & mine)]
    slow = (swapped["period_s"] == 0.1) & (swapped["load"] == 0.5)
    null = swapped[slow & (swapped["pattern"] == "bursts")]
    swapped = frames.from_rows(
        swapped.to_dict("records") + null.assign(replicate=1).to_dict("records"), quota.Trials
    )
    found = _by_claim(swapped)
    assert ": faster, 1." in found["quota-period-bursts"].headline
    assert found["quota-period-bursts"].verdict == "holds"
    assert ": slower, " in found["quota-period-busy"].headline
    assert found["quota-period-busy"].verdict == "does not hold"


def test_answer(runs):
    """The answer names what helps and what harms, as the data have it."""
    told = quota.answer(runs)
    assert re.search(r"Under full load, groups used 99\.8 to 100\.1 % of their quotas\.", told)
    assert re.search(r"period that average 20 % of it, 3\d % of the active periods", told)
    assert re.search(r"bursts are 1\.\d times slower \(p90\)\.", told)
    assert re.search(r"requests beside a busy thread are \d+\.?\d* times faster \(p90\)\.", told)
    busy = (runs["pattern"] == "beside-busy") & (runs["period_s"] == 0.01)
    both = quota.answer(runs.assign(p90_s=runs["p90_s"].where(~busy, runs["p90_s"] * 100)))
    assert re.search(r"requests beside a busy thread are \d+ times slower", both)


def test_undecided_sentences_have_a_subject(runs):
    """A sentence that is undecided reads as one: never "Throttled in Undecided: 0.37"."""
    few = runs[runs["block"] < 5]
    for verdict in claims.judge(few, quota.DECISIONS):
        for text in (verdict.headline, verdict.because, verdict.sentence):
            assert not re.search(r"\S Undecided", text), text
    found = _by_claim(few)
    assert found["quota-bursts"].verdict == "inconclusive"
    assert found["quota-bursts"].headline.startswith(f"{THROTTLED}: undecided, 0.")
    assert re.fullmatch(
        r"With bursts of twice the quota of a period that average 20 % of it, \d\d % of the "
        r"active periods were throttled, undecided\.",
        found["quota-bursts"].sentence,
    )
    assert "5 blocks; an interval needs 6." in found["quota-period-busy"].because


def test_calibration(runs):
    """What should read 1 or a half does, or the table says no and why."""
    again = (runs["design"] == "claims") & (runs["replicate"] == 1)
    once = (runs["design"] == "claims") & (runs["pattern"] == "bursts") & (runs["replicate"] == 0)
    once &= (runs["load"] == 0.5) & (runs["period_s"] == 0.1)
    calm = runs.copy()
    calm.loc[again, "p90_s"] = runs.loc[once, "p90_s"].to_numpy()  # nine noisy pairs are too few
    table = complete(quota).calibrate(calm)
    assert list(table["truth"]) == [1.0, 0.5, 1.0, 1.0, 1.0]
    assert list(table["passes"]) == ["yes", "undecided", "yes", "not measured", "yes"]
    assert set(table["note"].iloc[[0, 2, 4]]) == {""}  # of the weights there are two blocks
    leak = complete(quota).calibrate(calm.assign(used_ratio=calm["used_ratio"] * 1.06))
    assert list(leak["passes"]) == ["no", "no", "yes", "not measured", "yes"]
    free = (runs["pattern"] == schema.UNLIMITED) & (runs["replicate"] == 1)
    for control, where in (("without a limit", free), ("with the limit", again)):
        noisy = calm.assign(p90_s=calm["p90_s"].where(~where, calm["p90_s"] * 1.2))
        off = complete(quota).calibrate(noisy).query("passes == 'no'")
        assert list(off["check"]) == [f"the same bursts again, {control}"]
        assert "A/A control fails: 1.20x" in off["note"].iloc[0]
    gone = complete(quota).calibrate(calm[calm["design"] != "weights"])
    assert list(gone["passes"]) == ["yes", "not measured", "yes", "not measured", "yes"]
    assert gone["note"].iloc[1].startswith("Nothing to compare")


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
    found = _by_claim(runs.assign(used_ratio=runs["used_ratio"] * 1.1))
    assert [found[part].verdict for part in PARTS] == ["does not hold"] * 3


def test_a_leak_is_measured_not_refused():
    """A quota that leaks throttles little; its trials count, and C08 says what they show."""
    leaking = frames.from_rows(_measure("claims", 9, leak=1.3, pattern="full"), quota.Trials)
    assert leaking["ok"].all()
    assert (leaking["throttled_share"] < 0.2).all()
    found = _by_claim(leaking)
    assert [found[part].verdict for part in PARTS] == ["does not hold"] * 3
    assert all("1.3" in found[part].headline for part in PARTS)
    assert found["C08"].verdict == "does not hold"


def test_not_far_below_the_quota(runs):
    """A service that used most of its quota says nothing about idle ones."""
    used = runs["used_ratio"].where(runs["load"] != 0.2, 0.7)
    verdict = _by_claim(runs.assign(used_ratio=used))["quota-bursts"]
    assert verdict.verdict == "not measured here"
    assert verdict.because == "70 % of the quota was used: not far below it."


def test_nothing_could_run():
    """Where no arm can run every verdict says so and why."""
    rows = [
        _row(design.name, arm, 0, i, ok=False, error="unavailable: cgroup-cpu: run as root")
        for design in quota.DESIGNS(2)
        for i, arm in enumerate(design.arms)
    ]
    found = _by_claim(frames.from_rows(rows, quota.Trials))
    assert {v.verdict for v in found.values()} == {"not measured here"}
    asked = {f"C07/{tool}" for tool in cpu_counts.installed()}
    for claim, verdict in found.items():
        where = "run as root" if claim in asked or "/" not in claim else "run as root|not asked"
        assert re.search(where, verdict.because), claim


def test_only_the_places_wanted(runs):
    """Without a Docker arm its part is not measured, and the whole says so."""
    found = _by_claim(runs[runs["place"] == "cgroup"])
    assert found["C08/docker"].verdict == "not measured here"
    assert found["C08/docker"].because.startswith("No docker: not asked for")
    assert "Not measured: docker. " in found["C08"].because


def _failed(runs, mine):
    measures = frames.measures(quota.Trials)
    failed = runs.assign(ok=~mine, error=mine.map({True: "It broke.", False: ""}))
    return failed.assign(**{name: failed[name].where(~mine) for name in measures})


def _parts(runs):
    return {
        "nothing": runs.iloc[:0],
        "no claims": runs[runs["design"] != "claims"],
        "no cgroup": runs[runs["place"] != "cgroup"],
        "no bursts": _failed(runs, runs["pattern"] == "bursts"),
        "one block": runs[runs["block"] == 0],
        "two machines": pd.concat([runs, runs.assign(machine="another")], ignore_index=True),
    }


def test_everything_works_on_part_of_the_trials(runs):
    """Tables, figures, verdicts and sentences are empty or say why; they never raise."""
    simulated = model.simulate(runs, repeats=1)
    for name, part in _parts(runs).items():
        machines = max(1, part["machine"].nunique())
        verdicts = claims.judge(part, quota.DECISIONS)
        assert len(verdicts) == len(quota.DECISIONS) * (machines if len(part) else 0), name
        assert all(v.because and len(v.headline) <= 120 for v in verdicts), name
        assert quota.answer(part).endswith("."), name
        assert len(complete(quota).calibrate(part)) == 5 * (machines if len(part) else 0), name
        for table in (quota.arms, quota.summarize, quota.tools):
            assert ("machine" in table(part).index.names) == (machines > 1), name
        residuals = model.residuals(part, simulated)
        assert set(residuals["machine"]) <= set(part["machine"]), name
        assert len(model.unexplained(residuals)) <= len(residuals), name
        assert plots.describe(quota.plot(part)), name
        assert plots.describe(quota.plot_sizes(part)), name
        plt.close("all")
    assert quota.answer(runs.iloc[:0]) == "Nothing was measured."
    assert model.residuals(runs.iloc[:0]).empty


def _asked(seen, cores=2, place="cgroup", tool="nproc", version="9.7"):
    asked = arm(place, cores=cores, pattern="tool", tool=tool, workers=0, quota_cpus=0.5)
    return _row("tools", asked, 0, cpus_seen=seen, tool_version=version)


def _judged(*rows):
    return _by_claim(frames.from_rows(list(rows), quota.Trials))


JAVA = {"tool": "java availableProcessors", "version": "17"}


def test_tools_see_or_do_not():
    """Each tool has one verdict, naming every answer and place."""
    rows = [_asked(2.0), _asked(2.0, place="docker")]
    found = _judged(*rows)
    assert (found["C07/nproc"].verdict, found["C07/nproc"].n) == ("does not hold", 2)
    assert found["C07/nproc"].headline == (
        "nproc 9.7 reports 2 of 2 CPUs under a quota of 0.5 CPU (cgroup, docker)"
    )
    assert found["C07/node os.cpus"].because == (
        "node os.cpus was not asked: each tool is asked where it is installed."
    )
    assert found["C07/node os.cpus"].verdict == "not measured here"
    assert _judged(_asked(1.0))["C07/nproc"].verdict == "holds"
    assert list(quota.tools(frames.from_rows(rows, quota.Trials))["sees_it"]) == [False, False]


@pytest.mark.parametrize("other", [{"place": "docker"}, {"version": "10"}])
def test_a_tool_that_differs_is_mixed(other):
    """Places or versions that differ make a tool mixed, and both answers are told."""
    verdict = _judged(_asked(1.0), _asked(2.0, **other))["C07/nproc"]
    assert (verdict.verdict, verdict.n) == ("mixed", 2)
    assert verdict.headline == "nproc sees its limit in 1 of 2 answers"
    assert "nproc 9.7 reports 1 of 2 CPUs" in verdict.because
    assert " reports 2 of 2 CPUs" in verdict.because


def test_tools_as_a_whole():
    """C07 itself has one verdict: holds if no tool sees its limit, fails if all do, else mixed."""
    verdict = _judged(_asked(2.0), _asked(2.0, place="docker"), _asked(1.0, **JAVA))["C07"]
    assert (verdict.verdict, verdict.n) == ("mixed", 2)
    assert verdict.because == (
        "Programs that see their CPU limit: 1 of 2 (java 17). "
        "Seen by java 17 (availableProcessors); not by nproc 9.7."
    )
    assert _judged(_asked(2.0), _asked(2.0, **JAVA))["C07"].verdict == "holds"
    assert _judged(_asked(1.0), _asked(1.0, **JAVA))["C07"].verdict == "does not hold"
    verdict = _judged(_asked(1.0), _asked(2.0, place="docker"))["C07"]
    assert verdict.verdict == "mixed"
    assert verdict.headline == "Programs that see their CPU limit: 0 of 1; in part: nproc 9.7"


def test_answers_are_of_versions_and_a_cgroup_version():
    """C07 and its parts say on which cgroup version which version of each program was asked."""
    rows = [_asked(2.0), _asked(1.0, **JAVA)]
    machine = "a CPU, 2 CPUs, Linux 6.18, cgroup v2"
    trials = frames.from_rows([row | {"machine": machine} for row in rows], quota.Trials)
    found = _by_claim(trials)
    assert found["C07"].headline == (
        "Programs that see their CPU limit on cgroup v2: 1 of 2 (java 17)"
    )
    assert "not by nproc 9.7" in found["C07"].because
    assert found["C07/nproc"].headline == (
        "nproc 9.7 reports 2 of 2 CPUs under a quota of 0.5 CPU on cgroup v2 (cgroup)"
    )
    assert quota.answer(trials).startswith("The CPU limit on cgroup v2 is seen by java 17")
    assert "cgroup version" in found["C07"].decides


def test_a_tool_is_a_program_not_a_function():
    """Three functions of one program are one tool; one that differs makes it see in part."""
    names = ("os.cpu_count", "os.process_cpu_count", "os.sched_getaffinity")
    python = [_asked(2.0, tool=f"python {name}", version="3.13.5") for name in names]
    verdict = _judged(*python, _asked(2.0))["C07"]
    assert (verdict.verdict, verdict.n) == ("holds", 2)
    assert verdict.because == (
        "Programs that see their CPU limit: 0 of 2. "
        f"Seen by none; not by nproc 9.7, python 3.13.5 ({', '.join(names)})."
    )
    aware = [*python[:2], _asked(1.0, tool=f"python {names[2]}", version="3.13.5")]
    verdict = _judged(*aware, _asked(2.0))["C07"]
    assert verdict.verdict == "mixed"
    assert "in part by python 3.13.5" in verdict.because
    assert _judged(*aware)[f"C07/python {names[2]}"].verdict == "holds"
    told = quota.answer(frames.from_rows([*aware, _asked(2.0)], quota.Trials))
    assert told == ("The CPU limit is seen by none, in part by python 3.13.5, not by nproc 9.7.")


def test_a_tool_that_failed():
    """A tool that was asked and gave no answer says why."""
    failed = _asked(None) | {"ok": False, "error": "No version in ''.", "tool_version": None}
    verdict = _judged(failed)["C07/nproc"]
    assert verdict.verdict == "not measured here"
    assert verdict.because == "No nproc: No version in ''."


def test_every_claim_is_judged_without_tools(runs):
    """Where no tool was asked each has a verdict all the same."""
    assert set(_by_claim(runs)) == {decision.claim.id for decision in quota.DECISIONS}
    assert _by_claim(runs)["C07/nproc"].because.startswith("No nproc: not asked for")


def test_tools_on_one_core():
    """On one CPU nobody can tell whether a tool sees its quota."""
    found = _judged(_asked(1.0, cores=1))
    for claim in ("C07", "C07/nproc"):
        assert found[claim].verdict == "not measured here"
        assert found[claim].because.startswith("On 1 CPU a tool reports the same")


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
    full = [a for a in _design("claims").arms if a.conditions["pattern"] == "full"]
    rows = []
    for block in range(9):
        for each in full:
            used_s = each.conditions["quota_cpus"] * (0.9 + block / 1e4)
            place = Beside(used_s, 0.1, throttled=1)
            measures = quota.trial(place, each.conditions, seed=1).measures
            rows.append(_row("claims", each, block, **measures))
    found = _by_claim(frames.from_rows(rows, quota.Trials))
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
    (arm,) = _design("once").arms
    outcome = quota.trial(FakeLimitedPlace("cgroup"), arm.conditions, seed=1)
    key = {"run": "r", "design": "once", "block": 0, "place": "cgroup"}
    for name, table_model in quota.TABLES.items():
        table = frames.from_rows([key | row for row in outcome.tables[name]], table_model)
        assert len(table) >= workloads.REQUESTS
    plain = dict(arm.conditions, sampled_s=0.0)
    assert quota.trial(FakeLimitedPlace("cgroup"), plain, seed=1).tables == {}


def test_arrivals_keep_the_load():
    """Arrivals want the named share of the quota, in bursts that outlast a period."""
    each = arm(cores=2, load=0.2).conditions
    due = workloads.arrivals(each, seed=1)
    assert len(due) == workloads.REQUESTS
    sizes = np.unique(due, return_counts=True)[1]
    assert sizes.max() * workloads.COST_S == pytest.approx(0.2 * each["quota_cpus"])
    wanted = workloads.REQUESTS * workloads.COST_S / (0.2 * each["quota_cpus"])
    assert due[-1] == pytest.approx(wanted, rel=0.15)


def test_summary_and_figure(runs):
    """The summary has a row per arm, failures counted; the figure says its unit."""
    failed = runs.copy()
    failed.loc[0, ["ok", "error"]] = [False, "tried"]
    table = quota.summarize(failed)
    assert table["n"].sum() == (runs["pattern"] != "weights").sum()
    assert table["failed"].sum() == 1
    assert "ms" in quota.plot(runs).get_xlabel()


def test_residuals(runs):
    """Measured rows that come from the model are explained; a slower machine is not."""
    part = runs[runs["design"] == "claims"]
    simulated = model.simulate(part, repeats=8)
    assert set(simulated["source"]) == {"simulated"}
    limit = runs[runs["design"] == "limit"]
    free = model.residuals(limit, model.simulate(limit, repeats=8))
    free = free[free["pattern"] == schema.UNLIMITED].set_index("measure")
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


@pytest.fixture(scope="module")
def sampled():
    """Return timeline and requests of one sampled trial."""
    (arm,) = _design("once").arms
    outcome = quota.trial(FakeLimitedPlace("cgroup"), arm.conditions, seed=1)
    key = {"run": "r", "design": "once", "block": 0, "place": "cgroup"}
    return [
        frames.from_rows([key | row for row in outcome.tables[name]], model)
        for name, model in quota.TABLES.items()
    ]


def test_one_burst(sampled):
    """A burst that the model made is found again by the model, from zero to all its work."""
    shown = model.burst(*sampled, number=2)
    table = shown.pivot(index="t_s", columns="source", values="usage_s")
    assert (table["measured"] - table["simulated"]).abs().max() < 0.01
    assert table.index.min() >= 0
    assert table["measured"].iloc[-1] == pytest.approx(0.2, abs=0.002)
    assert "ms" in quota.plot_burst(shown).get_ylabel()


def test_a_burst_is_of_one_trial(sampled):
    """Of several sampled trials the first is shown."""
    two = [pd.concat([table, table.assign(block=1)], ignore_index=True) for table in sampled]
    assert model.burst(*two).equals(model.burst(*sampled))


def test_no_such_burst(sampled):
    """A burst that is not there is refused; where nothing was sampled there is no burst."""
    with pytest.raises(UsageError, match=r"Unknown burst 5\. Must be from 0 to 4"):
        model.burst(*sampled, number=5)
    none = model.burst(*(table.iloc[:0] for table in sampled))
    assert none.empty
    assert list(none) == list(model.burst(*sampled))
    assert quota.plot_burst(none).get_ylabel()
