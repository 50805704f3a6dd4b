"""The tables of `limits`, and what holds in each row of its trials."""

from __future__ import annotations

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.stats import guards

HOGS = ("none", "idle", "fork", "memory", "compute", "write")
NEEDS = {"fork": ("tasks", "newcomer"), "memory": ("taken_bytes",), "write": ("wrote_bit_per_s",)}
"""Hog -> the measures without which its trial has failed."""


class Trials(frames.Trials):
    """One victim that answers a hundred requests a second, beside one hog."""

    hog: Series[str] = frames.field("What the neighbour takes", isin=HOGS)
    limited: Series[int] = frames.field("1 if Docker limits the neighbour, else 0", isin=(0, 1))
    sampled: Series[int] = frames.field("1 if each request is kept, else 0", isin=(0, 1))
    replicate: Series[int] = frames.field("1 for the A/A control, else 0", isin=(0, 1))
    requests: Series[float] = frames.measure("Requests due while the neighbour ran")
    failed: Series[float] = frames.measure("Of these, those without an answer")
    p50_s: Series[float] = frames.measure("Median latency of the answered ones, when due", "s")
    p90_s: Series[float] = frames.measure("90th percentile of that latency", "s")
    tasks: Series[float] = frames.measure("Tasks that the neighbour had in the end")
    refused_s: Series[float] = frames.measure("Neighbour's start until its first refused fork", "s")
    taken_bytes: Series[float] = frames.measure("Memory that the neighbour had written to", "B")
    killed: Series[float] = frames.measure("1 if the neighbour was killed meanwhile, else 0")
    wrote_bit_per_s: Series[float] = frames.measure("Written by the neighbour", "bit/s")
    newcomer: Series[float] = frames.measure("1 if another container could be started, else 0")
    removed_s: Series[float] = frames.measure("Removing the neighbour with all its tasks", "s")
    machine_gap_s: Series[float] = frames.measure(
        "Longest gap in a heartbeat of the machine itself, 50 a second", "s"
    )


class Beats(frames.OfTrial):
    """Single requests of the trials that were sampled."""

    hog: Series[str] = frames.field("What the neighbour takes")
    limited: Series[int] = frames.field("1 if Docker limits the neighbour, else 0")
    t_s: Series[float] = frames.field("When it was due, since the neighbour's start", "s", ge=-60)
    latency_s: Series[float] = frames.field(
        "From then until it was answered; empty if it failed", "s", nullable=True, ge=0
    )


TABLES = {"beats": Beats}


def check_row(row: guards.Row) -> None:
    """Validate that a trial has what it is for, and that its numbers can be.

    Raises
    ------
    DataError
        A measure is missing, more failed than was due, quantiles are out of order, or the
        machine's own heartbeat stopped.
    """
    guards.needs(row, ["requests", "failed", "machine_gap_s"])
    guards.no_zeros(row, ["requests"])
    guards.inside(row, ["failed"], most=guards.number(row, "requests"))
    guards.increasing(row, ["p50_s", "p90_s"])
    guards.needs(row, NEEDS.get(str(row["hog"]), ()))


def check(trials: pd.DataFrame) -> None:
    """Validate that nothing took longer than its trial.

    Raises
    ------
    DataError
        A unit was lost: milliseconds are called seconds.
    """
    guards.fits(trials, ["p90_s", "refused_s", "removed_s", "machine_gap_s"])
