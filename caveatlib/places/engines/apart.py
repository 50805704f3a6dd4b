"""A program in namespaces of its own (network, mounts, processes) that ends with its owner.

See `supervisor`, which is the first process there. What no namespace covers carries the lease.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from caveatlib.places import leases
from caveatlib.places.engines import supervisor
from caveatlib.support import processes, programs

END_S = 10.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UNSHARE = (
    *("--net", "--mount", "--pid", "--fork", "--kill-child"),
    *("--mount-proc", "--propagation", "private"),
)


@contextmanager
def running(
    argv: Sequence[str],
    lease: leases.Lease,
    *,
    congestion_control: str = "",
    bound: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen]:
    """Start a program; on leaving, end all that runs in its namespaces and wait for it.

    Parameters
    ----------
    argv : sequence of str
    lease : Lease
        Its `data` gets the file ``log``; of the host's ``/run`` only its `run` is seen.
    congestion_control : str
        TCP congestion control of the network namespace; empty for the kernel's choice.
    bound : mapping, optional
        File of the host -> file that stands in its place in these namespaces alone.

    Yields
    ------
    Popen
        Of unshare; `first` is the first process inside.
    """
    owner = os.pidfd_open(os.getpid())
    settings = {
        "argv": list(argv),
        "log": str(lease.data / "log"),
        "env": {"PATH": PATH, "HOME": str(lease.run), **processes.mark()},
        "run": str(lease.run),
        "owner": owner,
        "congestion_control": congestion_control,
        "bound": dict(bound or {}),
    }
    supervised = [sys.executable, "-I", "-S", supervisor.__file__, json.dumps(settings)]
    try:
        with (lease.data / "log").open("ab") as log:
            process = subprocess.Popen(
                [programs.need("unshare"), *UNSHARE, *supervised],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": PATH, **processes.mark()},
                pass_fds=(owner,),
                start_new_session=True,  # Ctrl-C is for the owner, which ends this in order
            )
    finally:
        os.close(owner)
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen) -> None:
    assert process.stdin is not None  # the pipe that tells the supervisor of our end
    process.stdin.close()
    programs.has_ended(process, END_S)
    programs.end(process)  # else --kill-child takes the supervisor, and so the namespace, with it


@contextmanager
def joined(pid: int, argv: Sequence[str]) -> Iterator[subprocess.Popen]:
    """Start a program in the network and pid namespaces of a process; on leaving, end it.

    It ends with them, too. What it writes is lost.
    """
    inside = ["nsenter", f"--target={pid}", "--net", "--pid", "--"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        [programs.need(inside[0]), *inside[1:], *argv],
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        env={"PATH": PATH, **processes.mark()},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        programs.end(process)


def first(process: subprocess.Popen) -> int | None:
    """Return the first process in the namespaces, None as long as there is none."""
    return next(iter(processes.children(process.pid)), None)
