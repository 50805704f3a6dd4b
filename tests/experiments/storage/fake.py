"""Fakes of the places of `storage`: drivers that take made-up times on disks that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import numpy as np
from places.fake import spec

from caveatlib.errors import MeasurementError
from caveatlib.experiments.storage import designs
from caveatlib.experiments.storage.bench import FILES, NEW_BYTES

COPIED = {designs.EXT4: 1.0, designs.COPYING: 1.0, designs.FUSE: 1.0}
"""Share of a file that its first write copies."""
SMALL_S = {designs.FUSE: 0.05}
START_S = {designs.VFS: 0.09}
IMAGE_BYTES = 2_000_000


class FakeStore:
    """Stands for `places.Store`."""

    def __init__(self, name: str, number: int = 0, *, full: bool = False):
        self.name, self.full = name, full
        self.alive: set[FakeBench] = set()
        self.rng = np.random.default_rng([number, *name.encode()])

    @contextmanager
    def opened(self) -> Iterator[FakeBench]:
        """Yield a bench."""
        bench = FakeBench(self)
        self.alive.add(bench)
        try:
            yield bench
        finally:
            self.alive.remove(bench)

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}


class FakeBench:
    """Stands for `bench.Bench`."""

    def __init__(self, store: FakeStore):
        self._store = store

    def _about(self, value: float) -> float:
        return float(value * self._store.rng.uniform(0.98, 1.02))

    def start(self) -> dict[str, float]:
        """Return what the first container takes."""
        took = self._about(START_S.get(self._store.name, 0.02))
        return {"create_s": took / 2, "first_output_s": took}

    def first_write(self, name: str) -> dict[str, float]:
        """Return that whoever copies takes half a nanosecond for a byte."""
        copied = COPIED.get(self._store.name, 0.0) * FILES[name] + 4096
        took = {"open_s": self._about(copied * 5e-10), "write_s": 1e-6, "fsync_s": 1e-5}
        return took | {"copied_bytes": self._about(copied)}

    def small_files(self) -> dict[str, float]:
        """Return what they take."""
        took = self._about(SMALL_S.get(self._store.name, 0.01))
        return {"create_files_s": took, "stat_files_s": took / 10, "unlink_files_s": took / 2}

    def new_file(self) -> dict[str, float]:
        """Return what it takes, the same with every driver; a full disk has no room for it."""
        if self._store.full:
            raise MeasurementError("fileops write failed: write: No space left on device.")
        took = self._about(0.03)
        return {"write_s": took, "flush_s": took / 2, "read_s": took, "read_bytes": NEW_BYTES * 1.0}

    def containers(self) -> dict[str, float]:
        """Return that vfs copies the image twice for each."""
        images = self._about(20.0 if self._store.name == designs.VFS else 0.1)
        return {"space_bytes": images * IMAGE_BYTES, "space_images": images}

    def direct(self) -> float:
        """Return that it passes the cache by."""
        return 1.0


_sessions = count()
PLACES = {
    name: spec(lambda name: FakeStore(name, next(_sessions)), name)
    for name in (
        *(designs.EXT4, designs.XFS, designs.COPYING),
        *(designs.BTRFS, designs.FUSE, designs.VFS, designs.VOLUME),
    )
}
