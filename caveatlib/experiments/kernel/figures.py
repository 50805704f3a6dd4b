"""The figure of `kernel`: what crosses from one tenant to others, and what a limit stops."""

from __future__ import annotations

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.kernel.tables import ARRANGEMENTS, FATES, FAULTS, crossed
from caveatlib.experiments.kit.tables import figure_per_machine

COLOURS = plots.colours(FATES)
WIDE, HIGH = 0.88, 0.7
"""Of a cell, how much its bar takes."""
DARK = "#1A1A1A"
"""For letters on orange, where white is hard to read; no page's dark mode turns it."""


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw a matrix of faults by arrangement: in each cell the neighbours' fates as shares."""
    from matplotlib.patches import Rectangle

    table = crossed(trials)
    ax = ax or plots.new_axes(height=1.4 + 0.45 * len(FAULTS))
    for row, fault in enumerate(FAULTS.values()):
        for column, arrangement in enumerate(ARRANGEMENTS.values()):
            if (fault, arrangement) in table.index:
                _cell(ax, column, row, table.loc[(fault, arrangement)])
            else:
                ax.text(column, row, "–", ha="center", va="center", color=plots.INK)
    ax.set_xlim(-0.5, len(ARRANGEMENTS) - 0.5)
    ax.set_ylim(len(FAULTS) - 0.5, -0.5)
    ax.set_xticks(range(len(ARRANGEMENTS)), list(ARRANGEMENTS.values()))
    ax.set_yticks(range(len(FAULTS)), list(FAULTS.values()))
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.set_xlabel("Its three neighbours, in all trials; not measured: –")
    keys = [Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    ax.legend(
        keys, list(FATES), frameon=False, ncols=len(FATES), loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
    )  # fmt: skip
    title = "What one tenant does to the other three: how many were not harmed"
    plots.finish(ax, title=title, legend_above=1)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return plots.say(ax, _sentence(table))


def _cell(ax, column: int, row: int, fates: pd.Series) -> None:
    """Draw the shares as a bar from left to right, and the number that were unharmed."""
    from matplotlib.patches import Rectangle

    count = sum(fates[fate] for fate in FATES)
    left, top = column - WIDE / 2, row - HIGH / 2
    for fate in FATES:
        width = WIDE * fates[fate] / count
        ax.add_patch(Rectangle((left, top), width, HIGH, color=COLOURS[fate], lw=0))
        left += width
    words = f"{fates['unharmed']} of {count}"
    ink = DARK if fates["harmed"] > count / 2 else "white"
    ax.text(column, row, words, ha="center", va="center", color=ink, fontweight="bold")


def _sentence(table: pd.DataFrame) -> str:
    told = {}
    for (fault, arrangement), fates in table.iterrows():
        count = sum(fates[fate] for fate in FATES)
        said = f"{arrangement} {fates['unharmed']} of {count} unharmed, {fates['ended']} ended"
        told.setdefault(fault, []).append(said)
    words = "; ".join(f"{fault}: {', '.join(said)}" for fault, said in told.items())
    return f"Matrix of faults by arrangement, neighbours of one: {words or 'nothing was measured'}."
