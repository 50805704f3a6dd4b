"""Figures of `defaults`: what each default costs, and what stops what."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from caveatlib import plots
from caveatlib.claims import DECIDED, Verdict
from caveatlib.experiments.defaults.claims import DEAR
from caveatlib.experiments.defaults.tables import LACKING, STOPPED_BY, costs, matrix
from caveatlib.experiments.kit.tables import figure_per_machine

_BLUE, _VERMILLION, *_ = plots.PALETTE
_MARKS = {
    "allowed": ("o", _VERMILLION),
    "refused": ("s", _BLUE),
    LACKING: ("_", plots.INK),
}
ELSEWHERE = {
    "C17/loopback/cpu": "a byte from localhost, userland proxy over none",
    "C17/hairpin/cpu": "a byte from a neighbour, userland proxy over none",
}
"""Claim of another experiment -> what its ratio, turned round, is the price of: it is of something
without a default over the same with it."""


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None, *, beside: Sequence[Verdict] = ()):
    """Draw what each default costs: its ratio to what stands against it, one row each.

    Parameters
    ----------
    trials : pandas.DataFrame
    ax : matplotlib Axes, optional
    beside : sequence of Verdict
        Of other experiments; of these the prices of defaults that are measured `ELSEWHERE`.
    """
    table = costs(trials).set_index("what")[["estimate", "low", "high", "band_low", "band_high"]]
    turned = {
        ELSEWHERE[v.claim]: [1 / v.effect, 1 / v.high, 1 / v.low, float("nan"), float("nan")]
        for v in beside
        if v.claim in ELSEWHERE and v.verdict in DECIDED
    }
    more = pd.DataFrame.from_dict(turned, orient="index", columns=list(table.columns))
    return plots.effects(
        pd.concat([t for t in (table, more) if len(t)] or [table]).astype(float),
        label="default over alternative",
        threshold=DEAR,
        sides=("default cheaper", "default dearer"),
        title="What each default costs",
        ax=ax,
    )


@figure_per_machine
def plot_matrix(trials: pd.DataFrame, ax=None):
    """Draw which operations are allowed where: those that are not allowed everywhere."""
    table = matrix(trials).drop(columns=STOPPED_BY)
    table = table[(table != "allowed").any(axis=1)]
    ax = ax or plots.new_axes(height=2.6 + 0.2 * max(1, len(table)), width=9.5)
    points: dict[str, list[tuple[int, int]]] = {kind: [] for kind in _MARKS}
    for row, (_, cells) in enumerate(table.iterrows()):
        for column, words in enumerate(cells):
            points[words if words in points else "refused"].append((column, row))
    for kind, where in points.items():
        if where:
            marker, tint = _MARKS[kind]
            ax.scatter(*zip(*where, strict=True), marker=marker, color=tint, s=28, label=kind)
    ax.set_yticks(range(len(table)), [plots.literal(name) for name in table.index])
    columns = [plots.literal(name) for name in table.columns]
    ax.set_xticks(range(len(columns)), columns, rotation=40, ha="right")
    ax.set_xlabel("what is otherwise than Docker's defaults")
    ax.invert_yaxis()
    if len(table):
        ax.legend(frameon=False, ncols=len(_MARKS), loc="lower left", bbox_to_anchor=(0, 1))
    plots.finish(ax, title="What containers may do", grid="both", legend_above=True)
    return plots.say(ax, _told(table))


def _told(table: pd.DataFrame) -> str:
    counts = {name: int((cells == "allowed").sum()) for name, cells in table.items()}
    said = ", ".join(f"{name} {count}" for name, count in counts.items())
    return (
        f"Of {len(table)} operations that are not allowed everywhere, allowed: "
        f"{said or 'nothing was measured'}."
    )
