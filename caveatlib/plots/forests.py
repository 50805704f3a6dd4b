"""The forest plot: a ratio on each machine, and lines over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from caveatlib.plots import scales
from caveatlib.plots.canvas import INK, finish, literal, new_axes, say
from caveatlib.plots.colours import colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def forest(
    ratios: pd.DataFrame,
    lines: pd.DataFrame,
    *,
    group: str,
    label: str,
    threshold: float = 1.0,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw a ratio on each machine, and below them the lines over machines.

    Parameters
    ----------
    ratios : pandas.DataFrame
        Indexed by machine, with ``estimate``, ``low``, ``high`` (NaN: no interval) and the
        column `group`, whose first value has filled dots and any other hollow ones.
    lines : pandas.DataFrame
        Indexed by name, with ``estimate``, ``low``, ``high``, ``predict_low`` and
        ``predict_high``: a diamond as wide as the interval, and the prediction interval as a
        thin line. May be empty.
    group : str
        Column of `ratios`.
    label : str
        What the ratio is of.
    threshold : float
        The ratio that a verdict turns on, drawn as a line.
    title : str
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    tints = colours(ratios[group])
    ax = ax or new_axes(height=1.3 + 0.4 * max(1, len(ratios) + len(lines)), width=9.5)
    for row, (_, found) in enumerate(ratios.iterrows()):
        tint = tints[found[group]]
        ax.plot([found["low"], found["high"]], [row, row], color=tint, lw=2, zorder=1)
        ax.plot(found["estimate"], row, "o", color=tint, mfc=_fill(found[group], tints))
        scales.at_end(ax, row, f"{found['estimate']:.3g}×")
    for row, (_, found) in enumerate(lines.iterrows(), start=len(ratios)):
        ax.plot([found["predict_low"], found["predict_high"]], [row, row], color=INK, lw=1)
        ends = [found["low"], found["estimate"], found["high"], found["estimate"]]
        ax.fill(ends, [row, row - 0.28, row, row + 0.28], color=INK)
        scales.at_end(ax, row, f"{found['estimate']:.3g}×")
    ax.axvline(threshold, color=INK, lw=1, ls=":")
    scales.ratios(ax)
    scales.rows(ax, [*ratios.index, *lines.index])
    ax.set_xlabel(f"{label} (ratio)")
    if several := len(tints) > 1:
        for name, tint in tints.items():  # drawn nowhere, named in the legend
            ax.plot([], [], "o-", color=tint, mfc=_fill(name, tints), label=literal(name))
        ax.legend(frameon=False, ncols=len(tints), loc="lower left", bbox_to_anchor=(0, 1))
    finish(ax, title=title, legend_above=int(several))
    told = [f"{name} ({row[group]}) {_interval(row)}" for name, row in ratios.iterrows()]
    told += [
        f"{name} {_interval(row)}, another machine is expected within "
        f"{row['predict_low']:.3g} to {row['predict_high']:.3g}"
        for name, row in lines.iterrows()
    ]
    words = "; ".join(told) or "nothing was measured"
    return say(ax, f"Forest plot of {label}, one row per machine: {words}.")


def _fill(name: str, tints: dict[str, str]) -> str:
    return tints[name] if name == next(iter(tints)) else "white"


def _interval(row: pd.Series) -> str:
    ends = f" [{row['low']:.3g}, {row['high']:.3g}]" if pd.notna(row["low"]) else ""
    return f"{row['estimate']:.3g}{ends}"
