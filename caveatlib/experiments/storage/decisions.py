"""What decides the claims of `storage`, its controls, and the answer in words."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import DECIDED, FAILS, HOLDS, Effect, Fact, Finding, Reading, Verdict
from caveatlib.claims.calibration import Known, aa_controls
from caveatlib.experiments.kit.sentences import per_machine
from caveatlib.experiments.storage import claims as stated
from caveatlib.experiments.storage.designs import (
    COPYING,
    EXT4,
    FUSE,
    OTHERS,
    VFS,
    VOLUME,
    XFS,
    where,
)
from caveatlib.experiments.storage.schema import LARGE, LARGE_BYTES
from caveatlib.experiments.storage.tables import OPERATIONS, extremes
from caveatlib.support.quantities import format_quantity

Rows = pd.DataFrame
WORDS = ("Longer", "Shorter")
IN_WORDS = {
    LARGE: ("The first write into a file of 100 MB of the image", "is fastest", "slowest"),
    "files_s": ("Making, asking for and removing 5,000 files", "is fastest", "slowest"),
    "write_s": ("Writing a new file of 100 MB", "is fastest", "slowest"),
    "first_output_s": ("A first container", "starts fastest", "slowest"),
    "space_bytes": ("Ten containers", "take least room", "most"),
}
"""Operation -> what it is called, and how the best driver and the worst are introduced."""
TOLERANCE = 0.1
LAYERS = 20
"""Copies of the image that vfs makes for ten containers: of each one's files, and of the layer
below them, in which Docker puts its /etc/hosts and the like."""


def _contrast(name: str, measure: str, one: dict, other: dict | None = None, **options):
    return stats.Contrast(name, measure, one, other, **options)


def _effect(claim, measure: str, one: dict, other: dict, *, label: str, **options) -> Effect:
    return Effect(
        claim=claim,
        contrast=_contrast(claim.id, measure, one, other),
        words=WORDS,
        null=_contrast(
            f"overlay2 on ext4 twice: {OPERATIONS[measure]}",
            measure,
            where(EXT4, replicate=1),
            where(EXT4),
        ),
        label=label,
        **options,
    )


_ROOM = tuple(Reading(where(place), "space_bytes") for place in (VFS, EXT4))


def _takes_more_room(here: Rows) -> Finding:
    """Find whether the least that vfs takes is more than the most that overlay2 takes."""
    vfs, overlay = (claims.values_of(here, r.where, r.column) for r in _ROOM)
    line = (
        f"Ten containers take at least {format_quantity(vfs.min(), 'B')} with vfs, at most "
        f"{format_quantity(overlay.max(), 'B')} with overlay2"
    )
    word = HOLDS if vfs.min() > overlay.max() else FAILS
    return Finding(word, line, f"{line}.", len(vfs))


_COPIED = tuple(Reading(there, "copied_bytes") for there in (where(XFS), where(COPYING, OTHERS)))


def _only_copied_without(here: Rows) -> Finding:
    """Find whether a first write copies the file without reflinks, and none of it with them."""
    shared, copied = (claims.values_of(here, r.where, r.column) for r in _COPIED)
    line = (
        f"A first write writes at most {format_quantity(shared.max(), 'B')} with reflinks, at "
        f"least {format_quantity(copied.min(), 'B')} without"
    )
    none = shared.max() <= stated.SHARED_BYTES
    whole = copied.min() >= (1 - stated.SHORT) * LARGE_BYTES
    return Finding(HOLDS if none and whole else FAILS, line, f"{line}.", len(shared))


def _say(here: Rows, verdict: Verdict | None = None) -> str:
    """Say of each operation which driver takes least, and which most, if they differ."""
    said = []
    for row in extremes(here).to_dict("records"):
        what, *ends = IN_WORDS.get(row["column"], ("",))
        if what and row["differ"]:
            base = format_quantity(row["base"], "B" if row["column"].endswith("_bytes") else "s")
            least, most = ends
            said.append(
                f"{what} {least} with {row['least']} ({row['least_ratio']:.2g}x the {base} of "
                f"overlay2 on ext4), {most} with {row['most']} ({row['most_ratio']:.2g}x)."
            )
        elif what:
            said.append(f"{what}: no driver is found to differ from another.")
    return " ".join(said)


def _times(what: str, ways: str):
    """Return what says a ratio of times aloud, what takes it before and the two ways behind it."""

    def say(here: Rows, verdict: Verdict) -> str:
        if verdict.verdict not in DECIDED:
            return ""
        times = f"{verdict.effect:.{1 if verdict.effect < 10 else 0}f}"
        return f"{what} {times} times as long {ways}."

    return say


DECISIONS = (
    _effect(
        stated.SELECTING,
        LARGE,
        where(EXT4),
        where(XFS),
        direction="greater",
        label="first write to 100 MB: overlay2 on ext4, over XFS with reflinks",
        say=_say,
    ),
    _effect(
        stated.SMALL_FILES,
        "files_s",
        where(FUSE),
        where(EXT4),
        direction="greater",
        label="5,000 small files: fuse-overlayfs over overlay2",
        say=_times(
            "Making, asking for and removing 5,000 small files takes",
            "with fuse-overlayfs as with overlay2",
        ),
    ),
    _effect(
        stated.START,
        "first_output_s",
        where(VFS),
        where(EXT4),
        direction="greater",
        label="first start: vfs over overlay2",
        say=_times("A first container takes", "to start with vfs as with overlay2"),
    ),
    Fact(claim=stated.SPACE, readings=_ROOM, find=_takes_more_room),
    _effect(
        stated.COPY,
        LARGE,
        where(EXT4, OTHERS),
        where(VOLUME, OTHERS),
        direction="greater",
        label="first write to 100 MB: overlay2 over a volume",
        say=_times("The first write into a file of 100 MB takes", "in an image as in a volume"),
    ),
    _effect(
        stated.NEW,
        "write_s",
        where(EXT4, OTHERS),
        where(VOLUME, OTHERS),
        direction="less",
        at_most=stated.NEW_FILE,
        label="a new file of 100 MB: overlay2 over a volume",
        say=_times("Writing a new file of 100 MB takes", "on overlay2 as in a volume"),
    ),
    Fact(claim=stated.REFLINKS, readings=_COPIED, find=_only_copied_without),
)


def _known(name: str, measure: str, one: dict, truth: float) -> Known:
    return Known(
        name=name,
        contrast=_contrast(name, measure, one, kind="difference"),
        truth=truth,
        within=TOLERANCE,
    )


KNOWN = (
    _known("bytes copied up on ext4", "copied_bytes", where(EXT4), LARGE_BYTES),
    _known(
        "bytes copied up on XFS without reflinks",
        "copied_bytes",
        where(COPYING, OTHERS),
        LARGE_BYTES,
    ),
    _known("images that ten containers of vfs take", "space_images", where(VFS), LAYERS),
)
CONTROLS = aa_controls(DECISIONS)


@per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say what the trials of each machine show."""
    return _say(trials)
