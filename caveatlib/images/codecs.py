"""Decompress layers while they are read: gzip, zstd or plain, in a thread of its own.

Decompression and hashing both release the interpreter lock, so a layer takes
as long as the slower of the two.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterable, Iterator

from caveatlib.errors import ImageError
from caveatlib.images.limits import Limits

OUT = 1 << 20
SMALL = 1 << 20
"""Stored bytes up to which a thread costs more than it saves."""
_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
)
_SKIPPABLE = frozenset(b"\x50\x51\x52\x53\x54\x55\x56\x57\x58\x59\x5a\x5b\x5c\x5d\x5e\x5f")


def sniff(head: bytes) -> str:
    """Return the compression by the first bytes: gzip, zstd or plain.

    As in Docker, the media type is ignored: it is often wrong, and the digest
    is what counts.

    Raises
    ------
    ImageError
        If it is one that engines do not accept for a layer.
    """
    for magic, codec in _MAGIC:
        if head.startswith(magic):
            if codec in ("bzip2", "xz"):
                raise ImageError(f"Layer is compressed with {codec}. Must be gzip, zstd or plain.")
            return codec
    if len(head) > 4 and head[0] in _SKIPPABLE and head[1:4] == b"\x2a\x4d\x18":
        return "zstd"
    return "plain"


def unpack(chunks: Iterable[bytes], codec: str, limits: Limits) -> Iterator[tuple[bytes, bytes]]:
    """Yield (stored bytes consumed, unpacked bytes), either of which may be empty.

    Raises
    ------
    ImageError
        If the data are corrupt, cut off, or followed by other data.
    """
    if codec == "plain":
        for chunk in chunks:
            yield chunk, chunk
        return
    make, error = _decoder(codec, limits)
    decoder = None
    for chunk in chunks:
        data, taken = chunk, chunk
        while True:
            if decoder is None:
                # Between members, where gzip allows padding with zeros.
                data = data.lstrip(b"\0") if codec == "gzip" else data
                if not data:
                    break
                decoder = make()
            try:
                out = decoder.decompress(data, OUT)
            except (error, EOFError, MemoryError) as problem:
                raise ImageError(f"{codec} data are corrupt: {problem}.") from None
            yield taken, out
            data = taken = b""
            if decoder.eof:
                data, decoder = decoder.unused_data, None
            elif decoder.needs_input:
                break
        if taken:
            yield taken, b""
    if decoder is not None:
        raise ImageError(f"{codec} data are cut off.")


def _decoder(codec: str, limits: Limits):
    if codec == "gzip":
        from isal import igzip_lib  # not on every platform that replays

        flag = igzip_lib.DECOMP_GZIP
        return lambda: igzip_lib.IgzipDecompressor(flag=flag), igzip_lib.error
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    options = {zstd.DecompressionParameter.window_log_max: limits.zstd_window_log}
    return lambda: zstd.ZstdDecompressor(options=options), zstd.ZstdError


def ahead(items: Iterable, *, depth: int = 4) -> Iterator:
    """Yield the items, which a thread produces up to `depth` ahead.

    An exception in the thread is raised here; if the consumer stops early, the
    thread ends with its next item.
    """
    ready: queue.Queue = queue.Queue(depth)
    stop = threading.Event()

    def offer(item) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work():
        try:
            for item in items:
                if not offer((item, None)):
                    return
            offer((None, StopIteration()))
        except BaseException as problem:
            offer((None, problem))

    thread = threading.Thread(target=work, name="caveatlib-unpack", daemon=True)
    thread.start()
    try:
        while True:
            item, problem = ready.get()
            if isinstance(problem, StopIteration):
                return
            if problem is not None:
                raise problem
            yield item
    finally:
        stop.set()
        thread.join()
