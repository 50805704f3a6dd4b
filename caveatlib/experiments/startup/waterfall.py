"""The steps from a process to `docker run`, each as the difference of two places in a session."""

from __future__ import annotations

import itertools

import pandas as pd

from caveatlib import plots, stats
from caveatlib.experiments.kit.tables import figure_per_machine, per_machine
from caveatlib.experiments.startup.designs import STEPS
from caveatlib.support.quantities import format_quantity, percent

WHOLE = "all of it, measured again"
"""Row of the start that is measured twice: its second measurement, which no step is read from."""
SUM, AGAIN = "steps", "whole"
"""What `added_up` has a row of."""


def _place(place: str, replicate: int = 0) -> dict:
    return {"design": "steps", "place": place, "replicate": replicate}


def _contrasts() -> list[stats.Contrast]:
    places = [None, *STEPS.values()]
    return [
        stats.Contrast(
            step,
            "first_output_s",
            _place(place),
            _place(before) if before else None,
            pairing="session",
            kind="difference",
        )
        for before, (step, place) in zip(places, STEPS.items(), strict=False)
    ] + [
        stats.Contrast(
            WHOLE,
            "first_output_s",
            _place(STEPS["client"], 1),
            None,
            pairing="session",
            kind="difference",
        )
    ]


@per_machine
def steps(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each step adds until the first output, the process first.

    Returns
    -------
    pandas.DataFrame
        Indexed by step: the `place` that has it and all before it; `n` sessions;
        `added_s_median`, the estimate of its difference to the place before with the plain
        interval `added_s_low` to `added_s_high`, which holds 0 where the step is lost in the
        noise; `share` of the sum of all steps, empty if one is missing. The last row is the
        whole, from trials of their own.
    """
    rows = stats.jointly([(trials, contrast) for contrast in _contrasts()])
    table = pd.DataFrame(rows).set_index("name").rename_axis("step")
    table = table[table["n"] > 0]
    names = {"estimate": "added_s_median", "low": "added_s_low", "high": "added_s_high"}
    table = table[["n", *names]].rename(columns=names)
    table.insert(0, "place", [(STEPS | {WHOLE: STEPS["client"]})[step] for step in table.index])
    own = table["added_s_median"].reindex(list(STEPS))
    table["share"] = table["added_s_median"] / own.sum(skipna=False)
    return table


def added_up(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the sum of the steps and the whole, one row each per session, of any machines.

    Returns
    -------
    pandas.DataFrame
        `what`, "steps" or "whole", and `seconds`. The steps are those of the table, so their
        sum is the whole only if each begins where the one before ends; the whole is from
        trials that no step is read from. Empty in a session that lacks one of them.
    """
    rows = trials[trials["design"] == "steps"]
    with stats.unchanged():
        found = [stats.pairs(rows, contrast) for contrast in _contrasts()]
    units = ["run", "session"]
    keys = rows.drop_duplicates(units)[stats.KEYS].assign(ok=True)
    index = pd.MultiIndex.from_frame(keys[units])
    added = pd.concat([each["effect"].reindex(index) for each in found[:-1]], axis=1)
    seconds = {
        SUM: added.sum(axis=1, skipna=False).to_numpy(dtype=float),
        AGAIN: found[-1]["effect"].reindex(index).to_numpy(dtype=float),
    }
    parts = [keys.assign(what=what, seconds=values) for what, values in seconds.items()]
    return pd.concat(parts, ignore_index=True)


def largest(here: pd.DataFrame) -> str:
    """Say which step from a process to `docker run` is the largest; "" if one is missing."""
    table = steps(here)
    if not set(STEPS) <= set(table.index):
        return ""
    own = table.loc[list(STEPS)]
    most = own.loc[own["added_s_median"].idxmax()]
    each = [
        f"{step} {format_quantity(value, 's')}" for step, value in own["added_s_median"].items()
    ]
    return (
        f"Step by step from a process to docker run: {', '.join(each)}. The largest is the "
        f"{most.name}: {percent(most['share'])} of their sum."
    )


@figure_per_machine
def plot_steps(trials: pd.DataFrame, ax=None):
    """Draw what each step adds until the first output, each bar from where the last one ends."""
    table = steps(trials)
    there = list(itertools.takewhile(lambda step: step in table.index, STEPS))
    return plots.waterfall(
        table["added_s_median"].reindex(there),
        whole=table["added_s_median"].get(WHOLE),
        unit="s",
        label="Time until the workload's first output",
        title="From a process to docker run, step by step",
        ax=ax,
    )
