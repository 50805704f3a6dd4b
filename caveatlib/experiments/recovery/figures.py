"""Figures of `recovery`: when a service answers again, and replicas over time."""

from __future__ import annotations

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.kit.tables import figure_per_machine
from caveatlib.experiments.recovery.tables import (
    FAULTS,
    KEEPERS,
    STEP_S,
    named,
    over_time,
    shown,
)
from caveatlib.support.quantities import format_quantity

HIGH = 0.8
"""Of a lane, what as many replicas as desired take."""


def _arms(rows: pd.DataFrame) -> list[str]:
    """Return the arms from the mildest fault and the simplest keeper on."""
    order = [
        f"{fault}: {keeper}{more}"
        for fault in FAULTS.values()
        for keeper in KEEPERS.values()
        for more in ("", ", 3 replicas")
    ]
    there = set(rows["arm"])
    return [arm for arm in order if arm in there]


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw when all replicas were back, in every trial in which they were, by fault and keeper."""
    rows = named(shown(trials))
    rows = rows.assign(arm=rows["fault"] + ": " + rows["keeper"])
    label = "Fault until as many replicas as desired answer again"
    title = "How long until a service is whole again"
    ax = plots.dots(
        rows, "back_s", by="arm", unit="s", label=label, log=True, order=_arms(rows), hue="fault",
        title=title, ax=ax,
    )  # fmt: skip
    never = rows.groupby("arm")["recovered"].agg(["sum", "count"])
    gone = never[never["sum"] < never["count"]]
    told = [f"{a} in {n - s:.0f} of {n:.0f}" for a, (s, n) in gone.iterrows()]
    return plots.say(ax, f"Not back within the watch: {', '.join(told)}." if told else "")


def plot_replicas(timeline: pd.DataFrame, ax=None):
    """Draw how many replicas answer over time, a lane for each fault and keeper, on one clock.

    Parameters
    ----------
    timeline : pandas.DataFrame
        Table ``timeline`` of a run.
    """
    steps = named(over_time(timeline))
    steps = steps.assign(arm=steps["fault"] + ": " + steps["keeper"])
    arms = _arms(steps)
    ax = ax or plots.new_axes(height=1.2 + 0.25 * max(1, len(arms)))
    tints, words = plots.colours(FAULTS.values()), []
    last = steps["t_s"].max() if len(steps) else 1.0
    for lane, arm in enumerate(arms):
        rows = steps[steps["arm"] == arm]
        share = rows["answering"] / rows["replicas"]
        times, low = rows["t_s"].to_numpy(), lane + HIGH / 2
        if share.iloc[-1] == 1:  # whoever is whole again stays so
            times, share = [*times, last], [*share, 1.0]
        else:
            ax.plot(times[-1], lane, "x", color=plots.INK, ms=5)
        top = [low - HIGH * part for part in share]
        tint = tints[str(rows["fault"].iloc[0])]
        ax.fill_between(times, top, low, step="post", color=tint, alpha=0.75, lw=0)
        ax.plot([times[0], last], [low - HIGH] * 2, ls=":", lw=1, color=plots.INK)
        words.append(f"{arm} {_told(rows)}")
    ax.axvline(0, color=plots.INK, lw=1)
    ax.set_yticks(range(len(arms)), [plots.literal(arm) for arm in arms])
    ax.set_ylim(max(1, len(arms)) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("Time since the fault (s); dotted: desired; x: end of the watch")
    plots.finish(ax, title="Replicas that answer, beside those that are desired")
    told = "; ".join(words) or "nothing was measured"
    return plots.say(ax, f"Replicas that answer over time since the fault: {told}.")


def _told(rows: pd.DataFrame) -> str:
    """Return how far an arm fell, and by which step it had all replicas again."""
    after = rows[rows["t_s"] >= 0]
    desired = int(rows["replicas"].iloc[0])
    low = after["answering"].min() if len(after) else desired
    short = after.loc[after["answering"] < desired, "t_s"]
    if not len(short):
        return f"stays at {desired} of {desired} to within {format_quantity(STEP_S, 's')}"
    if short.max() == after["t_s"].max():
        return f"falls to {low:g} of {desired} and stays below"
    whole = after.loc[after["t_s"] > short.max(), "t_s"].min()
    return f"falls to {low:g} of {desired}, whole again by {format_quantity(whole, 's')}"
