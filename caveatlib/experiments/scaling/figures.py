"""Figures of `scaling`."""

from __future__ import annotations

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.kit.tables import figure_per_machine
from caveatlib.experiments.scaling.tables import found, loaded


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw the median throughput over the number of replicas, a line per kind of work."""
    return plots.lines(
        loaded(trials), "replicas", "throughput_per_s", by="arm", unit="", log=True, doubling=True,
        xlabel="Replicas", ylabel="Requests per second", ax=ax,
        title="Requests that so many replicas serve",
    )  # fmt: skip


@figure_per_machine
def plot_lost(trials: pd.DataFrame, ax=None):
    """Draw for how long requests were lost after a kill, one row per way to be found."""
    shown = found(trials)
    ax = plots.dots(
        shown, "lost_s", by="arm", unit="s", label="From the kill to the last lost request",
        title="A killed container: for how long requests are still sent to it", ax=ax,
    )  # fmt: skip
    kept = sorted(shown.loc[shown["kept"] == 1, "arm"].unique())
    told = f"Still sent requests at the end of the watch: {', '.join(kept)}." if kept else ""
    return plots.say(ax, told)


@figure_per_machine
def plot_served(trials: pd.DataFrame, ax=None):
    """Draw how soon a container is in service, one row per way to be found."""
    return plots.dots(
        found(trials), "served_s", by="arm", unit="s", label="From start to first request served",
        title="A new container: how soon requests reach it", ax=ax,
    )  # fmt: skip
