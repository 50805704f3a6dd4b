"""Machines that others publish, moved beside images of the same root file systems.

The publisher makes a machine's disk from a container image (`caveatlib.places.machines.published`),
so the fairest image beside it is one of the root file system that the disk holds: whole, as the
publisher had it, and without what only a machine needs, the kernel, its modules and firmware. Each
is one layer, packed by the engine that pushes it. The machine goes over the link as it is
published: a compressed qcow2, from which it boots as it came, kernel and initial RAM file system.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from caveatlib.errors import EngineError, MeasurementError
from caveatlib.experiments.layers import moving
from caveatlib.instruments.registry import CHUNK_BYTES, REGISTRY, engine_beside
from caveatlib.places import cache, leases
from caveatlib.places.base import Capability
from caveatlib.places.engines import answers
from caveatlib.places.machines import published
from caveatlib.places.machines.published import Release
from caveatlib.support import programs

BUILD_S = 600.0
ONLY_A_MACHINES = ("./boot", "./lib/modules", "./lib/firmware")
"""What a container has no use for: it runs on the host's kernel. /lib may lead to /usr/lib."""
LEFT_OUT: Mapping[str, tuple[str, ...]] = {
    "whole": (),
    "container": tuple(
        f"{there}/*"
        for path in ONLY_A_MACHINES
        for there in (path, path.replace("./lib", "./usr/lib"))
    ),
}
"""Image -> what of the root file system is not in it."""

# The mount, and the loop device with it, end with the namespace.
_PACK = """
mount -t ext4 -o loop,ro "$1" "$2"
root=$2 archive=$3
shift 3
tar --numeric-owner --sort=name -C "$root" "$@" -cf "$archive" .
"""


def name(release: Release, kind: str) -> str:
    """Return an image's name in the registry."""
    return f"{REGISTRY}/published/{release.name}:{kind}"


def _build(release: Release, out: Path) -> None:
    storage = out / "registry"
    storage.mkdir()
    with (
        leases.leased() as lease,
        engine_beside(lease, storage=storage, files=lease.data, readonly=False) as (engine, _),
    ):
        raw, root, archive = (lease.data / file for file in ("raw", "root", "archive"))
        root.mkdir()
        published.raw_disk(release, raw)
        for kind, left_out in LEFT_OUT.items():
            pack(raw, root, archive, left_out)
            _imported(engine, release, kind, archive)
            archive.unlink()
            engine.push(name(release, kind), timeout_s=BUILD_S)


def pack(raw: Path, root: Path, archive: Path, left_out: tuple[str, ...]) -> None:
    """Pack the root file system on a disk into a tar, without what is left out.

    Raises
    ------
    MeasurementError
        If it cannot be mounted on the folder `root`, or packed.
    """
    alone = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _PACK, "sh"]
    without = [f"--exclude={pattern}" for pattern in left_out]
    argv = [*alone, str(raw), str(root), str(archive), *without]
    programs.run(argv, timeout_s=BUILD_S, what="packing a disk")


def _imported(engine, release: Release, kind: str, archive: Path) -> None:
    repository, _, tag = name(release, kind).rpartition(":")
    take = engine.api.import_image_from_file
    options = {"repository": repository, "tag": tag}
    reply = engine.call("import", take, str(archive), timeout_s=BUILD_S, **options)
    if '"error"' in reply:
        raise EngineError(f"import: the engine refused the image of {release.title}")


def _stored(release: Release) -> cache.Artefact:
    title = f"published-images-{release.name}"

    def recipe() -> dict[str, str]:
        machine = cache.checksum(release.artefact)
        return {"machine": machine, "left out": str(LEFT_OUT), "registry": REGISTRY}

    return cache.Artefact(
        title,
        f"A registry with images of the root file system of {release.title}",
        recipe,
        functools.partial(_build, release),
        disk_bytes=release.disk_bytes,
        needs_root=True,
        fix=cache.on_request(title),
    )


STORED = {release.name: _stored(release) for release in published.RELEASES.values()}


class Published(moving.Moving):
    """Fresh engines, one after another, beside a registry and the files of one machine."""

    release: Release

    def system(self, kind: str, rate_bit_per_s: float) -> dict:
        """Pull an image of the machine's root file system into an engine that has none of it.

        Parameters
        ----------
        kind : {"whole", "container"}
        rate_bit_per_s : float

        Returns
        -------
        dict
            As `moving.Moving.pull`, and ``stored_bytes``, the files of the image.
        """
        made = self._next()
        image = name(self.release, kind)
        try:
            with self._measured(rate_bit_per_s) as found:
                self._pull(image)
            about = self._engine.call("image", self._engine.api.inspect_image, image)
        finally:
            with answers.ignoring(404):
                self._engine.call("image", self._engine.api.remove_image, image)
        return found | {"engine_moves": made, "stored_bytes": float(about["Size"])}

    def machine(self, rate_bit_per_s: float) -> dict:
        """Fetch the machine as it is published: disk, kernel, initial RAM file system.

        Returns
        -------
        dict
            As `system`; ``stored_bytes`` are those of the files.
        """
        made, stored = self._next(), 0
        files = published.PUBLISHED.values()
        try:
            with self._measured(rate_bit_per_s) as found:
                for file in files:
                    stored += self._fetch(file)
        finally:
            for file in files:
                (self._scratch / file).unlink(missing_ok=True)
        return found | {"engine_moves": made, "stored_bytes": float(stored)}

    def metadata(self) -> dict[str, str]:
        """Return the engine's facts, what is fixed about the link, and of which package all is."""
        package = f"{self.release.package} {self.release.version}"
        return super().metadata() | {"published": package}

    def _fetch(self, file: str) -> int:
        """Fetch one file; return its bytes."""
        with (
            self._server.file(file) as (size, sock),
            (self._scratch / file).open("wb") as target,
        ):
            left = size
            while left and (chunk := sock.recv(min(left, CHUNK_BYTES))):
                left -= len(chunk)
                target.write(chunk)
        if left:
            raise MeasurementError(f"File {file!r} lacks {left} of its {size} bytes.")
        return size


@contextmanager
def published_place(release: Release) -> Iterator[Published]:
    """Open fresh engines beside a registry with a machine's images, and the machine's files.

    Raises
    ------
    Unavailable
        If the machine or its images are not prepared, or no engine can be started.
    MeasurementError
        If the machine's files are not whole.
    """
    files = published.checked(release)
    storage = cache.find(STORED[release.name]) / "registry"
    with moving.beside(Published, storage=storage, files=files) as place:
        place.release = release
        yield place


@functools.cache
def probe(name: str) -> Capability:
    """Return whether images of a published machine are prepared (``"published-images-alpine"``)."""
    artefact = STORED[name]
    machine = published.probe(name)
    if not machine.available:
        return machine
    if cache.path(artefact).is_dir():
        return Capability(artefact.name, True, "prepared")
    return Capability(artefact.name, False, "not prepared", artefact.fix)
