"""Figures: frame in, Axes out. No measuring, no statistics beyond a median or a quantile.

Every figure carries a sentence that says the same in words, made from the data
it shows; `describe` returns it, and `show` hands it to the notebook as the
alternative text of the picture. A name has one colour in all figures (`colours`).
"""

from caveatlib.plots.canvas import (
    FORMAT,
    INK,
    SHADES,
    as_svg,
    describe,
    finish,
    literal,
    new_axes,
    say,
    shades,
    show,
    title_above,
)
from caveatlib.plots.colours import NAMED, PALETTE, colours
from caveatlib.plots.forests import forest
from caveatlib.plots.kinds import cumulated, dots, dumbbell, effects, lines, ranges, stacked
from caveatlib.plots.waterfalls import waterfall

__all__ = [
    "FORMAT",
    "INK",
    "NAMED",
    "PALETTE",
    "SHADES",
    "as_svg",
    "colours",
    "cumulated",
    "describe",
    "dots",
    "dumbbell",
    "effects",
    "finish",
    "forest",
    "lines",
    "literal",
    "new_axes",
    "ranges",
    "say",
    "shades",
    "show",
    "stacked",
    "title_above",
    "waterfall",
]
