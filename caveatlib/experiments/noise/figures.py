"""Figures of `simulated`: a drifting machine in two orders, and what so many pairs can find."""

from __future__ import annotations

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.noise.simulated import ratio_of


def plot_trace(rows: pd.DataFrame):
    """Draw both orders of a `simulated.trace` below each other, the ratio of the arms as title."""
    orders = list(rows["order"].unique())
    axes = plots.new_axes(height=4.4, rows=len(orders))
    tints, told = plots.colours(["A", "B"]), []
    for ax, order in zip(axes, orders, strict=True):
        part = rows[rows["order"] == order]
        for arm, of in part.groupby("arm"):
            ax.plot(of["at"] + 1, of["took_s"] * 1e3, "o", color=tints[str(arm)], label=str(arm))
        estimate, low, high = ratio_of(part)
        verdict = "no difference found" if low <= 1 <= high else "a difference, and there is none"
        words = f"{order}: B/A {estimate:.2f} [{low:.2f}, {high:.2f}], {verdict}"
        ax.set_ylim(0, rows["took_s"].max() * 1e3 * 1.1)
        ax.set_ylabel("time (ms)")
        plots.finish(ax, title=words[0].upper() + words[1:], grid="y")
        told.append(words)
    axes[0].legend(frameon=False, loc="lower right", ncols=2)
    axes[-1].set_xlabel("trial, in the order of time")
    return plots.say(
        axes[-1], f"Two equal arms, A and B, on a drifting machine. {'; '.join(told)}."
    )


def plot_power(table: pd.DataFrame, ax=None):
    """Draw which share of the runs finds a true ratio, one line per number of pairs."""
    ax = plots.lines(
        table.assign(percent=table["share"] * 100),
        "ratio",
        "percent",
        by="pairs",
        unit="%",
        xlabel="true ratio of the two arms",
        ylabel="share of runs that find it",
        title="How large a difference so many pairs find, at 8 % noise",
        ax=ax,
    )
    ax.axhline(80, color=plots.INK, lw=1, ls=":")
    return ax
