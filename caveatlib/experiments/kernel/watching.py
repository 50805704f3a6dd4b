"""Four tenants' heartbeats, read from their guests' serial lines on the host's clock."""

from __future__ import annotations

import itertools
import os
import re
import select
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from caveatlib.errors import DeadlineExceeded, MeasurementError
from caveatlib.experiments.kernel.tenants import NAMES
from caveatlib.instruments import heartbeat

START_S = 240.0
"""Until all tenants beat; on a busy machine emulated guests take minutes."""
SETTLED_BEATS = 12
"""Heartbeats of each tenant before the fault."""
STRIKE_S = 120.0
"""Until the fault has happened: memory is filled at the speed of the emulator, below gVisor slower
than elsewhere."""
DRAINED_S = 0.3
"""For so long the tenant waits between its mark and the fault, see ``tenant.c``."""
SILENT_S, SILENT_GAPS = 3.0, 4
"""Without a heartbeat for so long, or for so many times the longest gap before, a tenant counts as
ended."""
WATCHED = 3
"""For so many times that long neighbours are watched, once more where they may be killed one after
the other."""
HOST_BEAT_S = 0.05

# "beat b 163 1764045162.431 0 0"; the kernel may write within a line, which is then lost
_BEAT = re.compile(r"beat (\w) \d+ (\d+\.\d{3}) (\d+) (\d+)\r*")
_MARK = re.compile(r"(fault|filling|struck) (\w)(?: (\d+) (\d+))?\r*")
# Heartbeats, what a kernel logs beside a panic, and the runner's last line tell of no failure.
_USUAL = re.compile(r"beat |filling |caveatlib: |\[ *\d+\.\d+\] (?!Kernel panic)")


class Beat(NamedTuple):
    """One heartbeat: read when on the host's monotonic clock, and what it told."""

    at_s: float
    clock_s: float
    failed_forks: int
    failed_writes: int


@dataclass
class Watched:
    """What was read of one trial; times are of the host's monotonic clock.

    Attributes
    ----------
    started_s : float
        When the first guest was started.
    beats : dict
        Tenant -> its heartbeats.
    ready_s : float
        When every tenant had begun to beat.
    silent_s : float
        After how long without a heartbeat a tenant counts as ended.
    fault_s : float
        When the fault happened, to about 0.1 s.
    filling_s : float
        When the tenant said last that it was filling something.
    struck : tuple of int, optional
        How far the fault got and the error that stopped it; None if it was the tenant's end.
    struck_s : float
        When that was said, or else the last sign of life of the tenant.
    ended_s : float
        When the watch ended.
    host_gap_s : float
        Longest time between two heartbeats of the host itself.
    """

    started_s: float
    beats: dict[str, list[Beat]] = field(default_factory=lambda: {name: [] for name in NAMES})
    ready_s: float = 0.0
    silent_s: float = SILENT_S
    fault_s: float = 0.0
    filling_s: float = 0.0
    struck: tuple[int, int] | None = None
    struck_s: float = 0.0
    ended_s: float = 0.0
    host_gap_s: float = 0.0


def watch(
    outputs: Sequence[int], culprit: str, strike: Callable[[], None], *, longer: bool = False
) -> Watched:
    """Wait for all heartbeats, let the fault happen, and read on until the watch is over.

    Parameters
    ----------
    outputs : sequence of int
        The serial lines of guests that were just started.
    culprit : str
        The tenant whose fault it is.
    strike : callable
        Lets it happen.
    longer : bool
        Whether neighbours may be killed one after the other.

    Raises
    ------
    DeadlineExceeded
        If a tenant's heartbeat, or the fault, does not come in time.
    MeasurementError
        If a guest ends before the fault.
    """
    lines = _Lines(outputs)
    found = Watched(time.monotonic())
    with heartbeat.gaps(HOST_BEAT_S) as gaps:
        _settled(lines, found)
        found.ready_s = max(beats[0].at_s for beats in found.beats.values())
        usual_s = max(max(between(beats)) for beats in found.beats.values())
        found.silent_s = max(SILENT_S, SILENT_GAPS * usual_s)
        strike()
        _stricken(lines, found, culprit)
        found.ended_s = found.struck_s + (WATCHED + longer) * found.silent_s
        while lines.open and (left := found.ended_s - time.monotonic()) > 0:
            _take(lines, found, left)
        found.host_gap_s = max(gaps, default=0.0)
    return found


def _settled(lines: _Lines, found: Watched) -> None:
    deadline = found.started_s + START_S
    while slow := [name for name, beats in found.beats.items() if len(beats) < SETTLED_BEATS]:
        if lines.ended:
            raise MeasurementError(f"A guest ended before the fault: {lines.last_words()}.")
        left = deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(
                f"Tenant {slow[0]!r} has {len(found.beats[slow[0]])} heartbeats after "
                f"{START_S:g} s. Must have {SETTLED_BEATS}; last words: {lines.last_words()}."
            )
        _take(lines, found, left)


def _stricken(lines: _Lines, found: Watched, culprit: str) -> None:
    """Read until the fault has happened: its tenant says so, or is silent."""
    deadline = time.monotonic() + STRIKE_S
    while not found.struck_s:
        now = time.monotonic()
        last = max(found.beats[culprit][-1].at_s, found.fault_s, found.filling_s)
        if found.fault_s and (not lines.open or now - last > found.silent_s):
            found.struck_s = last
            return
        if now > deadline or not lines.open:
            raise DeadlineExceeded(
                f"The fault of tenant {culprit!r} did not happen within {STRIKE_S:g} s; "
                f"last words: {lines.last_words()}."
            )
        _take(lines, found, 0.1)


def _take(lines: _Lines, found: Watched, timeout_s: float) -> None:
    """Read what there is and note heartbeats and marks."""
    for at_s, line in lines.read(timeout_s):
        if beat := _BEAT.fullmatch(line):
            name, clock, forks, writes = beat.groups()
            if name in found.beats:
                found.beats[name].append(Beat(at_s, float(clock), int(forks), int(writes)))
        elif mark := _MARK.fullmatch(line):
            if mark[1] == "fault":
                found.fault_s = at_s + DRAINED_S
            elif mark[1] == "filling":
                found.filling_s = at_s
            elif mark[3]:
                found.struck, found.struck_s = (int(mark[3]), int(mark[4])), at_s


class _Lines:
    """Lines of several files as they come; whoever made the files closes them."""

    def __init__(self, outputs: Sequence[int]):
        self.open = dict.fromkeys(outputs, b"")
        self.ended = 0
        self._other: list[str] = []

    def read(self, timeout_s: float) -> Iterator[tuple[float, str]]:
        for file in select.select(list(self.open), [], [], timeout_s)[0]:
            more, now = os.read(file, 65536), time.monotonic()
            if not more:
                del self.open[file]
                self.ended += 1
                continue
            *whole, self.open[file] = (self.open[file] + more).split(b"\n")
            for each in whole:
                line = each.decode(errors="replace").lstrip("\0")
                if line.strip() and not _USUAL.match(line):
                    self._other = [*self._other[-20:], line.strip()]
                yield now, line

    def last_words(self) -> str:
        """Return what a guest said last that is not a heartbeat, or why its kernel panicked."""
        panics = [line for line in self._other if "Kernel panic" in line]
        return (panics or self._other or ["none"])[-1][-200:]


def between(beats: Sequence[Beat]) -> list[float]:
    """Return the times between heartbeats."""
    return [after.at_s - before.at_s for before, after in itertools.pairwise(beats)]
