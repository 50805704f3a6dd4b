"""Names of files: bytes in the archive, percent-escaped text in the tables.

A name is any bytes except NUL. Bytes that are not UTF-8, characters that are not
printable (newlines, escape sequences, right-to-left marks) and the percent sign
itself become ``%XX``, so that `unescape` returns exactly the bytes and a name
cannot control a terminal.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import numpy as np

from caveatlib.support.text import shorten

_DOTS = (b"/./", b"/../", b"/.\0", b"/..\0")


def escape(raw: bytes | str) -> str:
    r"""Return the bytes (or text) as printable text, ``%XX`` for what is not.

    >>> escape(b"caf\xc3\xa9 100% \x1b[31m \xff")
    'café 100%25 %1B[31m %FF'
    """
    text = raw if isinstance(raw, str) else raw.decode("utf-8", "surrogateescape")
    if text.isprintable() and "%" not in text:
        return text
    return "".join(_escaped(c) for c in text)


def brief(raw: bytes | str) -> str:
    """Return the name for a message: escaped, and cut short if it is very long."""
    return shorten(escape(raw))


def _escaped(char: str) -> str:
    if char.isprintable() and char != "%":
        return char
    # A lone surrogate is a byte that was not UTF-8, or an escape in JSON.
    try:
        raw = char.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = char.encode("utf-8", "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in raw)


def unescape(text: str) -> bytes:
    """Return the bytes that `escape` was given."""
    return unquote_to_bytes(text)


def normalise(path: str) -> str:
    """Return the path from the root of the image, without ``.``, ``..`` and ``//``.

    ``..`` is resolved by name and never leads above the root, as in a chroot.

    >>> normalise("./usr//bin/../lib/")
    '/usr/lib'
    """
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def paths(raw: list[bytes]) -> list[str]:
    """Return the names as escaped, normalised paths: `escape` and `normalise` in bulk."""
    # One joined buffer, because a Python call per name would dominate the run time.
    blob = b"\0/" + b"\0/".join(raw) + b"\0"
    if blob.startswith(b"\0/./"):
        blob = blob.replace(b"\0/./", b"\0/")
    codes = np.frombuffer(blob, np.uint8)
    slash, after = codes[:-1] == 47, codes[1:]
    # A dot after a slash may also begin ".bashrc".
    dotted = (slash & (after == 46)).any() and any(dots in blob for dots in _DOTS)
    odd = dotted or (slash & (after == 47)).any()
    if not odd and (slash & (after == 0)).any():
        blob = blob.replace(b"/\0", b"\0")
        codes = np.frombuffer(blob, np.uint8)
    # Printable ASCII and the NULs in between, of which there are as many as names.
    strange = np.count_nonzero(codes - np.uint8(32) > 94) - len(raw) - 1
    if not strange and not (codes == 37).any():
        out = blob.decode("ascii").split("\0")[1:-1]
    else:
        out = blob.decode("utf-8", "surrogateescape").split("\0")[1:-1]
        out = [p if p.isprintable() and "%" not in p else escape(p) for p in out]
    if odd:
        return [normalise(p) for p in out]
    return [p or "/" for p in out] if b"\0\0" in blob else out
