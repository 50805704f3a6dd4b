"""The whole page: header, first screen, findings, forest, cards, notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from caveatlib import __version__, claims, scorecard
from caveatlib.experiments.kit.highlights import Highlight
from caveatlib.page import overview
from caveatlib.page.markup import text
from caveatlib.page.sheet import PAGE
from caveatlib.scorecard import Entry

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Nothing is loaded, nothing runs."""
TITLE = "Docker caveats, checked"


class Book(NamedTuple):
    """A notebook that was run for the page.

    Attributes
    ----------
    file, title : str
        Beside the page, and in words.
    note : str
        Where its numbers come from.
    error : str
        Last line of the traceback, if it failed; empty otherwise.
    """

    file: str
    title: str
    note: str
    error: str = ""


def document(
    listed: Sequence[Entry],
    highlights: Sequence[Highlight],
    books: Sequence[Book],
    *,
    address: str = "",
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    listed : sequence of Entry
    highlights : sequence of Highlight
        At most six.
    books : sequence of Book
    address : str, optional
        Where on the web the page's folder will be: quotations lead there, and so does the
        picture that sites show beside a link, whose address has to be a whole one.
    """
    body = (
        _section("top", "", _hero(listed))
        + _section("findings", "What was found", overview.findings(highlights))
        + _section("forest", "Every judged ratio on one scale", _forest(listed))
        + _section(
            "cards",
            "The claims, one by one",
            overview.by_section(listed, paper=True, **_where(address)),
        )
        + _section("yet", "Statements without an experiment", overview.not_yet(listed))
        + _section("notebooks", "The notebooks behind it", _books(books))
    )
    statements = sum(scorecard.counts(listed).values())
    said = f"A scorecard of the {statements} statements of a 2016 post about Docker, each measured "
    said += "or sourced."
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{TITLE}</title><meta name="description" content="{said}">'
        f'<meta property="og:title" content="{TITLE}"><meta property="og:type" content="website">'
        f'<meta property="og:description" content="{said}">{_preview(listed, address)}'
        f"<style>{PAGE}</style></head>"
        f'<body class="caveats"><a class="skip" href="#cards">Skip to the claims</a>{_header(body)}'
        f"<main>{body}</main>{_footer()}</body></html>\n"
    )


def _where(address: str) -> dict[str, str]:
    return {"address": address} if address else {}


def _preview(listed: Sequence[Entry], address: str) -> str:
    """Return the tags of the page's picture: the card of the first statement that is decided."""
    decided = [entry.id for entry in listed if entry.word in claims.DECIDED]
    if not address or not decided:
        return ""
    picture = text(f"{address}cards/{decided[0]}.png")
    return (
        f'<meta property="og:url" content="{text(address)}">'
        f'<meta property="og:image" content="{picture}">'
        '<meta name="twitter:card" content="summary_large_image">'
    )


def _header(body: str) -> str:
    """Return links to the sections that the page has."""
    parts = {
        "findings": "Findings",
        "forest": "Effects",
        "cards": "Claims",
        "yet": "Not yet",
        "notebooks": "Notebooks",
    }
    links = "".join(
        f'<a href="#{name}">{words}</a>'
        for name, words in parts.items()
        if f'<section id="{name}">' in body
    )
    return (
        '<header class="top"><a href="#top"><b>caveatlib</b></a>'
        f'<nav aria-label="Page">{links}</nav></header>'
    )


def _section(name: str, title: str, inner: str) -> str:
    if not inner:
        return ""
    head = f"<h2>{text(title)}</h2>" if title else ""
    return f'<section id="{name}">{head}{inner}</section>'


def _hero(listed: Sequence[Entry]) -> str:
    return (
        f'<h1>{TITLE}</h1><p class="lead">{overview.sentence(listed)}</p>{_origin(listed)}'
        f"{overview.picks(listed)}{overview.strip(listed)}{overview.undecided(listed)}"
    )


def _origin(listed: Sequence[Entry]) -> str:
    frame = scorecard.as_table(listed)
    frame = frame[frame["machine"] != ""]
    found = frame.groupby(["source", "machine"], sort=False)["claim"].nunique()
    said = "; ".join(f"{source} on {machine}" for source, machine in found.index)
    return f'<p class="origin">{text(said)}</p>' if said else ""


def _forest(listed: Sequence[Entry]) -> str:
    drawn = overview.forest(listed)
    if not drawn:
        return ""
    return (
        '<p class="hint">Ratio and its 95 % interval, adjusted over the claims of one experiment '
        "(each interval by itself). Grey: the interval of the A/A control. Dotted: the threshold. "
        "Left of “equal” is less, right of it more: of a time, of bytes, or of requests a second. "
        f"● holds, ◆ does not hold, ○ mixed or inconclusive.</p>{drawn}"
    )


def _books(books: Sequence[Book]) -> str:
    items = []
    for book in books:
        failed = ""
        if book.error:
            error = f"<code>{text(book.error)}</code>"
            failed = f'<p class="failed"><b>This notebook failed:</b> {error}</p>'
        items.append(
            f'<li><a href="{text(book.file)}">{text(book.title)}</a>'
            f"<small>{text(book.note)}</small>{failed}</li>"
        )
    return f'<ul class="books">{"".join(items)}</ul>' if items else ""


def _footer() -> str:
    return (
        f"<footer>Made by caveatlib {__version__} on {date.today().isoformat()}. Code: "
        "BSD-3-Clause. Recorded data: CC-BY-4.0. This page loads nothing and runs nothing.</footer>"
    )
