"""Tables of `pods`: what arrangements cost, and what they seal off."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.kit.tables import per_machine
from caveatlib.experiments.pods.designs import ARRANGEMENTS, EVERY, LOOKED

NAMES = {
    "process": "one container",
    "shared": "shared network",
    "ipc": "… and memory",
    "pid": "… and processes",
    "socket": "… and a socket",
    "pause": "network of a third",
    "bridge": "bridge",
}
"""Arrangement -> words for it, in the order of reading."""
QUESTIONS = {
    "sees_processes": "sees processes",
    "sees_environment": "reads environment",
    "sees_files": "sees files outside volumes",
    "sees_memory": "finds shared memory",
    "sees_sockets": "sees listening sockets",
    "binds": "can have the same port",
    "lives_crash": "outlives its crash",
    "lives_oom": "outlives its OOM kill",
    "lives_restart": "reaches it after a restart",
    "lives_upgrade": "reaches it after an upgrade",
}
"""Measure -> what is asked of the sidecar, in the order of reading."""
COSTS = ("p50_s", "cpu_s", "ready_s", "memory_bytes")
"""Not `p99_s`: in the recorded trials the same arrangement twice differs by more than a factor of
two, as much as most arrangements do."""


def timed(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of all arrangements without delay, each named in `arm`."""
    rows = trials[(trials["design"] == EVERY) & (trials["delayed"] == 0)]
    return _named(rows[rows["replicate"] == 0])


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    words = [NAMES[name] for name in rows["arrangement"]]
    return rows.assign(arm=pd.Series(words, index=rows.index, dtype=object))


@per_machine
def costs(trials: pd.DataFrame) -> pd.DataFrame:
    """Return medians of round trips, CPU time, start and memory by arrangement."""
    found = timed(trials).groupby("arm")[list(COSTS)].median()
    order = [name for name in NAMES.values() if name in found.index]
    return found.loc[order].rename_axis("arrangement")


@per_machine
def matrix(trials: pd.DataFrame) -> pd.DataFrame:
    """Return in which share of the trials the sidecar sees or survives what, by arrangement.

    Returns
    -------
    pandas.DataFrame
        Indexed by question; a column per arrangement that was probed.
    """
    rows = trials[(trials["task"] == LOOKED) & trials["ok"]]
    means = rows.groupby("arrangement")[list(QUESTIONS)].mean()
    order = [name for name in ARRANGEMENTS if name in means.index]
    table = means.loc[order].rename(index=NAMES).T.rename(index=QUESTIONS)
    return table.rename_axis("the sidecar").rename_axis(columns=None)
