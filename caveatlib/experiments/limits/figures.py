"""Figures of `limits`: who fails beside whom, and when."""

from __future__ import annotations

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.kit.tables import figure_per_machine
from caveatlib.experiments.limits.tables import named, timeline

XLABEL = "Time since the neighbour's start (s)"


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw the share of failed requests of every trial, one row per neighbour."""
    shown = named(trials[trials["ok"] & (trials["sampled"] == 0)])
    shown["failed_share"] = shown["failed"] / shown["requests"] * 100
    label = "Failed requests (%)"
    return plots.dots(shown, "failed_share", by="arm", unit="", label=label, ax=ax)


@figure_per_machine
def plot_latency(trials: pd.DataFrame, ax=None):
    """Draw the p90 of the answered requests of every trial, on a logarithmic axis."""
    shown = named(trials[trials["ok"] & (trials["sampled"] == 0)])
    label = "90th percentile of latency"
    return plots.dots(shown, "p90_s", by="arm", unit="s", label=label, log=True, ax=ax)


def plot_failures(beats: pd.DataFrame, ax=None):
    """Draw the share of requests that fail over time, one line per neighbour."""
    shown = timeline(beats).assign(failed=lambda t: t["failed_share"] * 100)
    return plots.lines(
        shown, "t_s", "failed", by="arm", unit="", xlabel=XLABEL, ylabel="failed (%)", ax=ax
    )


def plot_timeline(beats: pd.DataFrame, ax=None):
    """Draw the latency of the answered requests over time, one line per neighbour."""
    return plots.lines(
        timeline(beats), "t_s", "latency_s", by="arm", unit="s", xlabel=XLABEL, ylabel="latency",
        log=True, ax=ax,
    )  # fmt: skip
