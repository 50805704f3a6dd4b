"""Pictures for elsewhere: the strip of tiles for a README, a preview of each card.

The strip is an SVG made here; a preview is drawn once by matplotlib and saved as SVG and
as PNG, for sites that show a picture beside a link. Each is complete in itself.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

from caveatlib import __version__, claims, scorecard
from caveatlib.page.cards import spoken
from caveatlib.page.markup import LETTERS, text
from caveatlib.page.overview import sections
from caveatlib.scorecard import Entry

INKS = {
    "light": {"h": "#0b62a4", "f": "#b93c09", "n": "#565f6b", "o": "#7d5800", "t": "#6d4aa8",
              "y": "#565f6b", "m": "#7d5800", "fg": "#1b1f24", "on": "#ffffff"},
    "dark": {"h": "#6db8f2", "f": "#ff9a62", "n": "#a9b2bd", "o": "#e3b341", "t": "#c4a7f5",
             "y": "#a9b2bd", "m": "#e3b341", "fg": "#e8eaed", "on": "#14171b"},
}  # fmt: skip
"""Colours of `page/style.css`, by scheme: the same letters stand for the same words."""
TILE, GAP, LINE, WIDTH = 31, 4, 66, 830
ROOM = 0.91
"""Of a preview's width, what a line may take."""
FONT = "font-family=\"system-ui,'Segoe UI',Roboto,'Noto Sans',sans-serif\""


def strip(listed: Sequence[Entry], *, scheme: str) -> str:
    """Return the tiles of all statements and their tally as an SVG 830 pixels wide.

    Parameters
    ----------
    listed : sequence of Entry
    scheme : {"light", "dark"}

    Returns
    -------
    str
        With the tally as its title, for those who cannot see it.
    """
    inks = INKS[scheme]
    x, y, drawn = 0, 0, []
    for section, inside in sections(listed).items():
        if section == scorecard.OURS:
            continue
        wide = max(len(inside) * (TILE + GAP), 7 * len(section)) + 10
        if x + wide - 10 > WIDTH:
            x, y = 0, y + LINE
        drawn.append(
            f'<text x="{x}" y="{y + 12}" font-size="12" fill="{inks["n"]}">{text(section)}</text>'
        )
        for i, entry in enumerate(inside):
            drawn.append(_tile(entry, x + i * (TILE + GAP), y + 18, inks))
        x += wide
    y += LINE + 16
    drawn.append(
        f'<text x="0" y="{y}" font-size="15" fill="{inks["fg"]}">{_legend(listed, inks)}</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 10}" '
        f'viewBox="0 0 {WIDTH} {y + 10}" role="img" {FONT}>'
        f"<title>{text(scorecard.tally(listed))}</title>{''.join(drawn)}</svg>\n"
    )


def _tile(entry: Entry, x: int, y: int, inks: dict[str, str]) -> str:
    letter = LETTERS[entry.word]
    filled = letter in "hf"
    ink = inks["on"] if filled or letter == "m" else inks[letter]
    box = f'x="{x}" y="{y}" width="{TILE}" height="36" rx="4"'
    if letter == "m":
        shape = (
            f'<rect {box} fill="{inks["h"]}"/>'
            f'<path d="M{x + TILE} {y} v32 a4 4 0 0 1 -4 4 h-{TILE - 4} z" fill="{inks["f"]}"/>'
        )
    else:
        fill = inks[letter] if filled else "none"
        dashes = ' stroke-dasharray="3 3"' if letter == "y" else ""
        shape = f'<rect {box} fill="{fill}" stroke="{inks[letter]}" stroke-width="1.5"{dashes}/>'
    middle = f'x="{x + TILE / 2:g}" text-anchor="middle" fill="{ink}"'
    number = text(entry.id.removeprefix("C"))
    sign = text(scorecard.ALL_SIGNS[entry.word])
    return (
        f"<g><title>{text(f'{entry.id} {entry.word}')}</title>{shape}"
        f'<text {middle} y="{y + 14}" font-size="11">{number}</text>'
        f'<text {middle} y="{y + 30}" font-size="15" font-weight="bold">{sign}</text></g>'
    )


def _legend(listed: Sequence[Entry], inks: dict[str, str]) -> str:
    parts = []
    for word, count in scorecard.counts(listed).items():
        ink = inks[LETTERS[word]]
        sign = text(scorecard.ALL_SIGNS[word])
        parts.append(f'<tspan fill="{ink}" dx="8">{count} {sign} {text(word)}</tspan>')
    return "".join(parts)


def preview(entry: Entry) -> dict[str, bytes]:
    """Draw the card of a claim, 1200 by 630 pixels, as it is shown beside a link.

    Returns
    -------
    dict
        ``"svg"`` and ``"png"``: claim, verdict, quotation, answer, and in the last line
        the checksum of the rows that decided it and the command that repeats it.
    """
    import matplotlib.pyplot as plt

    inks = INKS["light"]
    colour = inks[LETTERS[entry.word]]
    settings = {"svg.fonttype": "none", "svg.hashsalt": "caveatlib", "font.family": "sans-serif"}
    with plt.rc_context(settings):
        figure = plt.figure(figsize=(12, 6.3), dpi=100, facecolor="#ffffff")
        bar = plt.Rectangle((0, 0), 0.012, 1, color=colour, transform=figure.transFigure)
        figure.patches.append(bar)
        sign = scorecard.ALL_SIGNS[entry.word]
        _write(figure, 0.88, f"{entry.id}  {sign} {entry.word}", size=34, color=colour)
        quote = entry.quote if entry.section == scorecard.OURS else f"“{entry.quote}”"
        below = _write(figure, 0.77, quote, size=18, color=inks["n"], wraps=True, lines=3)
        answer = spoken(entry)
        if entry.history and not entry.verdicts:
            answer = entry.history.now
        _write(figure, below - 0.07, answer or entry.tests, size=24, color=inks["fg"], wraps=True,
               lines=6)  # fmt: skip
        _write(figure, 0.05, _origin(entry), size=13, color=inks["n"])
        made = {}
        for kind in ("svg", "png"):
            file = io.BytesIO()
            metadata = {"Date": None} if kind == "svg" else {"Software": None}
            figure.savefig(file, format=kind, metadata=metadata)
            made[kind] = file.getvalue()
        plt.close(figure)
    return made


def _write(
    figure, top: float, words: str, *, size: float, color: str, wraps: bool = False, lines: int = 1
):
    """Write text from a height downwards, as wide as there is room; return the height below it."""
    if wraps:
        wrapped = _wrapped(figure, words, size)
        if len(wrapped) > lines:
            last = wrapped[lines - 1]
            while _width(figure, f"{last}…", size) > ROOM:
                last = last.rpartition(" ")[0] or last[:-1]
            wrapped = [*wrapped[: lines - 1], f"{last}…"]
    else:
        wrapped, size = [words], size * min(1, ROOM / _width(figure, words, size))
    figure.text(0.05, top, "\n".join(wrapped).replace("$", r"\$"), fontsize=size, color=color,
                va="top" if wraps else "center", linespacing=1.35)  # fmt: skip
    return top - len(wrapped) * size * 1.45 / 453.6


def _width(figure, words: str, size: float) -> float:
    """Return how wide a line is, as a share of the figure."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family="sans-serif", size=size)
    wide, *_ = figure.canvas.get_renderer().get_text_width_height_descent(words, font, ismath=False)
    return wide / figure.bbox.width


def _wrapped(figure, words: str, size: float) -> list[str]:
    """Return text in lines for which there is room, by the width of their letters."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _width(figure, longer, size) > ROOM:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _origin(entry: Entry) -> str:
    told = [f"caveatlib {__version__}", f"Docker Caveats, {claims.QUOTED_ON}"]
    if entry.verdicts:
        told = [told[0], ", ".join(dict.fromkeys(v.source for v in entry.verdicts))]
        told.append(f"data sha256 {checksum(entry)[:12]}")
        told.append(f"sudo .venv/bin/caveatlib measure {entry.experiment}")
    return "  ·  ".join(told)


def checksum(entry: Entry) -> str:
    """Return the SHA-256 of the rows that a claim and its parts were decided by, as CSV."""
    digest = hashlib.sha256()
    for name in sorted(entry.evidence):
        digest.update(entry.evidence[name].to_csv(index=False, lineterminator="\n").encode())
    return digest.hexdigest()
