"""What every figure has: axes, a title, a sentence in its place, and how it is shown."""

from __future__ import annotations

import io
import os
import re
from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # only who draws waits for matplotlib
    from matplotlib.axes import Axes

FORMAT = "CAVEATLIB_FIGURES"
"""Variable that asks `show` for ``svg``, which follows a page's dark mode; default ``png``."""
SHADES = "application/vnd.caveatlib.shades+json"
"""Type of the output that holds the `shades` of a picture."""
INK = "#222222"
"""Colour of axes, text and thresholds: the page's own text colour in an SVG."""
GRID = r' clip-path="[^"]*" style="fill:none;(stroke:#b0b0b0;[^"]*);stroke-linecap:square"'
"""How matplotlib writes a line of the grid, which lies within the frame and is straight."""
FONTS = "DejaVu Sans, Verdana, sans-serif"


def new_axes(*, height: float = 3.0, width: float = 7.5, rows: int = 1):
    """Return the axes of a new figure of so many inches; with several rows, an array of axes."""
    from matplotlib import pyplot as plt

    _, axes = plt.subplots(rows, figsize=(width, height), layout="constrained", dpi=110)
    return axes


def literal(name: object) -> str:
    """Return a name as it is shown: a dollar sign begins no formula."""
    return str(name).replace("$", r"\$")


def say(ax: Axes, sentence: str) -> Axes:
    """Give the figure the sentence that stands in for it; return the axes."""
    ax.figure.set_label(f"{describe(ax)} {sentence}".strip())
    return ax


def describe(ax: Axes) -> str:
    """Return the sentence that says what the figure shows."""
    return str(ax.figure.get_label())


def show(ax: Axes) -> None:
    """Display the figure in a notebook, its sentence as the alternative text.

    The sentence and the picture's `shades` are outputs, too: nbval compares no pictures.
    """
    from IPython.display import display
    from matplotlib import pyplot as plt

    shown: dict = {"text/plain": describe(ax)}
    if os.environ.get(FORMAT) == "svg":
        shown["image/svg+xml"] = as_svg(ax)
    else:
        shown |= {"image/png": (picture := _as_png(ax)), SHADES: shades(picture)}
    display(shown, metadata={"image/png": {"alt": describe(ax)}}, raw=True)
    plt.close(ax.figure)


def _as_png(ax: Axes) -> bytes:
    file = io.BytesIO()
    ax.figure.savefig(file, format="png", bbox_inches="tight", metadata={"Software": None})
    return file.getvalue()


def shades(png: bytes, *, rows: int = 12, columns: int = 24) -> list[list[int]]:
    """Return how dark a picture is, field by field of a grid: what nbval can compare of it.

    Fine enough to tell that a point stands in another row, and coarse enough to be the same
    where the last bit of a coordinate is not.

    Parameters
    ----------
    png : bytes
        A picture in grey or in colours.
    rows, columns : int
        Size of the grid; a field without a pixel is white.

    Returns
    -------
    list of list of int
        `rows` lists of `columns` values, from the top left: mean darkness in percent.
    """
    from matplotlib import pyplot as plt

    pixels = plt.imread(io.BytesIO(png))
    dark = 1 - (pixels if pixels.ndim == 2 else pixels[..., :3].mean(axis=-1))
    fields = [np.array_split(row, columns, axis=1) for row in np.array_split(dark, rows)]
    return [[round(100 * float(f.mean())) if f.size else 0 for f in row] for row in fields]


def as_svg(ax: Axes) -> str:
    """Return the figure as an SVG whose text and axes have the colour of the page around it.

    Its letters are text, so a page's font sizes and a screen reader reach them, and its
    sentence is its label. The same figure gives the same text.
    """
    from matplotlib import pyplot as plt

    _fit(ax)
    file = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "caveatlib"}):
        ax.figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    drawn = file.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    # Its metadata, a style of everything around it, and names that several figures would share.
    drawn = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", drawn, flags=re.S)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)
    drawn = re.sub(rf"{INK}|#000000", "currentColor", drawn)
    # What a page of many figures would carry for nothing: hundredths of a point, a list of
    # fonts on every word, lines between elements, turns by nothing, groups of one element, the
    # style of each of a hundred dots and of ticks, and points amid straight lines.
    drawn = re.sub(r'\b(?:d|x|y)="[^"]*"', _in_hundredths, drawn)
    drawn = re.sub(r"font-family: [^;\"]*;? ?", "", drawn)
    drawn = re.sub(r"; text-anchor: start", "", drawn)
    drawn = re.sub(r' transform="rotate\(-?0 [^)]*\)"', "", drawn)
    drawn = re.sub(r">\s+<", "><", drawn)
    drawn = re.sub(r"<g( [^>]*)?>((?:<use [^>]*/>)+)</g>", _styled_once, drawn)
    while drawn != (less := re.sub(r"<g>(<\w[^<>]*(?:/>|>[^<]*</text>))</g>", r"\1", drawn)):
        drawn = less
    # Several spaces part the ends of an axis; those between elements are gone already.
    drawn = re.sub(r"<text(?=[ >])(?=[^>]*>[^<]*  )", '<text xml:space="preserve"', drawn)
    drawn = re.sub(r'style="[^"]*"', lambda style: re.sub(r"([:;]) ", r"\1", style[0]), drawn)
    drawn = re.sub(GRID, r' style="\1"', drawn)  # straight lines within the frame
    for name, style in re.findall(r'<path id="([^"]+)"[^>]*? (style="[^"]*")/>', drawn):
        drawn = re.sub(rf'(<use xlink:href="#{name}"[^>]*?) {re.escape(style)}/>', r"\1/>", drawn)
    label = escape(describe(ax), quote=True)
    # Black is not written out: what has no colour of its own has the page's.
    head = f'<svg role="img" aria-label="{label}" font-family="{FONTS}" fill="currentColor"'
    return drawn.replace("<svg", head, 1)


def _fit(ax: Axes) -> None:
    """Wrap the titles of a figure, and write smaller what else is wider than it."""
    from matplotlib.text import Text

    figure, edge = ax.figure, 0.985 * ax.figure.bbox.width  # a browser's letters are wider
    figure.draw_without_rendering()
    for other in figure.axes:
        title = other.get_title(loc="left")
        drawn = next((t for t in other.findobj(Text) if title and t.get_text() == title), None)
        if drawn is None or (box := drawn.get_window_extent()).x1 <= edge:
            continue
        longest = max(map(len, title.split("\n")))
        letters = int(longest * (edge - box.x0) / box.width)
        lines = [wrap(line, max(letters, 10)) for line in title.split("\n")]
        drawn.set_text("\n".join(line for part in lines for line in part))
    for beside in [*figure.texts, *(other.xaxis.label for other in figure.axes)]:
        box = beside.get_window_extent()
        fixed = (box.x0 + box.x1) / 2 if beside.get_ha() == "center" else box.x0
        if box.x1 > edge > fixed:
            beside.set_fontsize(beside.get_fontsize() * (edge - fixed) / (box.x1 - fixed))


def _in_hundredths(attribute: re.Match) -> str:
    short = re.sub(r"(\.\d\d)\d+", r"\1", " ".join(attribute[0].split()))
    return (
        _without_needless(short) if re.fullmatch(r'd="(?:[ML] \S+ \S+ ?|z ?)+"', short) else short
    )


def _without_needless(path: str) -> str:
    """Return a path of straight lines without the points amid a level or upright one."""
    kept: list[tuple[str, float, float, str]] = []
    for found in re.finditer(r"([ML]) (\S+) ([^\s\"]+)|z", path):
        if not found[1]:
            kept.append(("z", 0.0, 0.0, "z"))
            continue
        point = (found[1], float(found[2]), float(found[3]), found[0])
        while len(kept) > 1 and kept[-1][0] == point[0] == "L" and _amid(*kept[-2:], point):
            kept.pop()
        kept.append(point)
    return f'd="{" ".join(point[3] for point in kept)}"'


def _amid(before: tuple, middle: tuple, after: tuple) -> bool:
    """Whether a point lies between two others on a level or upright line."""
    if before[0] == "z":
        return False
    return any(
        before[a] == middle[a] == after[a]
        and min(before[b], after[b]) <= middle[b] <= max(before[b], after[b])
        for a, b in ((1, 2), (2, 1))
    )


def _styled_once(group: re.Match) -> str:
    """Return a group of dots that are alike with their style at the group.

    There an opacity would be that of all dots together: those that lie on each other would no
    longer be darker.
    """
    attributes, dots = group[1] or "", group[2]
    style, count = re.search(r'(?: style="([^"]*)")?/>', dots)[1], dots.count("<use ")
    if count < 2 or "style=" in attributes or not style or dots.count(f' style="{style}"') < count:
        return group[0]
    apart = re.sub(r"(?<![\w-])opacity: ([\d.]+)", r"fill-opacity: \1; stroke-opacity: \1", style)
    bare = dots.replace(f' style="{style}"', "")
    return f'<g{attributes} style="{apart}">{bare}</g>'


def finish(ax: Axes, *, title: str, grid: str = "x", legend_above: int = 0) -> None:
    """Give a drawn figure its title, and take away what is not data.

    Parameters
    ----------
    ax : matplotlib Axes
    title : str
    grid : {"x", "y", "both"}
    legend_above : int
        How many lines of a legend stand between the figure and its title.
    """
    if title:
        pad = 8 + 18 * legend_above
        ax.set_title(literal(title), loc="left", fontsize="medium", fontweight="bold", pad=pad)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis=grid, alpha=0.25)
    ax.set_axisbelow(True)


def title_above(ax: Axes, line: str) -> None:
    """Write a line above a figure's title, and leave both above its legend."""
    title = f"{literal(line)}\n{ax.get_title(loc='left')}".strip()
    pad = ax.titleOffsetTrans.get_matrix()[1, 2] * 72 / ax.figure.dpi  # as it was set, in points
    ax.set_title(title, loc="left", fontsize="medium", pad=pad)
