"""The claims of `storage`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger

NAME = "storage"
NEW_FILE = 1.25
"""Ours: up to so much a new file takes as long as in a volume."""
SHARED_BYTES = 500_000
"""Ours: a first write that writes no more than this to the disk has copied no file of 100 MB."""
SHORT = 0.05
"""Of a file that was copied, at most so much is missing from what was written."""

SELECTING = from_ledger(
    "C20",
    decides="storage drivers that were named beforehand as far apart, each in an engine of its own "
    "on a fresh disk of one size: whether they differ on first writes, small files, starts and "
    "space; holds if they differ on all of these, in the direction named",
)


def _part(part: str, text: str, decides: str) -> Claim:
    return Claim(f"{SELECTING.id}/{part}", text, "derived", decides, NAME)


FIRST_WRITE = _part(
    "first-write",
    "the first write into a large file of an image takes longer with overlay2 on ext4 than on XFS "
    "with reflinks",
    "opening a file of 100 MB of the image, writing a byte and fsync, overlay2 on ext4 over "
    "overlay2 on XFS with reflinks, ratio above 1",
)
SMALL_FILES = _part(
    "small-files",
    "making, asking for and removing small files takes longer with fuse-overlayfs than with "
    "overlay2",
    "5,000 files made, asked for and removed, fuse-overlayfs over overlay2 on ext4, ratio above 1",
)
START = _part(
    "start",
    "a first container takes longer to start with vfs than with overlay2",
    "asking for the first container of an image of 113 MB until its first output, vfs over "
    "overlay2 on ext4, ratio above 1",
)
SPACE = _part(
    "space",
    "ten containers take more room with vfs than with overlay2",
    "room taken by ten containers of one image, the least with vfs against the most with overlay2 "
    "on ext4",
)
COPY = Claim(
    "storage-volume-first-write",
    "in a volume the first write into a large file takes less time than in an image",
    "ours",
    "opening a file of 100 MB, writing a byte and fsync, overlay2 on ext4 over a volume on the "
    "same disk, ratio above 1",
    NAME,
)
NEW = Claim(
    "storage-volume-new-file",
    f"writing a new file takes no more than {NEW_FILE:g} times as long with overlay2 as in a "
    "volume",
    "ours",
    "100 MB written in a row and fsync, overlay2 on ext4 over a volume on the same disk, ratio "
    f"below {NEW_FILE:g}",
    NAME,
)
REFLINKS = Claim(
    "storage-reflinks",
    "on XFS the first write into a file of 100 MB copies it without reflinks, and none of it with "
    "them",
    "ours",
    "bytes that overlay2 on XFS writes to the disk for it: with reflinks at most "
    f"{SHARED_BYTES} (ours), without them at least the file, to {SHORT:.0%}",
    NAME,
)
