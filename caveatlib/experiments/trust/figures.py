"""Figures of `trust`: what the trials of one machine look like."""

from __future__ import annotations

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.kit.tables import figure_per_machine
from caveatlib.experiments.trust.facts import TOOLS
from caveatlib.experiments.trust.tables import ACCEPTED, CHANGED, ages, matrix
from caveatlib.experiments.trust.tampering import CONTROLS
from caveatlib.support.quantities import percent

REFUSED, VARIES = "refused", "varies"
_BLUE, _VERMILLION, _, _ORANGE, _PINK, *_ = plots.PALETTE
_MARKS = {
    REFUSED: ("o", _BLUE),
    ACCEPTED: ("s", _ORANGE),
    CHANGED: ("X", _VERMILLION),
    VARIES: ("D", _PINK),
}


def _kind(words: str) -> str:
    if words in (ACCEPTED, CHANGED):
        return words
    return VARIES if ACCEPTED in words else REFUSED


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw what each tool did about each tampering: a row per tool and form."""
    table = matrix(trials)
    ax = ax or plots.new_axes(height=1.8 + 0.235 * max(1, len(table)), width=8.5)
    points: dict[str, list[tuple[int, int]]] = {kind: [] for kind in _MARKS}
    for row, (_, cells) in enumerate(table.iterrows()):
        for column, words in enumerate(cells):
            if words:
                points[_kind(words)].append((column, row))
    for kind, where in points.items():
        if where:
            marker, tint = _MARKS[kind]
            ax.scatter(*zip(*where, strict=True), marker=marker, color=tint, s=50, label=kind)
    names = [plots.literal(f"{TOOLS[tool]}, {form}") for tool, form in table.index]
    ax.set_yticks(range(len(names)), names)
    columns = [plots.literal(name) for name in table.columns]
    ax.set_xticks(range(len(columns)), columns, rotation=40, ha="right")
    ax.set_xlabel("what was changed")
    ax.invert_yaxis()
    if len(table):
        ax.legend(frameon=False, ncols=len(_MARKS), loc="lower left", bbox_to_anchor=(0, 1))
    title = "Which tampered images tools refuse"
    plots.finish(ax, title=title, grid="both", legend_above=1)
    return plots.say(ax, _told(table))


def _told(table: pd.DataFrame) -> str:
    changed = table.drop(columns=[c for c in CONTROLS if c in table])
    rows = []
    for (tool, form), cells in changed.iterrows():
        kinds = [_kind(words) for words in cells if words]
        rows.append(f"{TOOLS[tool]}, {form}: {kinds.count(REFUSED)} of {len(kinds)} refused")
    said = "; ".join(rows) or "nothing was measured"
    return f"What tools do about tampered images. {said}."


@figure_per_machine
def plot_ages(trials: pd.DataFrame, ax=None):
    """Draw on how many days an image lacks a security update, over its age."""
    table = ages(trials).dropna()
    ax = ax or plots.new_axes(height=2.6)
    ax.plot(table.index, table["lacking_share"] * 100, "o-", color=_BLUE)
    ax.set_xlabel("age of the image in days")
    ax.set_ylabel("% of the days")
    ax.set_ylim(0, 105)
    plots.finish(ax, title="Days on which an image lacks a security update", grid="both")
    told = [f"{age:.0f} days {percent(share)}" for age, share in table["lacking_share"].items()]
    said = ", ".join(told) or "nothing was measured"
    return plots.say(ax, f"Days on which an image lacks a security update, by its age: {said}.")
