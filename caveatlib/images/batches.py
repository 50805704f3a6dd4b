"""Parse many tar headers at once, as one numpy array of 512 bytes each.

Fields in the usual format are parsed as arrays; the others are left to
`pax.number`, so that nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caveatlib.errors import ImageError
from caveatlib.images import pax

FILE, HARD_LINK, SYMLINK, DIRECTORY = 48, 49, 50, 53
_META = np.frombuffer(b"xgLK", np.uint8)
_POWERS = 8.0 ** np.arange(10, -1, -1)


@dataclass(slots=True)
class Batch:
    """Entries of one batch: without the headers that only describe the next one.

    ``columns`` are kinds, modes, uids, gids, sizes and heads; ``links`` maps a
    row to its target; ``holes`` are the bytes of sparse files that are not stored.
    """

    names: list[bytes]
    columns: tuple[np.ndarray, ...]
    links: dict[int, bytes]
    holes: int


def parse(
    raw: np.ndarray, sizes: np.ndarray, heads: np.ndarray, over: dict[int, dict], first: int
) -> Batch:
    """Parse and check headers.

    Parameters
    ----------
    raw : ndarray of uint8, shape (n, 512)
    sizes : ndarray of int64, shape (n,)
        The stored bytes that the walk assumed; compared with the headers. -1
        for the header at which it stopped.
    heads : ndarray of S4, shape (n,)
    over : dict
        Row to what extended headers state about it, as `pax.overrides` returns it.
    first : int
        Index of the first header in its archive, for errors.

    Raises
    ------
    ImageError
        If a checksum or a number is wrong.
    """
    _check_sums(raw, first)
    flags = raw[:, 156]
    meta = np.isin(flags, _META)
    kinds = np.where((flags == 0) | (flags == 0x37) | (flags == 0x53), FILE, flags)
    modes = _repeated(raw[:, 100:108], "mode") & 0o7777
    uids, gids = _repeated(raw[:, 108:116], "uid"), _repeated(raw[:, 116:124], "gid")
    parsed = octal(raw[:, 124:136], "size")
    for row, changes in over.items():
        uids[row] = changes.get("uid", uids[row])
        gids[row] = changes.get("gid", gids[row])
        kinds[row] = changes.get("kind", kinds[row])
        parsed[row] = changes.get("size", parsed[row])
    files = (kinds == FILE) & ~meta
    wrong = np.flatnonzero(files & (sizes >= 0) & (parsed != sizes))
    if len(wrong):
        raise ImageError(f"Size of tar header {first + wrong[0]} is not an octal number.")
    sizes = np.where(files, sizes, 0)
    holes = _widen(sizes, files, over)
    found = texts(raw[:, :100])
    for row in np.flatnonzero(raw[:, 345]):
        found[row] = name(raw[row].tobytes())
    for row, changes in over.items():
        found[row] = changes.get("name") or found[row]
    columns = (kinds, modes, uids, gids, sizes, heads)
    keep = np.flatnonzero(~meta) if meta.any() else np.arange(len(raw))
    if len(keep) < len(raw):
        found = [found[row] for row in keep]
        columns = tuple(column[keep] for column in columns)
    return Batch(found, columns, _links(raw, columns[0], keep, over), holes)


def _widen(sizes: np.ndarray, files: np.ndarray, over: dict[int, dict]) -> int:
    """Replace the sizes of sparse files by the real ones; return the bytes of their holes."""
    holes = 0
    for row, changes in over.items():
        real = changes.get("real", -1)
        if real >= 0 and files[row]:
            hole = real - int(sizes[row])
            # A map in the data (GNU sparse 1.0) may be larger than the holes of the file.
            if hole < -pax.SPARSE_MAP_MAX:
                raise ImageError(f"Sparse file of {real} bytes stores {sizes[row]} bytes.")
            holes += max(hole, 0)
            sizes[row] = real
    return holes


def _links(raw, kinds, keep, over) -> dict[int, bytes]:
    rows = np.flatnonzero((kinds == HARD_LINK) | (kinds == SYMLINK))
    if not len(rows):
        return {}
    targets = texts(raw[keep[rows], 157:257])
    out = dict(zip(rows.tolist(), targets, strict=True))
    for row in rows[np.isin(keep[rows], list(over))].tolist() if over else ():
        out[row] = over[int(keep[row])].get("link") or out[row]
    return out


def name(header: bytes) -> bytes:
    """Return the name in a header, with the prefix that POSIX ustar stores apart."""
    tail = header[:100].split(b"\0", 1)[0]
    if header[257:263] == b"ustar\0" and header[345]:
        return header[345:500].split(b"\0", 1)[0] + b"/" + tail
    return tail


def texts(field: np.ndarray) -> list[bytes]:
    """Return each row of a text field up to its first NUL."""
    width = field.shape[1]
    out = np.ascontiguousarray(field).view(f"S{width}").ravel().tolist()
    if b"\0" in b"".join(out):
        out = [text.split(b"\0", 1)[0] for text in out]
    return out


def _repeated(field: np.ndarray, what: str) -> np.ndarray:
    """Return the numbers of an 8-byte field that has few distinct values."""
    words = np.ascontiguousarray(field).view(np.uint64).ravel()
    if (words == words[0]).all():
        return np.full(len(words), pax.number(words[:1].tobytes(), what), np.int64)
    values, where = np.unique(words, return_inverse=True)
    return octal(values.view(np.uint8).reshape(-1, 8), what)[where]


def octal(field: np.ndarray, what: str) -> np.ndarray:
    r"""Return the numbers of one field of many headers.

    ``b"0000644\0"`` and ``b"000644 \0"`` are parsed as arrays; anything else
    is left to `pax.number`.
    """
    field = np.ascontiguousarray(field)
    digits = field - np.uint8(48)
    out = np.zeros(len(field), np.int64)
    left = np.arange(len(field))
    # All headers of one writer look alike: begin with the width of the first.
    longest = field.shape[1] - 1
    widths = (longest, longest - 1) if digits[0, longest - 1] < 8 else (longest - 1, longest)
    for count in widths:
        part, end = digits[left, :count], field[left, count:]
        good = (part < 8).all(axis=1) & ((end == 0) | (end == 32)).all(axis=1)
        # 8 ** 11 fits into the 53 bits of a float, and floats have a fast product.
        value = part.astype(np.float64) @ _POWERS[-count:]
        out[left[good]] = value[good]
        left = left[~good]
        if not len(left):
            return out
    for row in left.tolist():
        out[row] = pax.number(field[row].tobytes(), what)
    return out


def _check_sums(raw: np.ndarray, first: int) -> None:
    """Raise ImageError unless every header holds its checksum, unsigned or signed."""
    total = raw.sum(axis=1, dtype=np.uint32)
    field = raw[:, 148:156]
    # The field itself counts as eight spaces.
    total = total.astype(np.int64) - field.sum(axis=1, dtype=np.int64) + 8 * 32
    try:
        stored = octal(field, "checksum")
    except ImageError:
        row = next(row for row in range(len(raw)) if _broken(field[row].tobytes()))
        hint = "" if first + row else " This may not be a tar archive."
        raise ImageError(
            f"Tar header {first + row} is corrupt: its checksum is not a number.{hint}"
        ) from None
    wrong = np.flatnonzero(stored != total)
    if not len(wrong):
        return
    # Some old writers added signed bytes.
    high = raw[wrong] > 127
    high[:, 148:156] = False
    wrong = wrong[stored[wrong] != total[wrong] - 256 * high.sum(axis=1)]
    if len(wrong):
        row = wrong[0]
        raise ImageError(
            f"Tar header {first + row} is corrupt: its checksum is {stored[row]}, "
            f"the sum of its bytes {total[row]}."
        )


def _broken(field: bytes) -> bool:
    try:
        pax.number(field, "checksum")
    except ImageError:
        return True
    return False
