"""What names a process for good, and signals that never reach a stranger.

A pid is reused: one that was read a moment ago may be somebody else's now. So
whatever signals holds a pidfd that was opened before the process was last
looked at (`signal_all`, `Handle`), or knows that its child was not yet reaped
(`caveatlib.support.programs.end`).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from caveatlib.errors import DeadlineExceeded

OWNER = "CAVEATLIB_OWNER"
"""Environment variable that carries the owner's token into started programs."""
MACHINE_ID = Path("/etc/machine-id")


def owner_token() -> str:
    """Return what names this process for good: pid, start time, boot, pid namespace."""
    start = start_ticks(os.getpid())
    if start is None:  # no /proc: macOS
        import psutil

        start = int(psutil.Process().create_time())
    return f"{os.getpid()}:{start}:{_boot()}:{pid_namespace('self') or '-'}"


def owner_alive(token: str) -> bool:
    """Return whether the process behind a token may still run.

    True as well for what cannot be judged: a token of another pid namespace,
    or one that this version does not understand.
    """
    try:
        number, ticks, boot, namespace = token.split(":")
        pid, start = int(number), int(ticks)
    except (ValueError, AttributeError):
        return True
    here = owner_token().split(":")
    if boot != here[2]:
        return False
    if namespace != here[3]:
        return True
    if start_ticks(os.getpid()) is not None:
        return start_ticks(pid) == start and is_running(pid)
    import psutil

    return psutil.pid_exists(pid) and int(psutil.Process(pid).create_time()) == start


def of_this_boot(token: str) -> bool:
    """Return whether a token was made since this machine started, and on this machine."""
    # Where the kernel tells none, as on macOS, all machines would have the same.
    return bool(_boot_id()) and token.count(":") == 3 and token.split(":")[2] == _boot()


def machine() -> str:
    """Return what tells this machine from others; empty where it has no id, as in a container.

    A hash keyed by the machine's id, as systemd's ``sd_id128_get_machine_app_specific`` makes one:
    nobody learns the id from it. Clones of a machine, and containers of one image, may share an
    id; so the host name is in it.
    """
    try:
        key = bytes.fromhex(MACHINE_ID.read_text(encoding="ascii"))
    except (OSError, ValueError):  # missing, or empty, or "uninitialized"
        return ""
    if len(key) != 16 or not any(key):
        return ""
    about = b"caveatlib " + os.fsencode(socket.gethostname())
    return hmac.new(key, about, hashlib.sha256).hexdigest()[:16]


def mark() -> dict[str, str]:
    """Return the environment variable that marks a started program as ours."""
    return {OWNER: owner_token()}


def end_marked(name: str, is_ours: Callable[[str], bool], *, wait_s: float = 5.0) -> list[int]:
    """Kill every process with a fitting environment variable; return their ids.

    Parameters
    ----------
    name : str
        The variable.
    is_ours : callable
        Says for a value whether its process is to be ended.
    wait_s : float
        How long to wait for their ends, all together.
    """
    import psutil

    def find() -> list[int]:
        seen = ((p.pid, p.info["environ"]) for p in psutil.process_iter(["environ"]))
        return [pid for pid, env in seen if env and name in env and is_ours(env[name])]

    return signal_all(find, wait_s=wait_s)


def signal_all(
    find: Callable[[], Iterable[int]], number: int = signal.SIGKILL, *, wait_s: float = 0.0
) -> list[int]:
    """Signal the processes that a function finds, and nobody else; return their ids.

    Parameters
    ----------
    find : callable
        Returns ids. Asked twice: a handle is opened for each process found, and
        one that is found again while its handle is held is that very process.
    number : int
        The signal.
    wait_s : float
        How long to wait for their ends, all together.
    """
    handles = [Handle(pid) for pid in find() if pid > 0]  # 0 would be our own group
    try:
        again = set(find()) if handles else set()
        meant = [handle for handle in handles if handle.pid in again]
        sent = [handle.pid for handle in meant if handle.send(number)]
        until = time.monotonic() + wait_s
        for handle in meant:
            with contextlib.suppress(DeadlineExceeded):
                handle.wait(max(0.0, until - time.monotonic()))
        return sent
    finally:
        for handle in handles:
            handle.close()


class Handle:
    """A process that need not be a child: signalled and awaited without races on its pid."""

    def __init__(self, pid: int):
        self.pid = pid
        try:
            self._handle = os.pidfd_open(pid)
        except (ProcessLookupError, AttributeError):  # gone, or no Linux: nobody is signalled
            self._handle = -1

    def send(self, number: int) -> bool:
        """Send a signal; return whether it could be sent: not to one that is gone, or not ours."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._handle >= 0:
                signal.pidfd_send_signal(self._handle, number)
                return True
        return False

    def wait(self, timeout_s: float) -> int:
        """Wait until the process has ended and return 0.

        Raises
        ------
        DeadlineExceeded
            If it still runs after `timeout_s` seconds.
        """
        if self._handle >= 0 and not readable(self._handle, timeout_s):
            raise DeadlineExceeded(f"The workload still runs after {timeout_s:g} s")
        return 0

    def close(self) -> None:
        """Give the handle back."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1


def readable(file: int, timeout_s: float) -> bool:
    """Return whether a file descriptor has something to read, or its end, in time."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout_s) * 1000))


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if it is gone.

    Pid and start time together name one process for good. (psutil's
    ``create_time`` is a time of day and moves when the clock is set.)
    """
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def is_running(pid: int) -> bool:
    """Return whether there is such a process and it has not ended."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def children(pid: int) -> list[int]:
    """Return the direct children of every thread of a process.

    Asks the kernel for these alone, in microseconds: psutil reads every process
    of the machine, and what is timed calls this.
    """
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(p) for p in task.read_text().split()]
    return found


def descendants(pid: int) -> list[int]:
    """Return a process and all below it that run, or none if it has ended."""
    found: list[int] = []
    todo = [pid]
    while todo:
        one = todo.pop()
        if one not in found and is_running(one):
            found.append(one)
            todo += children(one)
    return found


def arguments(pid: int) -> list[str]:
    """Return the command line of a process, empty for a kernel thread or a dead one."""
    import psutil

    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def pid_namespace(pid: int | str) -> int | None:
    """Return the number of a process's pid namespace; None if it may not be told."""
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return None


def _boot() -> str:
    return hashlib.sha256(_boot_id().encode()).hexdigest()[:12]


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    # 4242 (a name) with ) in it) S 1 4242 4242 0 -1 4194560 ...
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
