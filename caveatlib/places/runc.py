"""An OCI runtime alone: a container as runc or crun makes it, with no engine around."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from caveatlib.errors import FAILURES, CaveatError, MeasurementError, Unavailable, UsageError
from caveatlib.places import compiled, leases, privileges, rootfs
from caveatlib.places.base import Capability, Workload
from caveatlib.places.cgroups import cgroupfs
from caveatlib.places.process import connect_local, signal_number
from caveatlib.support import processes, programs
from caveatlib.support.privacy import scrub
from caveatlib.support.processes import Handle

CALL_S = 30.0
TRIES = 2
"""Starts that a probe tries. Now and then one start of runc fails and the next does not: it
copies itself into memory and seals the copy, which the kernel refuses (EBUSY) while something
still holds a page of it."""

RUNTIMES: Mapping[str, Sequence[str]] = {
    "runc": ("runc",),
    "crun": ("crun",),
    # gVisor's own network stack takes a newer kernel's namespace for the host's and
    # refuses it; "host" is the container's namespace in an engine, not the machine's.
    "runsc": ("runsc", "--platform=systrap", "--network=host"),
}
"""Known OCI runtimes: program and arguments, which stand before the runtime's own."""


@cache
def probe(program: str = "runc") -> Capability:
    """Return whether an OCI runtime can be used here, by starting a container that ends at once.

    Parameters
    ----------
    program : str
        A key of `RUNTIMES`; also the name of the ability.
    """
    if programs.find(program) is None:
        return Capability(program, False, f"no program {program}", rootfs.SYSTEM_FIX)
    if not rootfs.probe().available:
        return Capability(program, False, rootfs.probe().reason, rootfs.SYSTEM_FIX)
    if not cgroupfs.hierarchies():
        return Capability(program, False, "no control groups mounted")
    for _ in range(TRIES):
        try:
            _try(program)
        except FAILURES as error:
            reason = f"it starts no container here: {scrub(error)}"
        else:
            return Capability(program, True, f"{program} {version(program)}")
    return privileges.refused(program, reason, needs=["CAP_SYS_ADMIN"])


def _try(program: str) -> None:
    """Run a container, with the mounts that an engine would have: see `supervisor`.

    Raises
    ------
    MeasurementError
        If the container does not end with status 0.
    """
    with leases.leased() as lease:
        config = _config("exit 0", f"{lease.cgroup}/probe")
        (lease.data / "config.json").write_text(json.dumps(config))
        # crun refuses a v2 hierarchy beside v1 hierarchies.
        without_v2 = 'umount -l /sys/fs/cgroup/unified 2>/dev/null; exec "$@"'
        argv = [
            *("unshare", "--mount", "sh", "-c", without_v2, "sh"),
            *(*RUNTIMES[program], "--root", str(lease.run / "state")),
            *("run", "--bundle", str(lease.data), "probe"),
        ]
        programs.run(argv, timeout_s=CALL_S, what=program)


def version(program: str) -> str:
    """Return a runtime's version, empty if it does not say."""
    # "runc version 1.1.15+ds1" / "crun version 1.21" / "runsc version release-20250630.0"
    try:
        first = programs.run([program, "--version"]).partition("\n")[0].split()
    except CaveatError:
        return ""
    return first[-1] if first else ""


@contextmanager
def runc_place(program: str = "runc") -> Iterator[RuncPlace]:
    """Open the place where an OCI runtime runs workloads without an engine.

    The container has pid, mount, UTS and IPC namespaces and control groups of
    its own; its network is the host's, so a port is reached on 127.0.0.1.

    Parameters
    ----------
    program : str
        ``"runc"`` or ``"crun"``.

    Raises
    ------
    Unavailable
        If the runtime is missing or this user may not use it.
    """
    ability = probe(program)
    if not ability.available:
        raise Unavailable(f"No {program}: {ability.reason}. Mend it with: {ability.fix}")
    leases.sweep()
    with leases.leased() as lease:
        place = RuncPlace(program, lease)
        try:
            yield place
        finally:
            place.close()


class RuncPlace:
    """A place where each workload is a container of an OCI runtime."""

    def __init__(self, program: str, lease: leases.Lease):
        self._program, self._lease = program, lease
        self._instances: list[Container] = []

    def create(self, workload: Workload) -> Container:
        """Make the bundle and let the runtime create the container."""
        instance = self._bundled(workload)
        self._instances.append(instance)
        instance.create()
        return instance

    def _bundled(self, workload: Workload) -> Container:
        return Container(self._program, self._lease, workload)

    def metadata(self) -> dict[str, str]:
        """Return the runtime's name and version."""
        return {"runtime": self._program, f"{self._program}_version": version(self._program)}

    def close(self) -> None:
        """Remove every container that is still there."""
        with contextlib.ExitStack() as stack:  # each of them, also where one does not end
            for instance in self._instances:
                stack.callback(instance.remove)


class Container:
    """One container of an OCI runtime, its output in a pipe.

    Parameters
    ----------
    program : str
    lease : Lease
    workload : Workload
    root : Path, optional
        A root file system of its own, which it may write; default the one that all share.
    within : sequence of str
        The command that the runtime creates the container by, which stands before its own.
    """

    def __init__(
        self,
        program: str,
        lease: leases.Lease,
        workload: Workload,
        *,
        root: Path | None = None,
        within: Sequence[str] = (),
    ):
        self._port = workload.port
        self._within = within
        self._bundle = Path(tempfile.mkdtemp(prefix="", dir=lease.data))
        self._name = self._bundle.name
        self._runtime = [program, "--root", str(lease.run / "state")]
        config = _config(workload.script, f"{lease.cgroup}/{self._name}", root)
        for each in workload.programs:
            source = str(compiled.path(each))
            config["mounts"].append(_mount(f"/tmp/{compiled.name(each)}", "bind", source=source))
        (self._bundle / "config.json").write_text(json.dumps(config))
        self._init: Handle | None = None
        self._removed = False
        self.output, self._write_end = os.pipe()

    def create(self) -> None:
        """Let the runtime create the container; the pipe becomes its output."""
        pid_file = self._bundle / "pid"
        try:
            self._call(
                *("create", "--bundle", str(self._bundle), "--pid-file", str(pid_file)),
                self._name,
                output=self._write_end,
                within=self._within,
            )
            self._init = Handle(int(pid_file.read_text()))
        except BaseException:
            self.remove()
            raise
        os.close(self._write_end)
        self._write_end = -1

    def start(self) -> None:
        """Start the workload; return when the runtime does."""
        self._call("start", self._name)

    def signal(self, name: str) -> None:
        """Send a signal to the container's first process, e.g. ``"TERM"``."""
        self._handle().send(signal_number(name))

    def wait(self, timeout_s: float) -> int:
        """Wait for the end and return the exit status.

        The container is not a child of this process, so its status is unknown to
        it: 0 is returned.

        Raises
        ------
        DeadlineExceeded
            If the workload still runs after `timeout_s` seconds.
        """
        return self._handle().wait(timeout_s)

    def remove(self) -> None:
        """Kill and delete the container, close the pipe, remove the bundle."""
        if self._removed:
            return
        self._removed = True
        with contextlib.suppress(MeasurementError):  # never created, or half: the lease sweeps
            self._call("delete", "--force", self._name)
        if self._init is not None:
            self._init.close()
        for end in (self.output, self._write_end):
            if end >= 0:
                os.close(end)
        self.output = self._write_end = -1
        shutil.rmtree(self._bundle, ignore_errors=True)

    def pids(self) -> list[int]:
        """Return the container's processes."""
        return processes.descendants(self._handle().pid) if not self._removed else []

    def memory_cgroup(self) -> Path | None:
        """Return the folder of the container's memory control group."""
        return cgroupfs.memory_folder(self._handle().pid)

    def connect(self, timeout_s: float) -> socket.socket:
        """Open a TCP connection to the workload's port on 127.0.0.1."""
        return connect_local(self._port, timeout_s)

    def _handle(self) -> Handle:
        if self._init is None or self._removed:
            raise UsageError("A removed container. Create a new one.")
        return self._init

    def _call(self, *arguments: str, output: int | None = None, within: Sequence[str] = ()) -> None:
        what = f"{self._runtime[0]} {arguments[0]}"
        try:
            argv = [*within, *self._runtime, *arguments]
            programs.run(argv, timeout_s=CALL_S, what=what, output=output)
        except MeasurementError as error:
            if output is None:
                raise
            # What it said of its failure is where the container would have written.
            said = _available(self.output).decode(errors="replace").strip()
            raise MeasurementError(f"{what}: {said or error}") from error


def _available(pipe: int) -> bytes:
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, 2000)
    except BlockingIOError:
        return b""


def _config(script: str, cgroup: str, root: Path | None = None) -> dict:
    """Return the OCI runtime configuration of a workload (runtime-spec 1.0.2)."""
    capabilities = ["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/bin:/tmp"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
            "noNewPrivileges": True,
        },
        # Read-only: all containers share the one folder. /tmp is each one's own.
        "root": {"path": str(root or rootfs.rootfs()), "readonly": root is None},
        "hostname": "caveatlib",
        "mounts": [
            _mount("/proc", "proc"),
            _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666"),
            _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
            _mount("/tmp", "tmpfs", "nosuid", "nodev", "mode=1777", "size=65536k"),
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        },
    }


def _mount(target: str, kind: str, *options: str, source: str = "") -> dict:
    options = ("bind", "ro") if source else options
    return {
        "destination": target,
        "type": kind,
        "source": source or kind,
        "options": list(options),
    }
