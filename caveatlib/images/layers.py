"""Scan one layer in one pass: its digests, its entries, and the package databases."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from caveatlib.errors import ImageError
from caveatlib.images import codecs, names, refills, secrets, tar
from caveatlib.images.limits import Budget

DATABASES = re.compile(
    r"/(?:var/lib/dpkg/(?:status|status\.d/[^/]+|info/[^/]+\.(?:list|md5sums))"
    r"|(?:usr/)?lib/apk/db/installed"
    r"|.+\.dist-info/(?:METADATA|RECORD)"
    r"|(?:.+/)?node_modules/(?:@[^/]+/)?[^/]+/package\.json)"
)
"""Escaped paths of the files that list what is installed."""
_ENDINGS = (b"status", b".list", b".md5sums", b"installed", b"METADATA", b"RECORD", b"package.json")
_LOOKED_AT = (*_ENDINGS, *secrets.KEY_NAMES)
HASHES = ("md5", "sha1", "sha256")


@dataclass(slots=True)
class Scan:
    """Result of one pass over a layer; digests as ``sha256:<hex>``, sizes in bytes.

    ``databases`` maps paths to contents; ``hashes`` maps rows of files to their
    (md5, sha1, sha256) in hex, if `hash_files` was set; ``keys`` are the rows of private keys.
    """

    digest: str
    diff_id: str
    codec: str
    compressed_bytes: int
    entries: tar.Entries = field(repr=False)
    databases: dict[str, bytes] = field(default_factory=dict, repr=False)
    hashes: dict[int, tuple[str, str, str]] = field(default_factory=dict, repr=False)
    keys: frozenset[int] = field(default_factory=frozenset, repr=False)


def scan(
    chunks: Iterable[bytes],
    *,
    budget: Budget,
    algorithm: str = "sha256",
    hash_files: bool = False,
    small: bool = False,
) -> Scan:
    """Read a layer from consecutive chunks of its blob.

    Parameters
    ----------
    chunks : iterable of bytes
        The blob as stored.
    budget : Budget
        Budget of the image that the layer belongs to.
    algorithm : str, optional
        Algorithm of the digest: ``sha256`` or ``sha512``.
    hash_files : bool, optional
        Hash every file; that takes about three times as long.
    small : bool, optional
        The blob is too small for a thread to pay off.

    Raises
    ------
    ImageError
        If the blob is malformed or beyond a limit.
    """
    iterator = iter(chunks)
    first = next(iterator, b"")
    codec = codecs.sniff(first)
    pairs = codecs.unpack(itertools.chain([first], iterator), codec, budget.limits)
    stored = hashlib.new(algorithm)
    unpacked = stored if codec == "plain" else hashlib.new(algorithm)
    total = 0

    def output() -> Iterator[bytes]:
        nonlocal total
        for raw, out in pairs if small else codecs.ahead(pairs):
            total += len(raw)
            budget.spend_output(len(out), len(raw))
            if codec != "plain":
                stored.update(raw)
            unpacked.update(out)
            if out:
                yield out

    chunks_out = output()
    try:
        walk = tar.Walk(
            refills.from_chunks(chunks_out),
            budget=budget,
            want=_want_all if hash_files else _want,
            heads=True,
        )
        databases, hashes, keys = _contents(walk, budget, hash_files)
    finally:
        chunks_out.close()
    return Scan(
        f"{algorithm}:{stored.hexdigest()}",
        f"{algorithm}:{unpacked.hexdigest()}",
        codec,
        total,
        walk.entries(),
        databases,
        hashes,
        keys,
    )


def digest_of(chunks: Iterable[bytes], algorithm: str) -> str:
    """Return the digest of a blob without parsing it."""
    state = hashlib.new(algorithm)
    for chunk in chunks:
        state.update(chunk)
    return f"{algorithm}:{state.hexdigest()}"


def _want(name: bytes) -> bool:
    return name.endswith(_LOOKED_AT) or b"status.d/" in name


def _want_all(name: bytes) -> bool:
    return True


def _contents(walk: tar.Walk, budget: Budget, hash_files: bool) -> tuple[dict, dict, frozenset]:
    databases: dict[str, bytes] = {}
    hashes: dict[int, tuple[str, str, str]] = {}
    keys: set[int] = set()
    for member in walk:
        if member.kind != tar.FILE or member.sparse:
            continue
        path = names.normalise(names.escape(member.name))
        keep = DATABASES.fullmatch(path)
        if not (keep or hash_files or member.name.endswith(secrets.KEY_NAMES)):
            continue
        if keep:
            budget.spend_database(member.size)
        states = [hashlib.new(h, usedforsecurity=False) for h in HASHES] if hash_files else []
        parts, head = [], b""
        for piece in walk.content():
            if len(head) < secrets.KEY_HEAD:
                head += piece[: secrets.KEY_HEAD - len(head)]
            for state in states:
                state.update(piece)
            if keep:
                parts.append(piece)
        if keep:
            databases[path] = b"".join(parts)
        if hash_files:
            hashes[member.row] = tuple(state.hexdigest() for state in states)
        if secrets.KEY.match(head):
            keys.add(member.row)
    return databases, hashes, frozenset(keys)


def check(expected: str, found: str, what: str) -> None:
    """Raise ImageError unless the two digests are equal."""
    if found != expected:
        raise ImageError(f"{what} has the digest {found}. Must be {expected}.")
