"""Text that somebody else wrote, made fit for one line of a terminal or a page."""

from __future__ import annotations

import re

LONGEST = 80
"""Characters of a name that are shown."""
_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def escape_control_characters(text: str) -> str:
    r"""Return the text with every character escaped that steers a terminal or turns its direction.

    >>> escape_control_characters("red: \x1b[31m")
    'red: \\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def in_one_line(text: object) -> str:
    r"""Return the text without colours, line breaks and control characters.

    >>> in_one_line("dial tcp:\n \x1b[31mconnection refused\x1b[0m\x07")
    'dial tcp: connection refused'
    """
    plain = _COLOURS.sub("", str(text))
    return "".join(c for c in " ".join(plain.split()) if c.isprintable())


def shorten(text: str, most: int = LONGEST) -> str:
    """Return at most so many characters of the text, an ellipsis last where it was longer."""
    return text if len(text) <= most else text[: most - 1] + "…"
