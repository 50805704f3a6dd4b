"""The bare process: what a workload costs with nothing around it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from caveatlib.errors import DeadlineExceeded, MeasurementError, Unavailable, UsageError
from caveatlib.places import rootfs
from caveatlib.places.base import Capability, Workload
from caveatlib.support import processes, programs

PLACE = "CAVEATLIB_PLACE"
"""Environment variable that tells one place's processes from another's."""


@cache
def probe() -> Capability:
    """Return whether a workload can run as a bare process."""
    if not hasattr(os, "pidfd_open"):
        return Capability("process", False, "needs Linux, and a Python that knows pidfd_open")
    return Capability("process", True, f"shell: {rootfs.shell()[1]}")


@contextmanager
def process_place() -> Iterator[SpawnPlace]:
    """Open the place where a workload is a child process and nothing else.

    The script runs with the root filesystem as its working folder, so that
    ``httpd -h www`` means the same here as in a container.

    Raises
    ------
    Unavailable
        If this is not Linux.
    """
    ability = probe()
    if not ability.available:
        raise Unavailable(f"No bare process: {ability.reason}")
    argv, name = rootfs.shell()
    with opened(lambda script: [*argv, script], facts={"shell": name}) as place:
        yield place


@contextmanager
def opened(
    argv: Callable[[str], list[str]],
    *,
    facts: dict[str, str],
    target: Callable[[int], int] = lambda pid: pid,
) -> Iterator[SpawnPlace]:
    """Open a place that starts one program for each workload.

    Parameters
    ----------
    argv : callable
        Gives the command for a script.
    facts : dict
        What `Place.metadata` returns.
    target : callable
        Gives, for the started process, the one that is the workload itself.
    """
    place = SpawnPlace(argv, facts, target)
    try:
        yield place
    finally:
        place.close()


class SpawnPlace:
    """A place that starts one program for each workload."""

    def __init__(self, argv, facts, target):
        self._argv, self._facts, self._target = argv, facts, target
        self._mark = secrets.token_hex(8)
        self._instances: list[Spawned] = []

    def create(self, workload: Workload) -> Spawned:
        """Prepare the workload up to the point where only `start` is missing.

        Raises
        ------
        UsageError
            If it has programs: the root filesystem is the one that all places share.
        """
        if workload.programs:
            raise UsageError("A workload with programs. Only containers and guests take them.")
        instance = self._prepared(workload)
        self._instances.append(instance)
        return instance

    def _prepared(self, workload: Workload) -> Spawned:
        return Spawned(self._argv(workload.script), workload.port, self._target, self._mark)

    def metadata(self) -> dict[str, str]:
        """Return the versions and settings of this place."""
        return dict(self._facts)

    def close(self) -> None:
        """Remove every instance that is still there, and what turned itself into a daemon."""
        with contextlib.ExitStack() as stack:  # each of them, also where one does not end
            stack.callback(processes.end_marked, PLACE, lambda value: value == self._mark)
            for instance in self._instances:
                stack.callback(instance.remove)


class Spawned:
    """One workload as a process of the host, its output in a pipe.

    Its process is reaped by `remove` and not before: so long its id and the id
    of its process group are nobody else's.
    """

    def __init__(self, argv, port, target, mark):
        self._argv, self._port, self._target, self._mark = argv, port, target, mark
        self._process: subprocess.Popen | None = None
        self.output, self._write_end = os.pipe()

    def start(self) -> None:
        """Start the program; return once it has been executed."""
        if self._process is not None or self.output < 0:
            raise UsageError("A started or removed workload. Each instance starts once.")
        folder = rootfs.rootfs() if rootfs.probe().available else Path("/")
        try:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=self._write_end,
                stderr=self._write_end,
                cwd=folder,
                env={
                    "PATH": f"{folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    PLACE: self._mark,
                    **processes.mark(),
                },
                start_new_session=True,
            )
        except OSError as error:
            raise MeasurementError(f"{self._argv[0]}: {error.strerror}") from error
        os.close(self._write_end)
        self._write_end = -1

    def signal(self, name: str) -> None:
        """Send a signal to the workload itself, e.g. ``"TERM"``."""
        number = signal_number(name)
        process = self._process
        if process is not None and not programs.has_ended(process, 0):
            processes.signal_all(lambda: [self._target(process.pid)], number)

    def wait(self, timeout_s: float) -> int:
        """Wait for the end and return the exit status, 128 + N after signal N.

        Raises
        ------
        DeadlineExceeded
            If the workload still runs after `timeout_s` seconds.
        """
        if self._process is None:
            raise UsageError("A workload that was never started. Call start first.")
        if not programs.has_ended(self._process, timeout_s):
            raise DeadlineExceeded(f"The workload still runs after {timeout_s:g} s")
        return _status(self._process)

    def remove(self) -> None:
        """Kill what is left of the workload's session and close the pipe."""
        process = self._process
        if process is not None and process.returncode is None:
            # Those in other sessions, while they can be told; then the group, with the process.
            processes.signal_all(lambda: processes.descendants(process.pid))
            programs.end(process)
        for end in (self.output, self._write_end):
            if end >= 0:
                os.close(end)
        self.output = self._write_end = -1

    def pids(self) -> list[int]:
        """Return the processes that exist for this workload alone."""
        return processes.descendants(self._process.pid) if self._process is not None else []

    def memory_cgroup(self) -> Path | None:
        """Return None: a bare process has no control group of its own."""
        return None

    def connect(self, timeout_s: float) -> socket.socket:
        """Open a TCP connection to the workload's port on 127.0.0.1."""
        return connect_local(self._port, timeout_s)


def connect_local(port: int, timeout_s: float) -> socket.socket:
    """Open a TCP connection to a port on 127.0.0.1.

    Raises
    ------
    UsageError
        If the port is 0: such a workload does not listen.
    OSError
        If nobody answers.
    """
    if not port:
        raise UsageError("A workload with port 0. Only one with a port can be connected to.")
    return socket.create_connection(("127.0.0.1", port), timeout=timeout_s)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def signal_number(name: str) -> int:
    """Return the number of a signal by its name without ``SIG``.

    Raises
    ------
    UsageError
        If there is no such signal.
    """
    try:
        return signal.Signals[f"SIG{name}"]
    except KeyError:
        raise UsageError(f"Unknown signal {name!r}. Must be like 'TERM' or 'KILL'.") from None


def _status(process: subprocess.Popen) -> int:
    """Return the status of a child that has ended, 128 + N after signal N; it stays unreaped."""
    if process.returncode is not None:
        status = process.returncode
    else:
        told = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert told is not None  # that is what it returns with WNOHANG only
        status = told.si_status if told.si_code == os.CLD_EXITED else -told.si_status
    return 128 - status if status < 0 else status
