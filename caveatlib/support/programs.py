"""The one way to run a program to its end, to wait for a child, and to wait for anything."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from caveatlib.errors import DeadlineExceeded, MeasurementError, Unavailable
from caveatlib.support import processes
from caveatlib.support.privacy import scrub

ROOTS_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where root's programs are, which many a user's PATH lacks."""
NOT_FOUND = 127
"""The status of nsenter, unshare, env and sh where the program that they start is missing."""
END_S = 10.0
T = TypeVar("T")


def find(name: str) -> str | None:
    """Return a program's path, also from root's folders; None if it is missing."""
    return shutil.which(name) or shutil.which(name, path=ROOTS_FOLDERS)


def need(name: str, package: str = "") -> str:
    """Return a program's path.

    Parameters
    ----------
    name : str
    package : str
        The Debian package that has it; empty for one that ``make system`` installs.

    Raises
    ------
    Unavailable
        If it is missing.
    """
    path = find(name)
    if path is None:
        fix = f"apt-get install {package}" if package else "make system"
        raise Unavailable(f"Program {name!r} is missing. Run `{fix}`.")
    return path


def run(
    argv: Sequence[str],
    *,
    timeout_s: float = 10.0,
    what: str = "",
    check: bool = True,
    input: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: int | None = None,
) -> str:
    """Run a program to its end and return its standard output.

    It runs in a process group of its own, so that at the deadline, or at a
    Ctrl-C, whatever it started ends with it. (Not in a session of its own: the
    kernel schedules each session as one group, and on a busy machine what is
    timed would take longer.) It carries our mark: if we are killed meanwhile, a
    sweep finds it.

    Parameters
    ----------
    argv : sequence of str
    timeout_s : float
    what : str
        Names the call in errors; default is the program.
    check : bool
        Whether a status other than 0 is an error.
    input : str
        Standard input.
    env : mapping, optional
        Variables beside those of this process.
    cwd : Path, optional
    output : int, optional
        File descriptor that gets what the program writes, errors too; then
        nothing is returned.

    Raises
    ------
    Unavailable
        If the program is missing or cannot be run.
    DeadlineExceeded
        If it still runs after `timeout_s` seconds.
    MeasurementError
        If its status is not 0; the message has the last line that it wrote.
    """
    what = what or Path(argv[0]).name
    environment = os.environ | processes.mark() | dict(env or {})
    environment["PATH"] = f"{environment.get('PATH', os.defpath)}:{ROOTS_FOLDERS}"
    # Files and not pipes: a pipe ends only when the last one that inherited it has ended.
    with (
        tempfile.TemporaryFile() as source,
        tempfile.TemporaryFile() as written,
        tempfile.TemporaryFile() as errors,
    ):
        source.write(input.encode())
        source.seek(0)
        try:
            process = subprocess.Popen(
                [need(argv[0]), *argv[1:]],
                stdin=source,
                stdout=written if output is None else output,
                stderr=errors if output is None else output,
                env=environment,
                cwd=cwd,
                process_group=0,
            )
        except OSError as error:
            raise Unavailable(f"{what} cannot be run: {error.strerror}.") from error
        try:
            if not has_ended(process, timeout_s):
                raise DeadlineExceeded(f"{what} did not finish within {timeout_s:g} s.")
        except BaseException:
            end(process)
            raise
        status, said = process.wait(), _text(written)
        if check and status:
            lines = (_text(errors).strip() or said.strip() or f"status {status}").splitlines()
            kind = Unavailable if status == NOT_FOUND else MeasurementError
            raise kind(f"{what} failed: {scrub(lines[-1])}")
    return said


def has_ended(process: subprocess.Popen, timeout_s: float) -> bool:
    """Wait for a child's end and return whether it came in time.

    The child is not reaped: its pid and its process group stay its own. Wakes
    at once, where ``Popen.wait(timeout)`` polls with pauses of up to 50 ms.
    """
    if process.returncode is not None:
        return True
    try:
        handle = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # no Linux, or one older than 5.3
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
        return process.returncode is not None
    try:
        return processes.readable(handle, timeout_s)
    finally:
        os.close(handle)


def end(process: subprocess.Popen, *, timeout_s: float = END_S) -> None:
    """Kill a child, with its process group if it leads one, and reap it.

    Harmless when repeated: one that was reaped gets no signal, since its id and
    its group's may be somebody else's.

    Parameters
    ----------
    process : Popen
    timeout_s : float
        How long the kernel may take.

    Raises
    ------
    DeadlineExceeded
        If it takes longer.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                os.kill(process.pid, signal.SIGKILL)
    if not has_ended(process, timeout_s):
        raise DeadlineExceeded(f"Process {process.pid} outlived SIGKILL by {timeout_s:g} s.")
    process.wait()


def wait_until(
    condition: Callable[[], T | None], timeout_s: float, what: str, *, pause_s: float = 0.01
) -> T:
    """Ask until a condition gives something true, and return that.

    Parameters
    ----------
    condition : callable
    timeout_s : float
    what : str
        What did not happen, for the error: ``"No server listened on port 80"``.
    pause_s : float
        Between two askings.

    Raises
    ------
    DeadlineExceeded
        If it gives nothing true within `timeout_s` seconds; it is asked once more at the end.
    """
    until = time.monotonic() + timeout_s
    while True:
        late = time.monotonic() >= until
        if found := condition():
            return found
        if late:
            raise DeadlineExceeded(f"{what} within {timeout_s:g} s.")
        time.sleep(pause_s)


def _text(file) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
