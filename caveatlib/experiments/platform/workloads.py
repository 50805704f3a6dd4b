"""What a trial of `platform` does."""

from __future__ import annotations

import csv
import errno
from functools import cache
from pathlib import Path

from caveatlib.errors import MeasurementError
from caveatlib.experiments.platform.places import SYSCALLS
from caveatlib.instruments import calls
from caveatlib.places.base import Instance, TrialResult, Workload
from caveatlib.places.output import numbers, text_before

LAST = 462
SWEEP_S, COST_S = 120.0, 60.0
COUNT = 20_000
"""Calls that are timed, of each kind."""
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
    sweeps = task == "sweep"
    script = f"syscalls 0 {LAST}" if sweeps else f"calls {COUNT}"
    program = SYSCALLS if sweeps else calls.CALLS
    instance = place.create(Workload(f"{script}; echo over", programs=(program,)))
    try:
        instance.start()
        if sweeps:
            return TrialResult(_swept(instance))
        return TrialResult(calls.costs(text_before(instance.output, "over", COST_S)))
    finally:
        instance.remove()


def _swept(instance: Instance) -> dict[str, object]:
    answers = numbers(text_before(instance.output, "over", SWEEP_S), columns=4, of="syscalls")
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


def _joined(found) -> str:
    return " ".join(sorted(found))
