"""Append-only, crash-safe record of a live run.

A journal is a text file. Every record is one line that enters it by one
`write` to a descriptor opened with O_APPEND, and says for itself whether it is
whole and where it belongs::

    1c291ca3 {"kind":"trial","at":1893,"data":{...}}

The eight hex digits are the CRC-32 of the JSON after them. `at` is the offset
of the line in the file: a record that is missing, doubled or moved is found at
the next line.

A kill at any instant leaves at most one line without its line end. `read`
leaves such a torn tail out and says so; whoever opens the journal next cuts it
away. Records survive the death of the process as soon as `append` returns, and
a power cut as soon as the journal is closed.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from pathlib import Path
from typing import NamedTuple

from caveatlib.errors import DataError, UsageError
from caveatlib.support.paths import display_path, storage_error

END = "end"
"""The kind of the record that ends a complete run."""


class Record(NamedTuple):
    """One record: its kind, and what it holds."""

    kind: str
    data: dict


class Records(NamedTuple):
    """What `read` found: the whole records, and what is to be said about the file.

    `complete` is whether the last record is of kind "end" with nothing after
    it. `note` says in a sentence why not, and is empty otherwise.
    """

    records: list[Record]
    complete: bool
    note: str


class Journal:
    """A journal that is open for appending, by one process at a time; a context manager.

    Parameters
    ----------
    path : str or Path
        The file. It is made if it does not exist; records that it holds stay.

    Raises
    ------
    StorageError
        If the file cannot be opened for writing.
    DataError
        If the file's last record is damaged, not merely torn.
    UsageError
        If another process has it open.
    """

    def __init__(self, path: str | os.PathLike):
        import fcntl

        self.path = Path(path)
        self._fd = -1
        try:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, 0o644)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until it is closed
            self._cut_torn_tail()
        except BlockingIOError:
            self._abandon()
            raise UsageError(
                f"Journal {display_path(self.path)!r} is open in another process. "
                "One run is measured by one process at a time."
            ) from None
        except OSError as error:
            self._abandon()
            raise storage_error("open", self.path, error) from None
        except BaseException:
            self._abandon()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception):
        self.close()

    def append(self, kind: str, data: dict) -> None:
        """Append one record; once this returns, a kill cannot lose it.

        Parameters
        ----------
        kind : str
            What the record is, e.g. ``"trial"``.
        data : dict
            Text, numbers, booleans, None, lists and mappings of these; NumPy's
            and pandas' scalars become Python's. NaN, NaT and NA become null,
            the only way that strict JSON has to say "no value".

        Raises
        ------
        StorageError
            If the record cannot be written whole (e.g. a full disk). What was
            there before stays readable, and a later append may be tried.
        DataError
            If the data hold what JSON cannot say: infinity, or a foreign type.
        UsageError
            If the journal is closed.
        """
        if self._fd < 0:
            raise UsageError(
                f"Journal {display_path(self.path)!r} is closed. Open it again to append."
            )
        told = plain(data, "data")
        try:
            # After a write that did not fit, or that Ctrl-C cut short, there is a tail again.
            at = self._cut_torn_tail()
            line = _line({"kind": kind, "at": at, "data": told})
            written = os.write(self._fd, line)
        except OSError as error:
            raise storage_error("write", self.path, error) from None
        if written < len(line):  # the kernel would tell the reason only to the next write
            short = OSError(0, f"only {written} of {len(line)} bytes fit; is the disk full?")
            raise storage_error("write", self.path, short)

    def close(self) -> None:
        """Bring the records to the disk and close the file; twice is harmless."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            os.fsync(fd)
        except OSError as error:
            raise storage_error("write", self.path, error) from None
        finally:
            os.close(fd)

    def _cut_torn_tail(self) -> int:
        """Cut what was written without a line end; return the file's size."""
        size = os.fstat(self._fd).st_size
        if size == 0 or os.pread(self._fd, 1, size - 1) == b"\n":
            return size
        tail, at = b"", size
        while at and b"\n" not in tail:
            step = min(at, 1 << 20)
            at -= step
            tail = os.pread(self._fd, step, at) + tail
        tail = tail.rpartition(b"\n")[2]
        _check_torn(tail, self.path, "The last line")
        os.ftruncate(self._fd, size - len(tail))
        return size - len(tail)

    def _abandon(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read(path: str | os.PathLike) -> Records:
    """Read a journal, or any beginning of one.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Records
        All whole records in file order. A torn tail is left out and flagged.

    Raises
    ------
    DataError
        If a record is damaged, missing or out of its place; the message names
        the line, counted from 1. Every single wrong byte is found.
    StorageError
        If the file cannot be read.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise storage_error("read", path, error) from None
    *lines, tail = content.split(b"\n")
    records, at = [], 0
    for number, line in enumerate(lines, start=1):
        records.append(_record(line, at, path, number))
        at += len(line) + 1
    if tail:
        _check_torn(tail, path, f"Line {len(lines) + 1}")
        note = f"The last {len(tail)} bytes are a record cut short; they are left out."
        return Records(records, False, note)
    if not records or records[-1].kind != END:
        note = (
            f"The run did not end: {len(records)} records and no record of kind 'end' after them."
        )
        return Records(records, False, note)
    return Records(records, True, "")


def _line(body: dict) -> bytes:
    # ASCII only: whatever the text holds, no byte of it can be a line end.
    text = json.dumps(body, separators=(",", ":"), allow_nan=False).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _record(line: bytes, at: int, path: Path, number: int) -> Record:
    body = _body(line)
    if body is None:
        raise DataError(
            f"Line {number} of {display_path(path)!r} is damaged: it does not agree with "
            "its checksum. Restore the file from a copy."
        )
    if body["at"] != at:
        raise DataError(
            f"Line {number} of {display_path(path)!r} belongs at byte {body['at']} but stands at "
            f"byte {at}: records before it are missing, doubled or moved. "
            "Restore the file from a copy."
        )
    return Record(body["kind"], body["data"])


def _body(line: bytes) -> dict | None:
    """Return the JSON of a line, or None unless every byte of the line is right."""
    digits, _, text = line.partition(b" ")
    if digits != b"%08x" % zlib.crc32(text):
        return None
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or not {"kind", "at", "data"} <= body.keys():
        return None
    return body


def _check_torn(tail: bytes, path: Path, line: str) -> None:
    # One write cut short lacks at least the line end. A whole record with one
    # byte more is therefore no tear: its line end was changed.
    if _body(tail[:-1]) is not None:
        raise DataError(
            f"{line} of {display_path(path)!r} is damaged: its line end is {tail[-1:]!r}. "
            "Restore the file from a copy."
        )


def plain(value, where: str):
    """Return a value in JSON's own types, as `Journal.append` takes it.

    Parameters
    ----------
    value : object
    where : str
        Names it in an error.

    Raises
    ------
    DataError
        If it holds what JSON cannot say.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, dict):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise DataError(f"Key {wrong[0]!r} of {where} is not text. Keys must be text.")
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, float):
        if math.isinf(value):
            raise DataError(
                f"Value {value!r} of {where} is infinite. Must be finite, or NaN for none."
            )
        return None if math.isnan(value) else float(value)
    if type(value).__name__ in ("NAType", "NaTType"):  # pandas', which is not imported for this
        return None
    inner = value.tolist() if hasattr(value, "tolist") else value  # NumPy's scalars and arrays
    if type(inner) is type(value):
        raise DataError(
            f"Value of {where} is of type {type(value).__name__!r}. Must be text, a number, "
            "a boolean, None, or a list or mapping of these."
        )
    return plain(inner, where)
