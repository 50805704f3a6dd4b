"""What a trial of `platform` does."""

from __future__ import annotations

import csv
import errno
import re
from functools import cache
from pathlib import Path

from caveatlib.errors import MeasurementError
from caveatlib.experiments.platform.places import SYSCALLS
from caveatlib.places.base import Instance, TrialResult, Workload
from caveatlib.places.output import text_before

LAST = 462
SWEEP_S, COST_S = 120.0, 60.0
COUNT = 20_000
"""Calls that are timed together."""
UNTRIED = ("vfork", "vhangup")
UNASSIGNED = range(387, 424)
"""Numbers that no system call has, nor will have (``syscall_64.tbl`` of Linux)."""


@cache
def names() -> dict[int, str]:
    """Return number -> name of every system call that is tried.

    From ``asm/unistd_64.h`` of Linux 6.12.
    """
    text = Path(__file__).with_name("calls.csv").read_text()
    rows = csv.DictReader(text.splitlines())
    return {int(r["number"]): r["name"] for r in rows if r["name"] not in UNTRIED}


def trial(place, conditions: dict, *, seed: int) -> TrialResult:
    """Try every system call in the place, time two, or watch a program of the host."""
    task = conditions["task"]
    if task == "trace":
        return TrialResult({"named": _joined(place.calls(conditions["program"]))})
    script = f"syscalls sweep 0 {LAST}" if task == "sweep" else f"syscalls cost {COUNT}"
    instance = place.create(Workload(f"{script}; echo over", programs=(SYSCALLS,)))
    try:
        instance.start()
        return TrialResult(_swept(instance) if task == "sweep" else _timed(instance))
    finally:
        instance.remove()


def _swept(instance: Instance) -> dict[str, object]:
    answers = _numbers(text_before(instance.output, "over", SWEEP_S), columns=4)
    found = {int(number): set(said) for number, *said in answers}
    if lacking := names().keys() - found.keys():
        raise MeasurementError(f"{len(lacking)} system calls were not tried, {min(lacking)} first.")
    gone = {number for number, said in found.items() if said == {errno.ENOSYS}}
    return {
        "named": _joined(name for number, name in names().items() if number in gone),
        "tried": len(names()),
        "absent": len(gone & names().keys()),
        "unassigned_absent_share": len(gone.intersection(UNASSIGNED)) / len(UNASSIGNED),
    }


def _timed(instance: Instance) -> dict[str, object]:
    ((getppid_s, open_s),) = _numbers(text_before(instance.output, "over", COST_S), columns=2)
    return {"getppid_s": getppid_s, "open_s": open_s}


def _numbers(text: str, *, columns: int) -> list[list[float]]:
    """Return the numbers of the lines that begin with "= ", whatever an engine puts before them.

    Raises
    ------
    MeasurementError
        If there are none, or not so many in each: what the program said of a failure.
    """
    rows = [line.split() for line in re.findall(r"= ([-+.e\d ]+)\n", text)]
    if not rows or {len(row) for row in rows} != {columns}:
        raise MeasurementError(f"syscalls: {text[-80:]!r}.")
    return [[float(word) for word in row] for row in rows]


def _joined(found) -> str:
    return " ".join(sorted(found))
