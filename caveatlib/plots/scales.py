"""Axes of figures: units, ticks that a reader knows, names where the eye is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from caveatlib.plots.canvas import literal
from caveatlib.support.quantities import format_quantity, scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATIOS = (
    0.01, 0.02, 0.05, 0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 5, 10, 20, 50,
    100,
)  # fmt: skip
"""Ticks of an axis of ratios, of which 1 is always one."""
NEAR = 1.12
CROWDED = 0.08
"""Of an axis, what two ticks are apart at least."""
LETTER = 0.19
"""Height of a line of text in inches."""


class Axis(NamedTuple):
    """How an axis is scaled, and how its values are written.

    A logarithmic axis of a unit has the unit at each tick: its values are far apart.
    """

    factor: float
    name: str
    unit: str
    log: bool

    def text(self, value: float) -> str:
        """Return a value in the column's unit as the figure writes it."""
        if self.log:
            return format_quantity(value, self.unit)
        return f"{value / self.factor:.3g} {self.name}".strip()


def of(medians: pd.Series, unit: str, *, log: bool) -> Axis:
    """Return the axis on which values are read best."""
    if log:
        return Axis(1.0, "", unit, log)
    factor, name = scale(medians.max() if len(medians) else 1, unit)
    return Axis(factor, name, unit, log)


def apply(ax: Axes, which: str, axis: Axis, label: str) -> None:
    """Scale the axis ``"x"`` or ``"y"`` of drawn data, and label it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    getattr(ax, f"set_{which}label")(f"{label} ({axis.name})" if axis.name else label)
    if not axis.log:
        getattr(ax, f"set_{which}lim")(0)
        return
    drawn = getattr(ax, f"{which}axis")
    getattr(ax, f"set_{which}scale")("log")
    low, high = drawn.get_view_interval()
    # Within a decade powers of ten are too few, over many decades all else is too much.
    within, far = high < 10 * low, high > 1000 * low
    locator = LogLocator(subs=(1,)) if far else LogLocator(subs=(1, 3))
    drawn.set_major_locator(MaxNLocator(6) if within else locator)
    drawn.set_major_formatter(FuncFormatter(lambda value, _: format_quantity(value, axis.unit)))
    drawn.set_minor_formatter(NullFormatter())


def ratios(ax: Axes) -> None:
    """Make the x axis one of ratios, its ticks the ones that a reader knows, 1 among them."""
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    ax.set_xscale("log")
    low, high = ax.get_xlim()
    low, high = min(low, 0.95), max(high, 1.05)
    # A tick just beyond an end is worth the room.
    low = max([t for t in RATIOS if low / NEAR <= t <= low], default=low)
    high = min([t for t in RATIOS if high <= t <= high * NEAR], default=high)
    ax.set_xlim(low, high)
    inside, least = [1.0], (high / low) ** CROWDED
    for tick in sorted(RATIOS, key=lambda tick: abs(math.log(tick))):  # from 1 to both sides
        if low <= tick <= high and all(max(tick / t, t / tick) >= least for t in inside):
            inside.append(tick)
    inside.sort()
    while len(inside) > 9:
        one = inside.index(1)
        inside = [tick for i, tick in enumerate(inside) if (i - one) % 2 == 0]
    ax.xaxis.set_major_locator(FixedLocator(inside))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_locator(NullLocator())


def doubling(ax: Axes, values: Sequence[float]) -> None:
    """Make the x axis logarithmic to the base 2, with these values as its ticks."""
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator(list(values)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_locator(NullLocator())


def rows(ax: Axes, names: Sequence[object], at: Sequence[float] = ()) -> None:
    """Name the rows of a figure from top to bottom, none of them cut by the frame.

    They stand one below the other, or at the given heights.
    """
    from matplotlib.ticker import FixedFormatter, FixedLocator

    at = at or range(len(names))
    ax.yaxis.set_major_locator(FixedLocator(list(at)))  # set_yticks makes each tick at once
    ax.yaxis.set_major_formatter(FixedFormatter([literal(name) for name in names]))
    ax.set_ylim((at[-1] if len(at) else 0) + 0.5, -0.5)
    ax.tick_params(axis="y", length=0)


def at_end(ax: Axes, row: float, text: str) -> None:
    """Write text to the right of a row."""
    where: dict = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    ax.annotate(literal(text), (1, row), xytext=(6, 0), va="center", fontsize="small", **where)


def name_ends(ax: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write the name of each line at its right end: x, y, name and colour; none over another."""
    ax.autoscale_view()
    to_axes = ax.transData + ax.transAxes.inverted()
    wanted = sorted((to_axes.transform((x, y))[1], name, tint) for x, y, name, tint in ends)
    apart = LETTER / (ax.figure.get_size_inches()[1] * ax.get_position().height)
    below = float("-inf")
    for height, name, tint in wanted:
        below = max(height, below + apart)
        ax.annotate(
            literal(name), (1, below), xytext=(6, 0), va="center", color=tint, fontsize="small",
            xycoords="axes fraction", textcoords="offset points",
        )  # fmt: skip
