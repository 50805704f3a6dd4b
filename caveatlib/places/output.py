"""What a workload writes: waiting for it, with a deadline."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence

from caveatlib.errors import DeadlineExceeded, MeasurementError
from caveatlib.support.processes import readable


def await_lines(file: int, lines: Sequence[str], timeout_s: float) -> list[float]:
    """Read from a file descriptor until each line has come; return when each did.

    Returns
    -------
    list of float
        `time.monotonic` at the read that completed each line, in order.

    Raises
    ------
    DeadlineExceeded
        If they have not all come after `timeout_s` seconds.
    MeasurementError
        If the output ends before.
    """
    deadline, text = time.monotonic() + timeout_s, b""
    seen: list[float] = []
    while len(seen) < len(lines):
        text += _more(file, lines[len(seen)], deadline, timeout_s)
        now = time.monotonic()
        while len(seen) < len(lines) and (found := _line(lines[len(seen)], text)):
            seen.append(now)
            text = text[found.end() :]
    return seen


def text_before(file: int, line: str, timeout_s: float) -> str:
    """Read from a file descriptor until a line has come; return what was written before it.

    Raises
    ------
    DeadlineExceeded, MeasurementError
        As `await_lines`.
    """
    deadline, text = time.monotonic() + timeout_s, b""
    while (found := _line(line, text)) is None:
        text += _more(file, line, deadline, timeout_s)
    return text[: found.start()].decode(errors="replace")


def first_and_rest(file: int, first: str, last: str, timeout_s: float) -> tuple[float, str]:
    """Read until a line has come; return when an earlier one came, and all that was before it.

    Returns
    -------
    came : float
        `time.monotonic` at the read that completed the line `first`.
    text : str
        What was written before the line `last`.

    Raises
    ------
    DeadlineExceeded, MeasurementError
        As `await_lines`; also if `first` is not among what came.
    """
    deadline, text, came = time.monotonic() + timeout_s, b"", 0.0
    while (found := _line(last, text)) is None:
        text += _more(file, last, deadline, timeout_s)
        if not came and _line(first, text):
            came = time.monotonic()
    if not came:
        raise MeasurementError(f"No {first!r} before {last!r}.")
    return came, text[: found.start()].decode(errors="replace")


def text_to_end(file: int, timeout_s: float) -> str:
    """Read from a file descriptor until its end, or until the time is over; return it all."""
    deadline, text = time.monotonic() + timeout_s, b""
    while (left := deadline - time.monotonic()) > 0 and readable(file, left):
        more = os.read(file, 65536)
        if not more:
            break
        text += more
    return text.decode(errors="replace")


def numbers(text: str, *, columns: int, of: str) -> list[list[float]]:
    """Return the numbers of the lines that begin with "= ", whatever an engine puts before them.

    Parameters
    ----------
    text : str
    columns : int
        How many each line must have.
    of : str
        The program, for the error.

    Raises
    ------
    MeasurementError
        If there are none, or not so many in each: what the program said of a failure.
    """
    rows = [line.split() for line in re.findall(r"= ([-+.e\d ]+)\n", text)]
    if not rows or {len(row) for row in rows} != {columns}:
        raise MeasurementError(f"{of}: {text[-80:]!r}.")
    return [[float(word) for word in row] for row in rows]


def _line(wanted: str, text: bytes) -> re.Match | None:
    # Firmware and kernel may have left something on the same line.
    return re.search(re.escape(wanted).encode() + rb"\r?\n", text)


def _more(file: int, wanted: str, deadline: float, timeout_s: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0 or not readable(file, left):
        raise DeadlineExceeded(f"No {wanted!r} within {timeout_s:g} s.")
    more = os.read(file, 65536)
    if not more:
        raise MeasurementError(f"The output ended before {wanted!r}.")
    return more
