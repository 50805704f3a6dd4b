"""Figures of `startup`: what the trials of one machine look like."""

from __future__ import annotations

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.kit.tables import figure_per_machine
from caveatlib.experiments.startup.tables import beside_others, phases, starts, work_parts
from caveatlib.support.quantities import format_quantity


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw the time until the first output, one dot per trial, one row per place.

    Emulated machines are hollow and grey: their times are those of the emulator.
    """
    emulated = trials["place"].isin(trials.loc[trials["accel"] == "tcg", "place"])
    shown = trials.assign(
        row=trials["place"] + emulated.map({True: " (emulated)", False: ""}),
    )
    return plots.dots(
        starts(shown),
        "first_output_s",
        by="row",
        hue="place",
        hollow=set(shown.loc[emulated, "row"]),
        unit="s",
        label="Time until the workload's first output",
        log=True,
        title="Every start is a dot; the line is the median",
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
    return plots.stacked(
        pd.DataFrame(steps),
        unit="s",
        label="Median time",
        title="What a start and a stop are made of",
        ax=ax,
    )


@figure_per_machine
def plot_beside_others(trials: pd.DataFrame, ax=None):
    """Draw `beside_others`: starts of ours and published boots of virtual machines.

    No verdict comes of it: other machines, other guests, and their clock stops at an exit.
    """
    return plots.ranges(
        beside_others(trials),
        by="what",
        arm="where",
        unit="s",
        label="Time to the first output; of others' machines, to their end",
        title="Starts here, and boots of others' virtual machines under KVM",
        ax=ax,
    )


@figure_per_machine
def plot_work(trials: pd.DataFrame, ax=None):
    """Draw how many instructions a first start in a guest executes, and a guest's boot, by parts.

    It does not depend on how fast a host is, but where a guest waits for its disk; what a host does
    for a guest is not in it.
    """
    parts = work_parts(trials)
    return plots.stacked(
        parts,
        unit="instructions",
        label="Instructions executed",
        ends=[format_quantity(total, "instructions") for total in parts.sum(axis=1)],
        title="The work of a first start, and of booting what it would run in",
        ax=ax,
    )


@figure_per_machine
def plot_at_once(trials: pd.DataFrame, ax=None):
    """Draw the time until the last of several instances has written its first output.

    Emulated machines are left out, as in `plot_phases`.
    """
    rows = trials[(trials["design"] == "at-once") & trials["ok"] & (trials["accel"] != "tcg")]
    return plots.lines(
        rows,
        "at_once",
        "last_output_s",
        by="place",
        unit="s",
        xlabel="instances asked for at once",
        ylabel="time until the last first output",
        log=True,
        doubling=True,
        title="Several at once: time until the last one has answered",
        ax=ax,
    )
