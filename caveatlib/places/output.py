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
        wanted = lines[len(seen)]
        left = deadline - time.monotonic()
        if left <= 0 or not readable(file, left):
            raise DeadlineExceeded(f"No {wanted!r} within {timeout_s:g} s.")
        more = os.read(file, 65536)
        now = time.monotonic()
        if not more:
            raise MeasurementError(f"The output ended before {wanted!r}.")
        text += more
        while len(seen) < len(lines):
            # Firmware and kernel may have left something on the same line.
            found = re.search(re.escape(lines[len(seen)]).encode() + rb"\r?\n", text)
            if found is None:
                break
            seen.append(now)
            text = text[found.end() :]
    return seen
