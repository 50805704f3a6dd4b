"""What a file is for, by its path and mode alone."""

from __future__ import annotations

import re

import numpy as np

from caveatlib.images import tar
from caveatlib.images.tables import CATEGORIES

_SHELLS = "sh ash bash csh dash fish hush ksh ksh93 mksh rbash tcsh yash zsh"
_MANAGERS = (
    "apk apt apt-get aptitude cargo conda dnf dpkg gem mamba microdnf npm opkg pacman pip pip3 "
    "pnpm poetry rpm tdnf uv yarn yum zypper"
)
_INTERPRETERS = (
    "awk bun deno gawk guile java jruby julia lua luajit mawk node nodejs original-awk php "
    "pypy3 Rscript ruby tclsh"
)
_VERSIONED = re.compile(r"(?:python|perl|ruby|lua|php|tclsh|node|pypy|guile)[0-9.]*")
_BIN = frozenset(
    f"{root}/{name}" for root in ("", "/usr", "/usr/local") for name in ("bin", "sbin")
) | {"/opt/bin", "/busybox"}
_PREFIXES = (
    ("/usr/share/doc", "documentation"),
    ("/usr/share/doc-base", "documentation"),
    ("/usr/share/info", "documentation"),
    ("/usr/share/gtk-doc", "documentation"),
    ("/usr/local/share/doc", "documentation"),
    ("/usr/share/man", "man page"),
    ("/usr/local/share/man", "man page"),
    ("/usr/local/man", "man page"),
    ("/usr/share/locale", "locale"),
    ("/usr/share/i18n", "locale"),
    ("/usr/lib/locale", "locale"),
    ("/var/cache", "cache"),
    ("/var/lib/apt/lists", "cache"),
    ("/root/.cache", "cache"),
    ("/root/.npm", "cache"),
    ("/var/lib/dpkg", "package database"),
    ("/var/lib/rpm", "package database"),
    ("/usr/lib/sysimage/rpm", "package database"),
    ("/lib/apk/db", "package database"),
    ("/usr/lib/apk/db", "package database"),
    ("/etc", "configuration"),
)
_OTHER = CATEGORIES.index("other")
_EXECUTABLE, _LIBRARY = CATEGORIES.index("executable"), CATEGORIES.index("library")
_PROGRAMS = (
    {name: CATEGORIES.index("shell") for name in _SHELLS.split()}
    | {name: CATEGORIES.index("package manager") for name in _MANAGERS.split()}
    | {name: CATEGORIES.index("interpreter") for name in _INTERPRETERS.split()}
)


def categorise(entries: tar.Entries) -> np.ndarray:
    """Return the number of each entry's category in `tables.CATEGORIES`.

    Files and links only; folders and devices are "other". A program (shell,
    package manager, interpreter) is a name in one of the usual folders for
    programs; a library has ``.so`` in its name; an executable has an x bit.
    """
    plain = (entries.kinds <= tar.SYMLINK) & (entries.kinds >= tar.FILE)
    runs = (plain & (entries.kinds != tar.SYMLINK) & (entries.modes & 0o111 > 0)).tolist()
    out = [_OTHER] * len(entries)
    folders: dict[str, int] = {}
    for row in np.flatnonzero(plain).tolist():
        path = entries.paths[row]
        folder, _, name = path.rpartition("/")
        kind = folders.get(folder)
        if kind is None:
            kind = folders[folder] = _folder(folder)
        if kind < 0:
            kind = _PROGRAMS.get(name, -1)
            if kind < 0 and _VERSIONED.fullmatch(name):
                kind = _PROGRAMS["awk"]
        if kind < 0 or kind == _OTHER:
            if ".so" in name and (name.endswith(".so") or ".so." in name):
                kind = _LIBRARY
            else:
                kind = _EXECUTABLE if runs[row] else _OTHER
        out[row] = kind
    return np.array(out, np.int8)


def _folder(folder: str) -> int:
    """Return the category of everything in a folder; -1: a folder for programs."""
    if folder in _BIN:
        return -1
    for prefix, category in _PREFIXES:
        if folder == prefix or folder.startswith(prefix + "/"):
            return CATEGORIES.index(category)
    return CATEGORIES.index("cache") if folder.endswith("/__pycache__") else _OTHER
