"""The claims of `storage`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger
from caveatlib.experiments.kit.sentences import CLASSIC_STORE
from caveatlib.support.quantities import percent

NAME = "storage"
NEW_FILE = 1.25
"""Ours: up to so much a new file takes as long as in a volume."""
SHARED_BYTES = 500_000
"""Ours: a first write that writes no more than this to the disk has copied no file of 100 MB."""
SHORT = 0.05
"""Of a file that was copied, at most so much is missing from what was written."""
_FIRST_WRITE = "opening a file of 100 MB of the image, writing one byte and fsync"

SELECTING = from_ledger(
    "C20",
    decides=f"whether it matters on a workload that was named beforehand, {_FIRST_WRITE}, with one "
    "driver on two file systems: overlay2 on ext4 over overlay2 on XFS with reflinks, ratio above "
    f"1; other workloads and drivers are told beside it; {CLASSIC_STORE}",
)


def _ours(name: str, text: str, decides: str) -> Claim:
    return Claim(f"{NAME}-{name}", text, "ours", decides, NAME)


SMALL_FILES = _ours(
    "small-files",
    "making, asking for and removing small files takes longer with fuse-overlayfs than with "
    "overlay2",
    "5,000 files made, asked for and removed, fuse-overlayfs over overlay2 on ext4, ratio above 1",
)
START = _ours(
    "start",
    "a first container takes longer to start with vfs than with overlay2",
    "asking for the first container of an image of 113 MB until its first output, vfs over "
    "overlay2 on ext4, ratio above 1",
)
SPACE = _ours(
    "space",
    "ten containers take more room with vfs than with overlay2",
    "room taken by ten containers of one image, the least with vfs against the most with overlay2 "
    "on ext4",
)
REFLINKS = _ours(
    "reflinks",
    "on XFS the first write into a file of 100 MB copies it without reflinks, and none of it with "
    "them",
    "bytes that overlay2 on XFS writes to the disk for it: with reflinks at most "
    f"{SHARED_BYTES} (ours), without them at least the file, to {percent(SHORT)}",
)
COPY = _ours(
    "volume-first-write",
    "the first write into a large file takes longer in an image than in a volume",
    f"{_FIRST_WRITE}, overlay2 on ext4 over the same in a volume on that disk, ratio above 1",
)
NEW = _ours(
    "volume-new-file",
    f"writing a new file takes no more than {NEW_FILE:g} times as long with overlay2 as in a "
    "volume",
    "100 MB written in a row and fsync, overlay2 on ext4 over a volume on that disk, ratio below "
    f"{NEW_FILE:g}",
)
