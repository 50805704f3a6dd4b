"""Figures of `quota`: what the trials of one machine look like."""

from __future__ import annotations

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.kit.tables import figure_per_machine
from caveatlib.experiments.quota.tables import loads


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw the p90 of every trial with requests, on a logarithmic axis, one row per arm."""
    shown = loads(trials)
    shown = shown[shown["ok"] & (shown["design"] != "once")]
    return plots.dots(
        shown, "p90_s", by="arm", unit="s", label="90th percentile of latency", log=True, ax=ax
    )


def plot_burst(shown: pd.DataFrame, ax=None):
    """Draw a burst from `model.burst`: CPU time over time, the model over the measurement."""
    return plots.lines(
        shown.assign(t_ms=(shown["t_s"] * 1e3).round(1), usage_ms=shown["usage_s"] * 1e3),
        "t_ms",
        "usage_ms",
        by="source",
        unit="ms",
        xlabel="Time since the burst was due (ms)",
        ylabel="CPU time used",
        ax=ax,
    )
