"""Figures: frame in, Axes out. No measuring, no statistics beyond a median.

Every figure carries a sentence that says the same in words, made from the data
it shows; `describe` returns it, and `show` hands it to the notebook as the
alternative text of the picture.
"""

from __future__ import annotations

import io
import os
import re
from html import escape

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from caveatlib.support.quantities import scale

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
"""Told apart with every common kind of colour blindness (Okabe and Ito, 2008)."""


def dots(
    trials: pd.DataFrame,
    value: str,
    *,
    by: str,
    unit: str,
    label: str,
    order: list[str] | None = None,
    hue: str | None = None,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw every value as a dot, one row per group, with the group's median as a line.

    Parameters
    ----------
    trials : pandas.DataFrame
        One row per value; empty values are left out.
    value, by : str
        Columns of the value and of the group.
    unit : str
        Unit of the column, ``"s"``, ``"B"``, ``"bit/s"`` or ``""``.
    label : str
        What the value is, without unit.
    order : list of str, optional
        Groups from top to bottom; default by median.
    hue : str, optional
        Column whose values have a colour each; default every group its own.
    log : bool, optional
        Whether the axis is logarithmic.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    shown = trials.dropna(subset=[value])
    medians = shown.groupby(by)[value].median().sort_values()
    groups = [g for g in (order or list(medians.index)) if g in medians.index]
    hues = shown.groupby(by)[hue or by].first()
    kinds = list(dict.fromkeys(hues[g] for g in groups))
    factor, name = scale(medians.max() if len(medians) else 1, unit)
    ax = ax or new_axes(height=0.9 + 0.45 * max(1, len(groups)))
    for row, group in enumerate(groups):
        values = shown.loc[shown[by] == group, value].to_numpy() / factor
        spread = (np.arange(len(values)) * 0.618) % 1 - 0.5
        tint = colour(kinds.index(hues[group]))
        ax.plot(values, row + 0.5 * spread, "o", ms=4, alpha=0.6, mew=0, color=tint)
        ax.plot([np.median(values)] * 2, [row - 0.38, row + 0.38], color=INK, lw=2)
    ax.set_yticks(range(len(groups)), [literal(g) for g in groups])
    ax.invert_yaxis()
    if log:
        _logarithmic(ax, "x")
    else:
        ax.set_xlim(left=0)
    ax.set_xlabel(f"{label} ({name})" if name else label)
    _plain(ax)
    words = ", ".join(f"{g} {medians[g] / factor:.3g} {name}".strip() for g in groups)
    return say(ax, _told(f"Dot plot of {label}, one dot per trial. Medians", words))


def lines(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    by: str,
    unit: str,
    xlabel: str,
    ylabel: str,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw the median of `y` over `x`, one line per group, named from the highest end down.

    Parameters and result as for `dots`; `x` is a number, `y` has the unit.
    """
    shown = frame.dropna(subset=[y])
    medians = shown.groupby([by, x])[y].median()
    factor, name = scale(medians.max() if len(medians) else 1, unit)
    ax = ax or new_axes(height=3.6)
    words = []
    for row, group in enumerate(shown[by].unique()):
        line = medians[group] / factor
        ax.plot(line.index, line.to_numpy(), "o-", color=colour(row), label=literal(group), ms=4)
        words.append(
            f"{group} from {line.iloc[0]:.3g} at {line.index[0]:g} to "
            f"{line.iloc[-1]:.3g} {name} at {line.index[-1]:g}"
        )
    if log:
        _logarithmic(ax, "y")
    else:
        ax.set_ylim(bottom=0)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(f"{ylabel} ({name})" if name else ylabel)
    drawn, _ = ax.get_legend_handles_labels()
    drawn.sort(key=lambda line: line.get_ydata()[-1], reverse=True)
    ax.legend(handles=drawn, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _plain(ax)
    return say(ax, _told(f"Lines of median {ylabel} over {xlabel}", "; ".join(words)))


def stacked(table: pd.DataFrame, *, unit: str, label: str, ax: Axes | None = None) -> Axes:
    """Draw one bar per row of the table, its columns as consecutive parts.

    Parameters
    ----------
    table : pandas.DataFrame
        Indexed by name; every column is one part, in the unit, in order.
    unit, label : str
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    factor, name = scale(table.sum(axis=1).max() if len(table) else 1, unit)
    ax = ax or new_axes(height=1.2 + 0.4 * max(1, len(table)))
    left = np.zeros(len(table))
    for index, part in enumerate(table):
        width = table[part].fillna(0).to_numpy() / factor
        ax.barh(
            range(len(table)),
            width,
            left=left,
            color=colour(index),
            label=literal(part),
            height=0.7,
        )
        left += width
    ax.set_yticks(range(len(table)), [literal(n) for n in table.index])
    ax.invert_yaxis()
    ax.set_xlabel(f"{label} ({name})" if name else label)
    ax.legend(frameon=False, ncols=len(table.columns), loc="lower left", bbox_to_anchor=(0, 1))
    _plain(ax)
    words = "; ".join(
        f"{row}: " + ", ".join(f"{part} {value / factor:.3g}" for part, value in parts.items())
        for row, parts in table.iterrows()
    )
    return say(ax, f"Stacked bars of {label} in {name}. {words or 'Nothing was measured'}.")


def effects(
    table: pd.DataFrame, *, label: str, threshold: float = 1.0, ax: Axes | None = None
) -> Axes:
    """Draw estimates with their intervals on a logarithmic axis, one row each.

    Parameters
    ----------
    table : pandas.DataFrame
        Indexed by name, with columns ``estimate``, ``low``, ``high``.
    label : str
        What the ratio is of.
    threshold : float, optional
        The ratio that a verdict turns on, drawn as a line.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    shown = table.dropna(subset=["estimate"])
    ax = ax or new_axes(height=0.9 + 0.4 * max(1, len(shown)))
    words = []
    for row, (name, line) in enumerate(shown.iterrows()):
        ax.plot([line["low"], line["high"]], [row, row], color=colour(0), lw=2)
        ax.plot(line["estimate"], row, "o", color=colour(0))
        known = pd.notna(line["low"])
        interval = f" [{line['low']:.3g}, {line['high']:.3g}]" if known else ""
        words.append(f"{name} {line['estimate']:.3g}{interval}")
    ax.axvline(threshold, color=INK, lw=1, ls=":")
    _logarithmic(ax, "x")
    ax.set_yticks(range(len(shown)), [literal(n) for n in shown.index])
    ax.invert_yaxis()
    ax.set_xlabel(label)
    _plain(ax)
    return say(ax, _told(f"Estimates with intervals of {label}", ", ".join(words)))


def new_axes(*, height: float = 3.0, width: float = 7.5, rows: int = 1):
    """Return the axes of a new figure of so many inches; with several rows, an array of axes."""
    _, axes = plt.subplots(rows, figsize=(width, height), layout="constrained", dpi=110)
    return axes


def literal(name: object) -> str:
    """Return a name as it is shown: a dollar sign begins no formula."""
    return str(name).replace("$", r"\$")


def colour(index: int) -> str:
    """Return the colour of the so-manieth group."""
    return COLOURS[index % len(COLOURS)]


def say(ax: Axes, sentence: str) -> Axes:
    """Give the figure the sentence that stands in for it; return the axes."""
    ax.figure.set_label(f"{describe(ax)} {sentence}".strip())
    return ax


def describe(ax: Axes) -> str:
    """Return the sentence that says what the figure shows."""
    return str(ax.figure.get_label())


FORMAT = "CAVEATLIB_FIGURES"
"""Variable that asks `show` for ``svg``, which follows a page's dark mode; default ``png``."""
INK = "#222222"
"""Colour of axes, text and thresholds: the page's own text colour in an SVG."""


def show(ax: Axes) -> None:
    """Display the figure in a notebook, its sentence as the alternative text."""
    from IPython.display import display

    if os.environ.get(FORMAT) == "svg":
        display({"image/svg+xml": as_svg(ax), "text/plain": describe(ax)}, raw=True)
    else:
        display(ax.figure, metadata={"image/png": {"alt": describe(ax)}})
    plt.close(ax.figure)


def as_svg(ax: Axes) -> str:
    """Return the figure as an SVG whose text and axes have the colour of the page around it.

    Its letters are text, so a page's font sizes and a screen reader reach them, and its
    sentence is its label. The same figure gives the same text.
    """
    file = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "caveatlib"}):
        ax.figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    drawn = file.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    # Its metadata, a style of everything around it, and names that several figures would share.
    drawn = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", drawn, flags=re.S)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)
    drawn = re.sub(rf"{INK}|#000000|\bblack\b", "currentColor", drawn)
    label = escape(describe(ax), quote=True)
    return drawn.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _logarithmic(ax: Axes, which: str) -> None:
    """Make an axis of drawn data logarithmic, with plain numbers at its ticks."""
    axis = getattr(ax, f"{which}axis")
    getattr(ax, f"set_{which}scale")("log")
    low, high = axis.get_view_interval()
    # Within a decade powers of ten are too few.
    axis.set_major_locator(MaxNLocator(6) if high < 10 * low else LogLocator(subs=(1, 3)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _told(what: str, words: str) -> str:
    return f"{what}: {words or 'nothing was measured'}."


def _plain(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="x", alpha=0.25)
    ax.set_axisbelow(True)
