"""Tables of `platform`: which system calls a layer has, by who makes them."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.kit.tables import per_machine
from caveatlib.experiments.platform.designs import LAYER, NATIVE
from caveatlib.experiments.platform.workloads import names

OTHERS = "calls that none of them made"
COLUMNS = ["made_by", "calls", "present", "lacking", "share", "names_lacking"]


def absent(here: pd.DataFrame, place: str) -> set[str] | None:
    """Return the system calls that a place lacked in any trial; None if it was not asked."""
    rows = here[(here["task"] == "sweep") & (here["place"] == place) & here["named"].notna()]
    return set(" ".join(rows["named"]).split()) if len(rows) else None


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
    native, layer = (absent(trials, arm.place) for arm in (NATIVE, LAYER))
    if native is None or layer is None:
        return pd.DataFrame(columns=COLUMNS)
    there = set(names().values()) - native
    by = made(trials)
    groups = {program: calls & there for program, calls in by.items()}
    groups[OTHERS] = there.difference(*by.values())
    return pd.DataFrame([_row(who, calls, layer) for who, calls in groups.items()], columns=COLUMNS)


def _row(who: str, calls: set[str], layer: set[str]) -> list:
    lacking = sorted(calls & layer)
    count, present = len(calls), len(calls) - len(lacking)
    return [who, count, present, len(lacking), present / max(count, 1), ", ".join(lacking)]
