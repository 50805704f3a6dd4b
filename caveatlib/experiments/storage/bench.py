"""A fresh engine on a fresh disk, an image in it, and the first container of that image at work."""

from __future__ import annotations

import ctypes
import io
import os
import re
import tarfile
import time
from functools import cache
from pathlib import Path

import numpy as np

from caveatlib.errors import EngineError, MeasurementError
from caveatlib.places import compiled, loops, rootfs
from caveatlib.places.engines import belongings
from caveatlib.places.engines.engine import Engine
from caveatlib.places.engines.private_engine import DISK
from caveatlib.places.output import await_lines

FILEOPS = compiled.program(Path(__file__).with_name("fileops.c"))
FILES = {"1": 1_000_000, "10": 10_000_000, "100": 100_000_000}
"""The files of the image, by name, and their bytes."""
COUNT, NEW_BYTES, CONTAINERS = 5000, 100_000_000, 10
"""Small files, bytes of a large new one, and containers whose space is taken."""
LIVES_S, IMPORT_S, START_S, RUN_S = 600, 120.0, 30.0, 60.0
_SECTOR = 512
_WRITTEN, _READ = 6, 2
"""Where /sys/block/*/stat has the sectors written and read (Documentation/block/stat)."""


class Bench:
    """An engine whose data lie on a disk of their own, and the container that works there.

    Parameters
    ----------
    engine : Engine
        A private one with a disk.
    volume : bool
        Whether the container works in a folder of the disk that is bind-mounted into it, and
        not in the files of its image.
    """

    def __init__(self, engine: Engine, *, volume: bool):
        self._engine = engine
        self._root = Path(engine.info()["DockerRootDir"])
        self._file = self._root.with_name(DISK)
        found = loops.attached(self._root.parent)
        if len(found) != 1:
            raise MeasurementError(f"The engine's data lie on {len(found)} loop devices, not one.")
        self._device = found[0]
        self._folder = "/volume" if volume else "/data"
        self._host = {"network_mode": "none"}
        if volume:
            bound = {"bind": self._folder, "mode": "rw"}
            self._host["binds"] = {str(self._root / "volume"): bound}
        self._container = ""
        self._image = _imported(engine)

    def start(self) -> dict[str, float]:
        """Make and start the first container of the image; return how long both took."""
        self._sync()
        script = f"echo on; exec sleep {LIVES_S}"
        begun = time.monotonic()
        made = self._engine.create(["/bin/sh", "-c", script], image=self._image, host=self._host)
        created = time.monotonic()
        with self._engine.attach(made) as output:
            self._engine.start(made)
            (spoken,) = await_lines(output.fileno(), ["on"], START_S)
        self._container = made
        if self._folder != "/data":
            self._exec(["cp", "-a", "/data/.", self._folder])
        self._sync()
        return {"create_s": created - begun, "first_output_s": spoken - begun}

    def first_write(self, name: str) -> dict[str, float]:
        """Write a byte into one of `FILES` for the first time; return how long each step took.

        With `copied_bytes`, what was written to the disk for it.
        """
        before = self._moved_bytes(_WRITTEN)
        found = self._timed("first", name)
        self._sync()
        return found | {"copied_bytes": self._moved_bytes(_WRITTEN) - before}

    def small_files(self) -> dict[str, float]:
        """Make, ask for and remove small files; return how long each took."""
        found = self._timed("files", "small", str(COUNT))
        self._sync()
        return found

    def new_file(self) -> dict[str, float]:
        """Write a large new file and read it back from the disk; return how long both took."""
        found = self._timed("write", "new", str(NEW_BYTES))
        self._sync()
        self._forget("new")
        before = self._moved_bytes(_READ)
        found |= self._timed("read", "new", str(NEW_BYTES))
        return found | {"read_bytes": self._moved_bytes(_READ) - before}

    def containers(self) -> dict[str, float]:
        """Make further containers of a smaller image; return the space that they and it take."""
        image = self._engine.image()
        about = self._engine.call("image", self._engine.api.inspect_image, image)
        self._sync()
        before = self._used_bytes()
        for _ in range(CONTAINERS):
            self._engine.create(["true"], image=image, host={"network_mode": "none"})
        self._sync()
        taken = max(0, self._used_bytes() - before)
        return {"space_bytes": float(taken), "space_images": taken / about["Size"]}

    def direct(self) -> float:
        """Return 1 if the loop device passes the machine's page cache by, else 0."""
        return float(Path(f"/sys/block/{self._device}/loop/dio").read_text())

    def _timed(self, what: str, name: str, *arguments: str) -> dict[str, float]:
        said = self._exec(["fileops", what, f"{self._folder}/{name}", *arguments])
        return {step: float(seconds) for step, seconds in re.findall(r"(\w+) ([\d.]+)\n", said)}

    def _exec(self, argv: list[str]) -> str:
        status, output = self._engine.exec(self._container, argv, timeout_s=RUN_S)
        said = output.decode(errors="replace")
        if status:
            reason = (said.strip().splitlines() or [f"status {status}"])[-1]
            raise MeasurementError(f"{' '.join(argv[:2])} failed: {reason}.")
        return said

    def _inside(self) -> Path:
        """Return the folder of the engine's data as it is in the engine's mount namespace."""
        return Path(f"/proc/{self._engine.pid}/root{self._root}")

    def _sync(self) -> None:
        folder = os.open(self._inside(), os.O_RDONLY | os.O_DIRECTORY)
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.syncfs(folder):
                raise MeasurementError(f"The disk: {os.strerror(ctypes.get_errno())}.")
        finally:
            os.close(folder)

    def _forget(self, name: str) -> None:
        """Have the page cache forget one file, whatever its driver calls it, and its disk.

        The machine's cache is not touched otherwise.
        """
        paths = [
            Path(folder) / name
            for folder, _, names in os.walk(self._inside())
            if name in names and Path(folder).name in ("data", "volume")
        ]
        for path in (*paths, self._file):
            file = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)

    def _used_bytes(self) -> int:
        found = os.statvfs(self._inside())
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def _moved_bytes(self, which: int) -> int:
        fields = Path(f"/sys/block/{self._device}/stat").read_text().split()
        return int(fields[which]) * _SECTOR


@cache
def _image_tar() -> bytes:
    """Return the image: busybox, `FILEOPS`, and `FILES` of bytes that cannot be compressed."""
    rng = np.random.default_rng(1)
    packed = io.BytesIO(rootfs.image_tar())
    with tarfile.open(fileobj=packed, mode="a", format=tarfile.USTAR_FORMAT) as tar:
        folder = tarfile.TarInfo("data")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        contents = {f"bin/{compiled.name(FILEOPS)}": compiled.path(FILEOPS).read_bytes()}
        contents |= {f"data/{name}": rng.bytes(size) for name, size in FILES.items()}
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def _imported(engine: Engine) -> str:
    """Import the image into an engine; return its name."""
    repository = f"{belongings.REPOSITORIES}storage"
    said = engine.call(
        "import",
        engine.api.import_image_from_data,
        _image_tar(),
        repository=repository,
        tag=engine.run,
        timeout_s=IMPORT_S,
    )
    # {"status":"sha256:1f2e..."} or {"errorDetail":{"message":"... no space left on device"},...}
    if found := re.search(r'"message":"([^"]*)"', said):
        raise EngineError(f"import: {found[1].rpartition(': ')[2]}.")
    return f"{repository}:{engine.run}"
