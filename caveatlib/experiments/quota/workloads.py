"""What is done in a limited group: load it, let it compete, and the measures of that."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np

from caveatlib.errors import MeasurementError
from caveatlib.experiments.quota.cpu_counts import ask
from caveatlib.experiments.quota.load import Load, schedule
from caveatlib.experiments.quota.schema import CONDITIONS, UNLIMITED
from caveatlib.places.base import TrialResult

COST_S = 0.005
REQUESTS = 200
MANY = 1000
"""Requests from which on a p99 is shown."""
FULL_S = 1.0
MOST_OF_THE_REST = 0.5
"""Share of the CPU time that a quota leaves of the machine; where others took more of it, a full
load may not have had its quota. Told by what they took, and not by what the load got."""
WEIGHT = 10_000
LIGHT_WEIGHT = 100
BURST_S = 0.2
"""How long the quota lasts for one burst, if spent evenly, where no size is named."""
LEAST_BURSTS = 5
"""Bursts of each trial that names their size, at least, however large they are."""
FEWEST = 100
"""Requests of such a trial, at least."""


def in_limited_group(place, conditions: dict, *, seed: int) -> TrialResult:
    """Put one load on one limited group of the place, or ask one tool in it."""
    pattern = conditions["pattern"]
    period_us = round(conditions["period_s"] * 1e6)
    quota_us = None if pattern == UNLIMITED else round(conditions["quota_cpus"] * period_us)
    with place.limited(quota_us=quota_us, period_us=period_us, weight=WEIGHT) as limited:
        if pattern == "tool":
            answer = ask(conditions["tool"], limited.group)
            return TrialResult({"cpus_seen": answer.cpus, "tool_version": answer.version})
        if pattern == "full":
            done = limited.saturate(workers=conditions["workers"], duration_s=FULL_S)
            _not_starved(done, conditions["quota_cpus"], conditions["cores"])
        else:
            done = limited.serve(
                arrivals(conditions, seed=seed),
                cost_s=COST_S,
                workers=conditions["workers"],
                busy=int(pattern == "beside-busy"),
                sample_every_s=conditions["sampled_s"],
            )
    return TrialResult(measures_of(done, conditions), _tables(done, conditions))


def compete(place, ratio: float) -> TrialResult:
    """Let two groups compete for one core: CPU time of the heavy over that of the light."""
    with ExitStack() as stack:
        light = stack.enter_context(place.limited(weight=LIGHT_WEIGHT))
        heavy = stack.enter_context(place.limited(weight=round(LIGHT_WEIGHT * ratio)))
        more, less = heavy.contend(light, duration_s=FULL_S)
    if less.usage_s <= 0:
        raise MeasurementError("The lighter group got no CPU time at all.")
    return TrialResult({"share_ratio": more.usage_s / less.usage_s})


def _not_starved(done: Load, quota_cpus: float, cores: int) -> None:
    """Refuse a full load beside which others took too much: it says nothing of the quota.

    What the load itself used decides nothing here: a quota that gives less than it says is a
    finding, and no reason to leave the trial out.
    """
    taken, spare = done.neighbours_s / done.window_s, cores - quota_cpus
    if taken > MOST_OF_THE_REST * spare:
        raise MeasurementError(
            f"Other work took {taken:.2f} CPUs beside a full load. Must be at most "
            f"{MOST_OF_THE_REST * spare:.2f} of the {spare:g} that the quota leaves. Measure on a "
            "quiet machine."
        )


def burst_of(conditions: Mapping) -> int:
    """Return how many requests come at once in a trial of bursts."""
    quota = conditions["quota_cpus"]
    if named := conditions["burst"]:
        return max(1, round(float(named) * quota * conditions["period_s"] / COST_S))
    return round(BURST_S * quota / COST_S)


def requests_of(conditions: Mapping) -> int:
    """Return how many requests a trial has."""
    return max(FEWEST, LEAST_BURSTS * burst_of(conditions)) if conditions["burst"] else REQUESTS


def arrivals(conditions: Mapping, *, seed: int) -> np.ndarray:
    """Return when the requests of a trial are due, in seconds; see `load.schedule`."""
    in_bursts = conditions["pattern"] in ("bursts", UNLIMITED)
    return schedule(
        rate_per_s=conditions["load"] * conditions["quota_cpus"] / COST_S,
        requests=requests_of(conditions),
        burst=burst_of(conditions) if in_bursts else 1,
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
        "neighbours_s": done.neighbours_s,
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
    if conditions["pattern"] != "beside-busy":  # there the busy thread's work is in the count
        quantiles["overhead_s"] = used.usage_s / count - burnt
    return measures | quantiles | {"requests": count, "request_cpu_s": burnt}


def _tables(done: Load, conditions: dict) -> dict[str, list[dict]]:
    if not conditions["sampled_s"]:
        return {}
    key = {name: conditions[name] for name in (*CONDITIONS, "cores")}
    timeline = [key | {"t_s": t} | vars(stat) for t, stat in done.samples]
    times = zip(done.scheduled_s, done.started_s, done.ended_s, strict=True)
    names = ("scheduled_s", "started_s", "ended_s")
    requests = [key | dict(zip(names, map(float, each), strict=True)) for each in times]
    return {"timeline": timeline, "requests": requests}
