"""What does a CPU limit do to latency, and what do programs know of it?

The claim (11 April 2016): control groups are "fundamental to the resource usage
control per process group". So the first question is whether a quota holds; the
second, what the service behind it feels. A quota of one CPU is a budget of
100 ms of CPU time in every period of 100 ms: work that comes in bursts spends
it early and then stands still until the next period, however idle the service
is on average.

Requests of 5 ms of CPU time arrive open-loop, steadily or in bursts, at a share
of the quota; latency counts from the scheduled time. A burst is as many
requests as it takes to spend 0.2 s of the quota, whatever the period, so that
periods are compared under the same load; so each burst exceeds the quota of a
period by design, which shows how throttling comes about, not how often it does.
The same bursts once more without any limit say what the limit costs. Each trial
makes its group and its workers afresh, so a block is the unit of replication.
Generator and collector live outside of the group. All groups have a high weight, so that
other work on the machine disturbs them as little as the kernel allows. The tools
are asked inside the group how many CPUs they may use.

What would mislead you: closed-loop load, which never sees a stall it caused; a
quota near the number of cores, where generator and load fight; ``throttled_s``,
which sums over CPUs; a container's group lies inside Docker's, so its weight
counts among containers only; and machines where CPU time is stolen.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

import numpy as np
import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames, plots, stats
from caveatlib.errors import MeasurementError
from caveatlib.experiments.quota.cpu_counts import ask, installed
from caveatlib.experiments.quota.decisions import (
    CLAIMS,
    answer,
    known_answers,
    limit_effect,
    tools,
    usual_quota,
    verdicts,
)
from caveatlib.experiments.quota.load import Load, schedule
from caveatlib.experiments.quota.places import PLACES
from caveatlib.measuring.designs import Arm, Design
from caveatlib.places.base import TrialResult
from caveatlib.stats import guards

__all__ = [
    "CLAIMS",
    "PLACES",
    "answer",
    "known_answers",
    "limit_effect",
    "tools",
    "verdicts",
]  # beside what is defined here

NAME = "quota"
QUESTION = "What does a CPU limit do to latency, and what do programs know of it?"
SESSIONS = 15
"""Sessions by default: what has one block in each gets fifteen pairs."""
VERDICT_S = 180
"""About how many seconds of measuring until its verdicts are possible."""
DISK_BYTES = 50 * 2**20
SWAP = ("period_s", 0.01, 0.1)
"""Two arms whose exchange in the data must change what is said (contract tests)."""

COST_S = 0.005
REQUESTS = 200
MANY = 1000
"""Requests from which on a p99 is shown."""
FULL_S = 1.0
STARVED, UNUSED = 0.9, 0.95
"""Under full load a quota throttles every period; where it throttles fewer of them, and
less than the quota was used, neighbours took the CPU."""
LITTLE_LOAD = 0.2
SAMPLE_S = 0.01
WEIGHT = 10_000
BURST_S = 0.2
"""How long the quota lasts for one burst, if spent evenly."""
CORE_QUOTAS, CORE_PERIODS, CORE_WORKERS = (0.25, 0.5, 1.0, 2.0), (0.01, 0.1), (1, 4)
GRID_VARIABLE = "CAVEATLIB_QUOTA_GRID"
"""Set to 1, this environment variable adds the large grid to the designs."""
UNLIMITED = "bursts-unlimited"
"""The bursts of `quota_cpus` in a group that has no quota."""
PATTERNS = ("full", "steady", "bursts", UNLIMITED, "beside-busy", "weights", "tool")


class Trials(frames.Trials):
    """One load on one limited group, or one tool asked in it."""

    pattern: Series[str] = frames.field("what runs in the group", isin=PATTERNS)
    quota_cpus: Series[float] = frames.field("quota over period, in CPUs", gt=0)
    period_s: Series[float] = frames.field("period of the quota", "s", ge=0.001, le=1)
    workers: Series[int] = frames.field("processes that serve requests", ge=0)
    load: Series[float] = frames.field("wanted CPU time over the quota; 0 for all there is", ge=0)
    weight_ratio: Series[float] = frames.field("weight against the neighbour's", ge=1)
    tool: Series[str] = frames.field("who was asked; empty for a load")
    cores: Series[int] = frames.field("CPUs that the machine offers", ge=1)
    replicate: Series[int] = frames.field("1 for the null arm: the same thing again", isin=(0, 1))
    sampled_s: Series[float] = frames.field("distance of counter samples; 0 for none", "s", ge=0)
    used_ratio: Series[float] = frames.measure("CPU time used over the quota's")
    used_s: Series[float] = frames.measure("CPU time used", "s")
    window_s: Series[float] = frames.measure("how long was counted", "s")
    periods: Series[float] = frames.measure("periods in which the group had work")
    throttled_share: Series[float] = frames.measure("share of these that were throttled", le=1)
    throttled_s: Series[float] = frames.measure("time run queues stood throttled", "s")
    requests: Series[float] = frames.measure("requests answered")
    p50_s: Series[float] = frames.measure("median latency from the scheduled time", "s")
    p90_s: Series[float] = frames.measure("latency that 90 % stay below", "s")
    p99_s: Series[float] = frames.measure("latency that 99 % stay below", "s")
    request_cpu_s: Series[float] = frames.measure("CPU time of a request, by its worker", "s")
    overhead_s: Series[float] = frames.measure(
        "CPU time of the group per request beyond that", "s", ge=-1
    )
    generator_cpu_s: Series[float] = frames.measure("CPU time of generator and collector", "s")
    generator_lag_s: Series[float] = frames.measure("latest sending after its due time", "s")
    share_ratio: Series[float] = frames.measure("CPU time against the lighter neighbour's")
    cpus_seen: Series[float] = frames.measure("CPUs that the tool says it may use", ge=1)
    tool_version: Series[str] = frames.field("version of the tool", nullable=True)


class _OfArm(frames.Table):
    """The columns that say which trial a row of a further table belongs to."""

    run: Series[str] = frames.field("the run, as its start in UTC")
    design: Series[str] = frames.field("the design within the experiment")
    block: Series[int] = frames.field("complete block, counted within the design", ge=0)
    place: Series[str] = frames.field("where the workload ran")
    pattern: Series[str] = frames.field("how requests arrive")
    quota_cpus: Series[float] = frames.field("quota over period, in CPUs", gt=0)
    period_s: Series[float] = frames.field("period of the quota", "s")
    workers: Series[int] = frames.field("processes that serve requests", ge=0)
    load: Series[float] = frames.field("wanted CPU time over the quota", ge=0)
    cores: Series[int] = frames.field("CPUs that the machine offers", ge=1)


class Timeline(_OfArm):
    """The group's counters while a load ran, from zero on."""

    t_s: Series[float] = frames.field("time since the load's zero", "s", ge=0)
    nr_periods: Series[int] = frames.field("periods with work so far", ge=0)
    nr_throttled: Series[int] = frames.field("throttled periods so far", ge=0)
    throttled_s: Series[float] = frames.field("throttled time so far, over all CPUs", "s", ge=0)
    usage_s: Series[float] = frames.field("CPU time so far", "s", ge=0)


class Requests(_OfArm):
    """Single requests of the trials that were sampled."""

    scheduled_s: Series[float] = frames.field("when it was due", "s", ge=0)
    started_s: Series[float] = frames.field("when a worker took it", "s", ge=0)
    ended_s: Series[float] = frames.field("when its work was done", "s", ge=0)


TABLES = {"timeline": Timeline, "requests": Requests}
CONDITIONS = ("pattern", "quota_cpus", "period_s", "workers", "load")


def arm(place: str = "cgroup", *, cores: int, **conditions) -> Arm:
    """Return an arm with all its conditions, the usual ones where none are given."""
    usual = {
        "pattern": "bursts",
        "quota_cpus": usual_quota(cores),
        "period_s": 0.1,
        "workers": 4,
        "load": 0.5,
        "weight_ratio": 1.0,
        "tool": "",
        "cores": cores,
        "replicate": 0,
        "sampled_s": 0.0,
    }
    return Arm(place, usual | conditions)


def designs(cores: int) -> tuple[Design, ...]:
    """Return the designs that fit a machine: quota and generator stay below its cores.

    ``claims`` is what most verdicts are drawn from, ``limit`` has the same bursts
    with a limit and without; ``tools`` and ``once`` (a timeline) are done once; the
    others wait under a time budget. The large grid comes in if the environment
    variable `GRID_VARIABLE` is 1.
    """

    def arms(place="cgroup", **conditions):
        return arm(place, cores=cores, **conditions)

    usual, small = usual_quota(cores), usual_quota(cores) / 2
    core = [
        {"quota_cpus": quota, "period_s": period, "workers": workers}
        for quota in CORE_QUOTAS
        for period in CORE_PERIODS
        for workers in CORE_WORKERS
        if quota < cores and quota * period >= 0.001
    ]
    decisive = (
        arms(pattern="full", quota_cpus=small, load=0.0),
        arms(pattern="full", quota_cpus=usual, period_s=0.01, load=0.0),
        arms("docker", pattern="full", quota_cpus=small, load=0.0),
        arms(load=LITTLE_LOAD),
        arms(),
        arms(replicate=1),
        arms(period_s=0.01),
        arms(pattern="beside-busy", load=0.4),
        arms(pattern="beside-busy", load=0.4, period_s=0.01),
    )
    limit = (arms(), arms(pattern=UNLIMITED), arms(pattern=UNLIMITED, replicate=1))
    once = (arms(load=LITTLE_LOAD, sampled_s=SAMPLE_S),)
    asked = {
        place: tuple(
            arms(place, pattern="tool", tool=tool, quota_cpus=0.5, workers=0, load=0.0)
            for tool in installed()
        )
        for place in PLACES
    }
    weights = tuple(arms(pattern="weights", weight_ratio=r, load=0.0) for r in (2.0, 10.0))
    by_load = tuple(arms(pattern=p, load=x) for p in ("steady", "bursts") for x in (0.2, 0.5, 0.8))
    known = arms(pattern="steady", workers=1)
    found = (
        Design("claims", decisive, block_s=22, blocks_per_session=4),
        Design("limit", limit, block_s=_block_s(limit)),
        Design("tools", asked["cgroup"], block_s=5, sessions=1),
        Design("once", once, block_s=5, sessions=1),
        Design("tools-docker", asked["docker"], block_s=8, sessions=1, optional=True),
        Design("weights", (*weights, known), block_s=6, optional=True),
        Design("loads", by_load, block_s=_block_s(by_load), every=2, optional=True),
        _design("core", core, arms, pattern="bursts"),
        _design("core-steady", core, arms, pattern="steady"),
        _design("core-docker", core, arms, place="docker", every=8),
        _design("timeline", core, arms, sampled_s=SAMPLE_S, every=1, sessions=1),
    )
    if os.environ.get(GRID_VARIABLE) != "1":
        return found
    grid = tuple(
        arms(pattern=p, load=x, **each)
        for p in ("steady", "bursts")
        for x in (0.2, 0.5, 0.8)
        for each in core
    )
    return (*found, Design("grid", grid, block_s=_block_s(grid), every=4))


def _design(name, core, arms, *, every=4, sessions=None, **conditions) -> Design:
    made = tuple(arms(**conditions, **each) for each in core)
    return Design(name, made, _block_s(made), every=every, sessions=sessions, optional=True)


def _block_s(arms: tuple[Arm, ...]) -> float:
    """Return about how long arms of requests take, from their load."""
    spans = [REQUESTS * COST_S / (a.conditions["load"] * a.conditions["quota_cpus"]) for a in arms]
    return round(sum(span + 0.3 for span in spans))


def trial(place, conditions: dict, *, seed: int) -> TrialResult:
    """Put one load on one limited group of the place, or ask one tool in it.

    Parameters
    ----------
    place : object
        With ``limited(quota_us=, period_us=, weight=)``, a context manager of
        a `load.LimitedGroup`.
    conditions : dict
        The conditions of `Trials`.
    seed : int
        Decides the exact arrival times.

    Raises
    ------
    MeasurementError
        If requests cost other than they should, or marks are out of order.
    """
    if conditions["pattern"] == "weights":
        return TrialResult({"share_ratio": _fight(place, conditions["weight_ratio"])})
    period_us = round(conditions["period_s"] * 1e6)
    quota_us = round(conditions["quota_cpus"] * period_us)
    if conditions["pattern"] == UNLIMITED:
        quota_us = None
    with place.limited(quota_us=quota_us, period_us=period_us, weight=WEIGHT) as chamber:
        if conditions["pattern"] == "tool":
            belief = ask(conditions["tool"], chamber.group)
            return TrialResult({"cpus_seen": belief.cpus, "tool_version": belief.version})
        if conditions["pattern"] == "full":
            done = chamber.saturate(workers=conditions["workers"], duration_s=FULL_S)
            _not_starved(done, conditions["quota_cpus"])
        else:
            done = chamber.serve(
                arrivals(conditions, seed=seed),
                cost_s=COST_S,
                workers=conditions["workers"],
                busy=int(conditions["pattern"] == "beside-busy"),
                sample_every_s=conditions["sampled_s"],
            )
    return TrialResult(measures_of(done, conditions), _tables(done, conditions))


def _not_starved(done: Load, quota_cpus: float) -> None:
    """Refuse a full load that others kept from its quota: it says nothing of the quota.

    One that used its quota, or more, counts however little it was throttled.
    """
    used, ratio = done.used, done.used.usage_s / (quota_cpus * done.window_s)
    if used.nr_throttled < STARVED * used.nr_periods and ratio < UNUSED:
        raise MeasurementError(
            f"Only {ratio:.0%} of the quota was used and {used.nr_throttled} of "
            f"{used.nr_periods} periods were throttled under full load: other work took the "
            "CPU. Measure on a quiet machine."
        )


def arrivals(conditions: dict, *, seed: int) -> np.ndarray:
    """Return when the requests of a trial are due, in seconds; see `load.schedule`."""
    quota = conditions["quota_cpus"]
    return schedule(
        "bursts" if conditions["pattern"] in ("bursts", UNLIMITED) else "steady",
        rate_per_s=conditions["load"] * quota / COST_S,
        requests=REQUESTS,
        burst=round(BURST_S * quota / COST_S),
        seed=seed,
    )


def measures_of(done: Load, conditions: dict) -> dict:
    """Return the measures of a load: what it used, how it was throttled, its latencies.

    What only a quota has (its use, its periods) is left out where there is none.

    Raises
    ------
    MeasurementError
        If a request ended before its work could be done.
    """
    used = done.used
    measures = {
        "used_s": used.usage_s,
        "window_s": done.window_s,
        "generator_cpu_s": done.generator_cpu_s,
        "generator_lag_s": done.generator_lag_s,
    }
    if conditions["pattern"] != UNLIMITED:
        measures |= {
            "used_ratio": used.usage_s / (conditions["quota_cpus"] * done.window_s),
            "periods": used.nr_periods,
            "throttled_share": used.nr_throttled / used.nr_periods if used.nr_periods else 0.0,
            "throttled_s": used.throttled_s,
        }
    count = len(done.scheduled_s)
    if not count:
        return measures
    latency = done.latency_s
    if latency.min() < 0.9 * COST_S or (done.started_s < done.scheduled_s).any():
        raise MeasurementError(f"A latency of {latency.min():g} s is shorter than the work.")
    quantiles = dict(zip(("p50_s", "p90_s"), np.quantile(latency, (0.5, 0.9)), strict=True))
    if count >= MANY:
        quantiles["p99_s"] = np.quantile(latency, 0.99)
    burnt = float(np.mean(done.request_cpu_s))
    if conditions["pattern"] != "beside-busy":  # there the neighbour's work is in the count
        quantiles["overhead_s"] = used.usage_s / count - burnt
    return measures | quantiles | {"requests": count, "request_cpu_s": burnt}


def check(trials: pd.DataFrame) -> None:
    """Hold trials against what cannot be, one row or many.

    Raises
    ------
    DataError
        CPU time that contradicts its share of the quota (a lost unit of quota,
        period or counter), more of it than the machine has, quantiles out of
        order, or, from 6 trials on, a clock of whole milliseconds.
    """
    used_cpus = trials["used_ratio"] * trials["quota_cpus"]
    share = trials["used_s"] / trials["window_s"] / trials["cores"]
    frame = trials.assign(used_cpus=used_cpus, share_of_cores=share)
    guards.rate_times_time(
        frame, rate="used_cpus", seconds="window_s", amount="used_s", tolerance=0.001
    )
    guards.inside(frame, ["share_of_cores"], most=MOST_OF_CORES)
    guards.increasing(trials, ["p50_s", "p90_s", "p99_s"])
    guards.finer_than(trials, ["p50_s", "p90_s"], tick=1e-3)


MOST_OF_CORES = 1.05
"""Counters and the window's clock are not read at the same instant."""


def _tables(done: Load, conditions: dict) -> dict[str, list[dict]]:
    if not conditions["sampled_s"]:
        return {}
    key = {name: conditions[name] for name in (*CONDITIONS, "cores")}
    timeline = [key | {"t_s": t} | vars(stat) for t, stat in done.samples]
    times = zip(done.scheduled_s, done.started_s, done.ended_s, strict=True)
    names = ("scheduled_s", "started_s", "ended_s")
    requests = [key | dict(zip(names, map(float, each), strict=True)) for each in times]
    return {"timeline": timeline, "requests": requests}


def _fight(place, ratio: float) -> float:
    """Return the CPU time of a heavy group over that of a light one on the same core."""
    with ExitStack() as stack:
        light = stack.enter_context(place.limited(weight=100))
        heavy = stack.enter_context(place.limited(weight=round(100 * ratio)))
        more, less = heavy.contend(light, duration_s=FULL_S)
    if less.usage_s <= 0:
        raise MeasurementError("The lighter group got no CPU time at all.")
    return more.usage_s / less.usage_s


def loads(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of loads alone, with an `arm` that names their conditions."""
    shown = trials[~trials["pattern"].isin(("tool", "weights"))]
    return shown.assign(arm=[_label(row) for row in shown.to_dict("records")])


def _label(row: dict) -> str:
    load = "" if row["pattern"] == "full" else f" at {row['load']:.0%}"
    limit = f"{row['quota_cpus']:g} CPU per {row['period_s'] * 1e3:g} ms"
    if row["pattern"] == UNLIMITED:
        load, limit = f"{load} of {row['quota_cpus']:g} CPU", "no limit"
    return f"{row['place']} {row['pattern']}{load}: {limit}, {row['workers']} workers"


def summarize(trials: pd.DataFrame) -> pd.DataFrame:
    """Summarise every arm of a load: used and throttled share, latencies, failures."""
    names = ["used_ratio", "throttled_share", "throttled_s", "p50_s", "p90_s"]
    return stats.summarize(trials, names, by=["place", *CONDITIONS])


def plot(trials: pd.DataFrame, ax=None):
    """Draw p90 of every arm of requests, on a logarithmic axis."""
    shown = loads(trials)
    shown = shown[shown["ok"] & (shown["design"] != "once")]
    return plots.dots(
        shown, "p90_s", by="arm", unit="s", label="Latency that 90 % stay below", log=True, ax=ax
    )
