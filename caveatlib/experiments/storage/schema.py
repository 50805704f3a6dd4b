"""The tables of `storage`, and what holds in each row of its trials."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.errors import DataError
from caveatlib.experiments.storage.bench import FILES, NEW_BYTES
from caveatlib.stats import guards

FIRST = {size: f"first_write_{name}_s" for name, size in FILES.items()}
"""Bytes of a file of the image -> the column that has what its first write took."""
LARGE_BYTES = FILES["100"]
LARGE = FIRST[LARGE_BYTES]
COLD = 0.95
"""A file was read from the disk if so much of it was, at least."""


class Trials(frames.Trials):
    """One engine on a fresh disk, and what its first container does there."""

    replicate: Series[int] = frames.field("1 for the A/A control, else 0", isin=(0, 1))
    create_s: Series[float] = frames.measure("Creating the first container of the image", "s")
    first_output_s: Series[float] = frames.measure("Of it, from asking for it to its output", "s")
    first_write_1_s: Series[float] = frames.measure(
        "Opening a file of 1 MB of the image, writing one byte, fsync", "s"
    )
    first_write_10_s: Series[float] = frames.measure("The same of a file of 10 MB", "s")
    first_write_100_s: Series[float] = frames.measure("The same of a file of 100 MB", "s")
    copied_bytes: Series[float] = frames.measure("Written to the disk for that of 100 MB", "B")
    create_files_s: Series[float] = frames.measure(
        "Creating 5,000 empty files in a folder, and fsync of it", "s"
    )
    stat_files_s: Series[float] = frames.measure("A stat of each", "s")
    unlink_files_s: Series[float] = frames.measure("Removing each, and fsync of the folder", "s")
    files_s: Series[float] = frames.measure("These three together", "s")
    write_s: Series[float] = frames.measure("Writing a new file of 100 MB in a row, and fsync", "s")
    flush_s: Series[float] = frames.measure("Of that, the fsync", "s")
    read_s: Series[float] = frames.measure("Reading it, no longer in the page cache", "s")
    read_bytes: Series[float] = frames.measure("Meanwhile read from the disk", "B")
    space_bytes: Series[float] = frames.measure("Room that ten more containers take", "B")
    space_images: Series[float] = frames.measure("The same over the size of their image")
    direct: Series[float] = frames.measure(
        "1 if the disk passes the machine's page cache by, else 0", le=1
    )


class FirstWrites(frames.OfTrial):
    """The steps of each first write into a file of the image."""

    replicate: Series[int] = frames.field("1 for the A/A control, else 0")
    file_bytes: Series[int] = frames.field("Size of the file", "B")
    open_s: Series[float] = frames.field("Opening it to write", "s", ge=0)
    write_s: Series[float] = frames.field("Writing one byte", "s", ge=0)
    fsync_s: Series[float] = frames.field("Its fsync", "s", ge=0)


SMALL = ("create_files_s", "stat_files_s", "unlink_files_s")
TABLES = {"first_writes": FirstWrites}
TIMES = (
    *("create_s", "first_output_s", *FIRST.values()),
    *(*SMALL, "files_s", "write_s", "flush_s", "read_s"),
)


def check_row(row: guards.Row) -> None:
    """Require all that a trial is for, and that what is called cold was read from the disk.

    Raises
    ------
    DataError
    """
    guards.needs(row, [*TIMES, "copied_bytes", "read_bytes", "space_bytes", "space_images"])
    guards.no_zeros(row, TIMES)
    guards.increasing(row, ["create_s", "first_output_s"])
    guards.increasing(row, ["flush_s", "write_s"])
    three = sum(guards.number(row, name) for name in SMALL)
    if not math.isclose(guards.number(row, "files_s"), three, rel_tol=1e-6):
        raise DataError(f"Value {row['files_s']} of 'files_s'. Must be the sum, {three:g}.")
    read = guards.number(row, "read_bytes")
    if read < COLD * NEW_BYTES:
        raise DataError(
            f"{read:g} of {NEW_BYTES} bytes were read from the disk. Must be all of them: the file "
            "was in a cache."
        )


def check(trials: pd.DataFrame) -> None:
    """Require that nothing took longer than its trial.

    Raises
    ------
    DataError
        A unit was lost: milliseconds are called seconds.
    """
    guards.fits(trials, TIMES)


def check_tables(tables: Mapping[str, pd.DataFrame]) -> None:
    """Require that the steps of each first write are what its trial has of it.

    Raises
    ------
    DataError
    """
    key = ["run", "design", "block", "place", "replicate"]
    steps = tables["first_writes"]
    took = steps["open_s"] + steps["write_s"] + steps["fsync_s"]
    for size, column in FIRST.items():
        of = steps["file_bytes"] == size
        told = steps.loc[of, key].assign(told=took[of])
        good = tables["trials"][tables["trials"]["ok"]].reset_index()
        both = good.merge(told, on=key, how="left")
        wrong = ~np.isclose(both[column].astype(float), both["told"].astype(float), rtol=1e-6)
        if wrong.any():
            row = both[wrong].iloc[0]
            raise DataError(
                f"Value {row[column]:g} of {column!r} in row {row['index']} is not what its steps "
                f"make, {row['told']:g} s. Must be their sum."
            )
