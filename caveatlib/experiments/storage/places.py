"""Where `storage` measures: an engine per trial, its data on a fresh disk of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from caveatlib.errors import MeasurementError
from caveatlib.experiments.storage import designs
from caveatlib.experiments.storage.bench import FILEOPS, Bench
from caveatlib.places import compiled, disks
from caveatlib.places.base import Capability, Probe
from caveatlib.places.cache import PREPARE
from caveatlib.places.disks import Disk
from caveatlib.places.engines import private_engine
from caveatlib.places.spec import Spec
from caveatlib.support import programs

DISK_BYTES = 2 << 30
"""Of every disk, so that none is fuller than another."""
_FUSE = Path("/dev/fuse")


class Store(NamedTuple):
    """A storage driver and the file system below it; `opened` makes both afresh.

    Attributes
    ----------
    driver : str
        As Docker calls it.
    disk : disks.Disk
    volume : bool
        Whether files lie in a volume on that disk and not in the driver's care.
    """

    driver: str
    disk: Disk
    volume: bool = False

    @contextmanager
    def opened(self) -> Iterator[Bench]:
        """Start an engine on a new disk; on leaving, remove both.

        Raises
        ------
        MeasurementError
            If it has another driver, or does not start.
        """
        with private_engine.private_engine(storage_driver=self.driver, disk=self.disk) as engine:
            found = engine.info()["Driver"]
            if found != self.driver:
                raise MeasurementError(f"The engine has the driver {found!r}, not {self.driver!r}.")
            yield Bench(engine, volume=self.volume)

    def metadata(self) -> dict[str, str]:
        """Return the driver, its file system and their versions."""
        mkfs = disks.PROGRAMS[self.disk.kind]
        told = {"engine_version": "dockerd", "mkfs_version": mkfs}
        if self.driver == designs.FUSE:
            told["fuse_overlayfs_version"] = self.driver
        return {
            "storage_driver": self.driver,
            "disk": self.disk.kind,
            "disk_options": " ".join(self.disk.options),
            "disk_bytes": str(self.disk.size_bytes),
        } | {name: _version(program) for name, program in told.items()}


@cache
def _version(program: str) -> str:
    """Return the version of a program, as it tells it beside its name or else first."""
    # "Docker version 26.1.5+dfsg1, build a72d7cd", "mke2fs 1.47.2 (1-Jan-2025)",
    # "fusermount3 version: 3.17.2\nfuse-overlayfs: version 1.13-dev\n"
    flag = "-V" if program.startswith("mkfs") else "--version"
    said = programs.run(["sh", "-c", '"$0" "$1" 2>&1', program, flag])
    lines = sorted(said.splitlines(), key=lambda line: not line.startswith(program))
    found = re.search(r"\d+(\.\d+)+", "\n".join(lines))
    return found[0] if found else ""


@cache
def probe_fuse() -> Capability:
    """Return whether fuse-overlayfs can be run."""
    if programs.find(designs.FUSE) is None:
        return Capability(designs.FUSE, False, f"missing: {designs.FUSE}", PREPARE)
    if not _FUSE.exists():
        return Capability(designs.FUSE, False, f"no {_FUSE}")
    return Capability(designs.FUSE, True, "program and device found")


def _spec(driver: str, disk: Disk, *needs: Probe, volume: bool = False) -> Spec:
    return Spec(
        needs=(
            private_engine.probe,
            partial(disks.probe, disk.kind),
            *needs,
            partial(compiled.probe, FILEOPS),
        ),
        open=lambda session: Store(driver, disk, volume),
    )


EXT4, BTRFS = (Disk(kind, DISK_BYTES) for kind in ("ext4", "btrfs"))
XFS, COPYING = (Disk("xfs", DISK_BYTES, ("-m", f"reflink={on}")) for on in (1, 0))
PLACES = {
    designs.EXT4: _spec("overlay2", EXT4),
    designs.XFS: _spec("overlay2", XFS),
    designs.COPYING: _spec("overlay2", COPYING),
    designs.BTRFS: _spec("btrfs", BTRFS),
    designs.FUSE: _spec(designs.FUSE, EXT4, probe_fuse),
    designs.VFS: _spec("vfs", EXT4),
    designs.VOLUME: _spec("overlay2", EXT4, volume=True),
}
