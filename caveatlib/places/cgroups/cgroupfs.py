"""Where a process's control groups are, and what their files say.

Knows version 1, version 2, both mounted at once (hybrid), nested groups, and
groups seen from within a cgroup namespace or a container. Reads only, needs no
right, and works on a copied tree as well (`root`).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from caveatlib.errors import DataError

ROOT = Path("/")
VERSIONS = {"cgroup": 1, "cgroup2": 2}
"""Kind of mount -> version."""


@dataclass(frozen=True)
class Location:
    """Where a controller's files of one process are.

    Attributes
    ----------
    version : int
        1 or 2.
    folder : Path
        The process's own group; on version 2 the nearest one above it that the
        controller was handed to, where that is not its own.
    top : Path
        The mount point: the uppermost group that can be seen from here.
    """

    version: int
    folder: Path
    top: Path

    def chain(self) -> list[Path]:
        """Return the folders from the process's own group up to the top."""
        chain = [self.folder]
        while chain[-1] != self.top:
            chain.append(chain[-1].parent)
        return chain


@dataclass(frozen=True)
class Mount:
    """One mount as this process sees it.

    Attributes
    ----------
    kind : str
        The file system: ``"cgroup2"``, ``"ext4"``.
    options : set of str
        The file system's own; a hierarchy of version 1 names its controllers there.
    inside, point : str
        What of the file system is shown, and where.
    """

    kind: str
    options: frozenset[str]
    inside: str
    point: str


def read_quota(version: int, folder: Path) -> tuple[int | None, int]:
    """Read a group's quota (None for no limit) and period in microseconds.

    Raises
    ------
    DataError
        If a file is missing or malformed.
    """
    if version == 1:
        quota = read_number(folder / "cpu.cfs_quota_us", least=-1)
        return (None if quota < 0 else quota), read_number(folder / "cpu.cfs_period_us", least=1)
    path = folder / "cpu.max"
    text = read_text(path)
    match = re.fullmatch(r"(max|\d+) ([1-9]\d*)\n?", text)  # "50000 100000" or "max 100000"
    if not match:
        raise malformed(path, 1, text, "'QUOTA PERIOD' or 'max PERIOD'")
    return (None if match[1] == "max" else int(match[1])), int(match[2])


def read_number(path: Path, *, least: int = 0) -> int:
    """Read a file that holds one whole number.

    Raises
    ------
    DataError
        If it is missing, or holds anything else.
    """
    text = read_text(path)
    if not re.fullmatch(r"-?\d+\n?", text) or int(text) < least:
        raise malformed(path, 1, text, f"one whole number >= {least}")
    return int(text)


def read_counters(path: Path) -> dict[str, int]:
    """Read a file of lines ``name number``, as ``cpu.stat`` is.

    Raises
    ------
    DataError
        If it is missing or a line is different, or the counters that every
        version has are not there.
    """
    counters = {}
    lines = read_text(path).splitlines()
    for number, line in enumerate(lines, start=1):
        match = re.fullmatch(r"([\w.]+) (\d+)", line)
        if not match:
            raise malformed(path, number, line, "'NAME NUMBER'")
        counters[match[1]] = int(match[2])
    if not counters.keys() & {"usage_usec", "throttled_time"}:
        raise malformed(path, len(lines), "", "usage_usec (version 2) or throttled_time (1)")
    return counters


def locate(controller: str, *, pid: int | str = "self", root: Path = ROOT) -> Location | None:
    """Find the folder of a process in a controller's hierarchy.

    Knows version 1, version 2, both mounted at once (hybrid), nested groups,
    and groups seen from within a cgroup namespace or a container, where the
    mount shows the container's own group as its top.

    Parameters
    ----------
    controller : str
        ``"cpu"``, ``"cpuacct"``, ``"memory"``, ``"cpuset"`` or ``"pids"``.
    pid : int or "self"
    root : Path, optional
        Folder that holds ``proc`` and ``sys``.

    Returns
    -------
    Location, or None where the controller is not to be seen

    Raises
    ------
    DataError
        If ``mountinfo`` or ``cgroup`` of the process is malformed.
    """
    groups = _groups(root / f"proc/{pid}/cgroup")
    found: list[tuple[bool, Location]] = []
    # the mounts are those that we see, whatever process is asked for
    for mount in mounts(root=root):
        if mount.kind not in VERSIONS:
            continue
        version = VERSIONS[mount.kind]
        name = controller if version == 1 else ""
        if name not in groups or (version == 1 and controller not in mount.options):
            continue
        shown, folder, top = _resolve(root, mount.point, mount.inside, groups[name])
        here = Location(version, folder, top)
        location = _handed_down(here, controller) if version == 2 else here
        if location is not None:
            found.append((shown, location))
    # a mount that shows the process's own group tells more than one that does not
    return max(found, key=lambda each: each[0], default=(False, None))[1]


def _handed_down(location: Location, controller: str) -> Location | None:
    """Return the nearest group of version 2 on the way up that a controller was handed to.

    cpuacct is a part of cpu there.
    """
    wanted = "cpu" if controller == "cpuacct" else controller
    for folder in location.chain():
        with contextlib.suppress(OSError):
            if wanted in (folder / "cgroup.controllers").read_text().split():
                return Location(2, folder, location.top)
    return None


def _groups(path: Path) -> dict[str, str]:
    """Read ``/proc/PID/cgroup`` into ``{controller: group}``; "" is version 2."""
    groups: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        # "4:cpu,cpuacct:/docker/1f" or "0::/system.slice"; the group may hold colons
        match = re.fullmatch(r"\d+:([^:]*):(/.*)", line)
        if not match:
            raise malformed(path, number, line, "'ID:CONTROLLERS:GROUP'")
        groups |= dict.fromkeys(match[1].split(","), match[2])
    return groups


def mounts(*, root: Path = ROOT) -> list[Mount]:
    """Return the mounts that this process sees, in order.

    Raises
    ------
    DataError
        If ``mountinfo`` is malformed.
    """
    path, found = root / "proc/self/mountinfo", []
    # Only blanks and line feeds separate: the kernel escapes no others in a name.
    for number, line in enumerate(read_text(path).rstrip("\n").split("\n"), start=1):
        # 36 25 0:30 /docker/1f /sys/fs/cgroup/cpu ro,nosuid master:9 - cgroup cgroup rw,cpu
        head, dash, tail = line.partition(" - ")
        before, after = head.split(" "), tail.split(" ")
        if not dash or len(before) < 6 or not after[0]:
            raise malformed(path, number, line, "mountinfo as in proc(5)")
        options = frozenset(after[-1].split(","))
        found.append(Mount(after[0], options, _plain(before[3]), _plain(before[4])))
    return found


def hierarchies() -> list[Path]:
    """Return the root folder of every control group hierarchy, v1's and v2's."""
    try:
        return [Path(mount.point) for mount in mounts() if mount.kind in VERSIONS]
    except DataError:  # no /proc
        return []


def folders(name: str) -> Iterator[Path]:
    """Yield the folder of one control group in each hierarchy that has it.

    Parameters
    ----------
    name : str
        Path from the root of a hierarchy: ``"/caveatlib-0badcafe"``.
    """
    for top in hierarchies():
        folder = top / name.lstrip("/")
        if folder.is_dir():
            yield folder


def memory_folder(pid: int) -> Path | None:
    """Return the folder of the memory control group that a process itself is in."""
    try:
        groups = _groups(ROOT / f"proc/{pid}/cgroup")
    except DataError:  # it has ended
        return None
    name, proof = groups.get(""), "memory.current"
    if "memory" in groups:
        name, proof = groups["memory"], "memory.usage_in_bytes"
    found = (folder for folder in folders(name or "") if (folder / proof).exists())
    return next(found, None)


def _resolve(root: Path, point: str, inside: str, group: str) -> tuple[bool, Path, Path]:
    """Return whether a mount shows a group, its folder, and the top of what is shown.

    A name that begins with ``/..`` lies outside of our cgroup namespace; then,
    or where a container's mount shows another group than the one named, the
    top is all that can be seen.
    """
    top = root / point.lstrip("/")
    below = Path(group)
    if inside.startswith("/..") or group.startswith("/..") or not below.is_relative_to(inside):
        return False, top, top
    folder = top / below.relative_to(inside)
    return (True, folder, top) if folder.is_dir() else (False, top, top)


def _plain(text: str) -> str:
    r"""Undo mountinfo's octal escapes, ``\040`` for a space."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def read_text(path: Path) -> str:
    """Return a file as text.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}. Must be a readable file.") from None


def malformed(path: Path, number: int, text: str, rule: str) -> DataError:
    """Return the error that names text, file, line and rule."""
    return DataError(f"{text.strip()[:60]!r} in {path}, line {number}. Must be {rule}.")
