"""The kinds of figures: dots, dumbbells, lines, stacked bars, intervals, distributions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from caveatlib.plots import scales
from caveatlib.plots.canvas import INK, finish, literal, new_axes, say
from caveatlib.plots.colours import GREY, colours
from caveatlib.support.quantities import format_quantity, scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

APART = 0.4
"""Between bars that lie together and the next ones, in bars."""
TOGETHER = 0.17
"""What a bar takes that lies together with others, in inches."""
KEY, LEGEND = 8, 80
"""Letters for which the key of a name in a legend has room, and for which a line of it has."""


def dots(
    trials: pd.DataFrame,
    value: str,
    *,
    by: str,
    unit: str,
    label: str,
    order: Sequence[str] | None = None,
    hue: str | None = None,
    hollow: Collection[str] = (),
    log: bool = False,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw every value as a dot, one row per group, the median as a line and in numbers.

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
    order : sequence of str, optional
        Groups from top to bottom; default by median.
    hue : str, optional
        Column whose values have a colour each; default the group.
    hollow : collection of str
        Groups that are not equals of the others: hollow grey dots.
    log : bool
        Whether the axis is logarithmic.
    title : str
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    shown = trials.dropna(subset=[value])
    medians = shown.groupby(by)[value].median().sort_values()
    groups = [g for g in (order or list(medians.index)) if g in medians.index]
    hues = shown.groupby(by)[hue or by].first()
    tints = colours(hues[g] for g in groups)
    axis = scales.of(medians, unit, log=log)
    ax = ax or new_axes(height=0.9 + 0.4 * max(1, len(groups)))
    for row, group in enumerate(groups):
        values = shown.loc[shown[by] == group, value].to_numpy() / axis.factor
        spread = (np.arange(len(values)) * 0.618) % 1 - 0.5
        tint = GREY if group in hollow else tints[str(hues[group])]
        fill = {"mfc": "none", "mew": 1} if group in hollow else {"mew": 0}
        ax.plot(values, row + 0.5 * spread, "o", ms=4, alpha=0.6, color=tint, **fill)
        ax.plot([np.median(values)] * 2, [row - 0.38, row + 0.38], color=INK, lw=2)
        scales.at_end(ax, row, axis.text(medians[group]))
    scales.rows(ax, groups)
    scales.apply(ax, "x", axis, label)
    finish(ax, title=title)
    words = ", ".join(f"{g} {axis.text(medians[g])}" for g in groups)
    return say(ax, _told(f"Dot plot of {label}, one dot per trial. Medians", words))


def dumbbell(
    trials: pd.DataFrame,
    value: str,
    *,
    by: str,
    arm: str,
    unit: str,
    label: str,
    order: Sequence[str] | None = None,
    log: bool = False,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw one row per group, the medians of its arms as large dots joined by a line.

    Small dots are single values. Groups with one arm only have nothing to compare and
    are left out. Parameters and result as for `dots`; `arm` is the column of the arms.
    """
    shown = trials.dropna(subset=[value])
    medians = shown.groupby([by, arm])[value].median().unstack()
    medians = medians[medians.notna().sum(axis=1) > 1]
    groups = [g for g in (order or list(medians.index)) if g in medians.index]
    arms = [a for a in shown[arm].unique() if a in medians.columns]
    tints = colours(arms)
    axis = scales.of(medians.stack(), unit, log=log)
    ax = ax or new_axes(height=1.2 + 0.4 * max(1, len(groups)))
    for row, group in enumerate(groups):
        ends = (medians.loc[group].dropna() / axis.factor).to_numpy()
        ax.plot([ends.min(), ends.max()], [row, row], color=GREY, lw=3, zorder=1)
        for name in arms:
            of = shown.loc[(shown[by] == group) & (shown[arm] == name), value].to_numpy()
            tint = tints[str(name)]
            ax.plot(of / axis.factor, np.full(len(of), row), "o", ms=3, alpha=0.35, mew=0,
                    color=tint, zorder=2)  # fmt: skip
            ax.plot(medians.loc[group, name] / axis.factor, row, "o", ms=9, color=tint, mec="white",
                    mew=0.8, label=literal(name) if row == 0 else None, zorder=3)  # fmt: skip
    scales.rows(ax, groups)
    scales.apply(ax, "x", axis, label)
    if groups:
        _legend_above(ax, len(arms))
    finish(ax, title=title, legend_above=1)
    words = "; ".join(
        f"{g}: " + ", ".join(f"{a} {axis.text(medians.loc[g, a])}" for a in arms) for g in groups
    )
    return say(ax, _told(f"Medians of {label}, joined in pairs", words))


def lines(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    by: str,
    unit: str,
    xlabel: str,
    ylabel: str,
    hue: str | None = None,
    dashed: Collection[str] = (),
    log: bool = False,
    doubling: bool = False,
    markers: bool = True,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the median of `y` over `x`, one line per group, its name at its right end.

    Parameters
    ----------
    frame : pandas.DataFrame
    x, y : str
        Columns; `x` is a number, `y` has the unit. Where a group has no value at all, its
        line is broken.
    by, unit, xlabel, ylabel : str
    hue : str, optional
        Column whose values have a colour each; default the group.
    dashed : collection of str
        Groups whose line is dashed.
    log : bool
        Whether the axis of `y` is logarithmic.
    doubling : bool
        Whether that of `x` is, with the measured values as its ticks.
    markers : bool
        Whether each value has a dot.
    title : str
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    shown = frame.dropna(subset=[y])
    groups = list(shown[by].unique())
    medians = frame[frame[by].isin(groups)].groupby([by, x])[y].median()
    hues = shown.groupby(by)[hue or by].first()
    tints = colours(hues[g] for g in groups)
    axis = scales.of(medians, unit, log=log)
    ax = ax or new_axes(height=3.6)
    ends, words = [], []
    for group in groups:
        line = medians[group] / axis.factor
        line = line.loc[line.first_valid_index() : line.last_valid_index()]
        tint = tints[str(hues[group])]
        ax.plot(
            line.index,
            line.to_numpy(),
            "--" if group in dashed else "-",
            marker="o" if markers else "",
            ms=4,
            color=tint,
        )
        ends.append((line.index[-1], line.iloc[-1], str(group), tint))
        first, last = axis.text(line.iloc[0] * axis.factor), axis.text(line.iloc[-1] * axis.factor)
        words.append(f"{group} from {first} at {line.index[0]:g} to {last} at {line.index[-1]:g}")
    scales.apply(ax, "y", axis, ylabel)
    if doubling:
        scales.doubling(ax, sorted(shown[x].unique()))
    ax.set_xlabel(xlabel)
    scales.name_ends(ax, ends)
    finish(ax, title=title, grid="both")
    return say(ax, _told(f"Lines of median {ylabel} over {xlabel}", "; ".join(words)))


def stacked(
    table: pd.DataFrame,
    *,
    unit: str,
    label: str,
    ends: Sequence[str] = (),
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw one bar per row of the table, its columns as consecutive parts.

    Parameters
    ----------
    table : pandas.DataFrame
        Indexed by name; every column is one part, in the unit, in order. With a second name in
        its index, bars of one name lie together, and only the first of them has it.
    unit, label : str
    ends : sequence of str
        What is written at the end of each row, e.g. a share; nothing by default.
    title : str
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    factor, name = scale(table.sum(axis=1).max() if len(table) else 1, unit)
    together = table.index.nlevels > 1
    names, at = _in_groups(table.index) if together else (list(table.index), range(len(table)))
    height = TOGETHER * (at[-1] + 1 if len(at) else 1) if together else 0.4 * max(1, len(table))
    ax = ax or new_axes(height=1.3 + height)
    left, tints = np.zeros(len(table)), colours(table)
    for part in table:
        width = table[part].fillna(0).to_numpy() / factor
        ax.barh(
            at,
            width,
            left=left,
            color=tints[str(part)],
            label=literal(part),
            height=0.7,
        )
        left += width
    scales.rows(ax, names, at)
    for row, end in zip(at, ends, strict=bool(ends)):
        scales.at_end(ax, row, end)
    ax.set_xlabel(f"{label} ({name})" if name else label)
    high = 1 + (sum(len(str(part)) + KEY for part in table) > LEGEND)
    _legend_above(ax, -(-len(table.columns) // high))
    finish(ax, title=title, legend_above=high)
    whole = [", ".join(map(str, row)) if together else row for row in table.index]
    told = [f" ({end})" for end in ends] or [""] * len(table)
    words = "; ".join(
        f"{row}: "
        + ", ".join(f"{part} {v / factor:.3g}" for part, v in parts.dropna().items())
        + end
        for row, (_, parts), end in zip(whole, table.iterrows(), told, strict=True)
    )
    what = f"{label} in {name}" if name else label
    return say(ax, f"Stacked bars of {what}. {words or 'Nothing was measured'}.")


def _in_groups(index: pd.Index) -> tuple[list[str], list[float]]:
    """Return names and heights of rows: a first name stands once, and rows of one lie together."""
    names: list[str] = []
    at: list[float] = []
    before = None
    for first, *others in index:
        begins = first != before
        names.append(", ".join(map(str, [first, *others] if begins else others)))
        at.append(at[-1] + 1 + (APART if begins else 0) if at else 0.0)
        before = first
    return names, at


def effects(
    table: pd.DataFrame,
    *,
    label: str,
    threshold: float = 1.0,
    sides: tuple[str, str] | None = None,
    most: float = np.inf,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw ratios with their intervals on a logarithmic axis, one row each.

    Parameters
    ----------
    table : pandas.DataFrame
        Indexed by name, with columns ``estimate``, ``low``, ``high``, and ``band_low`` and
        ``band_high`` where there is the interval of an A/A control to draw behind them.
    label : str
        What the ratio is of.
    threshold : float
        The ratio that a verdict turns on, drawn as a line.
    sides : tuple of two str, optional
        What a ratio below 1 and above 1 means, ``("cheaper", "dearer")``.
    most : float
        A ratio farther from 1 than so many times is an arrow at the edge, its number beside it.
    title : str
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    shown = table.dropna(subset=["estimate"])
    # Beyond eleven rows they stand closer: a projector shows 720 lines.
    height = max(min(0.4 * max(1, len(shown)), 4.5), 0.25 * len(shown))
    ax = ax or new_axes(height=1.1 + height)
    words, bands = [], []
    for row, (name, line) in enumerate(shown.iterrows()):
        if pd.notna(line.get("band_low")):
            ends = [line["band_low"], line["band_high"]]
            ax.plot(np.clip(ends, 1 / most, most), [row, row], color=GREY, alpha=0.35, lw=12,
                    solid_capstyle="butt", zorder=0)  # fmt: skip
            bands.append(f"{name} {ends[0]:.3g} to {ends[1]:.3g}")
        tint = next(iter(colours([""]).values()))
        low, at, high = (
            float(np.clip(line[name], 1 / most, most)) for name in ("low", "estimate", "high")
        )
        ax.plot([low, high], [row, row], color=tint, lw=2)
        marker = "o" if at == line["estimate"] else ">" if at > 1 else "<"
        ax.plot(at, row, marker, color=tint)
        known = pd.notna(line["low"])
        interval = f" [{line['low']:.3g}, {line['high']:.3g}]" if known else ""
        scales.at_end(ax, row, f"{line['estimate']:.3g}×")
        words.append(f"{name} {line['estimate']:.3g}{interval}")
    ax.axvline(threshold, color=INK, lw=1, ls=":")
    scales.ratios(ax)
    ax.set_xlabel(f"← {sides[0]}    {label}    {sides[1]} →" if sides else label)
    scales.rows(ax, list(shown.index))
    finish(ax, title=title)
    say(ax, _told(f"Estimates with intervals of {label}", ", ".join(words)))
    return say(ax, f"Grey, the A/A control: {', '.join(bands)}." if bands else "")


def ranges(
    table: pd.DataFrame,
    *,
    by: str,
    arm: str,
    unit: str,
    label: str,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw medians with the range around them on a logarithmic axis, one row per group.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns `by`, `arm`, ``median``, ``low`` and ``high``; groups and arms in the order in
        which they are drawn.
    by, arm : str
        Columns of the group, a row each, and of what lies one below the other in it, a colour
        each.
    unit : str
        Unit of the values.
    label : str
        What they are, without unit.
    title : str
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    groups, arms = list(table[by].unique()), list(table[arm].unique())
    tints = colours(arms)
    axis = scales.of(table["median"], unit, log=True)
    ax = ax or new_axes(height=1.2 + 0.23 * max(2, len(groups)))
    of = table.groupby(by, sort=False)
    y = of.ngroup() + 0.25 * (of.cumcount() - (of[arm].transform("size") - 1) / 2)
    for name in arms:
        here = table[arm] == name
        ax.hlines(y[here], table["low"][here], table["high"][here], color=tints[str(name)], lw=2)
        ax.plot(table["median"][here], y[here], "o", ms=4, color=tints[str(name)],
                label=literal(name))  # fmt: skip
    scales.rows(ax, groups)
    scales.apply(ax, "x", axis, label)
    if groups:
        _legend_above(ax, len(arms))
    finish(ax, title=title, legend_above=1)
    words = "; ".join(
        f"{group}: "
        + ", ".join(
            f"{name} {axis.text(median)}"
            for name, median in zip(of[arm], of["median"], strict=True)
        )
        for group, of in table.groupby(by, sort=False)
    )
    return say(ax, _told(f"Medians of {label}, with ranges", words))


def cumulated(
    samples: Mapping[str, Sequence[float]],
    *,
    unit: str,
    label: str,
    most: float,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw which share of the values stays below what, one line per name, p50, p90, p99 marked.

    Parameters
    ----------
    samples : mapping of str to sequence of float
        Values in the unit by name.
    unit, label : str
    most : float
        Right end of the axis in the unit: it stays where it is, whatever the values.
    title : str
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    factor, name = scale(most, unit)
    ax = ax or new_axes(height=3.2)
    tints, words = colours(samples), []
    shares = np.arange(0, 101) / 100
    marked = np.array([0.5, 0.9, 0.99])
    for of, values in samples.items():
        ax.plot(np.quantile(values, shares) / factor, shares, color=tints[of], label=literal(of))
        at = np.quantile(values, marked)
        ax.plot(at / factor, marked, "o", ms=6, color=tints[of], clip_on=True)
        told = (
            f"p{q * 100:.0f} {format_quantity(v, unit)}" for q, v in zip(marked, at, strict=True)
        )
        words.append(f"{of}: {', '.join(told)}")
    ax.set_xlim(0, most / factor)
    ax.set_ylim(0, 1.02)
    ax.set_yticks([0, *marked], ["0", *(f"p{q * 100:.0f}" for q in marked)])
    ax.set_ylabel("share that stays below")
    ax.set_xlabel(f"{label} ({name})")
    ax.legend(frameon=False, loc="lower right")
    finish(ax, title=title, grid="both")
    return say(ax, _told(f"Shares of {label} below a value", "; ".join(words)))


def _legend_above(ax: Axes, columns: int) -> None:
    ax.legend(
        frameon=False,
        ncols=max(1, columns),
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
    )


def _told(what: str, words: str) -> str:
    return f"{what}: {words or 'nothing was measured'}."
