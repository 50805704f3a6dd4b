"""Figures, tables and findings for a stage: letters of 28 px or more, and a badge on each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from textwrap import wrap

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from caveatlib import literature, plots, scorecard
from caveatlib.errors import UsageError
from caveatlib.experiments.kit.highlights import Highlight
from caveatlib.measuring.experiment import complete
from caveatlib.page import show as as_table
from caveatlib.page.markup import LETTERS, text
from caveatlib.page.overview import bars
from caveatlib.support import shipped
from caveatlib.support.text import shorten
from caveatlib.talk.sheet import SLIDES
from caveatlib.talk.stage import FALLBACK, LIVE, RECORDED, Scene

SIMULATED, READ, CITED = "simulated", "read", "cited"
COLOURS = {LIVE: "#0b62a4", RECORDED: "#1b1f24", FALLBACK: "#b93c09", SIMULATED: "#6d4aa8"}
"""Of the badge in a figure; those in tables stand in the style sheet."""
WIDTH_PX, HEIGHT_PX, STRIP_PX, PX_PER_INCH = 1100, 395, 44, 100
LETTERS_PT = 24.5
"""Of 28 px even where a figure says "small"."""
SMALL = 0.833
"""What matplotlib makes of "small"."""
YLABEL = 14
"""Characters of a line of the label on the left."""
SHARES = [(f"{percent} %", percent / 100) for percent in range(10, 100, 10)]
REASON = 78
"""Characters of the reason of a fallback that fit into a line."""


class Shown:
    """HTML for a slide, and the same in words."""

    def __init__(self, html: str, words: str):
        self.html, self.words = html, words

    def __repr__(self):
        return self.words

    def _repr_html_(self):
        return self.html


def _badge(kind: str, words: str) -> str:
    return f'<p class="badge {kind}">{text(words)}</p>'


def _framed(inner: str, kind: str, words: str, reason: str = "") -> str:
    why = f'<p class="why">Not live: {text(shorten(reason, REASON))}</p>' if reason else ""
    return (
        f'<style>{SLIDES}</style><div class="talk"><div class="framed {kind}">'
        f"{_badge(kind, words)}{why}{inner}</div></div>"
    )


def framed(inner: str, scene: Scene) -> str:
    """Return HTML with the badge of its scene above it, and why it is not live."""
    return _framed(inner, scene.kind, scene.badge, scene.reason)


def table(make: Callable, scene: Scene, *, columns: Sequence[str] | None = None) -> Shown:
    """Return a table of a scene's trials, as `page.show` with its badge.

    Parameters
    ----------
    make : callable
        Given trials, returns a frame.
    scene : Scene
    columns : sequence of str, optional
        Default all.
    """
    made = make(scene.trials)
    shown = as_table(made if columns is None else made[list(columns)])
    return Shown(framed(shown.inner_html(), scene), f"{scene!r}\n{shown!r}")


def now(frame: pd.DataFrame) -> Shown:
    """Return a table of what was read in this very cell, on any machine."""
    return _told(frame, READ, "READ by this cell when it was run")


def cited(area: str, *ids: str) -> Shown:
    """Return figures of others, see `literature.figures`."""
    found = literature.figures(area).set_index("id").loc[list(ids)]
    found = found.rename(columns={"value_si": f"value_{found['unit_si'].iloc[0]}"})
    columns = ["setting", *(c for c in found if c.startswith("value_")), "year"]
    return _told(found[columns].reset_index(drop=True), CITED, "PUBLISHED by others, not measured")


def sample() -> Path:
    """Return an archive of an image, to be read on stage."""
    return shipped.folder("data") / "images" / "bloated.tar"


def _told(frame: pd.DataFrame, kind: str, words: str) -> Shown:
    shown = as_table(frame)
    return Shown(_framed(shown.inner_html(), kind, words), f"{words}\n{shown!r}")


def finding(claim: str, scene: Scene) -> Shown:
    """Return what a scene's trials say of a claim, as a number, a sentence and bars.

    Raises
    ------
    UsageError
        If the experiment has no such finding.
    """
    found = complete(scene.run.experiment).highlights(scene.trials)
    told = next((h for h in found if h.claim == claim), None)
    if told is None:
        known = ", ".join(h.claim for h in found) or "none"
        raise UsageError(f"No finding of {claim!r}. These trials have: {known}.")
    return Shown(framed(_finding(told), scene), f"{scene!r}\n{told.number} {told.sentence}")


def _finding(told: Highlight) -> str:
    return (
        f'<p class="number">{text(told.number)}</p><p class="said">{text(told.sentence)}</p>'
        f"{bars(told)}"
    )


def tiles(*words: str) -> Shown:
    """Return the statements of the post as tiles, from recorded trials.

    Parameters
    ----------
    *words : str
        Only what came to these, see `scorecard.WORDS`; default all.
    """
    listed = _entries()
    post = [e for e in listed if e.section != scorecard.OURS]
    kept = [e for e in post if not words or e.word in words]
    counts = {w: n for w, n in scorecard.counts(listed).items() if not words or w in words}
    shown = "".join(
        f'<span class="t {_letter(e.word)}" title="{text(e.quote)}">'
        f"<small>{text(e.id.removeprefix('C'))}</small>"
        f"<b>{scorecard.ALL_SIGNS[e.word]}</b></span>"
        for e in kept
    )
    key = "".join(
        f"<span><b>{n}</b> {scorecard.ALL_SIGNS[w]} {text(w)}</span>" for w, n in counts.items()
    )
    inner = f'<div class="tiles">{shown}</div><p class="key">{key}</p>'
    said = "RECORDED, as it ships with caveatlib"
    told = ", ".join(f"{w} {n}" for w, n in counts.items())
    return Shown(_framed(inner, RECORDED, said), f"{said}\n{told}")


@cache
def _entries() -> list[scorecard.Entry]:
    """Return the scorecard; judging everything takes a while, and is done once."""
    return scorecard.entries(RECORDED)


def _letter(word: str) -> str:
    return {"t": "t2"}.get(LETTERS[word], LETTERS[word])


def figure(draw: Callable, scene: Scene) -> None:
    """Display a figure of a scene's trials with large letters and its badge in it.

    Parameters
    ----------
    draw : callable
        Given trials and axes, draws and returns the axes.
    scene : Scene
    """
    words = f"NOT LIVE. {scene.badge}" if scene.kind == FALLBACK else scene.badge
    _figure(lambda ax: draw(scene.trials, ax), scene.kind, words, scene.reason)


def simulated(draw: Callable, **settings) -> None:
    """Display a figure of simulated numbers, as `figure`."""
    _figure(lambda ax: draw(ax=ax, **settings), SIMULATED, "SIMULATED")


def slider(draw: Callable, name: str, words: str) -> None:
    """Show `simulated` below a slider of a share, and draw it anew when that is moved."""
    from ipywidgets import Layout, SelectionSlider, interact

    wide = {"layout": Layout(width="1000px"), "style": {"description_width": "420px"}}
    interact(
        lambda value: simulated(draw, **{name: value}),
        value=SelectionSlider(options=SHARES, value=0.5, description=words, **wide),
    )


def _figure(draw: Callable, kind: str, words: str, reason: str = "") -> None:
    from IPython.display import display

    size = {"font.size": LETTERS_PT, "lines.markersize": 10, "figure.dpi": PX_PER_INCH}
    with plt.rc_context(size):
        ax = plots.new_axes(width=WIDTH_PX / PX_PER_INCH, height=HEIGHT_PX / PX_PER_INCH)
        ax.figure.set_dpi(PX_PER_INCH)
        ax = draw(ax)
        _fit(ax)
        stamp(ax, kind, words)
        if reason:
            display(Shown(_reason(reason), f"Not live: {reason}"))
        plots.show(ax)


def _fit(ax: Axes) -> None:
    """Let the labels of a figure that was drawn for a page fit beside large letters."""
    ends = re.split(r" {2,}", ax.get_xlabel())
    if len(ends) == 3:  # what is left and right of 1, and what the axis is
        ax.set_xlabel(f"{ends[0]}\u2003\u2003{ends[2]}\n{ends[1]}")
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_fontsize("small")
    ax.set_ylabel("\n".join(wrap(ax.get_ylabel(), YLABEL)))
    ax.figure.draw_without_rendering()
    lowest = float("inf")
    for label in sorted(ax.get_yticklabels(), key=lambda t: t.get_window_extent().y0, reverse=True):
        box = label.get_window_extent()
        if box.y1 > lowest:
            label.set_alpha(0)  # two labels in one place are none
        elif label.get_text():
            lowest = box.y0


def _reason(reason: str) -> str:
    said = text(shorten(reason, REASON))
    return f'<style>{SLIDES}</style><div class="talk"><p class="why">Not live: {said}</p></div>'


def stamp(ax: Axes, kind: str, words: str) -> None:
    """Put a badge above a figure, and its title beside it or below, each whole."""
    title = ax.get_title(loc="left")
    ax.set_title("", loc="left")
    share = STRIP_PX / HEIGHT_PX
    ax.figure.get_layout_engine().set(rect=(0, 0, 1, 1 - (2 if title else 1) * share))
    bold = {"va": "center", "fontweight": "bold", "fontsize": LETTERS_PT * SMALL}
    box = {"boxstyle": "square,pad=0.25", "fc": COLOURS[kind], "ec": "none"}
    ax.figure.text(0.01, 1 - share / 2, plots.literal(words), color="white", bbox=box, **bold)
    ax.figure.text(0.005, 1 - share * 1.5, title, **bold)
    plots.say(ax, f"{words}.")
