"""The table of `pods`, and what holds in each row."""

from __future__ import annotations

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.experiments.pods.designs import ARRANGEMENTS, LOOKED, TRIPS
from caveatlib.stats import guards

SEALED_OFF = ("sees_processes", "sees_environment", "sees_files", "sees_memory")
"""What decides whether a sidecar is sealed off; listening ports belong to the network it joins."""
SIGHTS = (*SEALED_OFF, "sees_sockets")
LIVES = ("lives_crash", "lives_oom", "lives_restart", "lives_upgrade")
NEEDS = {
    TRIPS: ("p50_s", "p99_s", "cpu_s", "ready_s", "memory_bytes"),
    LOOKED: (*SIGHTS, "seen", "binds", *LIVES),
}
"""Task -> the measures without which its trial has failed."""


def _whether(meaning: str):
    return frames.measure(f"1 if {meaning}, else 0", le=1)


class Trials(frames.Trials):
    """One application with its sidecar, in one arrangement of containers."""

    task: Series[str] = frames.field("Round trips timed, or isolation probed", isin=(TRIPS, LOOKED))
    arrangement: Series[str] = frames.field(
        "Which containers there are, and what they share", isin=ARRANGEMENTS
    )
    delayed: Series[int] = frames.field(
        "1 if the application spins 200 µs before each answer, else 0", isin=(0, 1)
    )
    replicate: Series[int] = frames.field("1 for the A/A control, else 0", isin=(0, 1))
    p50_s: Series[float] = frames.measure("Median round trip of 100 bytes, when due", "s")
    p99_s: Series[float] = frames.measure("99th percentile of it", "s")
    cpu_s: Series[float] = frames.measure("CPU time of both per round trip", "s")
    ready_s: Series[float] = frames.measure(
        "From the start of the first container to the sidecar's first answer", "s"
    )
    memory_bytes: Series[float] = frames.measure(
        "Anonymous memory of all processes in it, and of those that the engine runs for each "
        "container",
        "B",
    )
    sees_processes: Series[float] = _whether("the sidecar sees the application's process")
    sees_environment: Series[float] = _whether("it reads its environment")
    sees_files: Series[float] = _whether("it sees a file that the application made")
    sees_memory: Series[float] = _whether("it finds its shared memory (System V)")
    sees_sockets: Series[float] = _whether("it sees that the application listens")
    seen: Series[float] = frames.measure("How many of these five are so")
    binds: Series[float] = _whether("it can listen on the application's port, too")
    lives_crash: Series[float] = _whether("it runs on when the application was killed")
    lives_oom: Series[float] = _whether(
        "it runs on when the out-of-memory killer took the application"
    )
    lives_restart: Series[float] = _whether(
        "it runs on and reaches the application when that was restarted"
    )
    lives_upgrade: Series[float] = _whether(
        "it runs on and reaches the application when that was removed and made anew"
    )


def check_row(row: guards.Row) -> None:
    """Validate that a trial has what it is for, and quantiles in order.

    Raises
    ------
    DataError
    """
    guards.needs(row, NEEDS[str(row["task"])])
    guards.no_zeros(row, NEEDS[TRIPS])
    guards.increasing(row, ["p50_s", "p99_s"])


def check(trials: pd.DataFrame) -> None:
    """Validate that nothing took longer than its trial.

    Raises
    ------
    DataError
        A unit was lost: milliseconds are called seconds.
    """
    guards.fits(trials, ["p99_s", "ready_s"])
