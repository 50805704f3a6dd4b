"""A Docker engine of our own, in namespaces of its own, that leaves nothing.

It comes up in about a second, shares nothing with an engine that the reader
may have, has no way out to any network, and ends with its owner: see
`supervisor`. What no namespace covers carries a lease: see `leases`.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

from caveatlib.errors import CaveatError, MeasurementError, Unavailable, UsageError
from caveatlib.places import disks, leases, privileges, rootfs, runc
from caveatlib.places.base import Capability
from caveatlib.places.cgroups import caps, cgroupfs
from caveatlib.places.engines import apart
from caveatlib.places.engines.endpoint import Endpoint
from caveatlib.places.engines.engine import Engine
from caveatlib.support import programs

START_S = 30.0
SOCKET = "docker.sock"
LONGEST_SOCKET = "exec/containerd/containerd.sock.ttrpc"
MAX_SOCKET_PATH = 104
"""Of the containerd that dockerd starts (1.7, sys/socket_unix.go): with a longer one it ends, and
dockerd waits for it in vain."""
DATA, DISK = "docker", "disk"
"""What a lease's folder has of an engine: its data, and the file of the disk that they lie on."""
T = TypeVar("T")
PROGRAMS = ("dockerd", "containerd", "runc", "iptables", "ip", "unshare", "nsenter")
# RFC 2544 sets 198.18.0.0/15 aside for benchmarks, so it meets nobody's network.
BRIDGE = "198.18.0.1/24"
POOL = {"base": "198.19.0.0/16", "size": 24}
REMAPPED, SUBORDINATE = "daemon", (300_000, 65_536)
"""Whom user namespaces are said to be of, for the engine will not remap root; first id, number."""
ID_FILES = ("/etc/subuid", "/etc/subgid")


@cache
def probe() -> Capability:
    """Return whether a private engine can be started here, by making namespaces and a bridge."""
    name, needs = "private-engine", ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]
    missing = [name for name in PROGRAMS if programs.find(name) is None]
    if missing:
        return Capability(name, False, f"missing: {', '.join(missing)}", rootfs.SYSTEM_FIX)
    hierarchies = cgroupfs.hierarchies()
    if not hierarchies:
        return Capability(name, False, "no control groups mounted")
    bridge = "ip link add caveatlib type bridge && iptables -t nat -S >/dev/null"
    try:
        programs.run(["unshare", *apart.UNSHARE, "sh", "-c", bridge])
    except CaveatError as error:
        reason = f"the kernel refuses its namespaces or its bridge: {error}"
        return privileges.refused(name, reason, needs=needs)
    if not any(os.access(folder, os.W_OK) for folder in hierarchies):
        return privileges.refused(name, "the control groups cannot be written")
    return Capability(name, True, "dockerd and namespaces found")


@contextmanager
def private_engine(
    *,
    userland_proxy: bool = True,
    storage_driver: str = "overlay2",
    runtimes: Mapping[str, Sequence[str]] | Sequence[str] = ("runc",),
    congestion_control: str = "",
    insecure_registries: Sequence[str] = (),
    socket_group: str = "root",
    user_namespaces: bool = False,
    cap: caps.Cap | None = None,
    disk: disks.Disk | None = None,
) -> Iterator[Engine]:
    """Start a Docker engine and end it, and all it made, on leaving.

    Parameters
    ----------
    userland_proxy : bool
        Docker's setting of that name.
    storage_driver : str
        ``"overlay2"``, ``"vfs"``, ``"btrfs"`` and so on.
    runtimes : sequence of str or mapping
        OCI runtimes to offer: keys of `runc.RUNTIMES`, or name to program and arguments.
    congestion_control : str
        TCP congestion control of the engine's network namespace; empty for the
        kernel's choice. A container's own namespace needs it as a sysctl.
    insecure_registries : sequence of str
        Registries reached without TLS.
    socket_group : str
        Group that may use the engine's socket.
    user_namespaces : bool
        Whether containers have user namespaces of their own (``userns-remap``), with the
        ids from `SUBORDINATE` on, whatever the machine sets aside for that.
    cap : caps.Cap, optional
        What all of its containers together may have; the engine itself lies outside.
    disk : disks.Disk, optional
        A file system of its own for all that the engine keeps; default the machine's.

    Raises
    ------
    Unavailable
        If no private engine can be started here, no cap made, or no disk.
    UsageError
        If a runtime is unknown, or the state folder too long for sockets in it.
    MeasurementError
        If the engine does not come up.
    """
    ability = probe()
    if not ability.available:
        raise Unavailable(f"No private engine: {ability.reason}. {ability.fix}".rstrip())
    known = _programs(runtimes)
    leases.sweep()
    with leases.leased() as lease:
        _check_sockets(lease.run)
        if cap is not None:
            caps.put(lease.cgroup, cap)
        if disk is not None:
            disks.make(disk, lease.data / DISK)
            (lease.data / DATA).mkdir(mode=0o711)
        config = {
            "storage-driver": storage_driver,
            "userland-proxy": userland_proxy,
            "runtimes": known,
            "insecure-registries": list(insecure_registries),
            "group": socket_group,
            **_fixed(lease),
        }
        bound: dict[str, str] = {}
        settings = {"userland_proxy": str(userland_proxy).lower()}
        if user_namespaces:
            config["userns-remap"] = REMAPPED
            bound = _subordinate_ids(lease)
            settings["user_namespaces"] = "true"
        (lease.run / "daemon.json").write_text(json.dumps(config))
        with _running(lease, congestion_control, disk, bound) as (process, url):
            pid = _first_process(process, lease)
            with contextlib.closing(_opened(url, pid, settings, process, lease)) as engine:
                engine.cgroup = lease.cgroup
                yield engine


def _fixed(lease: leases.Lease) -> dict:
    return {
        "data-root": str(lease.data / DATA),
        "exec-root": str(lease.run / "exec"),
        "pidfile": str(lease.run / "pid"),
        "hosts": [_socket(lease)],
        "cgroup-parent": lease.cgroup,
        # systemd's driver would ask the host's systemd, which is hidden.
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "bip": BRIDGE,
        "default-address-pools": [POOL],
        "log-level": "warn",
        # Docker 29 would use containerd's image store and ignore the storage driver.
        "features": {"containerd-snapshotter": False},
    }


def _socket(lease: leases.Lease) -> str:
    return f"unix://{lease.run / SOCKET}"


def _check_sockets(run: Path) -> None:
    """Refuse a folder below which a socket of the engine would have too long a path."""
    path = run / LONGEST_SOCKET
    size = len(os.fsencode(path))
    if size > MAX_SOCKET_PATH:
        raise UsageError(
            f"{path}: {size} bytes are too long for a socket. Must be at most "
            f"{MAX_SOCKET_PATH}. Set CAVEATLIB_STATE to a shorter folder."
        )


def _subordinate_ids(lease: leases.Lease) -> dict[str, str]:
    """Write who may use which ids; return which files of the host stand aside for that."""
    first, number = SUBORDINATE
    file = lease.run / "subordinate"
    file.write_text(f"{REMAPPED}:{first}:{number}\n")
    return dict.fromkeys(ID_FILES, str(file))


def _programs(runtimes: Mapping[str, Sequence[str]] | Sequence[str]) -> dict[str, dict]:
    if not isinstance(runtimes, Mapping):
        unknown = [name for name in runtimes if name not in runc.RUNTIMES]
        if unknown:
            known = ", ".join(map(repr, runc.RUNTIMES))
            raise UsageError(f"Unknown runtime {unknown[0]!r}. Must be one of {known}.")
        runtimes = {name: runc.RUNTIMES[name] for name in runtimes}
    found = {}
    for name, argv in runtimes.items():
        path = programs.find(argv[0])
        if path is None:
            raise Unavailable(f"No program {argv[0]}. Mend it with: {rootfs.SYSTEM_FIX}")
        if name != "runc":  # dockerd brings that name itself and refuses another
            found[name] = {"path": path, "runtimeArgs": list(argv[1:])}
    return found


@contextmanager
def _running(
    lease: leases.Lease,
    congestion_control: str,
    disk: disks.Disk | None,
    bound: Mapping[str, str],
) -> Iterator[tuple]:
    """Start the supervisor with the engine; on leaving, end both and wait for it."""
    argv = [programs.need("dockerd"), "--config-file", str(lease.run / "daemon.json")]
    if disk is not None:
        argv = disks.mounted(disk, lease.data / DISK, lease.data / DATA, argv)
    with apart.running(argv, lease, congestion_control=congestion_control, bound=bound) as process:
        yield process, _socket(lease)


def _first_process(process: subprocess.Popen, lease: leases.Lease) -> int:
    return _while_running(process, lease, lambda: apart.first(process), pause_s=0.002)


def _opened(url: str, pid: int, settings: dict, process, lease: leases.Lease) -> Engine:
    """Return the connected engine as soon as it answers."""
    where = Endpoint(url, "private engine")

    def connected() -> Engine | None:
        if Path(url.removeprefix("unix://")).exists():
            with contextlib.suppress(CaveatError):
                return Engine(where, pid=pid, settings=settings, timeout_s=5.0)
        return None

    return _while_running(process, lease, connected, pause_s=0.01)


def _while_running(process, lease, condition: Callable[[], T | None], *, pause_s: float) -> T:
    """Return what a condition gives as soon as it is true, as long as the engine runs."""

    def found() -> T | None:
        if programs.has_ended(process, 0):
            raise MeasurementError("it ended")
        return condition()

    try:
        return programs.wait_until(found, START_S, "It did not answer", pause_s=pause_s)
    except MeasurementError:
        words = _last_words(lease)
        raise MeasurementError(f"The private engine did not start: {words}") from None


def _last_words(lease: leases.Lease) -> str:
    # time="..." level=error msg="..." / failed to start daemon: error initializing graphdriver
    try:
        lines = (lease.data / "log").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    said = [line.strip() for line in lines if line.strip()]
    return said[-1].replace(str(lease.data), "DATA")[:300] if said else "it said nothing"
