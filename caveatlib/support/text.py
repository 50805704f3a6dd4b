"""Text that somebody else wrote, made fit for one line of a terminal or a page."""

from __future__ import annotations

LONGEST = 80
"""Characters of a name that are shown."""


def escape_control_characters(text: str) -> str:
    r"""Return the text with every character escaped that steers a terminal or turns its direction.

    >>> escape_control_characters("red: \x1b[31m")
    'red: \\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shorten(text: str, most: int = LONGEST) -> str:
    """Return at most so many characters of the text, an ellipsis last where it was longer."""
    return text if len(text) <= most else text[: most - 1] + "…"
