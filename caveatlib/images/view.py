"""The image as a container sees it: visible files, the packages that own them, and olives."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

import numpy as np

from caveatlib.images import layers, names, packages, tar

ELF = b"\x7fELF"
_HOPS = 40


@dataclass(slots=True)
class View:
    """Visible entries: `rows` maps a path to its (layer, row)."""

    scans: list[layers.Scan]
    hidden: list[np.ndarray]
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    _folders: dict[str, str] = field(default_factory=dict)
    _targets: dict[int, dict[str, list[int]]] = field(default_factory=dict)

    def kind(self, at: tuple[int, int]) -> int:
        """Return the type flag of an entry."""
        return int(self.scans[at[0]].entries.kinds[at[1]])

    def link(self, at: tuple[int, int]) -> str:
        """Return an entry's link target, escaped; empty if it is not a link."""
        return self.scans[at[0]].entries.links.get(at[1], "")

    def folder(self, path: str, left: list[int] | None = None) -> str:
        """Return a folder's path with every link in it followed.

        As in Linux, at most 40 links are followed in all: links to paths of
        links would double the work with every level. `left` counts down within
        a call.
        """
        known, top = self._folders, left is None
        if path in known:
            return known[path]
        rest = []
        while path and path not in known:
            path, _, name = path.rpartition("/")
            rest.append((name, path))
        where = known.get(path, "")
        for name, above in reversed(rest):
            where = f"{where}/{name}"
            at = self.rows.get(where)
            if at and self.kind(at) == tar.SYMLINK:
                left = left or [_HOPS + 1]
                left[0] -= 1
                if left[0] > 0:
                    where = self.folder(_joined(where, self.link(at)), left)
            if top:
                known[f"{above}/{name}"] = where
        return where

    def real(self, path: str) -> str:
        """Return the path with the links in its folders followed, but not a link at its end."""
        folder, _, name = path.rpartition("/")
        return f"{self.folder(folder)}/{name}"

    def target(self, path: str) -> tuple[int, int] | None:
        """Return the file that a path resolves to; None if it does not resolve to one."""
        for _ in range(_HOPS + 1):
            path = self.real(path)
            at = self.rows.get(path)
            if at is None:
                return None
            kind = self.kind(at)
            if kind == tar.FILE:
                return at
            if kind == tar.HARD_LINK:
                return self._linked(at)
            if kind != tar.SYMLINK:
                return None
            path = _joined(path, self.link(at))
        return None

    def _linked(self, at: tuple[int, int]) -> tuple[int, int] | None:
        """Return the file of the same layer that a hard link names, hidden or not."""
        number, row = at
        entries = self.scans[number].entries
        for _ in range(_HOPS):
            wanted = names.normalise(entries.links.get(row, ""))
            rows = self._named(number).get(wanted, [])
            before = bisect.bisect_left(rows, row)
            if not before:
                return None
            row = rows[before - 1]
            if entries.kinds[row] == tar.FILE:
                return number, row
        return None

    def _named(self, number: int) -> dict[str, list[int]]:
        """Return the rows of a layer by path, of those paths that its hard links name.

        Looked for link by link, time would grow with the square of their number.
        """
        if number not in self._targets:
            entries = self.scans[number].entries
            links = np.flatnonzero(entries.kinds == tar.HARD_LINK).tolist()
            named: dict[str, list[int]] = {
                names.normalise(entries.links.get(row, "")): [] for row in links
            }
            for row, path in enumerate(entries.paths):
                if path in named:
                    named[path].append(row)
            self._targets[number] = named
        return self._targets[number]


def _joined(path: str, link: str) -> str:
    """Return where a link at a path leads; the root is the empty string."""
    where = names.normalise(link if link.startswith("/") else f"{path}/../{link}")
    return "" if where == "/" else where


def of(scans: list[layers.Scan], hidden: list[np.ndarray]) -> View:
    """Return the visible entries of the layers."""
    view = View(scans, hidden)
    for number, scan in enumerate(scans):
        paths = scan.entries.paths
        for row in np.flatnonzero(hidden[number] < 0).tolist():
            view.rows[paths[row]] = (number, row)
    return view


def installed(view: View) -> list[tuple[packages.Package, int]]:
    """Return the visible packages, each with the layer that first lists this version."""
    found = []
    for package in packages.read(_databases(view, None)):
        found.append((package, view.rows[package.source][0]))
    listed = {(p.manager, p.source, p.name, p.version) for p, _ in found}
    since: dict[tuple, int] = {}
    for number in range(len(view.scans) - 1, -1, -1):
        here = set()
        for package in packages.read(_databases(view, number)):
            here.add((package.manager, package.source, package.name, package.version))
        # A layer without this database does not count; one whose database lacks the package does.
        sources = set(view.scans[number].databases)
        for key in list(listed):
            if key in here:
                since[key] = number
            elif key[1] in sources:
                listed.discard(key)
    return [(p, since.get((p.manager, p.source, p.name, p.version), number)) for p, number in found]


def _databases(view: View, number: int | None) -> dict[str, bytes]:
    if number is not None:
        return view.scans[number].databases
    out = {}
    for layer, scan in enumerate(view.scans):
        for path, data in scan.databases.items():
            if view.rows.get(path, (-1,))[0] == layer:
                out[path] = data
    return out


def owned(view: View, found: list[packages.Package]) -> set[str]:
    """Return the visible paths that a package owns, links in folders followed."""
    out = {view.real(path) for package in found for path in package.files}
    roots = frozenset(package.folder for package in found if package.folder)
    if roots:
        out.update(path for path in view.rows if _beneath(path, roots))
    return out


def _beneath(path: str, roots: frozenset[str]) -> bool:
    while path:
        path = path.rpartition("/")[0]
        if path in roots:
            return True
    return False


def olives(view: View, found: list[packages.Package]) -> list[dict]:
    """Return rows of `tables.Olives`.

    Contents are compared if the layers were scanned with `hash_files`, except
    conffiles and files of apk packages in /etc, which are meant to be edited.
    A missing file is not an olive: documentation is often removed on purpose.
    """
    rows = []
    for package in found:
        for path, (algorithm, expected) in package.hashes.items():
            at = view.rows.get(view.real(path))
            if at is not None and view.kind(at) == tar.HARD_LINK:
                at = view._linked(at)
            hashes = view.scans[at[0]].hashes.get(at[1]) if at else None
            if hashes is None:
                continue
            value = hashes[layers.HASHES.index(algorithm)]
            if value != expected:
                rows.append(
                    _olive(
                        view, at, package.name, f"{algorithm}:{expected}", f"{algorithm}:{value}"
                    )
                )
    return _shell(view) + sorted(rows, key=lambda row: row["path"])


def _shell(view: View) -> list[dict]:
    at = view.target("/bin/sh")
    if at is None:
        return []
    head = bytes(view.scans[at[0]].entries.heads[at[1]])
    if head == ELF or not head:
        return []
    what = "a script" if head.startswith(b"#!") else "a file of another format"
    return [_olive(view, at, "", "/bin/sh leads to an ELF program", f"/bin/sh leads to {what}")]


def _olive(view: View, at, package: str, expected: str, found: str) -> dict:
    path = view.scans[at[0]].entries.paths[at[1]]
    return {
        "layer": at[0],
        "path": path,
        "package": package,
        "expected": expected,
        "found": found,
    }
