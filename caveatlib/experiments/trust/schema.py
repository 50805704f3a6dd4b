"""The tables of `trust`, and what holds in every row."""

from __future__ import annotations

from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.errors import DataError
from caveatlib.experiments.trust.planted import BY, HISTORIES, PLANTS
from caveatlib.experiments.trust.tampering import CONTROLS, FORMS, PARTS, TAMPERINGS
from caveatlib.experiments.trust.words import CHECKS
from caveatlib.stats import guards

FETCH, PLANTED, UPDATES, PUBLISHED = "fetch", "planted", "updates", "published"
NONE = "none"
"""Stands for a condition that the work does not have."""


class Trials(frames.Trials):
    """One image asked for in one form, or looked into."""

    work: Series[str] = frames.field("What is done", isin=(FETCH, PLANTED, UPDATES, PUBLISHED))
    form: Series[str] = frames.field(
        "How the image is asked for, or what its history says, which we wrote ('as built': it "
        "names the steps as a build would)",
        isin=(*FORMS, *HISTORIES, NONE),
    )
    tampering: Series[str] = frames.field("What was changed in the store", isin=(*TAMPERINGS, NONE))
    part: Series[str] = frames.field("Which part that is of", isin=(*PARTS, NONE))
    image_age_s: Series[float] = frames.field(
        "Age of the image whose updates are counted", "s", ge=0
    )

    accepted: Series[float] = frames.measure("1 if the tool took the image, 0 if it refused", le=1)
    same_content: Series[float] = frames.measure(
        "1 if what the tool then held, or vouched for, is what was published, else 0", le=1
    )
    check: Series[str] = frames.field(
        "Which check refused the image, by the tool's words", isin=CHECKS, nullable=True
    )
    altered_bytes: Series[float] = frames.measure("Bytes of the store that were changed", "B")
    left_files: Series[float] = frames.measure(
        "Layers, packed or not, that lay on the disk after a refusal; of Docker when it had "
        "removed what it had unpacked, or after 3 s. What was written meanwhile is not in it"
    )
    took_s: Series[float] = frames.measure("Asking the tool until its answer", "s")

    named: Series[float] = frames.measure(
        "Number of planted things that the tool named", le=len(PLANTS)
    )
    false_alarms: Series[float] = frames.measure(
        "1 if it named one where nothing was planted, else 0", le=1
    )

    security_uploads: Series[float] = frames.measure(
        "Security uploads named in the image's changelogs"
    )
    security_sources: Series[float] = frames.measure("Source packages that these are of")
    covered_s: Series[float] = frames.measure("Time that the changelogs cover since release", "s")
    lacking_share: Series[float] = frames.measure(
        "Share of the days on which an image of this age lacked a security update", le=1
    )
    lacking_mean: Series[float] = frames.measure(
        "Security uploads that an image of this age lacked, mean over the days"
    )
    index_pending: Series[float] = frames.measure(
        "Packages of the image of which apt's security index has a newer version"
    )
    index_agreement: Series[float] = frames.measure(
        "Share of the sources with security uploads that apt's security index lists", le=1
    )
    index_named: Series[float] = frames.measure(
        "Share of the installed sources, as new as apt's security index has them, of which the "
        "changelogs name a security upload",
        le=1,
        later=True,
    )
    built_age_s: Series[float] = frames.measure("Age of the image itself", "s")

    images: Series[float] = frames.measure("Images that were read")
    unreadable: Series[float] = frames.measure("Files that hold no image, or a broken one")
    comparable: Series[float] = frames.measure("Images that hold a list of packages")
    differing: Series[float] = frames.measure(
        "Images with a file that differs from what its package says, or a script as /bin/sh"
    )


class Planted(frames.OfTrial):
    """One thing planted in an image."""

    plant: Series[str] = frames.field("What was planted", isin=PLANTS)
    named_by: Series[str] = frames.field("Where the tool named it; empty if it did not",
                                         isin=(*BY, ""))  # fmt: skip


class Updates(frames.OfTrial):
    """A security upload that the image's changelogs name."""

    source_package: Series[str] = frames.field("Source package")
    version: Series[str] = frames.field("Version")
    uploaded_on: Series[str] = frames.field("Day of the upload, in UTC")


class Published(frames.OfTrial):
    """An image that somebody published."""

    image: Series[str] = frames.field("Package and file that ship it; a number if it was named")
    readable: Series[int] = frames.field("1 if it could be read, else 0", isin=(0, 1))
    layers: Series[float] = frames.measure("Number of layers")
    size_bytes: Series[float] = frames.measure("Files of all layers", "B")
    packages: Series[float] = frames.measure("Number of installed packages")
    differing_files: Series[float] = frames.measure("Files that differ from what packages say")
    shell_scripts: Series[float] = frames.measure("1 if /bin/sh is not a binary program, else 0")
    secrets: Series[float] = frames.measure("Files that look like secrets")
    setuid_files: Series[float] = frames.measure("Files with the setuid bit")


TABLES = {"planted": Planted, "updates": Updates, "published": Published}


def check_row(row: guards.Row) -> None:
    """Validate that a store was changed where it should be, and nowhere else.

    Raises
    ------
    DataError
        A tampering changed nothing, a control something, or a refusal names no check.
    """
    if row["work"] != FETCH:
        return
    altered = guards.number(row, "altered_bytes")
    if (altered > 0) == (row["tampering"] in CONTROLS):
        raise DataError(
            f"{row['tampering']!r} changed {altered:g} bytes. Must be "
            f"{'0' if row['tampering'] in CONTROLS else 'more than 0'}."
        )
    refused = guards.number(row, "accepted") == 0
    if refused != isinstance(row["check"], str):
        raise DataError(f"Check {row['check']!r} of an image that was "
                        f"{'refused' if refused else 'accepted'}.")  # fmt: skip
