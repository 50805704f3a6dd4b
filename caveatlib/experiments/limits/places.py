"""Where `limits` measures: a private engine below a cap, which no hog can leave."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from caveatlib.errors import MeasurementError, Unavailable
from caveatlib.experiments.limits.neighbours import BEAT, HOG
from caveatlib.places import compiled
from caveatlib.places.base import Workload
from caveatlib.places.cgroups import caps, cgroup, cgroupfs
from caveatlib.places.engines import private_engine
from caveatlib.places.engines.containers import EngineInstance, EnginePlace
from caveatlib.places.engines.engine import Engine
from caveatlib.places.spec import Spec

CAP = caps.Cap(tasks=1500, memory_bytes=700 << 20)
PIDS, MEMORY_BYTES, CPUS, WRITE_BYTES_PER_S = 64, 64 << 20, 0.5, 10 << 20
"""What Docker is told to limit a hog to."""
_PERIOD_US = 100_000


class CappedEngine:
    """The place where a hog and its victim are containers of a private engine below `CAP`."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._device = _disk(Path(engine.info()["DockerRootDir"]))

    def require_cap(self) -> None:
        """Require that the cap is there, and that the machine has enough beside it.

        Raises
        ------
        MeasurementError
        """
        caps.require(self._engine.cgroup, CAP)

    def create(self, workload: Workload, *, limit: str = "") -> EngineInstance:
        """Create a container; `limit` names the hog that Docker is to limit, if any.

        Raises
        ------
        Unavailable
            If the engine's data lie on no disk whose speed can be limited.
        """
        if limit == "write" and not self._device:
            raise Unavailable("The engine's data are on no disk whose speed can be limited.")
        host = {"network_mode": "none", **(_limit(limit, self._device).host if limit else {})}
        return EnginePlace(self._engine, runtime="runc", host=host).create(workload)

    def require_limit(self, instance: EngineInstance, limit: str) -> None:
        """Require that the kernel has the limit that Docker was told, of a started container.

        Docker drops some without a word.

        Raises
        ------
        MeasurementError
        """
        _, files, word = _limit(limit)
        paths = [folder / name for folder in self._folders(instance) for name in files]
        found = " ".join(path.read_text() for path in paths if path.exists())
        if word not in re.split(r"[\s=]+", found):  # "8:0 10485760", "8:0 rbps=max wbps=10485760"
            raise MeasurementError(f"The limit on {limit!r} is not {word} but {found.strip()!r}.")

    def tasks(self, instance: EngineInstance) -> float:
        """Return how many tasks a running container has."""
        for folder in self._folders(instance):
            if (folder / "pids.current").exists():
                return cgroupfs.read_number(folder / "pids.current")
        raise MeasurementError("The container's tasks cannot be counted.")

    def was_killed(self, instance: EngineInstance) -> bool:
        """Return whether a container's first process was killed; its status alone tells."""
        state = self._engine.inspect(instance.id)["State"]
        return not state["Running"] and state["ExitCode"] == 137

    def metadata(self) -> dict[str, str]:
        """Return the engine's facts, the cap, and whether a disk's speed can be limited."""
        return self._engine.metadata() | {
            "cap_tasks": str(CAP.tasks),
            "cap_memory_bytes": str(CAP.memory_bytes),
            "disk": "yes" if self._device else "no",
        }

    def _folders(self, instance: EngineInstance) -> list[Path]:
        return list(cgroupfs.folders(f"{self._engine.cgroup}/{instance.id}"))


@contextmanager
def capped_engine() -> Iterator[CappedEngine]:
    """Start a private engine below a cap.

    Raises
    ------
    Unavailable
        If either cannot be had.
    """
    with private_engine.private_engine(cap=CAP) as engine:
        place = CappedEngine(engine)
        place.require_cap()
        yield place


PLACES = {
    "docker": Spec(
        needs=(
            private_engine.probe,
            caps.probe,
            cgroup.probe,
            partial(compiled.probe, HOG),
            partial(compiled.probe, BEAT),
        ),
        open=lambda session: session.enter(capped_engine()),
    )
}


class Limit(NamedTuple):
    """A limit: how Docker is told, the file of either version that has it, and what it has."""

    host: dict
    files: tuple[str, str]
    word: str


def _limit(hog: str, device: str = "") -> Limit:
    quota = round(CPUS * _PERIOD_US)
    return {
        "fork": Limit({"pids_limit": PIDS}, ("pids.max", "pids.max"), str(PIDS)),
        "memory": Limit(
            {"mem_limit": MEMORY_BYTES, "memswap_limit": MEMORY_BYTES},
            ("memory.limit_in_bytes", "memory.max"),
            str(MEMORY_BYTES),
        ),
        "compute": Limit(
            {"cpu_quota": quota, "cpu_period": _PERIOD_US},
            ("cpu.cfs_quota_us", "cpu.max"),
            str(quota),
        ),
        "write": Limit(
            {"device_write_bps": [{"Path": device, "Rate": WRITE_BYTES_PER_S}]},
            ("blkio.throttle.write_bps_device", "io.max"),
            str(WRITE_BYTES_PER_S),
        ),
    }[hog]


def _disk(folder: Path) -> str:
    """Return the whole disk that a folder lies on, empty if it is on none."""
    number = folder.stat().st_dev
    entry = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not entry.exists():  # overlay, tmpfs
        return ""
    entry = entry.resolve()
    name = (entry.parent if (entry / "partition").exists() else entry).name
    return f"/dev/{name}" if Path(f"/dev/{name}").is_block_device() else ""
