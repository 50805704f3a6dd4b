"""A service under a CPU quota on a machine that you do not have: simulated, drawn, explored."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from caveatlib import plots
from caveatlib.experiments.quota import cfs
from caveatlib.experiments.quota.load import schedule
from caveatlib.experiments.quota.workloads import COST_S


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
    due = schedule("bursts", rate_per_s=rate, requests=8 * threads, burst=threads, seed=seed)
    quota = quota_cpus if limited else math.inf
    done = cfs.simulate(
        due, quota_cpus=quota, period_s=period_s, cores=cores, threads=threads, seed=seed
    )
    share = done.totals["nr_throttled"] / max(1, done.totals["nr_periods"])
    return done.requests.assign(throttled_share=share)


def plot(ax=None, **machine):
    """Draw how many requests of `simulate` stay below a latency, with the limit and without."""
    bound, free = simulate(**machine), simulate(**machine, limited=False)
    throttled = bound["throttled_share"].iloc[0] * 100
    share = f"with the quota, {throttled:.0f} % of the active periods throttled"
    ax = plots.lines(
        pd.concat([_cumulated(bound, share), _cumulated(free, "without")]),
        "share",
        "latency_s",
        by="limit",
        unit="s",
        xlabel="share of requests that stay below",
        ylabel="latency",
        ax=ax,
    )
    # beside the axes, so long a name would leave them a third of the width
    ax.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def _cumulated(requests: pd.DataFrame, limit: str) -> pd.DataFrame:
    shares = np.arange(1, 100) / 100
    return pd.DataFrame(
        {"share": shares, "latency_s": requests["latency_s"].quantile(shares), "limit": limit}
    )


def explore(**machine) -> None:
    """Show `plot` in a notebook; `ipywidgets.interact` calls it for each setting."""
    plots.show(plot(**machine))
