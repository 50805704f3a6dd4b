"""A cap on tasks and memory around all that an engine of ours runs.

What could hurt the machine, a fork bomb or a memory hog, runs only below such a cap, or in a
virtual machine. Where no cap can be made nothing of the kind is started.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from caveatlib.errors import FAILURES, MeasurementError, Unavailable
from caveatlib.places import leases, privileges
from caveatlib.places.base import Capability
from caveatlib.places.cgroups.cgroupfs import locate, read_number, read_text
from caveatlib.support.arguments import check_number
from caveatlib.support.privacy import scrub

MOST_TASKS, MOST_BYTES = 2000, 1 << 30
SPARE_TASKS, SPARE_BYTES = 2000, 1 << 30
"""What the machine must have beyond a cap before anything is started below it."""
_LIMITS = {
    ("pids", 1): "pids.max",
    ("pids", 2): "pids.max",
    ("memory", 1): "memory.limit_in_bytes",
    ("memory", 2): "memory.max",
}
_SWAP = {1: "memory.memsw.limit_in_bytes", 2: "memory.swap.max"}


@dataclass(frozen=True)
class Cap:
    """How much all that is below may have together.

    Attributes
    ----------
    tasks : int
        At most `MOST_TASKS`.
    memory_bytes : int
        At most `MOST_BYTES`.

    Raises
    ------
    UsageError
        If it is more.
    """

    tasks: int = 1500
    memory_bytes: int = 700 << 20

    def __post_init__(self):
        check_number("number of tasks", self.tasks, least=1, most=MOST_TASKS, whole=True)
        check_number("memory in bytes", self.memory_bytes, least=1, most=MOST_BYTES, whole=True)


@functools.cache
def probe() -> Capability:
    """Return whether a cap can be put around something, by making one."""
    ability = "cgroup-cap"
    try:
        with leases.leased() as lease:
            put(lease.cgroup, Cap())
            require(lease.cgroup, Cap())
    except FAILURES as error:
        return privileges.refused(ability, scrub(error).removesuffix(" Run as root."))
    return Capability(ability, True, "tasks and memory can be capped from outside")


def put(group: str, cap: Cap) -> None:
    """Make a control group with a cap, before anything is in it.

    Parameters
    ----------
    group : str
        Path from the root of a hierarchy, as `leases.Lease.cgroup`.
    cap : Cap

    Raises
    ------
    Unavailable
        If the group cannot be made or capped here.
    """
    limits = {"pids": cap.tasks, "memory": cap.memory_bytes}
    for controller, folder in folders(group).items():
        version = _version(controller)
        try:
            folder.mkdir(exist_ok=True)
            (folder / _LIMITS[controller, version]).write_text(str(limits[controller]))
            swap = folder / _SWAP[version]
            if controller == "memory" and swap.exists():  # else what is too much goes there
                swap.write_text("0" if version == 2 else str(cap.memory_bytes))
        except OSError as error:
            raise Unavailable(f"{folder}: {error.strerror}. Run as root.") from None


def require(group: str, cap: Cap) -> None:
    """Require that a group is capped, and that the machine has more than the cap to spare.

    Raises
    ------
    MeasurementError
        If the kernel knows a higher limit, or the machine is too small or too full.
    """
    wanted = {"pids": cap.tasks, "memory": cap.memory_bytes}
    for controller, folder in folders(group).items():
        path = folder / _LIMITS[controller, _version(controller)]
        text = read_text(path).strip() if path.exists() else "max"
        if text == "max" or int(text) > wanted[controller]:
            raise MeasurementError(
                f"{path.name} of the outer group is {text}. Must be at most {wanted[controller]}."
            )
    running = int(read_text(Path("/proc/loadavg")).split()[3].partition("/")[2])
    most = min(read_number(Path(f"/proc/sys/kernel/{n}")) for n in ("pid_max", "threads-max"))
    if most - running < cap.tasks + SPARE_TASKS:
        raise MeasurementError(
            f"{running} of {most} tasks exist. Must leave {cap.tasks + SPARE_TASKS} for what is "
            "started and the machine."
        )
    free = _available_bytes()
    if free < cap.memory_bytes + SPARE_BYTES:
        raise MeasurementError(
            f"{free >> 20} MiB of memory are available. Must be "
            f"{cap.memory_bytes + SPARE_BYTES >> 20} MiB for what is started and the machine."
        )


def folders(group: str) -> dict[str, Path]:
    """Return the folder of a group, there or not, for each controller of a cap.

    Raises
    ------
    Unavailable
        If a controller is not to be seen here.
    """
    found = {}
    for controller in ("pids", "memory"):
        location = locate(controller)
        if location is None:
            raise Unavailable(f"No {controller} controller can be seen from here.")
        found[controller] = location.top / group.lstrip("/")
    return found


def _version(controller: str) -> int:
    location = locate(controller)
    assert location is not None  # `folders` has asked
    return location.version


def _available_bytes() -> int:
    # "MemAvailable:   23456789 kB"
    lines = read_text(Path("/proc/meminfo")).splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) << 10
