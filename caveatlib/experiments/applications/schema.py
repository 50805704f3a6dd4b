"""The table of `applications`, and what holds in every row."""

from __future__ import annotations

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.errors import DataError
from caveatlib.experiments.applications.catalogue import MARKS
from caveatlib.experiments.applications.designs import (
    BASES,
    CONTENTS,
    DEPLOYMENT,
    LINKS,
    NO_LINK,
    WORKLOAD,
)
from caveatlib.instruments.registry import BURST_BYTES
from caveatlib.stats import guards


class Trials(frames.Trials):
    """One image read, its application asked its workload, or both pulled and started."""

    work: Series[str] = frames.field("What is done", isin=(CONTENTS, WORKLOAD, DEPLOYMENT))
    base: Series[str] = frames.field("What the application is installed on", isin=tuple(BASES))
    link: Series[str] = frames.field("Link to the registry", isin=(NO_LINK, *LINKS))
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

    answered: Series[float] = frames.measure("Number of requests that were answered as they should")
    first_answer_s: Series[float] = frames.measure(
        "Starting the container until its server accepts a connection", "s"
    )
    workload_s: Series[float] = frames.measure("The workload", "s")
    marks_seen: Series[float] = frames.measure(
        "Number of files without use reported as opened, after some were opened on purpose",
        le=MARKS,
    )
    opened_files: Series[float] = frames.measure("Number of files of the image that were opened")
    opened_bytes: Series[float] = frames.measure("Sum of their sizes in the image", "B")
    opened_executables: Series[float] = frames.measure("Number of these with an execute bit")
    opened_file_share: Series[float] = frames.measure("Files opened over all files", le=1)
    opened_byte_share: Series[float] = frames.measure(
        "Sizes of the files opened over those of all files", le=1
    )
    opened_executable_share: Series[float] = frames.measure(
        "Files with an execute bit that were opened over all of them", le=1
    )

    pulled_s: Series[float] = frames.measure("Asking for the image until it was pulled", "s")
    deployed_s: Series[float] = frames.measure(
        "The same until its server accepted a connection", "s"
    )
    moved_bytes: Series[float] = frames.measure("Bytes sent over the link", "B")


NEEDS = {
    CONTENTS: ("visible_bytes", "executables", "setuid_files", "shells", "packages", "owned_share"),
    WORKLOAD: ("answered", "opened_byte_share", "opened_executable_share", "marks_seen"),
    DEPLOYMENT: ("pulled_s", "deployed_s", "moved_bytes"),
}
"""Kind of work -> the measures without which its trial has failed."""


def check_row(row: guards.Row) -> None:
    """Validate that all is there, that no server opened nothing, and no link was outrun.

    Raises
    ------
    DataError
        A measure is missing, a count is zero, or the link had no limit.
    """
    guards.needs(row, NEEDS[str(row["work"])])
    guards.no_zeros(row, ["visible_bytes", "files", "packages", "answered", "opened_bytes"])
    guards.no_zeros(row, ["pulled_s", "deployed_s", "moved_bytes"])
    guards.increasing(row, ["pulled_s", "deployed_s"])
    if row["work"] == DEPLOYMENT:
        rate, pulled_s = LINKS[str(row["link"])], guards.number(row, "pulled_s")
        least = (guards.number(row, "moved_bytes") - BURST_BYTES) * 8 / rate
        if pulled_s < least:
            raise DataError(
                f"Value {pulled_s:g} of 'pulled_s' is less than its bytes take on the link. "
                f"Must be at least {least:.4g} s."
            )


def check(trials: pd.DataFrame) -> None:
    """Validate that neither a workload nor a deployment outlasts its trial.

    Raises
    ------
    DataError
        A unit was lost.
    """
    guards.fits(trials, ["first_answer_s", "workload_s", "deployed_s"])
