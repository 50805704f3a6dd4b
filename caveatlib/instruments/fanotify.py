"""Which files of a mounted file system are opened, as the kernel reports it (fanotify).

The mark is on the whole file system, not on one mount of it: a container sees
its image through a mount of its own, in a namespace of its own, and what it
opens there is reported all the same. Folders, and files opened as a mere path
(``O_PATH``), are not. See fanotify(7).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from caveatlib.errors import MeasurementError, Unavailable
from caveatlib.places import privileges
from caveatlib.places.base import Capability

_CLOEXEC, _NONBLOCK, _UNLIMITED_QUEUE = 0x1, 0x2, 0x10
_MARK_ADD, _MARK_FILESYSTEM = 0x1, 0x100
_OPEN, _OVERFLOW = 0x20, 0x4000
_AT_FDCWD = -100
_VERSION = 3
# event_len, vers, reserved, metadata_len, mask, fd, pid
_EVENT = struct.Struct("=IBBHQii")
_READ_BYTES = 128 * _EVENT.size
"""Each report that is read opens a file, so this bounds how many are open at once."""


@cache
def probe() -> Capability:
    """Return whether this user may watch what is opened."""
    try:
        os.close(_group())
    except Unavailable as error:
        return privileges.refused("fanotify", str(error), needs=["CAP_SYS_ADMIN"])
    return Capability("fanotify", True, "the kernel reports opened files")


class Recorder:
    """Collects the paths that are opened on one file system."""

    def __init__(self, group: int):
        self._group = group
        self._sizes: dict[str, int] = {}

    def drain(self) -> dict[str, int]:
        """Take over what has been reported so far.

        Returns
        -------
        dict
            Path -> size in bytes of every file opened since the start. A path
            is as deep as the mount that it was opened through is visible.

        Raises
        ------
        MeasurementError
            If the kernel lost reports, or writes them in a way not known here.
        """
        while events := self._read():
            at = 0
            while at < len(events):
                at += self._take(events, at)
        return dict(self._sizes)

    def _read(self) -> bytes:
        try:
            return os.read(self._group, _READ_BYTES)
        except BlockingIOError:
            return b""

    def _take(self, events: bytes, at: int) -> int:
        length, version, _, _, mask, fd, _ = _EVENT.unpack_from(events, at)
        if version != _VERSION:
            raise MeasurementError(f"fanotify reports in version {version}. Must be {_VERSION}.")
        if mask & _OVERFLOW:
            raise MeasurementError("The kernel lost reports of opened files: its queue was full.")
        try:
            self._sizes[os.readlink(f"/proc/self/fd/{fd}")] = os.fstat(fd).st_size
        finally:
            os.close(fd)
        return length


@contextmanager
def recorder(folder: str | Path) -> Iterator[Recorder]:
    """Record what is opened on the file system that a folder lies on.

    Parameters
    ----------
    folder : path
        May lie in another mount namespace: ``/proc/4242/root/...``.

    Raises
    ------
    Unavailable
        If this user may not watch, or the file system cannot be watched.
    """
    group = _group()
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.fanotify_mark.argtypes = (
            *(ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int),
            ctypes.c_char_p,
        )
        flags = _MARK_ADD | _MARK_FILESYSTEM
        if libc.fanotify_mark(group, flags, _OPEN, _AT_FDCWD, os.fsencode(folder)):
            raise Unavailable(f"Opened files cannot be watched there: {_reason()}.")
        yield Recorder(group)
    finally:
        os.close(group)


def _group() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "fanotify_init"):
        raise Unavailable("Opened files cannot be watched here: needs Linux.")
    group = libc.fanotify_init(_CLOEXEC | _NONBLOCK | _UNLIMITED_QUEUE, os.O_RDONLY | os.O_CLOEXEC)
    if group < 0:
        raise Unavailable(f"Opened files cannot be watched: {_reason()}.")
    return group


def _reason() -> str:
    return os.strerror(ctypes.get_errno())
