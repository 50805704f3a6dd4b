"""Columns of `platform`, and what must be true of a row."""

from __future__ import annotations

from collections.abc import Mapping

from caveatlib import frames
from caveatlib.errors import DataError
from caveatlib.frames import Series

SWEEPS = ("sweep", "rights")
TASKS = (*SWEEPS, "cost", "trace")
"""Every system call tried, without rights or with them; two cheap ones timed; those of a program
listed."""


class Trials(frames.Trials):
    """One place asked for its system calls, or one program watched."""

    task: Series[str] = frames.field("What was done", isin=TASKS)
    program: Series[str] = frames.field("Program that was watched; empty for the other tasks")
    replicate: Series[int] = frames.field("1 for the A/A control, else 0", isin=(0, 1))
    named: Series[str] = frames.field(
        "System calls: those that do not exist in the place (sweep and rights), or that the "
        "program made (trace); names apart by spaces",
        nullable=True,
    )
    tried: Series[float] = frames.measure("System calls with a name that were tried")
    absent: Series[float] = frames.measure("Of these, answered ENOSYS whatever the arguments")
    unassigned_absent_share: Series[float] = frames.measure(
        "Of the numbers that are kept free: share answered ENOSYS", le=1
    )
    getppid_s: Series[float] = frames.measure("One getppid", "s")
    open_s: Series[float] = frames.measure("One openat with fstat and close", "s")
    layer: Series[str] = frames.field(
        "gVisor's version and platform; empty where it did not run the container",
        nullable=True,
        later=True,
    )


def check_row(row: Mapping[str, object]) -> None:
    """Refuse a row whose names and counts disagree, or whose times are not those of a call.

    Raises
    ------
    DataError
    """
    if row["task"] in SWEEPS:
        named, absent = str(row["named"]).split(), row["absent"]
        if len(named) != absent:
            raise DataError(f"{absent:g} absent calls, {len(named)} names. Must be as many.")
    for column in ("getppid_s", "open_s"):
        value = row[column]
        if row["task"] == "cost" and not 1e-8 <= value <= 1e-2:
            raise DataError(f"{column} {value!r}. Must be from 10 ns to 10 ms.")
