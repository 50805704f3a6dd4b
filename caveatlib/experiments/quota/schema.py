"""The tables of `quota`, and what holds in each row of its trials."""

from __future__ import annotations

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.stats import guards

UNLIMITED = "bursts-unlimited"
"""The bursts of `quota_cpus` in a group that has no quota."""
BURSTS = ("0.25", "0.5", "1", "2", "4")
"""Sizes of a burst that are swept, over the budget of a period: what the quota allows in it."""
PATTERNS = ("full", "steady", "bursts", UNLIMITED, "beside-busy", "weights", "tool")
CONDITIONS = ("pattern", "quota_cpus", "period_s", "workers", "load")
MOST_OF_CORES = 1.05
"""Counters and the window's clock are not read at the same instant."""


class Trials(frames.Trials):
    """One load on one limited group, or one tool asked in it."""

    pattern: Series[str] = frames.field(
        "Load in the group; weights: two groups compete for a core, tool: a program is asked",
        isin=PATTERNS,
    )
    quota_cpus: Series[float] = frames.field(
        "Quota over period, in CPUs; without a limit, the quota that the load is scaled to", gt=0
    )
    period_s: Series[float] = frames.field("Period of the quota", "s", ge=0.001, le=1)
    workers: Series[int] = frames.field("Processes that serve requests", ge=0)
    load: Series[float] = frames.field(
        "Mean CPU time requested, over the quota; 0 where nothing is requested", ge=0
    )
    burst: Series[str] = frames.field(
        "CPU time that a burst needs over what the quota allows in a period; empty: 0.2 s of the "
        "quota, whatever the period",
        isin=("", *BURSTS),
        later=True,
    )
    weight_ratio: Series[float] = frames.field(
        "Weight of the heavier of two competing groups over that of the lighter, else 1", ge=1
    )
    tool: Series[str] = frames.field("Program that is asked; empty for a load")
    cores: Series[int] = frames.field("CPUs of the machine", ge=1)
    replicate: Series[int] = frames.field("1 for the A/A control, else 0", isin=(0, 1))
    sampled_s: Series[float] = frames.field(
        "Interval between samples of the counters; 0 for none", "s", ge=0
    )
    used_ratio: Series[float] = frames.measure("CPU time used, over what the quota allows")
    used_s: Series[float] = frames.measure("CPU time used", "s")
    window_s: Series[float] = frames.measure("Length of the window that is counted", "s")
    periods: Series[float] = frames.measure("Active periods: those in which the group had work")
    throttled_share: Series[float] = frames.measure("Throttled share of the active periods", le=1)
    throttled_s: Series[float] = frames.measure("Time throttled, summed over all CPUs", "s")
    requests: Series[float] = frames.measure("Requests answered")
    p50_s: Series[float] = frames.measure("Median latency from the scheduled time", "s")
    p90_s: Series[float] = frames.measure("90th percentile of the latency", "s")
    p99_s: Series[float] = frames.measure("99th percentile of the latency", "s")
    request_cpu_s: Series[float] = frames.measure(
        "Mean CPU time of a request, by its worker's clock", "s"
    )
    overhead_s: Series[float] = frames.measure(
        "CPU time of the group per request, less `request_cpu_s`", "s", ge=-1
    )
    generator_cpu_s: Series[float] = frames.measure(
        "CPU time of the load generator, which also collects the answers", "s"
    )
    generator_lag_s: Series[float] = frames.measure(
        "Longest delay of the generator in sending a request", "s"
    )
    neighbours_s: Series[float] = frames.measure(
        "CPU time that others took of the CPUs in that window: other work, the load generator, "
        "the hypervisor",
        "s",
        later=True,
    )
    share_ratio: Series[float] = frames.measure(
        "CPU time of the heavier of two competing groups over that of the lighter"
    )
    cpus_seen: Series[float] = frames.measure("CPUs that the program reports", ge=1)
    tool_version: Series[str] = frames.field("Version of the program", nullable=True)


class _OfArm(frames.OfTrial):
    """The columns that say which arm of the block a row belongs to."""

    pattern: Series[str] = frames.field("Load in the group")
    quota_cpus: Series[float] = frames.field("Quota over period, in CPUs", gt=0)
    period_s: Series[float] = frames.field("Period of the quota", "s")
    workers: Series[int] = frames.field("Processes that serve requests", ge=0)
    load: Series[float] = frames.field("Mean CPU time requested, over the quota", ge=0)
    cores: Series[int] = frames.field("CPUs of the machine", ge=1)


class Timeline(_OfArm):
    """The counters of the group while a load ran; all begin at zero."""

    t_s: Series[float] = frames.field("Time since the start of the load", "s", ge=0)
    nr_periods: Series[int] = frames.field("Active periods so far", ge=0)
    nr_throttled: Series[int] = frames.field("Throttled periods so far", ge=0)
    throttled_s: Series[float] = frames.field(
        "Time throttled so far, summed over all CPUs", "s", ge=0
    )
    usage_s: Series[float] = frames.field("CPU time used so far", "s", ge=0)


class Requests(_OfArm):
    """Single requests of the trials that were sampled, since the start of the load."""

    scheduled_s: Series[float] = frames.field("When the request was due", "s", ge=0)
    started_s: Series[float] = frames.field("When a worker took it", "s", ge=0)
    ended_s: Series[float] = frames.field("When its work was done", "s", ge=0)


TABLES = {"timeline": Timeline, "requests": Requests}

_USED = ("used_s", "window_s")
_SERVED = (*_USED, "requests", "p50_s", "p90_s")
_LIMITED = ("used_ratio", "throttled_share")
NEEDS = {
    "full": (*_USED, *_LIMITED),
    "steady": (*_SERVED, *_LIMITED),
    "bursts": (*_SERVED, *_LIMITED),
    UNLIMITED: _SERVED,
    "beside-busy": (*_SERVED, *_LIMITED),
    "weights": ("share_ratio",),
    "tool": ("cpus_seen",),
}
"""Load -> the measures without which its trial has failed."""


def check_row(row: guards.Row) -> None:
    """Validate that all is there, CPU times, and latencies.

    Raises
    ------
    DataError
        A measure is missing, CPU time that contradicts its share of the quota (a lost unit
        of quota, period or counter), more of it than the machine has, quantiles out of order,
        or a latency longer than the window in which its request was served.
    """
    guards.needs(row, NEEDS[str(row["pattern"])])
    used_s, window_s, cores = (guards.number(row, n) for n in ("used_s", "window_s", "cores"))
    derived = {
        "used_cpus": guards.number(row, "used_ratio") * guards.number(row, "quota_cpus"),
        "share_of_cores": guards.ratio(used_s, window_s * cores),
        "window_s": window_s,
        "used_s": used_s,
    }
    guards.rate_times_time(
        derived, rate="used_cpus", seconds="window_s", amount="used_s", tolerance=0.001
    )
    derived["share_with_neighbours"] = derived["share_of_cores"] + guards.ratio(
        guards.number(row, "neighbours_s"), window_s * cores
    )
    shares = ["share_of_cores", "share_with_neighbours"]
    guards.inside(derived, shares, most=MOST_OF_CORES)
    guards.increasing(row, ["p50_s", "p90_s", "p99_s"])
    guards.increasing(row, ["p90_s", "window_s"])


def check(trials: pd.DataFrame) -> None:
    """Validate the clock of a table's latencies.

    Raises
    ------
    DataError
        From 6 trials on, a clock of whole milliseconds.
    """
    guards.finer_than(trials, ["p50_s", "p90_s"], tick=1e-3)
