"""Facts about processes and their control groups, read from ``/proc``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if it is gone.

    Pid and start time together name one process for good: pids are reused.
    """
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def is_zombie(pid: int) -> bool:
    """Return whether a process has ended and only waits to be reaped."""
    fields = _stat(pid)
    return bool(fields) and fields[0] in "ZX"


def _stat(pid: int) -> list[str]:
    # 4242 (a name) with ) in it) S 1 4242 4242 0 -1 4194560 ...
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def boot_id() -> str:
    """Return the kernel's random id of this boot, empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pids() -> list[int]:
    """Return the ids of all processes that ``/proc`` shows."""
    try:
        return sorted(int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit())
    except OSError:
        return []


def children(pid: int) -> list[int]:
    """Return the direct children of every thread of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(p) for p in task.read_text().split()]
        except OSError:
            continue
    return found


def descendants(pid: int) -> list[int]:
    """Return a process and everything below it that runs, parents first."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        if start_time(one) is not None and not is_zombie(one) and one not in found:
            found.append(one)
            todo += children(one)
    return found


def arguments(pid: int) -> list[str]:
    """Return the command line of a process, empty for a kernel thread or a dead one."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return raw.decode(errors="replace").split("\0")[:-1]


def environment(pid: int) -> dict[str, str]:
    """Return the environment a process was started with; empty if it may not be read."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition("=") for entry in raw.decode(errors="replace").split("\0"))
    return {name: value for name, equals, value in pairs if equals}


def pid_namespace(pid: int) -> int | None:
    """Return the number of a process's pid namespace; None if it may not be told."""
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return None


def hierarchies() -> list[Path]:
    """Return the root folder of every control group hierarchy, v1's and v2's."""
    # cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0
    try:
        lines = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return []
    fields = (line.split() for line in lines)
    return [Path(f[1]) for f in fields if f[2] in ("cgroup", "cgroup2")]


def cgroup_folders(name: str) -> Iterator[Path]:
    """Yield the folder of one control group in each hierarchy that has it.

    Parameters
    ----------
    name : str
        Path from the root of a hierarchy, ``"/caveatlib-0badcafe"`` say.
    """
    for root in hierarchies():
        folder = root / name.lstrip("/")
        if folder.is_dir():
            yield folder


def memory_cgroup(pid: int) -> Path | None:
    """Return the folder of the memory control group that a process is in."""
    # v1: "4:memory:/caveatlib-1f/6a", v2: "0::/caveatlib-1f/6a"
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    v2 = None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return _folder(path, "memory.usage_in_bytes")
        if not controllers:
            v2 = path
    return _folder(v2, "memory.current") if v2 else None


def _folder(path: str, proof: str) -> Path | None:
    for root in hierarchies():
        folder = root / path.lstrip("/")
        if (folder / proof).exists():
            return folder
    return None
