"""Keep what names a person, a machine or a network out of whatever is written.

Provenance is an allow-list (`caveatlib.measuring.machine.describe`). Free text, that is the
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

from caveatlib.support.text import in_one_line

LONGEST = 300
"""Characters of an error that are kept; more is the output of a program."""
_LONG = 5
_NOBODY = frozenset(["ci", "dev", "host", "kvm", "node", "pc", "pi", "root", "test", "user", "vm"])
"""Names of machines and users that name nobody, and stand in ordinary sentences and paths."""

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
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.I), "<id>"),
    (
        re.compile(
            r"\b(?:[\w-]+\.)+(?:com|net|org|io|dev|local|localdomain|home|internal|lan|corp|example)"
            r"\b(?:[:/][\w./:-]*)?",
            re.I,
        ),
        "<host>",
    ),
    (
        re.compile(r"\b(?:gh[opsu]_\w{20,}|glpat-[\w-]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16})\b"),
        "<secret>",
    ),
    (re.compile(r"\b(?:Bearer|Basic) [\w.~+/=-]{16,}"), "<secret>"),
    (re.compile(r"(?<![\w.])/(?:home|Users)/(?!<user>)[^\s/'\",:;)]+"), "~"),
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
        Anything with a text form, e.g. an exception.

    Returns
    -------
    str
        At most `LONGEST` characters, without line breaks or control characters.
    """
    line, _ = _replaced(text)
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def marks(text: object) -> list[str]:
    """Return what `scrub` would put in the places of what is private in a text, each once."""
    return _replaced(text)[1]


def _replaced(text: object) -> tuple[str, list[str]]:
    """Return the text in one line without what is private, and what stands in its places."""
    # First, or a colour's last letter would stand before an address as if it were of its word.
    line, found = in_one_line(text), []
    for pattern, replacement in (*_known(), *_PATTERNS):
        line, count = pattern.subn(replacement, line)
        if count and replacement not in found:
            found.append(replacement)
    return line, [mark.rpartition("=")[2] for mark in found]


@cache
def _known() -> tuple[tuple[re.Pattern, str], ...]:
    """Return what is private on this machine, the longest first: it may hold another."""
    host = socket.gethostname()
    folders = {
        os.path.expanduser("~"): "~",
        os.environ.get("HOME", ""): "~",
        os.environ.get("XDG_CACHE_HOME", ""): "<cache>",
        os.environ.get("XDG_RUNTIME_DIR", ""): "<runtime>",
        str(Path.cwd()): "<folder>",
    }
    names = {
        host: "<host>",
        host.partition(".")[0]: "<host>",
        os.environ.get("SUDO_USER", ""): "<user>",
    }
    with contextlib.suppress(KeyError, OSError):
        names[getpass.getuser()] = "<user>"
    found = {k: v for k, v in folders.items() if len(k) >= _LONG and k != "/root"}
    # A name that is a number would take figures out.
    found |= {k: v for k, v in names.items() if k not in _NOBODY and re.search(r"[^\W\d]", k)}
    return tuple((_pattern(k), found[k]) for k in sorted(found, key=len, reverse=True))


def _pattern(value: str) -> re.Pattern:
    # Of a short name only the whole word: "ann" stands in "cannot" and "channel", too.
    exact = re.escape(value)
    return re.compile(exact if len(value) >= _LONG else rf"(?<!\w){exact}(?!\w)")
