"""Images pulled by a fresh engine, and disks fetched, over the same rate-limited link.

The registry's storage and the disks are made once (`STORED`): generated images
are loaded into an engine and pushed to a real registry. Each session starts an
engine that has none of them, and a registry that serves that storage. Engines age:
pulls without a limit took 17 to 23 % longer at the end of 96 pulls, disks did not.
So a fresh engine takes over after every `MOVES_PER_ENGINE` moves, between two trials.

Both are durable: what arrived is flushed to the host's disk before the clock
stops (syncfs(2)), and everything older before it starts. An engine by itself
syncs its own records and not the files; a fetch syncs nothing. A pull still does
more: the engine checks digests and unpacks into a file system, while a fetch
writes one file and checks its length.

zlib unpacks a packed disk, as gzip(1) does, while it arrives; the engine unpacks
a layer after all of it has arrived, with unpigz where that is installed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from caveatlib.errors import MeasurementError
from caveatlib.experiments.layers import generated
from caveatlib.instruments.registry import (
    BURST_BYTES,
    CHUNK_BYTES,
    CONGESTION,
    QUEUE,
    REGISTRY,
    engine_beside,
)
from caveatlib.places import cache, leases
from caveatlib.places.engines import answers
from caveatlib.support import programs

SIZES_MIB = (2, 3, 5, 8, 12, 18, 26, 40)
MOVES_PER_ENGINE = 12
"""Then an engine ages by about a twelfth of what it did in a session of 144 moves. One for
each move would cost more time than the moves do."""
PULL_S = 300.0
BUILD_S = 300.0
_libc = ctypes.CDLL(None, use_errno=True)
_GZIP = 31
"""Window bits of zlib that stand for a gzip file."""


def names(size_mib: int) -> dict[str, str]:
    """Return the names of the generated images of a size in the registry."""
    return {kind: f"{REGISTRY}/generated/{size_mib}:{kind}" for kind in generated.DEPTHS}


def _build(out: Path) -> None:
    storage, disks = out / "registry", out / "disks"
    storage.mkdir()
    disks.mkdir()
    with (
        leases.leased() as lease,
        engine_beside(lease, storage=storage, files=disks, readonly=False) as (engine, _),
    ):
        for size in SIZES_MIB:
            data = generated.archive(size, names(size))
            engine.load(data, timeout_s=BUILD_S)
            for name in names(size).values():
                engine.push(name, timeout_s=BUILD_S)
            generated.tree(size, lease.data / str(size))
            _disk(lease.data / str(size), disks / f"{size}.raw", generated.disk_mib(size))
            _difference(lease.data / str(size), disks / f"{size}.qcow2", generated.disk_mib(size))
            for kind in ("raw", "qcow2"):
                generated.packed(disks / f"{size}.{kind}")


def _disk(folder: Path, out: Path, size_mib: int) -> None:
    """Write a folder's files into an ext4 disk of this size."""
    mkfs = programs.need("mkfs.ext4", "e2fsprogs")
    options = ("-q", "-F", "-b", "4096", "-m", "0", "-d", str(folder))
    programs.run([mkfs, *options, str(out), f"{size_mib}M"], timeout_s=BUILD_S)


def _difference(folder: Path, out: Path, size_mib: int) -> None:
    """Write what an image has above its base layer into a qcow2 on a disk of that layer.

    The files are written into a copy of that disk, as a running machine writes them, and the
    qcow2 holds the clusters that differ.
    """
    base, both, commands = (out.with_name(f"{out.stem}.{kind}") for kind in ("base", "both", "do"))
    lower, upper = generated.PARTS
    only = folder.with_name(f"{folder.name}-{lower}")
    shutil.copytree(folder / lower, only / lower, copy_function=os.link)
    _disk(only, base, size_mib)
    shutil.copyfile(base, both)
    commands.write_text("\n".join(_writing(folder, upper)) + "\n")
    image = ["qemu-img", "rebase", "-q", "-F", "raw"]
    for argv in (
        ["debugfs", "-w", "-f", str(commands), str(both)],
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(both), "-F", "raw", str(out)],
        [*image, "-b", str(base), str(out)],
        [*image, "-u", "-b", base.name, str(out)],  # by a name that does not end with this folder
    ):
        programs.run(argv, timeout_s=BUILD_S)
    both.unlink()
    commands.unlink()


def _writing(folder: Path, part: str) -> Iterator[str]:
    """Yield the commands that write a part of a folder into a disk, for debugfs."""
    yield f"mkdir /{part}"
    for inner in sorted(path for path in (folder / part).iterdir() if path.is_dir()):
        yield f"mkdir /{part}/{inner.name}"
        yield f"cd /{part}/{inner.name}"
        yield from (f"write {file} {file.name}" for file in sorted(inner.iterdir()))


def _recipe() -> dict[str, str]:
    return {
        "sizes_mib": " ".join(map(str, SIZES_MIB)),
        "files": f"{generated.PARTS} of {generated.FILE_BYTES} per MiB",
        "layers": str(generated.DEPTHS),
        "content": f"{generated.HALF} random bytes, each twice",
        "disk": "mkfs.ext4 -b 4096 -m 0",
        "difference": "debugfs, qcow2 on a disk of the lower layer",
        "registry": REGISTRY,
    }


STORED = cache.Artefact(
    "moved-images",
    "A registry with generated images, and disks of the same files",
    _recipe,
    _build,
    disk_bytes=1_200_000_000,
    needs_root=True,
)


class Moving:
    """Fresh engines, one after another, and servers behind a link of any rate."""

    def __init__(self, opened: Callable, held: ExitStack, files: Path, scratch: Path):
        self._opened = opened
        self._held = held
        self._files = files
        self._scratch = scratch
        self._engine, self._server = held.enter_context(opened())
        self._moves = 0

    def _next(self) -> int:
        """Let a fresh engine take over if it is time; return how many moves it has made."""
        if self._moves >= MOVES_PER_ENGINE:
            self._held.close()
            self._engine, self._server = self._held.enter_context(self._opened())
            self._moves = 0
        self._moves += 1
        return self._moves - 1

    def metadata(self) -> dict[str, str]:
        """Return the engine's facts and what is fixed about the link."""
        return self._engine.metadata() | {
            "link_congestion_control": CONGESTION,
            "link_burst_bytes": str(BURST_BYTES),
            "link_queue": QUEUE,
            "disk_unpacked_by": f"zlib {zlib.ZLIB_RUNTIME_VERSION}",
            # dockerd looks for it, and else unpacks in Go
            "layers_unpacked_by": "unpigz" if programs.find("unpigz") else "the engine",
        }

    def pull(
        self, size_mib: int, rate_bit_per_s: float, *, kind: str = "whole", base_there: bool = False
    ) -> dict:
        """Pull an image of which the engine has no layer, or only the lower one.

        Parameters
        ----------
        size_mib : int
        rate_bit_per_s : float
        kind : {"whole", "even"}
            Most of the bytes in one layer, or spread evenly.
        base_there : bool
            Whether the lower layer of ``"whole"`` is there already.

        Returns
        -------
        dict
            ``moved_s``, ``moved_bytes`` that the servers sent over the link, and
            ``engine_moves`` that the engine had made before.
        """
        made = self._next()
        base, image = names(size_mib)["base"], names(size_mib)[kind]
        try:
            if base_there:
                self._server.shape(0)
                self._pull(base)
            with self._measured(rate_bit_per_s) as found:
                self._pull(image)
            about = self._engine.call("image", self._engine.api.inspect_image, image)
            if len(about["RootFS"]["Layers"]) != generated.DEPTHS[kind]:
                raise MeasurementError(f"The engine has not all layers of {image!r}.")
        finally:
            for name in (image, base):
                with answers.ignoring(404):
                    self._engine.call("image", self._engine.api.remove_image, name)
        return found | {"engine_moves": made}

    def fetch(
        self, size_mib: int, rate_bit_per_s: float, *, packed: bool, base_there: bool = False
    ) -> dict:
        """Fetch a disk into a file, as it is or packed with gzip.

        Parameters
        ----------
        size_mib : int
        rate_bit_per_s : float
        packed : bool
        base_there : bool
            Whether a disk of the lower layer is there already: then the file is a qcow2 on it.

        Returns
        -------
        dict
            As `pull`.
        """
        made = self._next()
        name = f"{size_mib}.{'qcow2' if base_there else 'raw'}"
        out = self._scratch / name
        unpack = zlib.decompressobj(_GZIP) if packed else None
        try:
            with (
                self._measured(rate_bit_per_s) as found,
                self._server.file(f"{name}.gz" if packed else name) as (size, sock),
                out.open("wb") as target,
            ):
                left = size
                while left and (chunk := sock.recv(min(left, CHUNK_BYTES))):
                    left -= len(chunk)
                    target.write(unpack.decompress(chunk) if unpack else chunk)
            came, whole = out.stat().st_size, (self._files / name).stat().st_size
            if left or came != whole:
                raise MeasurementError(f"Disk {name!r} came as {came} bytes. Must be {whole}.")
        except zlib.error as error:
            raise MeasurementError(f"Disk {name!r} cannot be unpacked: {error}.") from None
        finally:
            out.unlink(missing_ok=True)
        return found | {"engine_moves": made}

    @contextmanager
    def _measured(self, rate_bit_per_s: float) -> Iterator[dict]:
        self._server.shape(rate_bit_per_s)
        found: dict[str, float] = {}
        _flush(self._scratch)
        before, started = self._server.sent_bytes(), time.monotonic()
        yield found
        _flush(self._scratch)
        found["moved_s"] = time.monotonic() - started
        found["moved_bytes"] = self._server.sent_bytes() - before

    def _pull(self, name: str) -> None:
        self._engine.pull(name, timeout_s=PULL_S)


M = TypeVar("M", bound=Moving)


@contextmanager
def moving_place() -> Iterator[Moving]:
    """Open fresh engines beside a registry that serves the images.

    Raises
    ------
    Unavailable
        If a program is missing, or no engine can be started.
    """
    stored = cache.ensure(STORED)
    with beside(Moving, storage=stored / "registry", files=stored / "disks") as place:
        yield place


@contextmanager
def beside(kind: type[M], *, storage: Path, files: Path) -> Iterator[M]:
    """Open fresh engines beside a registry with this storage and a server of these files."""
    with leases.leased() as lease, ExitStack() as held:
        opened = partial(engine_beside, lease, storage=storage, files=files)
        yield kind(opened, held, files, lease.data)


def _flush(folder: Path) -> None:
    """Flush the file system of the folder, which is the engine's too, to its disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if _libc.syncfs(descriptor):
            code = ctypes.get_errno()
            raise MeasurementError(f"What was moved cannot be flushed: {os.strerror(code)}.")
    finally:
        os.close(descriptor)
