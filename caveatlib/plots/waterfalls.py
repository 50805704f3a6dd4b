"""The waterfall: what each step adds, each bar from where the one before ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from caveatlib.plots import scales
from caveatlib.plots.canvas import INK, finish, new_axes, say
from caveatlib.plots.colours import GREY, SKY, VERMILLION
from caveatlib.support.quantities import format_quantity, scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def waterfall(
    steps: pd.Series,
    *,
    unit: str,
    label: str,
    whole: float | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw steps as bars below each other, and below them the whole.

    Parameters
    ----------
    steps : pandas.Series
        What each adds, in the unit, indexed by name, in order. A negative one is drawn back
        from where the one before ends. The largest stands out.
    unit, label : str
    whole : float, optional
        What was measured at once and not step by step, as a line to lay the sum against.
    title : str
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    ends = steps.cumsum()
    factor, name = scale(float(ends.max()) if len(ends) else 1.0, unit)
    ax = ax or new_axes(height=1.3 + 0.4 * max(1, len(steps)))
    most = steps.idxmax() if len(steps) else None
    for row, (step, value) in enumerate(steps.items()):
        start = (ends[step] - value) / factor
        tint = VERMILLION if step == most else SKY
        ax.barh(row, value / factor, left=start, color=tint, height=0.7)
        if row:  # where the one before ends
            ax.plot([start, start], [row - 1, row], color=GREY, lw=0.8, zorder=0)
        scales.at_end(ax, row, format_quantity(value, unit))
    measured = whole is not None and pd.notna(whole)
    if measured:
        ax.axvline(whole / factor, color=INK, lw=1, ls=":")
    scales.rows(ax, list(steps.index))
    ax.set_xlabel(f"{label} ({name})" if name else label)
    finish(ax, title=title)
    each = ", ".join(f"{step} {format_quantity(value, unit)}" for step, value in steps.items())
    words = f"Steps of {label}: {each or 'nothing was measured'}."
    if len(steps):
        words += f" Together {format_quantity(float(ends.iloc[-1]), unit)}."
    if measured:
        words += f" The dotted line is the whole, measured at once: {format_quantity(whole, unit)}."
    return say(ax, words)
