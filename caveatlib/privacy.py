"""Keep what names a person, a machine or a network out of whatever is written.

Provenance is an allow-list (`caveatlib.host.describe`). Free text, that is the
messages of errors, cannot be one: `scrub` takes out what is known to be private.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import socket
from functools import cache
from pathlib import Path

LONGEST = 300
"""Characters of an error that are kept; more is the output of a program."""

_PATTERNS = (
    (re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\",)]+", re.I), "<url>"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b"), "<address>"),
    # An IPv6 address is whole or has a "::"; a time of day is neither.
    (
        re.compile(
            r"(?<![\w:])(?:(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}"
            r"|(?=[0-9a-f:]*::)[0-9a-f:]*:[0-9a-f:]*)(?![\w:])",
            re.I,
        ),
        "<address>",
    ),
    (re.compile(r"\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b", re.I), "<address>"),
    (re.compile(r"\b[\w.+-]+@[\w.-]+\b"), "<address>"),
    (re.compile(r"\b[0-9a-f]{32,}\b", re.I), "<id>"),
    (
        re.compile(
            r"\b(?:[\w-]+\.)+(?:com|net|org|io|dev|local|internal|lan|corp)\b(?:[:/][\w./:-]*)?",
            re.I,
        ),
        "<host>",
    ),
    (
        re.compile(r"\b(\w*(?:token|password|passwd|secret|api_?key)\w*)\s*[=:]\s*\S+", re.I),
        r"\1=<secret>",
    ),
)


def scrub(text: object) -> str:
    """Return one line of text without addresses, names, folders and secrets.

    Parameters
    ----------
    text : object
        Anything with a text form, an exception say.

    Returns
    -------
    str
        At most `LONGEST` characters, without line breaks or control characters.
    """
    line = " ".join(str(text).split())
    for value, replacement in _known():
        line = line.replace(value, replacement)
    for pattern, replacement in _PATTERNS:
        line = pattern.sub(replacement, line)
    line = "".join(c for c in line if c.isprintable())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


@cache
def _known() -> tuple[tuple[str, str], ...]:
    found = {
        os.path.expanduser("~"): "~",
        os.environ.get("HOME", ""): "~",
        socket.gethostname(): "<host>",
        os.environ.get("XDG_CACHE_HOME", ""): "<cache>",
        os.environ.get("XDG_RUNTIME_DIR", ""): "<runtime>",
        str(Path.cwd()): "<folder>",
    }
    with contextlib.suppress(KeyError, OSError):
        found[getpass.getuser()] = "<user>"
    # "root" and "vm" say nothing about anybody and stand in ordinary sentences.
    usable = [(k, v) for k, v in found.items() if len(k) > 4 and k not in ("/root", "root")]
    return tuple(sorted(usable, key=lambda pair: -len(pair[0])))
