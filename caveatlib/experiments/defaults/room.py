"""How much one container may write: a limit on its folder, by project quotas of XFS.

``docker run --storage-opt size=...`` needs overlay2 on an XFS that is mounted with pquota. Docker
then makes the folder of a container a project and limits that (moby, quota/projectquota.go
@085c6a9). Here a guest does the same, with an overlay whose upper layer lies in that folder, and
twice the limit is written through the overlay, then through another one beside it.
"""

from __future__ import annotations

import functools
from pathlib import Path

from caveatlib.errors import MeasurementError
from caveatlib.experiments.defaults import kernels
from caveatlib.experiments.defaults.designs import (
    ASKED_BYTES,
    DEFAULTS,
    DISK_BYTES,
    LIMIT_BYTES,
    SIZE,
    WITHOUT_QUOTAS,
)
from caveatlib.places import cache, compiled, disks
from caveatlib.places.base import Capability
from caveatlib.places.output import numbers

PROGRAM = compiled.program(Path(__file__).with_name("room.c"))
FORMAT = disks.Disk("xfs", DISK_BYTES)
_SCRIPT = """load-room || exit 98
mkdir /disk
mount -t xfs {options} /dev/vda /disk || exit 97
mkdir /disk/limited /disk/beside
room limit /disk/limited {limit}
for folder in /disk/limited /disk/beside; do
    mkdir $folder/diff $folder/work $folder/merged
    layers=lowerdir=/www,upperdir=$folder/diff,workdir=$folder/work
    mount -t overlay -o $layers overlay $folder/merged || exit 96
    room fill $folder/merged {asked}
done
echo over
"""


def _script(limit_bytes: int, options: str) -> str:
    return _SCRIPT.format(limit=limit_bytes, options=options, asked=ASKED_BYTES)


SCRIPTS = {
    DEFAULTS: _script(0, "-o pquota"),
    SIZE: _script(LIMIT_BYTES, "-o pquota"),
    WITHOUT_QUOTAS: _script(LIMIT_BYTES, "-o noquota"),
}


def read(text: str) -> dict[str, float]:
    """Return what `room.c` wrote, as columns of `schema.Trials`.

    Raises
    ------
    MeasurementError
        If it did not write of all that it was to do.
    """
    rows = numbers(text.replace("\r", ""), columns=2, of="room")
    if len(rows) != 3:
        raise MeasurementError(f"room was heard {len(rows)} times, not 3: {text[-80:]!r}.")
    (_, limit_error), (written, write_error), (beside, _) = rows
    return {
        "limit_error": limit_error,
        "written_bytes": written,
        "write_error": write_error,
        "beside_bytes": beside,
    }


def _build(out: Path) -> None:
    disks.sparse(FORMAT, out / kernels.DISK)


DISK = cache.Artefact(
    "guest-xfs",
    "A disk of XFS for virtual machines",
    lambda: {"kind": FORMAT.kind, "bytes": str(FORMAT.size_bytes)},
    _build,
    disk_bytes=80_000_000,
)


@functools.cache
def probe() -> Capability:
    """Return whether guests can have a disk with project quotas."""
    return kernels.probed("project quotas in a guest", DISK)
