"""File systems of our own, each on a loop device in a mount namespace, that leave nothing.

The file of a disk lies in the folder of a lease. It is mounted within the namespaces of what uses
it (`mounted`), and the loop device goes with the mount; what is left of an owner that was killed
in between is the lease's (`leases`, `loops`).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caveatlib.errors import FAILURES, StorageError, UsageError
from caveatlib.places import cache, leases, privileges
from caveatlib.places.base import Capability
from caveatlib.support import programs
from caveatlib.support.privacy import scrub

# Nothing may be left to do in the background, nor be given back to the machine's own file system:
# inode tables are written now, and no block is discarded.
_FORMAT = {
    "ext4": ("-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"),
    "xfs": ("-q", "-f", "-K"),
    "btrfs": ("-q", "-f", "-K"),
}
PROGRAMS = {kind: f"mkfs.{kind}" for kind in _FORMAT}
PROBE_BYTES = 400 << 20
"""Of a sparse file; XFS takes no less than 300 MiB."""
FORMAT_S = 60.0
# The first line of what mount says is the reason; others are advice. Passing the page cache by, a
# block is not kept twice; where the machine's file system refuses that, it goes without.
_MOUNT = """
why=$(mount -t "$1" -o loop,nodiscard "$2" "$3" 2>&1) || { echo "$why" | head -n 1 >&2; exit 1; }
losetup --direct-io=on "$(findmnt -nvo SOURCE -M "$3")" 2>/dev/null
shift 3
exec "$@"
"""


@dataclass(frozen=True)
class Disk:
    """What file system to make.

    Attributes
    ----------
    kind : {"ext4", "xfs", "btrfs"}
    size_bytes : int
    options : tuple of str
        Further options of mkfs.
    """

    kind: str
    size_bytes: int
    options: tuple[str, ...] = ()

    def __post_init__(self):
        if self.kind not in _FORMAT:
            known = ", ".join(map(repr, _FORMAT))
            raise UsageError(f"Unknown file system {self.kind!r}. Must be one of {known}.")


def make(disk: Disk, file: Path) -> None:
    """Make a file with a file system in it, all of its blocks allocated.

    Else the first write to a block would have the machine's own file system look for room.

    Raises
    ------
    Unavailable
        If its mkfs is missing.
    MeasurementError
        If mkfs refuses.
    StorageError
        If there is no room for it.
    """
    sparse(disk, file)
    try:
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, disk.size_bytes)
    except OSError as error:
        raise StorageError(
            f"A disk of {disk.size_bytes >> 20} MiB cannot be made: {error.strerror}."
        ) from error


def sparse(disk: Disk, file: Path) -> None:
    """Make a file with a file system in it, which takes as much room as that wrote.

    Raises
    ------
    Unavailable
        If its mkfs is missing.
    MeasurementError
        If mkfs refuses.
    """
    with file.open("xb") as made:
        made.truncate(disk.size_bytes)
    mkfs = programs.need(PROGRAMS[disk.kind])
    programs.run([mkfs, *_FORMAT[disk.kind], *disk.options, str(file)], timeout_s=FORMAT_S)


def mounted(disk: Disk, file: Path, folder: Path, argv: Sequence[str]) -> list[str]:
    """Return the command that mounts a disk on a folder and goes on as another command.

    To be run in a mount namespace of its own: the loop device goes when the mount does.
    """
    return ["sh", "-c", _MOUNT, "sh", disk.kind, str(file), str(folder), *argv]


@functools.cache
def probe(kind: str) -> Capability:
    """Return whether a file system of this kind can be made and mounted here, by doing so."""
    name = f"{kind}-disk"
    if programs.find(PROGRAMS[kind]) is None:
        return Capability(name, False, f"missing: {PROGRAMS[kind]}", cache.PREPARE)
    try:
        with leases.leased() as lease:
            disk, file, folder = Disk(kind, PROBE_BYTES), lease.data / "disk", lease.data / "on"
            folder.mkdir()
            sparse(disk, file)
            alone = ["unshare", "--mount", "--propagation", "private"]
            programs.run([*alone, *mounted(disk, file, folder, ["true"])], what=f"mount {kind}")
    except FAILURES as error:
        return privileges.refused(name, scrub(error), needs=["CAP_SYS_ADMIN"])
    return Capability(name, True, f"{kind} can be mounted from a file")
