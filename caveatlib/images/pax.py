"""The parts of a tar header that are not fixed-width octal: numbers, PAX, sparse.

Everything here runs once per unusual header and is linear in its size. (Python's
``tarfile`` takes minutes over a 400 KB PAX header.)
"""

from __future__ import annotations

from caveatlib.errors import ImageError
from caveatlib.images.names import brief, escape

INT64_MAX = (1 << 63) - 1
SPARSE_MAP_MAX = 1 << 20
"""Bytes of a sparse map within the data (GNU sparse 1.0), the same as for a header."""
_DIGITS = frozenset(b"01234567")
_STATED = (b"path", b"linkpath", b"size")


def number(field: bytes, what: str) -> int:
    r"""Return the number in a header field: octal, or base 256 with its sign.

    Parameters
    ----------
    field : bytes
        ``b"0000644\0"``, ``b"  644 \0\0"``, or big-endian two's complement
        with the highest bit set, as GNU tar writes for sizes of 8 GiB and more.
    what : str
        The field's name, for the error.

    Raises
    ------
    ImageError
        If it is neither, or does not fit 64 bits.
    """
    if field[0] & 0x80:
        # 0x80 starts a positive number, 0xff a negative one; bit 6 is the sign.
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        if value >> (bits - 1):
            value -= 1 << bits
        if not -INT64_MAX <= value <= INT64_MAX:
            raise ImageError(f"{what} of a tar header does not fit 64 bits.")
        return value
    digits = field.lstrip(b" ").split(b"\0", 1)[0].rstrip(b" ")
    if not _DIGITS.issuperset(digits):
        raise ImageError(f"{what} {escape(field)!r} of a tar header is not an octal number.")
    return int(digits, 8) if digits else 0


def decimal(value: bytes, what: str) -> int:
    """Return a decimal number of at most 19 digits; ImageError if it is not one."""
    if not (value.isdigit() and len(value) <= 19) or int(value) > INT64_MAX:
        raise ImageError(f"{what} {escape(value[:40])!r} of a PAX header is not a size.")
    return int(value)


def records(data: bytes) -> dict[bytes, bytes]:
    r"""Return the records of a PAX header; the last one of a key counts.

    Parameters
    ----------
    data : bytes
        Lines such as ``b"30 mtime=1350244992.023960108\n"``; the first number
        is the length of the whole line.

    Raises
    ------
    ImageError
        If a record does not end in a newline, or a name contains a NUL.
    """
    out: dict[bytes, bytes] = {}
    pos = 0
    while pos < len(data):
        space = data.find(b" ", pos, pos + 12)
        digits = data[pos:space] if space > 0 else b""
        end = pos + int(digits) if digits.isdigit() else -1
        equals = data.find(b"=", space, max(end, 0))
        if end > len(data) or equals < 0 or data[end - 1] != 0x0A:
            raise ImageError(f"PAX header is malformed at byte {pos} of {len(data)}.")
        key, value = data[space + 1 : equals], data[equals + 1 : end - 1]
        if key in (b"path", b"linkpath", b"GNU.sparse.name") and b"\0" in value:
            raise ImageError(f"PAX header has a NUL in {escape(key)}.")
        out[key] = value
        pos = end
    return out


def check_global(data: bytes) -> None:
    """Refuse a global PAX header that states names or sizes.

    Docker's own reader ignores global headers and others obey them, so that
    such an archive has two meanings.
    """
    for key in records(data):
        if key in _STATED or key.startswith(b"GNU.sparse"):
            raise ImageError(f"Global PAX header states {brief(key)!r}. Must be stated per entry.")


def overrides(pax: dict[bytes, bytes]) -> dict:
    """Return the values that the records put in place of the header's.

    Returns
    -------
    dict
        Any of ``name``, ``link`` (bytes), ``size`` (stored bytes), ``uid``,
        ``gid``, and of a sparse file ``sparse name`` and ``real`` (bytes including its holes).
    """
    out: dict = {}
    texts = {b"path": "name", b"linkpath": "link"}
    numbers = {b"size": "size"}
    if _is_sparse(pax):
        texts[b"GNU.sparse.name"] = "sparse name"
        # The last one counts.
        numbers |= {b"GNU.sparse.realsize": "real", b"GNU.sparse.size": "real"}
    for key, name in texts.items():
        if pax.get(key):
            out[name] = pax[key]
    for key, name in numbers.items():
        if pax.get(key):
            out[name] = decimal(pax[key], escape(key))
    for key in (b"uid", b"gid"):
        value = pax.get(key)
        if value:
            sign = -1 if value.startswith(b"-") else 1
            out[key.decode()] = sign * decimal(value.removeprefix(b"-"), escape(key))
    return out


def _is_sparse(pax: dict[bytes, bytes]) -> bool:
    """Whether Go's archive/tar takes the file for a sparse one; if not, it ignores the rest."""
    version = pax.get(b"GNU.sparse.major", b""), pax.get(b"GNU.sparse.minor", b"")
    if any(version):
        return version in ((b"0", b"0"), (b"0", b"1"), (b"1", b"0"))
    # 0.0 has a pair of these for each piece of data, 0.1 one map.
    return bool(pax.get(b"GNU.sparse.map") or pax.get(b"GNU.sparse.offset"))


def sparse_map(header: bytes) -> tuple[int, int, bool]:
    """Return (real size, stored size, more follows) of an old GNU sparse header.

    Four pairs (offset, length) of 12 bytes each start at byte 386, the flag at
    482 says whether blocks of 21 more pairs follow, the real size is at 483.
    """
    real = number(header[483:495], "real size")
    if real < 0:
        raise ImageError(f"Real size {real} of a sparse file is negative.")
    stored = _pairs(header, 386, 4)
    return real, stored, header[482] not in (0, 0x30)


def sparse_block(block: bytes) -> tuple[int, bool]:
    """Return (stored size, more follows) of one further block of a sparse map."""
    return _pairs(block, 0, 21), block[504] not in (0, 0x30)


def _pairs(block: bytes, start: int, count: int) -> int:
    total = 0
    for at in range(start, start + 24 * count, 24):
        if block[at] == 0:
            break
        length = number(block[at + 12 : at + 24], "sparse length")
        if number(block[at : at + 12], "sparse offset") < 0 or length < 0:
            raise ImageError("Sparse map of a tar header has a negative number.")
        total += length
    return total
