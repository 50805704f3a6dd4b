"""Columns of `defaults`, and what must be true of a row."""

from __future__ import annotations

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.errors import DataError
from caveatlib.experiments.defaults.designs import (
    ASKED_BYTES,
    CALLS,
    CLOSE,
    DEFAULTS,
    LOG,
    NAMES,
    NETWORK,
    PROBE,
    REAP,
    ROOM,
    SERVICE,
    SETTINGS,
    TASKS,
)
from caveatlib.experiments.defaults.operations import OPERATIONS, read
from caveatlib.stats import guards


class Trials(frames.Trials):
    """One container that tries what it may do, or does something usual."""

    task: Series[str] = frames.field("What was done", isin=TASKS)
    setting: Series[str] = frames.field(
        "What was otherwise than Docker's defaults; 'defaults' if nothing was", isin=SETTINGS
    )
    lines: Series[int] = frames.field("Lines of 100 bytes that were logged, else 0", ge=0)
    replicate: Series[int] = frames.field("1 for the A/A control, else 0", isin=(0, 1))

    refused: Series[str] = frames.field(
        "Operations that were refused, each with the error number (negative: it did not return), "
        "apart by spaces; 'nothing' if none was",
        nullable=True,
    )
    tried: Series[float] = frames.measure("Operations that were tried")
    refusals: Series[float] = frames.measure("Of these, refused")
    seen_seccomp: Series[float] = frames.measure(
        "1 if a seccomp filter was on where they were tried, by /proc/self/status, else 0", le=1
    )
    seen_user_namespace: Series[float] = frames.measure(
        "1 if root was another user outside, by /proc/self/uid_map, else 0", le=1
    )
    seen_apparmor: Series[float] = frames.measure(
        "1 if an AppArmor profile was enforced, by /proc/self/attr, else 0", le=1
    )
    seen_no_new_privileges: Series[float] = frames.measure(
        "1 if no_new_privs was set, by /proc/self/status, else 0", le=1
    )
    seen_capabilities: Series[float] = frames.measure("Effective capabilities")
    info_seccomp: Series[float] = frames.measure("1 if docker info names seccomp, else 0", le=1)
    info_user_namespace: Series[float] = frames.measure(
        "1 if docker info names user namespaces, else 0", le=1
    )
    info_apparmor: Series[float] = frames.measure("1 if docker info names AppArmor, else 0", le=1)

    first_output_s: Series[float] = frames.measure("Start call until the first output", "s")
    getppid_s: Series[float] = frames.measure("One getppid", "s")
    open_s: Series[float] = frames.measure("One openat with fstat and close", "s")
    line_s: Series[float] = frames.measure("Writing one line to standard output", "s")
    log_bytes: Series[float] = frames.measure("Files of the container's log", "B")
    log_files: Series[float] = frames.measure("Number of these files")
    kept_lines: Series[float] = frames.measure("Lines in them, of the log driver json-file")
    round_trip_s: Series[float] = frames.measure(
        "Median round trip of 100 bytes between two containers on one CPU", "s"
    )
    open_files: Series[float] = frames.measure("Limit on open files in the container")
    packaged_files: Series[float] = frames.measure("Limit on open files that the package states")
    close_all_s: Series[float] = frames.measure("Closing every descriptor up to that limit", "s")
    zombies: Series[float] = frames.measure("Zombies left of five orphans")
    resolved: Series[float] = frames.measure(
        "1 if a neighbour's name was resolved to its address, else 0", le=1
    )

    service_error: Series[float] = frames.measure(
        "Error number with which the kernel refused a service an address, 0 if it gave one",
        later=True,
    )
    answered_directly: Series[float] = frames.measure(
        "1 if a connection to the address of what is behind it was answered, else 0",
        le=1,
        later=True,
    )
    answered: Series[float] = frames.measure(
        "1 if a connection to the service's address was answered, else 0", le=1, later=True
    )
    limit_error: Series[float] = frames.measure(
        "Error number with which a limit on a folder was refused, 0 if it was not, or none asked "
        "for",
        later=True,
    )
    written_bytes: Series[float] = frames.measure(
        f"Of {ASKED_BYTES} bytes, those that were written to that folder", "B", later=True
    )
    write_error: Series[float] = frames.measure(
        "Error number that ended this, 0 if all were written", later=True
    )
    beside_bytes: Series[float] = frames.measure(
        "Then, of as many, to a folder beside it on the same disk", "B", later=True
    )


SEEN = ("seccomp", "user_namespace", "apparmor")
"""Mechanisms that `docker info` names, and that a container sees of itself."""
NEEDS = {
    PROBE: ["tried", "refusals", *(f"seen_{name}" for name in SEEN)],
    CALLS: ["first_output_s", "getppid_s", "open_s"],
    LOG: ["line_s", "log_bytes"],
    NETWORK: ["first_output_s", "round_trip_s"],
    CLOSE: ["open_files", "close_all_s"],
    REAP: ["zombies"],
    NAMES: ["resolved"],
    SERVICE: ["service_error", "answered_directly", "answered"],
    ROOM: ["limit_error", "written_bytes", "write_error", "beside_bytes"],
}
"""Task -> the measures without which its trial has failed."""
POSITIVE = ["first_output_s", "getppid_s", "open_s", "line_s", "round_trip_s", "close_all_s"]
SHORT, LONG = 1e-8, 1e-2
"""What one call may take."""


def check_row(row: guards.Row) -> None:
    """Require what a trial is for, refusals as many as said, calls that take no second, an answer.

    Raises
    ------
    DataError
    """
    task = str(row["task"])
    guards.needs(row, NEEDS[task])
    guards.no_zeros(row, POSITIVE)
    if task == PROBE:
        names = read(str(row["refused"]))
        if unknown := names.keys() - OPERATIONS.keys():
            raise DataError(f"Operation {min(unknown)!r}. Must be one of {list(OPERATIONS)}.")
        refusals, tried = guards.number(row, "refusals"), guards.number(row, "tried")
        if len(names) != refusals or tried != len(OPERATIONS):
            raise DataError(
                f"{refusals:g} of {tried:g} operations refused, {len(names)} named. Must be as "
                f"many, of {len(OPERATIONS)}."
            )
    if task == CALLS:
        guards.inside(row, ["getppid_s", "open_s"], least=SHORT, most=LONG)
    if task == LOG and row["setting"] == DEFAULTS:
        guards.needs(row, ["kept_lines"])
        guards.no_zeros(row, ["log_bytes"])
    if task == SERVICE:  # else nothing would answer, whatever the service
        guards.inside(row, ["answered_directly"], least=1, most=1)
    if task == ROOM:
        guards.inside(row, ["written_bytes", "beside_bytes"], most=ASKED_BYTES)


def check(trials: pd.DataFrame) -> None:
    """Validate that nothing took longer than its trial.

    Raises
    ------
    DataError
        A unit was lost: milliseconds are called seconds.
    """
    guards.fits(trials, ["first_output_s", "round_trip_s", "close_all_s"])
