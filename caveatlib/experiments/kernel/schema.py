"""The table of trials of `kernel`, and what holds in each of its rows."""

from __future__ import annotations

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.errors import DataError
from caveatlib.stats import guards

FAULTS = ("exit", "panic", "memory", "tmpfs", "tasks", "disk", "clock")
NEIGHBOURS = 3
CLOCK_RATES = (0.5, 2.0)
"""Between these an emulated guest's clock is its own; now and then one runs at several times the
host's, from its boot on."""
NEEDS = ("survivors", "harmed", "culprit_ended", "refused", "ready_s", "clock_rate", "host_gap_s")
"""Measures without which a trial has failed."""


class Trials(frames.Trials):
    """Four tenants, of which one does harm while its neighbours' heartbeats are read."""

    fault: Series[str] = frames.field("What one tenant does", isin=FAULTS)
    limited: Series[int] = frames.field(
        "1 with a limit on memory, tasks or space for each tenant, else 0", isin=(0, 1)
    )
    replicate: Series[int] = frames.field("1 for the A/A control, else 0", isin=(0, 1))
    accel: Series[str] = frames.field(
        "What runs the guests: kvm (hardware) or tcg (emulator)", nullable=True
    )
    survivors: Series[float] = frames.measure(
        "Neighbours whose heartbeat went on until the end of the watch", le=NEIGHBOURS
    )
    harmed: Series[float] = frames.measure(
        "Of the survivors, those with a gap of more than 1 s beyond twice any before, a failed "
        "fork or write, or a clock that moved",
        le=NEIGHBOURS,
    )
    none_survived: Series[float] = frames.measure("1 if no neighbour survived, else 0", le=1)
    all_survived: Series[float] = frames.measure("1 if every neighbour survived, else 0", le=1)
    all_unharmed: Series[float] = frames.measure(
        "1 if every neighbour survived and none was harmed, else 0", le=1
    )
    last_beat_s: Series[float] = frames.measure(
        "Fault until the last heartbeat of the neighbour that ended first, to about 0.1 s; empty "
        "if none ended",
        "s",
        ge=-1,
    )
    longest_gap_s: Series[float] = frames.measure(
        "Longest time between two heartbeats of a neighbour, after the fault and before its end",
        "s",
    )
    beat_s: Series[float] = frames.measure(
        "Median time between two heartbeats of the surviving neighbours after the fault", "s"
    )
    failed_forks: Series[float] = frames.measure("Forks that failed in neighbours after the fault")
    failed_writes: Series[float] = frames.measure(
        "Appends of 1 KiB that failed in neighbours after the fault"
    )
    clock_step_s: Series[float] = frames.measure(
        "Largest step of a neighbour's clock against the host's, either way", "s"
    )
    culprit_ended: Series[float] = frames.measure(
        "1 if the tenant that did harm ended by it, else 0", le=1
    )
    refused: Series[float] = frames.measure(
        "1 if its kernel refused what it tried, so that no fault happened, else 0", le=1
    )
    tasks: Series[float] = frames.measure("Tasks that the fork bomb reached, itself included")
    ready_s: Series[float] = frames.measure(
        "Start of the first guest until every tenant's heartbeat was there", "s"
    )
    clock_rate: Series[float] = frames.measure(
        "Seconds of the guests' clocks per second of the host's before the fault, the one "
        "farthest from 1"
    )
    host_gap_s: Series[float] = frames.measure(
        "Longest time between two heartbeats of the host itself, asked for every 0.05 s", "s"
    )


def check_row(row: guards.Row) -> None:
    """Validate that all is there, that counts agree, and that guests had sane clocks.

    Raises
    ------
    DataError
        Names the values.
    """
    guards.needs(row, NEEDS)
    guards.no_zeros(row, ["ready_s", "clock_rate"])
    survivors, harmed = row["survivors"], row["harmed"]
    told = (row["none_survived"], row["all_survived"], row["all_unharmed"])
    due = (survivors == 0, survivors == NEIGHBOURS, survivors == NEIGHBOURS and harmed == 0)
    if harmed > survivors or tuple(map(float, due)) != tuple(map(float, told)):
        raise DataError(
            f"{survivors:g} survivors, {harmed:g} of them harmed, and none, all, all unharmed "
            f"{told}. Must agree."
        )
    least, most = CLOCK_RATES
    if not least <= row["clock_rate"] <= most:
        raise DataError(
            f"A guest's clock ran at {row['clock_rate']:.2g} of the host's. Must be between "
            f"{least:g} and {most:g}."
        )


def check(trials: pd.DataFrame) -> None:
    """Validate that nothing took longer than its trial.

    Raises
    ------
    DataError
        A unit was lost: milliseconds are called seconds.
    """
    guards.fits(trials, ["ready_s", "last_beat_s", "longest_gap_s", "host_gap_s"])
