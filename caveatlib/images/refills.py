"""Sources of bytes for the walk over an archive: consecutive chunks, or a file near its headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from caveatlib.errors import ImageError

Refill = Callable[[int], tuple[bytes, int]]
"""Skip this many bytes, then return (chunk, position in it); (b"", 0) at the end."""


def cut() -> ImageError:
    """Return the error of an archive that ends too early."""
    return ImageError("Archive is cut off: it ends within an entry.")


def from_chunks(chunks: Iterable[bytes]) -> Refill:
    """Return a refill over consecutive chunks of bytes."""
    iterator = iter(chunks)

    def refill(skip: int) -> tuple[bytes, int]:
        for chunk in iterator:
            if len(chunk) > skip:
                return chunk, skip
            skip -= len(chunk)
        if skip:
            raise cut()
        return b"", 0

    return refill


class FromFile:
    """A refill that reads only near headers.

    Parameters
    ----------
    read_at : callable
        ``read_at(size, offset)``, as `os.pread` without its descriptor. (Not a
        memory map: if the file shrinks meanwhile, that kills the process.)
    size : int
        Size of the file in bytes.
    window : int, optional
        Bytes per read; a page holds a few headers of small files.
    """

    def __init__(self, read_at: Callable[[int, int], bytes], size: int, *, window: int = 4096):
        self.read_at, self.size, self.window = read_at, size, window
        self.offset = 0

    def __call__(self, skip: int) -> tuple[bytes, int]:
        """Skip this many bytes and return the next few."""
        self.offset += skip
        if self.offset > self.size:
            raise cut()
        chunk = self.read_at(min(self.window, self.size - self.offset), self.offset)
        if not chunk and self.offset < self.size:
            raise cut()
        self.offset += len(chunk)
        return chunk, 0
