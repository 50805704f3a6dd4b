"""The limits around this very process: CPU quota, memory, CPU set and number of processes.

Reads what can be seen from inside, with no right and no Docker: on cgroup
version 1, version 2 and both at once, in nested groups (the tightest limit on
the way up counts), with and without a cgroup namespace. A limit that is set
further up than can be seen from here is not found; `Limit.where` says how far
the view went.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from caveatlib.places.cgroups.cgroupfs import (
    ROOT,
    Location,
    locate,
    malformed,
    read_number,
    read_quota,
    read_text,
)

# Version 1 writes "no limit" as the largest number of whole pages.
_UNLIMITED_BYTES = 1 << 60


@dataclass(frozen=True)
class Limit:
    """One limit.

    Attributes
    ----------
    resource : str
        ``"cpu"``, ``"memory"``, ``"cpuset"`` or ``"pids"``.
    value : float or None
        The tightest limit that applies; None where there is none.
    unit : str
        ``"CPUs"``, ``"B"`` or ``"processes"``.
    version : int
        Cgroup version it was read from, 0 where the controller is not to be seen.
    where : str
        Whether it is set on the process's own group or further up, or why
        nothing is known.
    """

    resource: str
    value: float | None
    unit: str
    version: int
    where: str


def read(*, root: Path = ROOT) -> list[Limit]:
    """Read the limits that apply to this process.

    Parameters
    ----------
    root : Path, optional
        Folder that holds ``proc`` and ``sys``.

    Returns
    -------
    list of Limit
        Always four: cpu, memory, cpuset, pids.

    Raises
    ------
    DataError
        If a file is malformed; the message names file and line.
    """
    kinds = (
        ("cpu", "CPUs", _cpus),
        ("memory", "B", _memory),
        ("cpuset", "CPUs", _cpuset),
        ("pids", "processes", _pids),
    )
    return [_limit(name, unit, reader, root) for name, unit, reader in kinds]


def _limit(resource: str, unit: str, reader: Callable, root: Path) -> Limit:
    location = locate(resource, root=root)
    if location is None:
        return Limit(resource, None, unit, 0, f"no {resource} controller can be seen from here")
    found = [
        (value, depth)
        for depth, folder in enumerate(location.chain())
        if (value := reader(location, folder)) is not None
    ]
    if not found:
        return Limit(resource, None, unit, location.version, "no limit that can be seen from here")
    value, depth = min(found)
    where = "set on the process's own group" if depth == 0 else f"set {depth} group(s) further up"
    return Limit(resource, value, unit, location.version, where)


def _cpus(location: Location, folder: Path) -> float | None:
    name = "cpu.max" if location.version == 2 else "cpu.cfs_quota_us"
    if not (folder / name).exists():  # the root of all groups has no limits and no such files
        return None
    quota, period = read_quota(location.version, folder)
    return None if quota is None else quota / period


def _memory(location: Location, folder: Path) -> float | None:
    if location.version == 2:
        return _number_or_max(folder / "memory.max")
    path = folder / "memory.limit_in_bytes"
    value = read_number(path) if path.exists() else _UNLIMITED_BYTES
    return None if value >= _UNLIMITED_BYTES else float(value)


def _pids(location: Location, folder: Path) -> float | None:
    return _number_or_max(folder / "pids.max")


def _cpuset(location: Location, folder: Path) -> float | None:
    for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
        path = folder / name
        if path.exists():
            text = read_text(path).strip()
            return float(_count(text, path)) if text else None
    return None


def _count(text: str, path: Path) -> int:
    """Count the CPUs of a list like ``0-3,8``."""
    total = 0
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not (first.isdecimal() and (last.isdecimal() if dash else True)):
            raise malformed(path, 1, text, "a list of CPUs like '0-3,8'")
        total += int(last or first) - int(first) + 1
    return total


def _number_or_max(path: Path) -> float | None:
    if not path.exists() or read_text(path).strip() == "max":
        return None
    return float(read_number(path))
