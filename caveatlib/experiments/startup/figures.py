"""Figures of `startup`: what the trials of one machine look like."""

from __future__ import annotations

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.kit.tables import figure_per_machine
from caveatlib.experiments.startup.tables import phases, starts


def _marked(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials, their places marked where a guest was emulated."""
    emulated = trials["place"].isin(trials.loc[trials["accel"] == "tcg", "place"])
    return trials.assign(place=trials["place"] + emulated.map({True: " (emulated)", False: ""}))


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw the time until the first output, one dot per trial, one row per place."""
    return plots.dots(
        _marked(starts(trials)),
        "first_output_s",
        by="place",
        unit="s",
        label="Time until the workload's first output",
        log=True,
        ax=ax,
    )


@figure_per_machine
def plot_phases(trials: pd.DataFrame, ax=None):
    """Draw the median phases of a start and a stop, one bar per place.

    Emulated machines are left out: their bars would dwarf all others.
    """
    table = phases(trials[trials["accel"] != "tcg"])
    steps = {
        "prepare": table["created_s"],
        "start": table["first_output_s"] - table["created_s"],
        "stop": table["stop_s"],
    }
    return plots.stacked(pd.DataFrame(steps), unit="s", label="Median time", ax=ax)


@figure_per_machine
def plot_at_once(trials: pd.DataFrame, ax=None):
    """Draw the time until the last of several instances has written its first output."""
    return plots.lines(
        _marked(trials[(trials["design"] == "at-once") & trials["ok"]]),
        "at_once",
        "last_output_s",
        by="place",
        unit="s",
        xlabel="instances asked for at once",
        ylabel="time until the last first output",
        log=True,
        ax=ax,
    )
