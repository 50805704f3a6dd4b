"""Figures of `limits`: who fails beside whom, and when."""

from __future__ import annotations

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.kit.tables import figure_per_machine
from caveatlib.experiments.limits.tables import named, timeline

XLABEL = "Time since the neighbour's start (s)"
MOST = 0.5
"""Above this share of failed requests a step of the timeline is marked."""


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw the share of failed requests of every trial, one row per neighbour."""
    shown = named(trials[trials["ok"] & (trials["sampled"] == 0)])
    shown["failed_share"] = shown["failed"] / shown["requests"] * 100
    label = "Failed requests (%)"
    title = "Requests of a victim that failed, by what its neighbour does"
    return plots.dots(shown, "failed_share", by="arm", unit="", label=label, title=title, ax=ax)


@figure_per_machine
def plot_latency(trials: pd.DataFrame, ax=None):
    """Draw the p90 of the answered requests of every trial, on a logarithmic axis."""
    shown = named(trials[trials["ok"] & (trials["sampled"] == 0)])
    label = "90th percentile of latency"
    title = "Latency of a victim's answered requests, by what its neighbour does"
    return plots.dots(shown, "p90_s", by="arm", unit="s", label=label, log=True, title=title, ax=ax)


def plot_timeline(beats: pd.DataFrame, ax=None):
    """Draw the latency of requests over time, one line per neighbour, and who got no answer."""
    seen = timeline(beats)
    ax = plots.lines(
        seen, "t_s", "latency_s", by="arm", unit="s", xlabel=XLABEL, ylabel="latency", log=True,
        markers=False, title="A victim beside a fork bomb: latency, and requests without an answer",
        ax=ax,
    )  # fmt: skip
    failed = seen[seen["failed_share"] > MOST]
    if failed.empty:
        return plots.say(ax, "Most requests were answered at all times.")
    lane, words = 2 * ax.get_ylim()[1], []
    for arm, rows in failed.groupby("arm"):
        ax.plot(rows["t_s"], [lane] * len(rows), "x", color=plots.colours([arm])[arm])
        words.append(f"{arm} {rows['t_s'].min():.1f} to {rows['t_s'].max():.1f} s")
    ax.text(0.01, lane, "no answer", transform=ax.get_yaxis_transform(), va="center")
    ax.set_ylim(top=2 * lane)
    return plots.say(ax, f"Most requests had no answer beside: {', '.join(words)}.")
