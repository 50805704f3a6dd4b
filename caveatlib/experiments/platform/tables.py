"""Tables of `platform`: which system calls a layer has, by who makes them."""

from __future__ import annotations

import pandas as pd

from caveatlib import stats
from caveatlib.experiments.kit.tables import per_machine
from caveatlib.experiments.platform.designs import LAYER, NATIVE, RIGHTS
from caveatlib.experiments.platform.workloads import names
from caveatlib.measuring.designs import Arm

OTHERS = "calls that none of them made"
COLUMNS = ["made_by", "calls", "present", "lacking", "share", "names_lacking"]


ONE_ERROR = (
    "add_key", "modify_ldt", "name_to_handle_at", "open_by_handle_at", "perf_event_open",
    "request_key", "sched_rr_get_interval",
)  # fmt: skip
"""Calls that gVisor answers with one error other than ENOSYS, whoever asks: `syscalls.Error` and
`ErrorWithEvent` in its table of amd64 (google/gvisor, pkg/sentry/syscalls/linux/linux64.go)."""


def absent(here: pd.DataFrame, arm: Arm) -> set[str] | None:
    """Return the system calls that an arm's place lacked in any trial; None if it was not asked."""
    rows = here[stats.match(here, arm.where()) & here["named"].notna()]
    return set(" ".join(rows["named"]).split()) if len(rows) else None


def asked(here: pd.DataFrame) -> tuple[set[str], set[str]] | None:
    """Return the calls that the kernel here has, and those that gVisor lacks; None if not asked.

    gVisor lacks what it answers with ENOSYS without rights or, where that was tried, with them.
    """
    native, layer = absent(here, NATIVE), absent(here, LAYER)
    if native is None or layer is None:
        return None
    return set(names().values()) - native, layer | (absent(here, RIGHTS) or set())


def made(here: pd.DataFrame) -> dict[str, set[str]]:
    """Return program -> the system calls that it made in any trial."""
    rows = here[(here["task"] == "trace") & here["named"].notna()]
    return {str(p): set(" ".join(r["named"]).split()) for p, r in rows.groupby("program")}


@per_machine
def coverage(trials: pd.DataFrame) -> pd.DataFrame:
    """Return, for each program and for all other calls, how many gVisor has of those of the kernel.

    Returns
    -------
    pandas.DataFrame
        Columns `made_by`, `calls` (that the kernel here has), `present` and `lacking` (under
        gVisor), `share` (present of calls) and `names_lacking`.
    """
    found = asked(trials)
    if found is None:
        return pd.DataFrame(columns=COLUMNS)
    there, layer = found
    by = made(trials)
    groups = {program: calls & there for program, calls in by.items()}
    groups[OTHERS] = there.difference(*by.values())
    return pd.DataFrame([_row(who, calls, layer) for who, calls in groups.items()], columns=COLUMNS)


def _row(who: str, calls: set[str], layer: set[str]) -> list:
    lacking = sorted(calls & layer)
    count, present = len(calls), len(calls) - len(lacking)
    return [who, count, present, len(lacking), present / max(count, 1), ", ".join(lacking)]
