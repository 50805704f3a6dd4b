"""Where `quota` measures: a plain control group, and the group of a Docker container.

Both yield a `load.LimitedGroup`, so load and counters go through the same code. In
the Docker arm the limits are set by Docker and the container sleeps: the
load's workers are programs of this machine that join the container's cpu
group. They are under the container's limits and see none of its files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from caveatlib.errors import Unavailable
from caveatlib.experiments.quota.load import LimitedGroup
from caveatlib.places.cgroups import cgroup
from caveatlib.places.engines.engine import Engine
from caveatlib.places.spec import Spec
from caveatlib.support.programs import wait_until

RUNTIME = "runc"
SLICE_FILE = Path("/proc/sys/kernel/sched_cfs_bandwidth_slice_us")
_FOUND_WITHIN_S = 5.0


class CgroupPlace:
    """The place where each limit is a control group of its own, with no Docker."""

    @contextmanager
    def limited(
        self,
        *,
        quota_us: int | None = None,
        period_us: int = 100_000,
        weight: int = cgroup.DEFAULT_WEIGHT,
    ) -> Iterator[LimitedGroup]:
        """Make a group with these limits, as `cgroup.temporary` takes them."""
        with cgroup.temporary(quota_us=quota_us, period_us=period_us, weight=weight) as group:
            yield LimitedGroup(group)

    def metadata(self) -> dict[str, str]:
        """Return the cgroup version and the kernel's slice of run time."""
        return metadata()


@contextmanager
def cgroup_place() -> Iterator[CgroupPlace]:
    """Open the place, and sweep what dead runs left of it.

    Raises
    ------
    Unavailable
        If no CPU group can be made here.
    """
    ability = cgroup.probe()
    if not ability.available:
        raise Unavailable(f"No CPU groups: {ability.reason}")
    cgroup.sweep()
    yield CgroupPlace()


class DockerPlace:
    """The place where each limit is set by Docker on a sleeping container."""

    def __init__(self, engine: Engine):
        self._engine = engine

    @contextmanager
    def limited(
        self,
        *,
        quota_us: int | None = None,
        period_us: int = 100_000,
        weight: int = cgroup.DEFAULT_WEIGHT,
    ) -> Iterator[LimitedGroup]:
        """Start a container with these limits; Docker gets the weight as ``--cpu-shares``.

        Raises
        ------
        MeasurementError
            If the container's processes cannot be seen on this machine.
        """
        limits: dict[str, object] = {"cpu_shares": round(weight * 1024 / cgroup.DEFAULT_WEIGHT)}
        if quota_us is not None:
            limits |= {"cpu_quota": quota_us, "cpu_period": period_us}
        host = {"runtime": RUNTIME, "network_mode": "none", **limits}
        name = self._engine.create(["sleep", "3600"], host=host)
        try:
            self._engine.start(name)
            yield LimitedGroup(cgroup.of_process(_process_of(name)))
        finally:
            self._engine.remove(name)

    def metadata(self) -> dict[str, str]:
        """Return the engine's facts beside those of a plain group."""
        return self._engine.metadata() | metadata() | {"runtime": RUNTIME}


def metadata() -> dict[str, str]:
    """Return the cgroup version and the kernel's slice of run time in seconds."""
    found = {"cgroup_version": str(cgroup.of_process().version)}
    with suppress(OSError, ValueError):
        found["bandwidth_slice_s"] = f"{int(SLICE_FILE.read_text()) / 1e6:g}"
    return found


def _process_of(container: str) -> int:
    """Return a process of a container by its group's name, which holds the container's id."""
    import psutil

    def inside() -> int:
        for pid in psutil.pids():
            with suppress(OSError):
                # "1:cpu:/caveatlib/1f2e..." or "0::/system.slice/docker-1f2e....scope"
                if container in Path(f"/proc/{pid}/cgroup").read_text():
                    return pid
        return 0

    what = "The container's processes cannot be seen here (needs a local engine)"
    return wait_until(inside, _FOUND_WITHIN_S, what, pause_s=0.02)


PLACES = {
    "cgroup": Spec(needs=(cgroup.probe,), open=lambda s: s.enter(cgroup_place())),
    "docker": Spec(needs=(cgroup.probe,), runtime=RUNTIME, open=lambda s: DockerPlace(s.engine())),
}
