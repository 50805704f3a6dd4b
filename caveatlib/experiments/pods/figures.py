"""Figures of `pods`: what is sealed off, and what a round trip takes."""

from __future__ import annotations

from textwrap import fill

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.kit.tables import figure_per_machine
from caveatlib.experiments.pods.tables import NAMES, matrix, timed

WORDS = {"yes": "#0072B2", "at times": "#8C6D1F", "no": "#6B7079", "unknown": "#8A8F98"}
"""Of a cell, with its colour."""
WIDE, HIGH = 0.94, 0.84
LETTERS = 9
"""In a line above a column."""


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw the isolation matrix: what the sidecar sees, has and survives, by arrangement."""
    from matplotlib.patches import Rectangle

    table = matrix(trials)
    ax = ax or plots.new_axes(height=1.4 + 0.36 * max(1, len(table)))
    told = []
    for column, arrangement in enumerate(table.columns):
        words = {question: _word(share) for question, share in table[arrangement].items()}
        for row, word in enumerate(words.values()):
            corner = (column - WIDE / 2, row - HIGH / 2)
            ax.add_patch(Rectangle(corner, WIDE, HIGH, color=WORDS[word], lw=0))
            ax.text(column, row, word, ha="center", va="center", color="white")
        yes = [str(question) for question, word in words.items() if word == "yes"]
        told.append(f"{arrangement}, {len(yes)} of {len(words)}: {', '.join(yes) or 'none'}")
    ax.set_xlim(-0.5, max(1, len(table.columns)) - 0.5)
    ax.set_ylim(max(1, len(table)) - 0.5, -0.5)
    ax.set_xticks(range(len(table.columns)), [fill(str(name), LETTERS) for name in table.columns])
    ax.set_yticks(range(len(table)), list(table.index))
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.set_xlabel("What the application and its sidecar share, in all trials")
    plots.finish(ax, title="What a sidecar sees of its application, and what it survives",
                 legend_above=1)  # fmt: skip
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    said = "; ".join(told) or "0 arrangements were probed"
    return plots.say(ax, f"Matrix of arrangements, what is so of the sidecar: {said}.")


def _word(share: float) -> str:
    if pd.isna(share):
        return "unknown"
    return "yes" if share == 1 else "no" if share == 0 else "at times"


@figure_per_machine
def plot_trips(trials: pd.DataFrame, ax=None):
    """Draw the median round trip of every trial, one row per arrangement."""
    return plots.dots(
        timed(trials), "p50_s", by="arm", unit="s", label="Median round trip of 100 bytes",
        order=list(NAMES.values()), title="From a sidecar to its application and back", ax=ax,
    )  # fmt: skip
