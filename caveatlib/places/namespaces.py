"""Bare namespaces: a container without network, overlay mount and control group of its own.

util-linux `unshare` makes new pid, mount, UTS and IPC namespaces (and a user
namespace for who may not make them) and the workload is the first process in them.
That is one part of what the kernel does for a container: an engine also has it
make a network namespace, a veth pair, NAT rules, an overlay mount and control
groups. Here the network is the host's, so a workload's port is reached on
127.0.0.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from caveatlib.errors import CaveatError, DeadlineExceeded, Unavailable
from caveatlib.places import privileges, rootfs
from caveatlib.places.base import Capability
from caveatlib.places.process import SpawnPlace, opened
from caveatlib.support import processes, programs


@cache
def probe() -> Capability:
    """Return whether a workload can run in namespaces of its own, by trying it."""
    if programs.find("unshare") is None:
        return Capability("namespaces", False, "no program unshare", rootfs.SYSTEM_FIX)
    if not rootfs.probe().available:
        return Capability("namespaces", False, rootfs.probe().reason, rootfs.SYSTEM_FIX)
    try:
        programs.run(_argv("true"), timeout_s=5)
    except CaveatError:
        reason = "the kernel refuses new namespaces here"
        return privileges.refused("namespaces", reason, needs=["CAP_SYS_ADMIN"])
    return Capability("namespaces", True, "pid, mount, UTS and IPC namespaces work")


@contextmanager
def namespaces_place() -> Iterator[SpawnPlace]:
    """Open the place where a workload has namespaces of its own and nothing more.

    Raises
    ------
    Unavailable
        If this machine refuses such namespaces.
    """
    ability = probe()
    if not ability.available:
        raise Unavailable(f"No namespaces: {ability.reason}. {ability.fix}".rstrip())
    facts = {"shell": "busybox", "unshare": _version()}
    with opened(_argv, facts=facts, target=first_process) as place:
        yield place


def _argv(script: str) -> list[str]:
    unprivileged = ["--user", "--map-root-user"] if privileges.lacking("CAP_SYS_ADMIN") else []
    return [
        *(programs.need("unshare"), *unprivileged, "--pid", "--mount", "--uts", "--ipc"),
        *("--fork", "--kill-child", "--mount-proc", f"--root={rootfs.rootfs()}", "--wd=/"),
        *("/bin/sh", "-c", script),
    ]


def first_process(unshare: int) -> int:
    """Return the first process in new namespaces, given the one that makes them."""
    # It is forked some instants after unshare starts.
    what = "No process in the namespaces"
    try:
        return programs.wait_until(lambda: processes.children(unshare), 1, what, pause_s=0.001)[0]
    except DeadlineExceeded:
        return unshare


def _version() -> str:
    # unshare from util-linux 2.41
    return programs.run(["unshare", "--version"]).split()[-1]
