"""The figure of `storage`: what each driver takes for each operation, over overlay2 on ext4."""

from __future__ import annotations

import math

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.kit.tables import figure_per_machine
from caveatlib.experiments.storage.schema import LARGE_BYTES
from caveatlib.experiments.storage.tables import BASE, OPERATIONS, ratios, steps

LESS, MORE = plots.PALETTE[5], plots.PALETTE[3]
DARK = "#1A1A1A"
"""For letters on sky blue and orange; no page's dark mode turns it."""
FULL = 10.0
"""A cell has its full colour from so many times more or less on."""
STEPS = {"open_s": "open", "write_s": "write", "fsync_s": "fsync"}


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw a matrix of drivers by operation: in each cell the ratio to overlay2 on ext4."""
    table = ratios(trials)
    table = table.drop(index=[BASE], errors="ignore").dropna(how="all")
    ax = ax or plots.new_axes(height=2.4 + 0.42 * max(1, len(table)), width=9.0)
    for row, (_, cells) in enumerate(table.iterrows()):
        for column, ratio in enumerate(cells):
            _cell(ax, column, row, ratio)
    ax.set_xlim(-0.5, len(OPERATIONS) - 0.5)
    ax.set_ylim(max(1, len(table)) - 0.5, -0.5)
    names = list(OPERATIONS.values())
    ax.set_xticks(range(len(names)), names, rotation=35, ha="right")
    ax.set_yticks(range(len(table)), [plots.literal(name) for name in table.index])
    ax.tick_params(length=0)
    ax.set_xlabel(f"Time, or room, over that with {BASE}: blue less, orange more")
    plots.finish(ax, title="What drivers take, of what overlay2 on ext4 takes")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return plots.say(ax, _sentence(table))


def plot_steps(first_writes: pd.DataFrame, ax=None):
    """Draw what opening, writing and fsync take of the first write into a file of 100 MB.

    Parameters
    ----------
    first_writes : pandas.DataFrame
        That table of one machine.
    ax : matplotlib Axes, optional
    """
    medians = steps(first_writes[first_writes["file_bytes"] == LARGE_BYTES])
    table = medians.droplevel("file_bytes").rename(columns=STEPS)
    table = table.loc[table.sum(axis=1).sort_values().index]
    title = "The first write of one byte into a file of 100 MB, step by step"
    return plots.stacked(table, unit="s", label="Median time", title=title, ax=ax)


def _cell(ax, column: int, row: int, ratio: float) -> None:
    from matplotlib.patches import Rectangle

    words = "–" if math.isnan(ratio) else _text(ratio)
    if not math.isnan(ratio):
        ax.add_patch(Rectangle((column - 0.47, row - 0.42), 0.94, 0.84, color=_colour(ratio), lw=0))
    ax.text(
        column, row, words, ha="center", va="center", fontsize="small",
        color=plots.INK if math.isnan(ratio) else DARK,
    )  # fmt: skip


def _text(ratio: float) -> str:
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.2g}×"


def _colour(ratio: float) -> tuple[float, ...]:
    """Return white for 1, and more of a colour the farther away."""
    from matplotlib.colors import to_rgb

    strength = min(1.0, abs(math.log(ratio)) / math.log(FULL)) if ratio > 0 else 1.0
    full = to_rgb(MORE if ratio > 1 else LESS)
    return tuple(1 + strength * (part - 1) for part in full)


def _sentence(table: pd.DataFrame) -> str:
    rows = [
        f"{driver}: "
        + ", ".join(f"{what} {ratio:.3g}" for what, ratio in cells.items() if ratio == ratio)
        for driver, cells in table.iterrows()
    ]
    said = "; ".join(rows) or "nothing was measured"
    return f"Matrix of drivers by operation, ratios to {BASE}: {said}."
