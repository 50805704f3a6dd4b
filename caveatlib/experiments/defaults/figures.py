"""Figures of `defaults`: what each default costs, and what stops what."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from caveatlib import plots
from caveatlib.claims import DECIDED, Verdict
from caveatlib.experiments.defaults.claims import DEAR
from caveatlib.experiments.defaults.tables import STOPPED_BY, costs, matrix
from caveatlib.experiments.kit.tables import figure_per_machine
from caveatlib.trials import Run

ALLOWED, DARK = plots.PALETTE[3], "#1A1A1A"
"""Of a cell in which all is allowed, and of letters on it, which no page's dark mode turns."""
COLUMNS = ["estimate", "low", "high", "band_low", "band_high"]
ELSEWHERE = {
    "C17/loopback/cpu": ("a byte from localhost, userland proxy over none", -1),
    "C17/hairpin/cpu": ("a byte from a neighbour, userland proxy over none", -1),
    "C20": ("a first write to 100 MB, overlay2 on ext4 over XFS", 1),
    "storage-volume-first-write": ("a first write to 100 MB, overlay2 over a volume", 1),
    "storage-volume-new-file": ("a new file of 100 MB, overlay2 over a volume", 1),
    "storage-small-files": ("5,000 small files, overlay2 over fuse-overlayfs", -1),
    "storage-start": ("a first start, overlay2 over vfs", -1),
}
"""Claim of another experiment -> what its ratio is the price of, and the power of it that is that
price: -1 where the ratio is of what stands against a default over the default."""
OFF_SCALE = 10.0
"""Ratios beyond it are arrows: on their scale the others would all be 1."""


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None, *, beside: Sequence[Run] = ()):
    """Draw what each default costs: its ratio to what stands against it, one row each.

    Parameters
    ----------
    trials : pandas.DataFrame
    ax : matplotlib Axes, optional
    beside : sequence of Run
        Of other experiments, on whatever machine: of their verdicts those that are `ELSEWHERE`
        the price of a default.
    """
    table = costs(trials).set_index("what")[COLUMNS]
    more = _elsewhere([verdict for run in beside for verdict in run.verdicts()])
    table = pd.concat([t for t in (table, more) if len(t)] or [table]).astype(float)
    ax = ax or plots.new_axes(height=1.1 + 0.3 * max(1, len(table)), width=9.0)
    return plots.effects(
        table,
        label="default over alternative",
        threshold=DEAR,
        sides=("default cheaper", "default dearer"),
        most=OFF_SCALE,
        title="What each default costs",
        ax=ax,
    )


def _elsewhere(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return prices of defaults from what other experiments decided, as `costs` has them."""
    rows = {}
    for v in verdicts:
        if v.claim in ELSEWHERE and v.verdict in DECIDED:
            what, power = ELSEWHERE[v.claim]
            ends = (v.low, v.high), (v.band_low / v.threshold, v.band_high / v.threshold)
            interval, band = (sorted(end**power for end in pair) for pair in ends)
            rows[what] = [v.effect**power, *interval, *band]
    return pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)


@figure_per_machine
def plot_matrix(trials: pd.DataFrame, ax=None):
    """Draw how many operations are allowed where, in rows by what stops them by default."""
    table = matrix(trials)
    allowed = table.drop(columns=STOPPED_BY) == "allowed"
    rows = allowed.groupby(table[STOPPED_BY].replace("", "not known"), sort=False)
    sizes = rows.size().sort_values(ascending=False, kind="stable")
    counts = rows.sum().reindex(sizes.index)
    ax = ax or plots.new_axes(height=1.9 + 0.3 * max(1, len(sizes)), width=9.5)
    for row, (by, size) in enumerate(sizes.items()):
        for column, count in enumerate(counts.loc[by]):
            _cell(ax, column, row, int(count), size)
    ax.set_xlim(-0.5, max(1, counts.shape[1]) - 0.5)
    ax.set_ylim(max(1, len(sizes)) - 0.5, -0.5)
    ax.set_yticks(range(len(sizes)), [f"{plots.literal(by)} ({n})" for by, n in sizes.items()])
    columns = [plots.literal(name) for name in counts.columns]
    ax.set_xticks(range(len(columns)), columns, rotation=40, ha="right")
    ax.tick_params(length=0)
    ax.set_xlabel("What is otherwise than Docker's defaults; in each cell, how many are allowed")
    plots.finish(ax, title="What containers may do, by what stops it by default")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return plots.say(ax, _told(sizes, allowed.sum()))


def _cell(ax, column: int, row: int, count: int, size: int) -> None:
    """Write how many of a row's operations are allowed, the more of them the darker."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    if count:
        tint = tuple(1 + count / size * (part - 1) for part in to_rgb(ALLOWED))
        ax.add_patch(Rectangle((column - 0.47, row - 0.42), 0.94, 0.84, color=tint, lw=0))
    ink = DARK if count else plots.INK
    ax.text(column, row, str(count), ha="center", va="center", fontsize="small", color=ink)


def _told(sizes: pd.Series, allowed: pd.Series) -> str:
    by, where = (
        ", ".join(f"{name} {int(n)}" for name, n in counts.items()) or "nothing was measured"
        for counts in (sizes, allowed)
    )
    return f"What stops so many operations by default: {by}. So many are allowed: {where}."
