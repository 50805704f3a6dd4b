"""The tables of `layers`, and what holds in every row."""

from __future__ import annotations

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames, stats
from caveatlib.errors import DataError
from caveatlib.experiments.layers.designs import LINKS, on_link
from caveatlib.experiments.layers.tables import moves, way
from caveatlib.experiments.layers.workloads import INSIDE, MOVES, PUBLISHED
from caveatlib.instruments.registry import BURST_BYTES
from caveatlib.stats import guards


class Trials(frames.Trials):
    """One image read or run, or one image or disk moved."""

    work: Series[str] = frames.field("What is done", isin=(*INSIDE, *MOVES, *PUBLISHED))
    content_bytes: Series[int] = frames.field(
        "Files that are moved; 0 if none are, or those of a published machine", "B", ge=0
    )
    link_bit_per_s: Series[float] = frames.field(
        "Rate of the link; 0 if it has no limit", "bit/s", ge=0
    )
    replicate: Series[int] = frames.field("1 for the A/A control, else 0", isin=(0, 1))

    size_bytes: Series[float] = frames.measure("Files of all layers", "B")
    visible_bytes: Series[float] = frames.measure("Files that a container sees", "B")
    files: Series[float] = frames.measure("Number of entries that a container sees")
    executables: Series[float] = frames.measure("Number of files with an execute bit")
    setuid_files: Series[float] = frames.measure("Number of files with the setuid bit")
    shells: Series[float] = frames.measure("Number of shells, known by their names")
    package_managers: Series[float] = frames.measure("Number of package managers, by their names")
    interpreters: Series[float] = frames.measure("Number of interpreters, by their names")
    packages: Series[float] = frames.measure("Number of installed packages")
    owned_share: Series[float] = frames.measure("Share of the bytes that a package owns", le=1)
    extras_share: Series[float] = frames.measure(
        "Share of the bytes in documentation, man pages, locales and caches", le=1
    )
    olives: Series[float] = frames.measure(
        "Number of files that differ from what the image's package database says"
    )
    shell_olives: Series[float] = frames.measure("Number of these that are /bin/sh")

    served: Series[float] = frames.measure("1 if the page came as it is in the image, else 0", le=1)
    kernel: Series[str] = frames.field(
        "Release of the kernel that an answer came from, its first two numbers",
        nullable=True,
        later=True,
    )
    opened_files: Series[float] = frames.measure("Number of files of the image that were opened")
    opened_bytes: Series[float] = frames.measure("Sum of the sizes of the files opened", "B")
    opened_file_share: Series[float] = frames.measure("Files opened over all files", le=1)
    opened_byte_share: Series[float] = frames.measure(
        "Sizes of the files opened over those of all files", le=1
    )
    opened_others: Series[float] = frames.measure(
        "Number of files opened besides the program and its page"
    )

    moved_s: Series[float] = frames.measure("Request until everything was on the disk", "s")
    moved_bytes: Series[float] = frames.measure("Bytes sent over the link", "B")
    engine_moves: Series[float] = frames.measure(
        "Moves that the engine had made before", later=True
    )
    stored_bytes: Series[float] = frames.measure(
        "Files of what was moved, where it arrived: of an image unpacked, of a machine as it came",
        "B",
        later=True,
    )


class Packages(frames.OfTrial):
    """The packages of an image, by its own databases."""

    manager: Series[str] = frames.field("Package manager")
    name: Series[str] = frames.field("Name, percent-escaped")
    version: Series[str] = frames.field("Version, percent-escaped")
    installed_bytes: Series[float] = frames.measure("Size that the database states", "B")


class Opened(frames.OfTrial):
    """The files of an image that were opened."""

    path: Series[str] = frames.field("Path in the image, percent-escaped")
    size_bytes: Series[int] = frames.field("Size of the file", "B", ge=0)


TABLES = {"packages": Packages, "opened": Opened}

NEEDS = {
    "contents": ("size_bytes", "files", "executables", "owned_share"),
    "planted": ("olives", "shell_olives"),
    "opened": ("served", "opened_bytes", "opened_byte_share", "opened_others"),
    "answer": ("served",),
    **dict.fromkeys(MOVES, ("moved_s", "moved_bytes")),
    **dict.fromkeys(PUBLISHED, ("moved_s", "moved_bytes", "stored_bytes")),
}
"""Kind of work -> the measures without which its trial has failed."""
MOVED_SHARE = 0.01, 20.0
"""Bytes sent over those of the files: with the base layer there 6 %, of the smallest disk, which
has room to spare, five times as many."""

COLD = tuple(
    stats.Contrast(
        f"nothing there over the base layer there, {on_link(link)}",
        "slope_s_per_gb",
        way("pull", rate),
        way("pull-base-there", rate),
        pairing="session",
    )
    for link, rate in LINKS.items()
)


def check_row(row: guards.Row) -> None:
    """Validate that all is there, and that nothing moves faster than its link, or in no time.

    Raises
    ------
    DataError
        A measure is missing, the link had no limit, or the bytes are another trial's.
    """
    guards.needs(row, NEEDS[str(row["work"])])
    guards.no_zeros(row, ["moved_s", "moved_bytes", "stored_bytes", "size_bytes", "files"])
    moved_s, moved_bytes = guards.number(row, "moved_s"), guards.number(row, "moved_bytes")
    share = {
        "moved_bytes over content_bytes": guards.ratio(
            moved_bytes, guards.number(row, "content_bytes")
        )
    }
    if row["work"] in MOVES:
        guards.inside(share, list(share), least=MOVED_SHARE[0], most=MOVED_SHARE[1])
    rate = guards.number(row, "link_bit_per_s")
    if rate > 0 and moved_s < (least := (moved_bytes - BURST_BYTES) * 8 / rate):
        raise DataError(
            f"Value {moved_s:g} of 'moved_s' is less than {moved_bytes:g} bytes take on the link. "
            f"Must be at least {least:.4g} s."
        )


def check(trials: pd.DataFrame) -> None:
    """Validate that cold pulls are not faster than warm ones, and none outlasts its trial.

    Raises
    ------
    DataError
        Something was there that should not have been, or a unit was lost.
    """
    guards.fits(trials, ["moved_s"])
    table = moves(trials)
    for cold in COLD:
        guards.cold_not_faster(table, cold)
