"""Small pieces of HTML; whatever comes from outside is escaped here."""

from __future__ import annotations

import base64
import re
from html import escape

from caveatlib import claims, scorecard
from caveatlib.support.text import escape_control_characters

LETTERS = {
    claims.HOLDS: "h",
    claims.FAILS: "f",
    claims.MIXED: "m",
    claims.OPEN: "o",
    claims.NOT_MEASURED: "n",
    scorecard.SEVERAL: "m",
    scorecard.HISTORY: "t",
    scorecard.NOT_YET: "y",
}
"""Word -> class of what is shown of it."""
APART = "several"
"""Class that tells what differs by machine from what is mixed on one: both have one colour."""


def classes(word: str) -> str:
    """Return the classes of what the tally filters by this word; colours are the letter's."""
    return f"m {APART}" if word == scorecard.SEVERAL else LETTERS[word]


def text(value: object) -> str:
    """Return text that is shown as it is, with what would steer a reader's screen spelled out."""
    return escape(escape_control_characters(str(value)))


def prose(value: object) -> str:
    """Return text in which what stands between backticks is a command or a name."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", text(value))


def chip(word: str) -> str:
    """Return a verdict's sign and word in its colour."""
    sign = scorecard.ALL_SIGNS[word]
    return (
        f'<span class="chip {LETTERS[word]}"><b aria-hidden="true">{sign}</b> {text(word)}</span>'
    )


def link_to(name: str) -> str:
    """Return a link to the card of a claim on the same page."""
    return f'<a href="#{text(name)}">{text(name)}</a>'


def download(content: bytes, *, kind: str, name: str, words: str) -> str:
    """Return a link that holds its own content.

    Parameters
    ----------
    content : bytes
    kind : str
        Media type, ``"application/gzip"``.
    name : str
        Of the file that is saved.
    words : str
    """
    coded = base64.b64encode(content).decode()
    return f'<a download="{text(name)}" href="data:{kind};base64,{coded}">{text(words)}</a>'


def table(head: list[str], rows: list[list[str]], *, label: str) -> str:
    """Return a table that scrolls by itself where it is too wide.

    Parameters
    ----------
    head : list of str
        HTML of the column heads.
    rows : list of list of str
        HTML of the cells; the first of each row is its head.
    label : str
        Name of the table for those who cannot see it.
    """
    heads = "".join(f'<th scope="col">{cell}</th>' if cell else "<td></td>" for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f"<td>{cell}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{text(label)}"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )
