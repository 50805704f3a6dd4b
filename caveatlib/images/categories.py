"""The purpose of a file, by its path and mode alone."""

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
_AREAS = {
    "documentation": "/usr/share/doc /usr/share/doc-base /usr/share/info /usr/local/share/doc",
    "man page": "/usr/share/man /usr/local/share/man /usr/local/man",
    "locale": "/usr/share/locale /usr/share/i18n /usr/lib/locale",
    "cache": "/var/cache /var/lib/apt/lists /root/.cache /root/.npm",
    "package database": "/var/lib/dpkg /var/lib/rpm /lib/apk/db /usr/lib/apk/db",
    "configuration": "/etc",
}
_OTHER = CATEGORIES.index("other")
_EXECUTABLE, _LIBRARY = CATEGORIES.index("executable"), CATEGORIES.index("library")
_CACHE = CATEGORIES.index("cache")
# Folders of programs, and entries whose folder is not known yet.
_PROGRAM, _UNKNOWN = -1, -2
# Deeper folders are "other": a hostile path must not exhaust the stack.
_DEPTH = 200
_FOLDERS = dict.fromkeys(_BIN, _PROGRAM) | {
    folder: CATEGORIES.index(category)
    for category, folders in _AREAS.items()
    for folder in folders.split()
}
_PROGRAMS = (
    {name: CATEGORIES.index("shell") for name in _SHELLS.split()}
    | {name: CATEGORIES.index("package manager") for name in _MANAGERS.split()}
    | {name: CATEGORIES.index("interpreter") for name in _INTERPRETERS.split()}
)


def categorise(entries: tar.Entries) -> np.ndarray:
    """Return the number of each entry's category in `tables.CATEGORIES`.

    Folders and devices are "other". Shells, package managers and interpreters
    are known names in the usual folders for programs; a library has ``.so`` in
    its name; an executable has an execute bit.
    """
    plain = (entries.kinds <= tar.SYMLINK) & (entries.kinds >= tar.FILE)
    runs = plain & (entries.kinds != tar.SYMLINK) & (entries.modes & 0o111 > 0)
    paths, memo = entries.paths, {"": _OTHER}
    # Most archives list a folder before its content, which then needs one look-up.
    for row in np.flatnonzero(entries.kinds == tar.DIRECTORY).tolist():
        if paths[row] != "/":
            _folder(paths[row], memo)
    out = np.array([memo.get(p[: p.rfind("/")], _UNKNOWN) for p in paths], np.int8)
    for row in np.flatnonzero(out == _UNKNOWN).tolist():
        folder = paths[row].rpartition("/")[0]
        out[row] = memo[folder] if folder in memo else _folder(folder, memo)
    out[~plain] = _OTHER
    for row in np.flatnonzero(out == _PROGRAM).tolist():
        out[row] = _program(paths[row].rpartition("/")[2])
    rest = (out == _OTHER) & plain
    out[rest & runs] = _EXECUTABLE
    rest &= np.array([".so" in path for path in paths], bool)
    for row in np.flatnonzero(rest).tolist():
        path = paths[row]
        if path.endswith(".so") or ".so." in path[path.rfind("/") :]:
            out[row] = _LIBRARY
    return out


def _program(name: str) -> int:
    if name in _PROGRAMS:
        return _PROGRAMS[name]
    return _PROGRAMS["awk"] if _VERSIONED.fullmatch(name) else _OTHER


def _folder(folder: str, memo: dict[str, int]) -> int:
    """Return the category of everything in a folder; store it and those above in `memo`."""
    kind = memo.get(folder)
    if kind is None:
        above = folder[: folder.rfind("/")]
        kind = memo.get(above)
        if kind is None:
            kind = _folder(above, memo) if above.count("/") < _DEPTH else _OTHER
        # What is in a subfolder of a folder for programs is not a program.
        kind = _FOLDERS.get(folder, _OTHER if kind == _PROGRAM else kind)
        if folder.endswith("/__pycache__"):
            kind = _CACHE
        memo[folder] = kind
    return kind
