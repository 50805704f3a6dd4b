"""Walk the headers of a tar archive: ustar, GNU and PAX, from a file or a stream.

The walk itself reads only type and size of each header; headers are then parsed
`BATCH` at a time as one numpy array, checksums included. This is faster than
parsing one by one and misses nothing: a header that contradicts what the walk
assumed is an ImageError. Nothing is ever extracted.

Where tar is ambiguous, Go's archive/tar decides, because engines unpack layers
with it. So links, folders and devices have no data, whatever their size field
says, and global PAX headers have no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from caveatlib.errors import ImageError
from caveatlib.images import batches, names, pax
from caveatlib.images.batches import DIRECTORY, FILE
from caveatlib.images.batches import HARD_LINK as HARD_LINK
from caveatlib.images.batches import SYMLINK as SYMLINK
from caveatlib.images.limits import Budget
from caveatlib.images.names import escape
from caveatlib.images.refills import FromFile, Refill, cut

BLOCK = 512
BATCH = 2048
ZERO = bytes(BLOCK)
KINDS = {
    48: "file",
    49: "hard link",
    50: "symlink",
    51: "char device",
    52: "block device",
    53: "directory",
    54: "fifo",
}
_DATALESS = frozenset(b"123456")
_DATA = frozenset(b"\x0007S")
_META = frozenset(b"xgLK")
_META_RUN = 8


@dataclass(slots=True)
class Entries:
    """The entries of one archive, as columns of equal length.

    ``kinds`` is the type flag (a key of `KINDS`), ``modes`` the permission
    bits, ``sizes`` the bytes of a file including the holes of a sparse one;
    ``links`` maps a row to its link target as text; ``heads`` holds the first
    four bytes of files, if the walk kept them.
    """

    paths: list[str]
    kinds: np.ndarray
    modes: np.ndarray
    uids: np.ndarray
    gids: np.ndarray
    sizes: np.ndarray
    links: dict[int, str]
    heads: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(slots=True)
class Member:
    """One wanted entry, while the walk is at its data."""

    row: int
    name: bytes
    kind: int
    size: int
    offset: int
    link: bytes
    sparse: bool


class Walk:
    """A walk over one archive; iterate it to the end, then take `entries`.

    Iterating yields a `Member` for each entry that `want(name)` asks for; its
    data are in `content()` until the iteration goes on.

    Parameters
    ----------
    refill : callable
        From `from_chunks`, or a `FromFile`.
    budget : Budget
        Is charged for entries and for the holes of sparse files.
    want : callable, optional
        ``want(name as bytes)`` -> bool; None: nothing is yielded.
    heads : bool, optional
        Keep the first four bytes of files.
    """

    def __init__(
        self,
        refill: Refill,
        *,
        budget: Budget,
        want: Callable[[bytes], bool] | None = None,
        heads: bool = False,
    ):
        self._refill, self._budget, self._want = refill, budget, want
        self._limit = budget.limits.header_bytes
        self._keep_heads = heads
        self._buf, self._pos, self._base, self._left = b"", 0, 0, 0
        self._headers: list[bytes] = []
        self._sizes: list[int] = []
        self._heads: list[bytes] = []
        self._over: dict[int, dict] = {}
        self._stated: dict = {}
        self._long: dict[str, bytes] = {}
        self._parts: list[tuple] = []
        self._paths: list[str] = []
        self._links: dict[int, str] = {}
        self._seen = self._metas = 0
        self.complete = False
        """Whether the end-of-archive blocks were found."""

    def __iter__(self) -> Iterator[Member]:
        try:
            yield from self._walk()
        except ImageError:
            # If an earlier header fails its checksum, that explains it better.
            self._flush()
            raise
        self._flush()

    def run(self) -> Walk:
        """Walk to the end without looking at any data; return itself."""
        for _ in self:
            pass
        return self

    def entries(self) -> Entries:
        """Return what was found, once the iteration has ended."""
        parts = [np.concatenate(p) for p in zip(*self._parts, strict=True)] if self._parts else []
        if not parts:
            parts = [np.zeros(0, np.uint8), *(np.zeros(0, np.int64) for _ in range(4))]
            parts.append(np.zeros(0, "S4"))
        kinds, modes, uids, gids, sizes, heads = parts
        return Entries(self._paths, kinds, modes, uids, gids, sizes, self._links, heads)

    def content(self) -> Iterator[bytes]:
        """Yield the data of the member that was yielded last."""
        while self._left:
            piece = self._buf[self._pos : self._pos + self._left]
            if piece:
                self._pos += len(piece)
                self._left -= len(piece)
                yield piece
                continue
            self._base += self._pos
            self._buf, self._pos = self._refill(self._pos - len(self._buf))
            self._base -= self._pos
            if not self._buf:
                raise cut()

    def _fill(self, buf: bytes, pos: int, need: int) -> tuple[bytes, int]:
        """Return a buffer with `need` bytes from the position on, or up to the end."""
        while len(buf) - pos < need:
            rest = buf[pos:]
            chunk, start = self._refill(max(0, pos - len(buf)))
            if not chunk:
                self._base += pos
                return rest, 0
            self._base += pos - (0 if rest else start)
            buf, pos = (rest + chunk, 0) if rest else (chunk, start)
        return buf, pos

    def _walk(self) -> Iterator[Member]:
        buf, pos, pending, metas = b"", 0, {}, 0
        headers, sizes, heads, want = self._headers, self._sizes, self._heads, self._want
        keep_heads, refill = self._keep_heads, self._refill
        leap = isinstance(refill, FromFile) and want is None and not keep_heads
        need = 2 * BLOCK if keep_heads else BLOCK
        while True:
            if leap and not metas:
                buf, pos = self._leap(refill, buf, pos)
            if pos + need > len(buf):
                buf, pos = self._fill(buf, pos, need)
            header = buf[pos : pos + 512]
            if len(header) < 512:
                if header or metas:
                    raise cut()
                return
            flag = header[156]
            if flag == 48 and header[135] in b"\0 ":
                try:
                    size = int(header[124:135], 8)
                except ValueError:
                    size = pax.number(header[124:136], "size")
            elif flag in _DATALESS:
                size = 0
            elif flag == 0 and header == ZERO:
                if metas:
                    raise cut()
                self._end(buf, pos)
                return
            else:
                headers.append(header)
                sizes.append(-1)
                heads.append(b"")
                if flag in _META:
                    metas += 1
                    buf, pos = self._meta(buf, pos, flag, pending, metas)
                    if len(headers) >= BATCH:
                        self._flush()
                    continue
                size, buf, pos = self._odd(buf, pos, flag, pending)
                headers.pop(), sizes.pop(), heads.pop()
            over = pending
            if pending:
                if flag not in _DATALESS and "kind" not in pending:
                    size = pending.get("size", size)
                self._over[len(headers)], pending = pending, {}
                self._stated, self._long = {}, {}
            metas = 0
            headers.append(header)
            sizes.append(size)
            if size < 0:
                raise ImageError(f"Size {size} of a tar header is negative.")
            if keep_heads:
                heads.append(buf[pos + 512 : pos + 516] if size else b"")
            pos += 512
            step = size + 511 & -512
            if want is not None and want(over.get("name") or batches.name(header)):
                self._buf, self._pos, self._left = buf, pos, size
                yield self._member(header, size, over)
                buf, pos, step = self._buf, self._pos, self._left + (-size & 511)
            pos += step
            if len(headers) >= BATCH:
                self._flush()

    def _leap(self, source: FromFile, buf: bytes, pos: int) -> tuple[bytes, int]:
        """Skip plain headers in a file; return where the first of another kind may be.

        The same as `_walk`, without what listing an archive does not need.
        """
        headers, sizes, base = self._headers, self._sizes, self._base
        read_at, window = source.read_at, source.window
        take, note, last = headers.append, sizes.append, len(buf) - 512
        for _ in range(BATCH - 1 - len(headers)):
            if pos > last:
                base += pos
                if base > source.size:
                    raise cut()
                buf, pos = read_at(window, base), 0
                last = len(buf) - 512
                if last < 0:
                    break
            header = buf[pos : pos + 512]
            flag = header[156]
            if flag == 48:
                if header[135] not in b"\0 ":
                    break
                try:
                    size = int(header[124:135], 8)
                except ValueError:
                    break
                if size < 0:
                    break
                note(size)
                pos += size + 1023 & -512
            elif flag in _DATALESS:
                note(0)
                pos += 512
            else:
                break
            take(header)
        self._base, source.offset = base, base + len(buf)
        return buf, pos

    def _member(self, header: bytes, size: int, over: dict) -> Member:
        link = over.get("link") or header[157:257].split(b"\0", 1)[0]
        return Member(
            row=self._seen + len(self._headers) - 1 - self._metas,
            name=over.get("name") or batches.name(header),
            kind=over.get("kind", FILE if header[156] in _DATA else header[156]),
            size=size,
            offset=self._base + self._pos,
            link=link,
            sparse="real" in over,
        )

    def _meta(self, buf: bytes, pos: int, flag: int, pending: dict, run: int) -> tuple[bytes, int]:
        """Read a header that describes the next entry; return where that entry starts.

        As in Go's archive/tar, of several PAX headers the last one counts alone, a GNU long
        name before it, the name of a sparse file before both; and a global header in between
        takes away what was said.
        """
        self._metas += 1
        header = buf[pos : pos + 512]
        size = pax.number(header[124:136], "size")
        if not 0 <= size <= self._limit:
            raise ImageError(f"Extended tar header of {size} bytes. Must be at most {self._limit}.")
        if run > _META_RUN:
            raise ImageError(f"{run} extended headers for one entry. Must be at most {_META_RUN}.")
        step = BLOCK + (size + 511 & -512)
        buf, pos = self._fill(buf, pos, step)
        if len(buf) - pos < step:
            raise cut()
        data = buf[pos + BLOCK : pos + BLOCK + size]
        if flag == 0x78:
            self._stated = pax.overrides(pax.records(data))
        elif flag == 0x67:
            pax.check_global(data)
            self._stated, self._long = {}, {}
        else:
            self._long["name" if flag == 0x4C else "link"] = data.split(b"\0", 1)[0]
        pending.clear()
        pending |= self._stated | {key: text for key, text in self._long.items() if text}
        if "sparse name" in pending:
            pending["name"] = pending["sparse name"]
        return buf, pos + step

    def _odd(self, buf: bytes, pos: int, flag: int, pending: dict) -> tuple[int, bytes, int]:
        """Return (stored size, buffer, position) of a header that the fast path does not cover."""
        header = buf[pos : pos + 512]
        if flag in b"\x00\x30\x37":
            name = pending.get("name") or batches.name(header)
            if flag == 0 and name.endswith(b"/"):
                pending["kind"] = DIRECTORY
                return 0, buf, pos
            return pax.number(header[124:136], "size"), buf, pos
        if flag != 0x53:
            raise ImageError(f"Tar entry has the unknown type {escape(header[156:157])!r}.")
        size = pax.number(header[124:136], "size")
        pending["real"], stored, more = pax.sparse_map(header)
        blocks = 0
        while more:
            blocks += 1
            if blocks * BLOCK > self._limit:
                raise ImageError(f"Sparse map has over {self._limit} bytes.")
            buf, pos = self._fill(buf, pos, 2 * BLOCK)
            if len(buf) - pos < 2 * BLOCK:
                raise cut()
            pos += BLOCK
            extra, more = pax.sparse_block(buf[pos : pos + BLOCK])
            stored += extra
        if stored != size:
            raise ImageError(f"Sparse map lists {stored} bytes, but {size} are stored.")
        return size, buf, pos

    def _end(self, buf: bytes, pos: int) -> None:
        """Check that nothing but zeros follows the first zero block."""
        buf, pos = self._fill(buf, pos, 2 * BLOCK)
        second = buf[pos + BLOCK : pos + 2 * BLOCK]
        self.complete = second == ZERO
        chunk, total = buf[pos:], 0
        while chunk:
            if chunk.count(0) != len(chunk):
                raise ImageError("Tar archive has data after its end. Must be zeros only.")
            total += len(chunk)
            chunk, start = self._refill(0)
            chunk = chunk[start:] if start else chunk
        if total % BLOCK:
            raise cut()

    def _flush(self) -> None:
        """Parse and check the headers collected so far, as one array."""
        headers = self._headers
        if not headers:
            return
        first, over = self._seen, self._over
        self._seen, self._over = first + len(headers), {}
        raw = np.frombuffer(b"".join(headers), np.uint8).reshape(-1, BLOCK)
        stated = np.array(self._sizes, np.int64)
        heads = np.array(self._heads, "S4") if self._keep_heads else np.zeros(len(raw), "S4")
        headers.clear(), self._sizes.clear(), self._heads.clear()
        part = batches.parse(raw, stated, heads, over, first)
        self._budget.spend_output(part.holes)
        texts = [*part.names, *part.links.values()]
        self._budget.spend_entries(len(part.names), sum(map(len, texts)))
        if texts and len(longest := max(texts, key=len)) > self._budget.limits.name_bytes:
            raise ImageError(
                f"Name of {len(longest)} bytes. Must be at most {self._budget.limits.name_bytes}."
            )
        start = len(self._paths)
        self._links.update((start + row, escape(link)) for row, link in part.links.items())
        self._paths += names.paths(part.names) if part.names else []
        self._parts.append(part.columns)
