"""What a trial of `platform` does."""

from __future__ import annotations

import csv
import errno
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from caveatlib.errors import MeasurementError
from caveatlib.experiments.platform.places import SYSCALLS
from caveatlib.experiments.platform.schema import SWEEPS
from caveatlib.instruments import calls
from caveatlib.places.base import Instance, TrialResult, Workload
from caveatlib.places.output import numbers, text_before

LAST = 462
GVISOR = "runsc"
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
    """Try every system call in the place, time two, or watch a program of the host.

    Raises
    ------
    MeasurementError
        If calls are to be tried with rights and the place's runtime is not gVisor's: under Linux
        some of them end or change the machine. The program itself refuses that as well.
    """
    task = conditions["task"]
    if task == "trace":
        return TrialResult({"named": _joined(place.calls(conditions["program"]))})
    told = place.metadata()
    if task == "rights" and (runtime := told.get("runtime")) != GVISOR:
        raise MeasurementError(f"Calls with rights under {runtime!r}. Must be {GVISOR!r}.")
    sweeps = task in SWEEPS
    kept = " rights" if task == "rights" else ""
    script = f"syscalls 0 {LAST}{kept}" if sweeps else f"calls {COUNT}"
    program = SYSCALLS if sweeps else calls.CALLS
    layer = _layer(told)
    instance = place.create(Workload(f"{script}; echo over", programs=(program,)))
    try:
        instance.start()
        if sweeps:
            return TrialResult(_swept(instance) | layer)
        return TrialResult(calls.costs(text_before(instance.output, "over", COST_S)) | layer)
    finally:
        instance.remove()


def _layer(told: Mapping[str, str]) -> dict[str, object]:
    """Return `layer`, ``"gVisor 20240729, platform systrap"``; nothing for another runtime."""
    if told.get("runtime") != GVISOR:
        return {}
    # "0.0~20240729.0" of Debian, "release-20250630.0" of its makers
    said = told.get("runsc_version", "")
    version = re.search(r"20\d{6}", said)
    name = f"gVisor {version[0] if version else said}".rstrip()
    return {"layer": f"{name}, platform {told.get('runsc_platform') or 'not told'}"}


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
