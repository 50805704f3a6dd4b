"""CPU control groups, version 1 and 2 behind one small interface.

`temporary` makes a group, `Group.add` and `Group.spawn` run in it, `Group.stat`
reads it, and leaving the ``with`` block ends what still runs there and removes
it. Nothing is written outside of groups made here. `of_process` reads a group
that somebody else made, e.g. a container's, through the same code.

Version 1 counts ``throttled_time`` and ``cpuacct.usage`` in nanoseconds,
version 2 ``throttled_usec`` and ``usage_usec`` in microseconds; both come out
in seconds. The files are described in the kernel's
Documentation/scheduler/sched-bwc.rst and Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from caveatlib.errors import DataError, MeasurementError, Unavailable, UsageError
from caveatlib.places import privileges
from caveatlib.places.base import Capability
from caveatlib.places.cgroups.cgroupfs import ROOT, locate, read_counters, read_number, read_quota
from caveatlib.support import processes
from caveatlib.support.arguments import check_number
from caveatlib.support.programs import wait_until

ABILITY = "cgroup-cpu"
SMALLEST_QUOTA_US = 1000
"""The kernel refuses a shorter quota or period (min_cfs_quota_period, 1 ms)."""
DEFAULT_WEIGHT = 100

# caveatlib-<its maker's token, see processes.owner_token>-<n>
_NAME = re.compile(r"caveatlib-(\d+)-(\d+)-([0-9a-f]+)-(\d+)-\d+")
_counter = itertools.count()
_REMOVE_WITHIN_S = 5.0
_AS_ROOT = " Run as root."
_NOT_MOUNTED = "No cpu controller is mounted. Mount cgroups under /sys/fs/cgroup."


@dataclass(frozen=True)
class Stat:
    """What a group has used, since it was made.

    Attributes
    ----------
    nr_periods : int
        Enforcement periods that passed while the group had work.
    nr_throttled : int
        Those in which it was throttled.
    throttled_s : float
        Time its run queues stood throttled, summed over CPUs: on four CPUs it
        may grow by four seconds a second.
    usage_s : float
        CPU time used.
    """

    nr_periods: int
    nr_throttled: int
    throttled_s: float
    usage_s: float

    def since(self, earlier: Stat) -> Stat:
        """Return what was added since an earlier reading."""
        return Stat(
            self.nr_periods - earlier.nr_periods,
            self.nr_throttled - earlier.nr_throttled,
            self.throttled_s - earlier.throttled_s,
            self.usage_s - earlier.usage_s,
        )


@dataclass(frozen=True)
class Group:
    """One group: its folder in the cpu hierarchy and in that of the accounting.

    On version 2, and where version 1 mounts both together, these are the same.
    """

    version: int
    cpu: Path
    acct: Path

    def add(self, pid: int) -> None:
        """Move a running process into the group."""
        for folder in {self.cpu, self.acct}:
            _write(folder / "cgroup.procs", str(pid))

    def spawn(self, argv: list[str], **popen) -> subprocess.Popen:
        """Start a program that is in the group from its first instruction.

        Parameters
        ----------
        argv : list of str
        **popen
            Passed on to `subprocess.Popen` (pipes, environment, folder).
        """
        enter = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@"'
        procs = sorted({str(self.cpu / "cgroup.procs"), str(self.acct / "cgroup.procs")})
        return subprocess.Popen(["/bin/sh", "-c", enter, "sh", *procs, "--", *argv], **popen)

    def pids(self) -> list[int]:
        """Return the processes in the group."""
        return sorted(set(_members(self.cpu) + _members(self.acct)))

    def stat(self) -> Stat:
        """Read the group's counters.

        Raises
        ------
        DataError
            If a file is missing or malformed; the message names file and line.
        """
        stat = read_counters(self.cpu / "cpu.stat")
        if self.version == 2:
            throttled_s, usage_s = stat.get("throttled_usec", 0) / 1e6, stat["usage_usec"] / 1e6
        else:
            throttled_s = stat["throttled_time"] / 1e9
            usage_s = read_number(self.acct / "cpuacct.usage") / 1e9
        return Stat(stat.get("nr_periods", 0), stat.get("nr_throttled", 0), throttled_s, usage_s)

    def quota(self) -> tuple[int | None, int]:
        """Return quota (None for no limit) and period, both in microseconds."""
        return read_quota(self.version, self.cpu)


def of_process(pid: int | str = "self", *, root: Path = ROOT) -> Group:
    """Return the group that a process is in.

    Raises
    ------
    Unavailable
        If no cpu controller is mounted here.
    """
    cpu = locate("cpu", pid=pid, root=root)
    acct = locate("cpuacct", pid=pid, root=root)
    if cpu is None or acct is None:
        raise Unavailable(_NOT_MOUNTED)
    return Group(cpu.version, cpu.folder, acct.folder)


def parent(*, root: Path = ROOT) -> Group:
    """Return the group below which new ones can be made.

    Version 1: the caller's own. Version 2: the nearest group above the
    caller's that hands the cpu controller down (a group with processes of its
    own may not), so that limits around the caller still hold.

    Raises
    ------
    Unavailable
        If there is none, or it may not be written.
    """
    own = of_process(root=root)
    if own.version == 1:
        if not (os.access(own.cpu, os.W_OK) and os.access(own.acct, os.W_OK)):
            raise Unavailable(f"{own.cpu} cannot be written.{_AS_ROOT}")
        return own
    location = locate("cpu", root=root)
    if location is None:
        raise Unavailable(_NOT_MOUNTED)
    for folder in location.chain():
        hands_down = (folder / "cgroup.subtree_control").read_text().split()
        if "cpu" in hands_down:
            if not os.access(folder / "cgroup.procs", os.W_OK):
                raise Unavailable(f"{folder} cannot be written.{_AS_ROOT}")
            return Group(2, folder, folder)
    raise Unavailable(
        "No group above this process hands the cpu controller down. "
        f"echo +cpu > {location.top}/cgroup.subtree_control"
    )


@functools.cache
def probe() -> Capability:
    """Say whether CPU groups can be made here, by making one."""
    try:
        with temporary(quota_us=50_000) as group:
            group.stat()
    except (Unavailable, DataError, MeasurementError, UsageError) as error:
        # An ability says what is missing apart from what would mend it.
        return privileges.refused(ABILITY, str(error).removesuffix(_AS_ROOT))
    return Capability(ABILITY, True, f"cgroup version {group.version}")


@contextlib.contextmanager
def temporary(
    *, quota_us: int | None = None, period_us: int = 100_000, weight: int | None = None
) -> Iterator[Group]:
    """Make a group; on leaving, end what runs in it and remove it.

    Parameters
    ----------
    quota_us : int, optional
        CPU time per period, >= 1000; None for no limit.
    period_us : int
        From 1000 to 1,000,000.
    weight : int, optional
        Share under contention, 1 to 10,000, 100 is what everybody has. Version
        1 counts in ``cpu.shares`` of 1024: 100 is written as 1024.

    Raises
    ------
    UsageError
        If the kernel will not take these limits.
    Unavailable
        If no group can be made here.
    """
    for name, value in (("quota", quota_us), ("period", period_us)):
        if value is not None:
            check_number(f"{name} in microseconds", value, least=SMALLEST_QUOTA_US, whole=True)
    above = parent()
    name = f"caveatlib-{processes.owner_token().replace(':', '-')}-{next(_counter)}"
    group = Group(above.version, above.cpu / name, above.acct / name)
    try:
        for folder in {group.cpu, group.acct}:
            try:
                folder.mkdir()
            except OSError as error:
                raise Unavailable(f"{folder}: {error.strerror}.{_AS_ROOT}") from None
        _limit(group, quota_us, period_us, weight)
        yield group
    finally:
        remove(group)


def _limit(group: Group, quota_us: int | None, period_us: int, weight: int | None) -> None:
    try:
        if group.version == 2:
            quota = "max" if quota_us is None else quota_us
            _write(group.cpu / "cpu.max", f"{quota} {period_us}")
        else:
            _write(group.cpu / "cpu.cfs_period_us", str(period_us))
            _write(group.cpu / "cpu.cfs_quota_us", str(-1 if quota_us is None else quota_us))
        if weight is not None and group.version == 2:
            _write(group.cpu / "cpu.weight", str(weight))
        elif weight is not None:
            _write(group.cpu / "cpu.shares", str(round(weight * 1024 / DEFAULT_WEIGHT)))
    except MeasurementError:
        raise UsageError(
            f"Quota {quota_us} us, period {period_us} us, weight {weight}. "
            "Must be a quota >= 1000 us, a period of 1000 to 1,000,000 us, a weight of 1 to 10,000."
        ) from None


def remove(group: Group) -> None:
    """End what runs in a group and remove it; harmless if it is gone.

    Raises
    ------
    MeasurementError
        If something in it does not end within 5 s.
    """
    folders = {group.cpu, group.acct}

    def gone() -> bool:
        for folder in folders:
            kill(folder)
        left = [folder for folder in folders if not _rmdir(folder)]
        return not left

    what = f"{group.cpu} cannot be removed: something in it does not end"
    wait_until(gone, _REMOVE_WITHIN_S, what, pause_s=0.005)


def kill(folder: Path) -> None:
    """Kill what is in a group, on version 2 even what lives in another pid namespace."""
    with contextlib.suppress(OSError):
        if (folder / "cgroup.kill").exists():
            (folder / "cgroup.kill").write_text("1")
    processes.signal_all(lambda: _members(folder))


def sweep() -> list[str]:
    """Remove the groups that a dead caveatlib left, and return their names.

    A group names its maker; one whose maker lives, or is of another pid
    namespace and so cannot be judged, is left alone.
    """
    try:
        above = parent()
    except (Unavailable, DataError):
        return []
    swept = []
    for name in sorted({p.name for f in {above.cpu, above.acct} for p in f.glob("caveatlib-*")}):
        match = _NAME.fullmatch(name)
        if match and not processes.owner_alive(":".join(match.groups())):
            remove(Group(above.version, above.cpu / name, above.acct / name))
            swept.append(name)
    return swept


def _rmdir(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:  # EBUSY: a process in it has not quite ended
        return False
    return True


def _members(folder: Path) -> list[int]:
    """Return the processes in a group that this pid namespace has; of the others it reads 0."""
    try:
        return [int(line) for line in (folder / "cgroup.procs").read_text().split() if line != "0"]
    except OSError:
        return []


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise MeasurementError(f"{text!r} cannot be written to {path}: {error.strerror}.") from None
