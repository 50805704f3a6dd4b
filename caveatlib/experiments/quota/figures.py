"""Figures of `quota`: what the trials of one machine look like."""

from __future__ import annotations

import numpy as np
import pandas as pd

from caveatlib import claims, plots, stats
from caveatlib.experiments.kit.tables import figure_per_machine, judged_effects
from caveatlib.experiments.quota.claims import LONGER, SIZED
from caveatlib.experiments.quota.decisions import DECISIONS
from caveatlib.experiments.quota.designs import BUSY, FREE, HALF_LOADED, LIMITED

PAIRS = {
    "bursts, with the limit": LIMITED,
    "bursts, without": FREE,
    "bursts, periods of 100 ms": HALF_LOADED | {"period_s": 0.1, "replicate": 0},
    "bursts, periods of 10 ms": HALF_LOADED | {"period_s": 0.01},
    "beside a busy thread, 100 ms": BUSY | {"period_s": 0.1},
    "beside a busy thread, 10 ms": BUSY | {"period_s": 0.01},
}
"""Row -> the trials of it, the two of a pair below each other; the first of each is the usual."""
FLAT = 0.05
"""A step of CPU time below this share of the steepest one is flat."""


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw the p90 of every trial of the three pairs that decide, one row per arm."""
    parts = []
    for number, (name, where) in enumerate(PAIRS.items()):
        rows = trials[trials["ok"] & stats.match(trials, where)]
        arm = "with the limit" if number % 2 == 0 else "without"
        parts.append(rows.assign(row=name, arm=arm))
    return plots.dots(
        pd.concat(parts),
        "p90_s",
        by="row",
        hue="arm",
        order=list(PAIRS),
        unit="s",
        label="90th percentile of latency",
        title="Three pairs: 90th percentile of latency, every trial a dot",
        ax=ax,
    )


def plot_burst(shown: pd.DataFrame, ax=None):
    """Draw a burst from `model.burst`: CPU time over time, the model over the measurement."""
    shown = shown.assign(t_ms=(shown["t_s"] * 1e3).round(1))
    ax = plots.lines(
        shown,
        "t_ms",
        "usage_s",
        by="source",
        unit="s",
        xlabel="Time since the burst was due (ms)",
        ylabel="CPU time used",
        title="One burst: CPU time used, flat where the group was throttled",
        ax=ax,
    )
    return _mark_flat(ax, shown[shown["source"] == "measured"])


def _mark_flat(ax, measured: pd.DataFrame):
    """Write "throttled" under the longest flat step of a measured burst, if there is one."""
    steps = np.diff(measured["usage_s"])
    flat = steps < FLAT * steps.max(initial=0.0)
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=False))
    runs = sorted(edges.reshape(-1, 2).tolist(), key=np.ptp)
    if not runs or np.ptp(runs[-1]) < 2:
        return ax
    ends = measured["t_ms"].to_numpy()[runs[-1]]
    ax.axvspan(*ends, color="#8A8F98", alpha=0.2, lw=0)
    ax.text(ends.mean(), 0, "throttled", ha="center", va="bottom", fontsize="small")
    return plots.say(ax, f"Throttled from {ends[0]:g} to {ends[1]:g} ms.")


@figure_per_machine
def plot_sizes(trials: pd.DataFrame, ax=None):
    """Draw by the size of bursts how much longer they wait with the limit than without.

    The intervals are those by which the verdicts are drawn, over that of the A/A control.
    """
    rows = {f"{size} budgets": claim for size, claim in SIZED.items()}
    return plots.effects(
        judged_effects(claims.judge(trials, DECISIONS), rows),
        label="ratio of the p90, adjusted intervals",
        threshold=LONGER,
        title="Bursts by size: latency with the limit over without",
        ax=ax,
    )
