"""Where the parts of an image are stored: an archive, a layout folder, or a stream.

Each store has the same three methods over paths such as
``blobs/sha256/<hex>`` or ``manifest.json``: `has`, `document` (a small file as
bytes) and `layer` (one pass over a blob, as a `Scan`). The caller checks digests.
"""

from __future__ import annotations

import functools
import io
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from caveatlib.errors import ImageError, UsageError
from caveatlib.images import codecs, layers, names, refills, tar
from caveatlib.images.limits import Budget, OverLimit

PLAIN_READ, PACKED_READ = 1 << 20, 1 << 17
_ONCE = ("/manifest.json", "/index.json", "/oci-layout")


class Store(Protocol):
    """What `caveatlib.images` reads from."""

    def has(self, path: str) -> bool:
        """Return whether there is such a file."""

    def document(self, path: str, limit: int) -> bytes:
        """Return a small file; ImageError if it is missing or over the limit."""

    def layer(self, path: str, algorithm: str) -> layers.Scan:
        """Scan a layer; ImageError if it is missing or malformed."""


def _missing(path: str) -> ImageError:
    return ImageError(f"{names.brief(path)} is missing from the image.")


def _too_large(path: str, size: int, limit: int) -> ImageError:
    return ImageError(f"{names.brief(path)} has {size} bytes. Must be at most {limit}.")


class _Files:
    """A store whose files can be read at any offset."""

    def __init__(self, budget: Budget, hash_files: bool):
        self._budget, self._hash_files = budget, hash_files

    def _find(self, path: str) -> tuple[Callable[[int, int], bytes], int, int]:
        """Return (read_at, offset, size) of a file."""
        raise NotImplementedError

    def document(self, path: str, limit: int) -> bytes:
        """Return a small file."""
        read_at, offset, size = self._find(path)
        if size > limit:
            raise _too_large(path, size, limit)
        return b"".join(_chunks(read_at, offset, size))

    def layer(self, path: str, algorithm: str) -> layers.Scan:
        """Scan a layer; if that fails because its digest is wrong, say so."""
        read_at, offset, size = self._find(path)
        try:
            return layers.scan(
                _chunks(read_at, offset, size),
                budget=self._budget,
                algorithm=algorithm,
                hash_files=self._hash_files,
                small=size <= codecs.SMALL,
            )
        except OverLimit:
            raise
        except ImageError as problem:
            parts = path.split("/")
            if parts[0] == "blobs" and len(parts) == 3:
                found = layers.digest_of(_chunks(read_at, offset, size), algorithm)
                layers.check(f"{parts[1]}:{parts[2]}", found, "Layer")
            raise ImageError(f"Layer {names.brief(path)}: {problem}") from None


def _chunks(read_at: Callable[[int, int], bytes], offset: int, size: int) -> Iterator[bytes]:
    step = 0
    while size > 0:
        chunk = read_at(min(size, step or PACKED_READ), offset)
        if not chunk:
            raise refills.cut()
        step = step or (PLAIN_READ if codecs.sniff(chunk) == "plain" else PACKED_READ)
        offset += len(chunk)
        size -= len(chunk)
        yield chunk


class Archive(_Files):
    """A tar archive; one walk over its headers finds the members."""

    def __init__(self, read_at, size: int, *, budget: Budget, hash_files: bool = False):
        super().__init__(budget, hash_files)
        self._read_at = read_at
        outer = Budget(budget.limits)
        # A sparse member must not be larger than the file that holds it.
        outer.stored = size
        walk = tar.Walk(refills.FromFile(read_at, size), budget=outer, want=lambda name: True)
        self._files, self._links = {}, {}
        for member in walk:
            path = _outer_path(member, self._files, self._links, budget)
            if path and member.kind == tar.FILE:
                self._files[path] = (member.offset, member.size)
        _check_end(walk)

    def has(self, path: str) -> bool:
        """Return whether there is such a member."""
        return _resolve(path, self._files, self._links, self._budget) is not None

    def _find(self, path):
        found = _resolve(path, self._files, self._links, self._budget)
        if found is None:
            raise _missing(path)
        return self._read_at, *self._files[found]


def _outer_path(member: tar.Member, files: dict, links: dict, budget: Budget) -> str | None:
    """Return the path of a member to be read; record it if it is a link."""
    path = names.normalise(names.escape(member.name))
    most = budget.limits.members
    if len(files) + len(links) >= most:
        raise ImageError(f"Archive has over {most} members. Must be at most {most}.")
    if path in files or path in links:
        if path in _ONCE:
            raise ImageError(f"Archive has {path[1:]} twice.")
        # As in unpacking, the last one counts.
        files.pop(path, None), links.pop(path, None)
    link = names.escape(member.link)
    if member.kind == tar.SYMLINK:
        # Docker 1.10 to 24 writes a layer that two images share as "../<id>/layer.tar".
        links[path] = names.normalise(link if link[:1] == "/" else f"{path}/../{link}")
    elif member.kind == tar.HARD_LINK:
        links[path] = names.normalise(link)
    elif member.kind == tar.FILE:
        if member.sparse:
            raise ImageError(
                f"Member {names.brief(path)} of the archive is sparse, which is not supported."
            )
        return path
    return None


def _resolve(path: str, files: dict, links: dict, budget: Budget) -> str | None:
    path = names.normalise(path)
    for _ in range(budget.limits.link_hops + 1):
        if path in files:
            return path
        if path not in links:
            return None
        path = links[path]
    raise ImageError(f"Links of the archive form a loop at {names.brief(path)}.")


def _check_end(walk: tar.Walk) -> None:
    if not walk.complete:
        raise ImageError("Archive is cut off: it does not end in two blocks of zeros.")


class Layout(_Files):
    """An OCI image layout: a folder with ``index.json`` and ``blobs/``."""

    def __init__(self, folder: Path, *, budget: Budget, hash_files: bool = False):
        super().__init__(budget, hash_files)
        self._folder = folder

    def has(self, path: str) -> bool:
        """Return whether there is such a file."""
        return os.path.isfile(self._at(path))

    def _find(self, path):
        if not self.has(path):
            raise _missing(path)
        return open_readable(self._at(path))

    def _at(self, path: str) -> Path:
        """Return where a file of the layout lies: never above its folder."""
        return self._folder / names.normalise(path)[1:]


def open_file(path: Path) -> tuple[Callable[[int, int], bytes], int, int]:
    """Return (read_at, 0, size) of a regular file, which stays open as long as `read_at`.

    Raises
    ------
    UsageError
        If it is a folder, pipe or device.
    FileNotFoundError, PermissionError
        As `open` raises them.
    """
    # O_NONBLOCK: opening a pipe without a writer would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    file = io.FileIO(descriptor, closefd=True)
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode):
        raise UsageError(f"{_shown(path)} is not a regular file. Must be an archive or a folder.")
    read_at = functools.partial(os.pread, descriptor)
    # Whoever holds the function holds the file open.
    read_at.file = file
    return read_at, 0, info.st_size


class Stream:
    """An archive that comes as a stream: read once, from start to end.

    ``manifest.json`` is the last member of many archives, so every member is
    read on the way: small JSON is kept, anything else is scanned as a layer.
    The error of a scan is raised when that layer is asked for.
    """

    def __init__(self, chunks: Iterable[bytes], *, budget: Budget, hash_files: bool = False):
        self._budget, self._hash_files = budget, hash_files
        self._files: dict[str, bytes | layers.Scan | ImageError] = {}
        self._sizes: dict[str, int] = {}
        self._links: dict[str, str] = {}
        kept = 0
        walk = tar.Walk(
            refills.from_chunks(chunks), budget=Budget(budget.limits), want=lambda name: True
        )
        for member in walk:
            path = _outer_path(member, self._files, self._links, budget)
            if not path:
                continue
            content = walk.content()
            head = next(content, b"")
            while 0 < len(head) < min(member.size, tar.BLOCK):
                head += next(content)
            content = itertools.chain([head], content)
            self._sizes[path] = member.size
            if member.size <= budget.limits.document_bytes and not _layer_like(head):
                kept += member.size
                if kept > budget.limits.documents_bytes:
                    raise ImageError(
                        f"Small members take {kept} bytes. "
                        f"Must be at most {budget.limits.documents_bytes}."
                    )
                self._files[path] = b"".join(content)
            else:
                self._files[path] = self._scan(content, path, member.size)
        _check_end(walk)

    def _scan(self, content: Iterator[bytes], path: str, size: int):
        try:
            scan = layers.scan(
                content,
                budget=self._budget,
                algorithm="sha512" if path.startswith("/blobs/sha512/") else "sha256",
                hash_files=self._hash_files,
                small=size <= codecs.SMALL,
            )
        except OverLimit:
            raise
        except ImageError as problem:
            return problem
        return scan

    def has(self, path: str) -> bool:
        """Return whether there was such a member."""
        return _resolve(path, self._files, self._links, self._budget) is not None

    def document(self, path: str, limit: int) -> bytes:
        """Return a small member."""
        found = _resolve(path, self._files, self._links, self._budget)
        if found is None:
            raise _missing(path)
        data = self._files[found]
        if self._sizes[found] > limit or not isinstance(data, bytes):
            if self._sizes[found] > limit:
                raise _too_large(path, self._sizes[found], limit)
            raise ImageError(f"{names.brief(path)} is not JSON.")
        return data

    def layer(self, path: str, algorithm: str) -> layers.Scan:
        """Return the scan of a member."""
        found = _resolve(path, self._files, self._links, self._budget)
        if found is None:
            raise _missing(path)
        data = self._files[found]
        if isinstance(data, bytes):
            data = self._scan(iter([data]), found, len(data))
        if isinstance(data, ImageError):
            raise ImageError(f"Layer {names.brief(path)}: {data}")
        return data


def _layer_like(head: bytes) -> bool:
    """Return whether a member's first block may start a layer rather than JSON."""
    return (
        codecs.sniff(head) != "plain"
        or head[257:262] == b"ustar"
        or (len(head) >= 512 and not head.strip(b"\0"))
    )


def read_chunks(file, size: int = PLAIN_READ) -> Iterator[bytes]:
    """Yield a binary file object's content in chunks."""
    while chunk := file.read(size):
        yield chunk


def open_path(path: Path, *, budget: Budget, hash_files: bool = False) -> Store:
    """Return the store for an archive (packed or not) or a layout folder.

    Raises
    ------
    UsageError
        If it does not exist, may not be read, or is neither.
    ImageError
        If it is malformed.
    """
    if os.path.isdir(path):  # Path.is_dir raises for a name that is too long
        if not os.path.isfile(path / "index.json"):
            raise UsageError(f"{_shown(path)} has no index.json. Must be an OCI layout folder.")
        return Layout(path, budget=budget, hash_files=hash_files)
    read_at, _, size = open_readable(path)
    codec = codecs.sniff(read_at(8, 0))
    if codec == "plain":
        return Archive(read_at, size, budget=budget, hash_files=hash_files)
    return Stream(
        unpacked(_chunks(read_at, 0, size), codec, budget), budget=budget, hash_files=hash_files
    )


def open_readable(path: Path) -> tuple[Callable[[int, int], bytes], int, int]:
    """Like `open_file`, with a UsageError for whatever the system refuses."""
    try:
        return open_file(path)
    except FileNotFoundError:
        raise UsageError(
            f"{_shown(path)} does not exist. Must be an archive, a layout folder, or "
            "registry://host/name:tag; on the command line also docker://name:tag."
        ) from None
    except PermissionError:
        raise UsageError(f"{_shown(path)} cannot be read: permission denied.") from None
    except UsageError:
        raise
    except (OSError, ValueError):
        raise UsageError(
            f"{_shown(path)} cannot be opened. Must be an archive or a folder."
        ) from None


def _shown(path: Path) -> str:
    return repr(names.brief(os.fsencode(path)))


def unpacked(chunks: Iterable[bytes], codec: str, budget: Budget) -> Iterator[bytes]:
    """Yield the unpacked bytes of a packed archive, within the budget."""
    outer = Budget(budget.limits)
    for raw, out in codecs.unpack(chunks, codec, budget.limits):
        outer.spend_output(len(out), len(raw))
        if out:
            yield out
