"""A service under a CPU quota on a machine that you do not have: simulated, drawn, explored."""

from __future__ import annotations

import math

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.quota import cfs
from caveatlib.experiments.quota.load import schedule
from caveatlib.experiments.quota.workloads import COST_S

MOST_S = 0.2
"""End of the axis of latencies."""


def simulate(
    *,
    quota_cpus: float = 2.0,
    period_s: float = 0.1,
    cores: int = 64,
    threads: int = 64,
    load: float = 0.5,
    limited: bool = True,
    seed: int = 0,
) -> pd.DataFrame:
    """Simulate a service on a machine that you do not have: bursts of one request per thread.

    Parameters
    ----------
    quota_cpus, period_s : float
        The limit.
    cores, threads : int
        Of the machine, and that serve requests.
    load : float
        Mean CPU time requested, over the quota, in (0, 1].
    limited : bool
        Whether the limit applies; the requests are the same without it.
    seed : int

    Returns
    -------
    pandas.DataFrame
        One row per request, as `cfs.Simulation.requests`, and in every row
        ``throttled_share``, the share of the active periods that were throttled.
    """
    rate = load * quota_cpus / COST_S
    due = schedule(rate_per_s=rate, requests=8 * threads, burst=threads, seed=seed)
    quota = quota_cpus if limited else math.inf
    done = cfs.simulate(
        due, quota_cpus=quota, period_s=period_s, cores=cores, threads=threads, seed=seed
    )
    share = done.totals["nr_throttled"] / max(1, done.totals["nr_periods"])
    return done.requests.assign(throttled_share=share)


def plot(ax=None, **machine):
    """Draw which share of the requests of `simulate` is done within a latency.

    With the limit and without; the axis stays where it is, whatever the machine.
    """
    bound, free = simulate(**machine), simulate(**machine, limited=False)
    throttled = bound["throttled_share"].iloc[0] * 100
    ax = plots.cumulated(
        {"with the limit": bound["latency_s"], "without": free["latency_s"]},
        unit="s",
        label="latency of a request",
        most=MOST_S,
        title=f"{throttled:.0f} % of the active periods were throttled",
        ax=ax,
    )
    return plots.say(ax, f"{throttled:.0f} % of the active periods were throttled.")


def sliders() -> None:
    """Show `plot` in a notebook below sliders, and draw it anew when one is moved."""
    from ipywidgets import FloatSlider, Layout, SelectionSlider, interact

    wide = {"layout": Layout(width="480px"), "style": {"description_width": "190px"}}
    steps = [1, 2, 4, 8, 16, 32, 64]
    interact(
        lambda quota, period_ms, cores, threads, load: plots.show(
            plot(
                quota_cpus=quota,
                period_s=period_ms / 1e3,
                cores=cores,
                threads=threads,
                load=load / 100,
            )
        ),
        quota=FloatSlider(2, min=0.5, max=16, step=0.5, description="Limit (CPUs)", **wide),
        period_ms=SelectionSlider(
            options=[10, 50, 100], value=100, description="Period (ms)", **wide
        ),
        cores=SelectionSlider(options=steps[1:], value=64, description="Cores", **wide),
        threads=SelectionSlider(options=steps, value=64, description="Threads in a burst", **wide),
        load=FloatSlider(
            50, min=10, max=90, step=10, description="Mean use of the limit (%)", **wide
        ),
    )
