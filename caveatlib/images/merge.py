"""Merge layers: which later layer hides which entry.

The rules are those of overlayfs and Docker. Whiteouts and opaque markers apply
to lower layers only, whatever their position in their own layer. A folder that
is listed again replaces the earlier entry, not its content. Anything else at
the path of a folder hides what was in it. A folder that only the path of an
entry implies hides a lower file or link of that name.
"""

from __future__ import annotations

import numpy as np

from caveatlib.images import tar
from caveatlib.images.limits import DEFAULTS, OverLimit

OPAQUE = ".wh..wh..opq"
_NONE = 1 << 62


def whiteouts(entries: tar.Entries) -> np.ndarray:
    """Return per entry whether it is a whiteout or another ``.wh.`` marker."""
    marks = np.zeros(len(entries), bool)
    marks[[row for row, path in enumerate(entries.paths) if "/.wh." in path]] = True
    for row in np.flatnonzero(marks):
        marks[row] = entries.paths[row].rpartition("/")[2].startswith(".wh.")
    return marks


def hidden_by(layers: list[tar.Entries]) -> list[np.ndarray]:
    """Return per layer and entry the nearest layer that hides it, -1 if it is visible.

    Within a layer the last entry of a path counts. Whiteouts are never visible:
    they are hidden by their own layer.
    """
    # Nearest later layer that has an entry (or whiteout) at the path; that clears
    # what lower layers have beneath it; that implies that it is a folder.
    taken: dict[str, int] = {}
    cleared: dict[str, int] = {}
    implied: dict[str, int] = {}
    out: list[np.ndarray] = []
    for number in range(len(layers) - 1, -1, -1):
        entries, marks = layers[number], whiteouts(layers[number])
        hidden = within(entries.paths, number)
        if number < len(layers) - 1:
            _from_above(entries, hidden, taken, cleared, implied)
        hidden[marks] = number
        out.append(hidden)
        if number:
            _lay(entries, marks, number, taken, cleared, implied)
    return out[::-1]


def within(paths: list[str], number: int) -> np.ndarray:
    """Return per entry its own layer's number if a later entry has the same path, else -1."""
    hidden = np.full(len(paths), -1, np.int64)
    if len(set(paths)) < len(paths):
        last = {path: row for row, path in enumerate(paths)}
        for row, path in enumerate(paths):
            if last[path] != row:
                hidden[row] = number
    return hidden


def _from_above(entries, hidden, taken, cleared, implied) -> None:
    memo: dict[str, int] = {"": _NONE}
    kinds = entries.kinds.tolist()
    for row, path in enumerate(entries.paths):
        above = taken.get(path, _NONE)
        parent = path.rpartition("/")[0]
        beneath = memo.get(parent)
        if beneath is None:
            beneath = _beneath(parent, cleared, memo)
        if beneath < above:
            above = beneath
        if kinds[row] != tar.DIRECTORY and path in implied:
            above = min(above, implied[path])
        if above < _NONE and hidden[row] < 0:
            hidden[row] = above


def _beneath(folder: str, cleared: dict[str, int], memo: dict[str, int]) -> int:
    """Return the nearest layer that clears the folder or one above it; store it in `memo`."""
    chain = []
    while folder not in memo:
        chain.append(folder)
        folder = folder.rpartition("/")[0]
    nearest = memo[folder]
    for name in reversed(chain):
        nearest = memo[name] = min(nearest, cleared.get(name, _NONE))
    return nearest


def _lay(entries, marks, number, taken, cleared, implied) -> None:
    kinds, marked = entries.kinds.tolist(), marks.tolist()
    grown = 0
    for row, path in enumerate(entries.paths):
        folder, _, name = path.rpartition("/")
        up = folder
        while up and implied.get(up) != number:
            if up not in implied:
                grown += len(up)
            implied[up] = number
            up = up.rpartition("/")[0]
        if grown > DEFAULTS.names_bytes:
            raise OverLimit(
                f"Names of implied folders take {grown} bytes. "
                f"Must be at most {DEFAULTS.names_bytes}."
            )
        if not marked[row]:
            taken[path] = number
            if kinds[row] != tar.DIRECTORY:
                cleared[path] = number
        elif name == OPAQUE:
            cleared[folder] = number
        elif not name.startswith(".wh..wh."):
            target = f"{folder}/{name[4:]}"
            taken[target] = cleared[target] = number


def wasted(layers: list[tar.Entries], hidden: list[np.ndarray]) -> list[int]:
    """Return per layer the bytes of its files that later entries hide.

    A file is not wasted if a hard link in its layer keeps it visible.
    """
    out = []
    for entries, above in zip(layers, hidden, strict=True):
        lost = (above >= 0) & (entries.kinds == tar.FILE)
        total = int(entries.sizes[lost].sum())
        if total:
            kept = {
                tar.names.normalise(entries.links[row])
                for row in np.flatnonzero((entries.kinds == tar.HARD_LINK) & (above < 0)).tolist()
                if row in entries.links
            }
            if kept:
                total -= sum(
                    int(entries.sizes[row])
                    for row in np.flatnonzero(lost).tolist()
                    if entries.paths[row] in kept
                )
        out.append(total)
    return out
