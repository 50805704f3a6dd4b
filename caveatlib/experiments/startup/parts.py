"""What lies between a process and `docker run`, step by step: each place adds one thing.

The first four ask the kernel directly (`contain.c`), as an engine does, so that no step has
programs of its own to start. Their network is a bridge in a network namespace that stands for the
machine's own; an overlay mount lives in the mount namespace of the one container that has it. So
only folders and control groups outlive a container, and they carry the place's lease.

From the runtime on the same things are made, and others besides: runc's own programs, its mounts
and its device rules; the engine's bookkeeping, its system call filter, logs and firewall rules.
"""

from __future__ import annotations

import functools
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from caveatlib.errors import FAILURES, MeasurementError
from caveatlib.places import cache, compiled, leases, netns, privileges, rootfs, runc
from caveatlib.places.base import Capability, Workload
from caveatlib.places.cgroups import cgroupfs
from caveatlib.places.engines import apart, belongings
from caveatlib.places.engines.engine import Engine
from caveatlib.places.namespaces import first_process
from caveatlib.places.process import Spawned, SpawnPlace
from caveatlib.places.spec import Spec
from caveatlib.support import programs
from caveatlib.support.privacy import scrub

CONTAIN = compiled.program(Path(__file__).with_name("contain.c"))
BRIDGE, GATEWAY, ADDRESS = "steps", "198.18.50.1", "198.18.50.2"
"""Of the range that is kept for benchmarks (RFC 2544), in a namespace that nobody else is in."""
OPENED_S, REMOVED_S, PROBE_S = 10.0, 5.0, 10.0


class Parts(NamedTuple):
    """What a place gives each workload beside namespaces.

    Attributes
    ----------
    groups : bool
        A control group in each hierarchy.
    overlay : bool
        A root file system of its own, laid over the shared one.
    network : bool
        A network namespace, with a pair of interfaces to a bridge.
    """

    groups: bool = False
    overlay: bool = False
    network: bool = False


PARTS: Mapping[str, Parts] = {
    "step-namespaces": Parts(),
    "step-cgroup": Parts(groups=True),
    "step-overlay": Parts(groups=True, overlay=True),
    "step-network": Parts(groups=True, overlay=True, network=True),
    "step-runc": Parts(overlay=True, network=True),  # runc makes its groups itself
}


class Around:
    """What is there for all workloads of a place: a lease, groups to make others in, a bridge.

    Parameters
    ----------
    parts : Parts
    lease : Lease
    hub : int or None
        A process in the network namespace with the bridge.
    """

    def __init__(self, parts: Parts, lease: leases.Lease, hub: int | None):
        self.lease, self._parts, self._hub = lease, parts, hub
        self._groups = _groups(lease) if parts.groups else []

    def folder(self, name: str) -> Path:
        """Return a workload's own folder."""
        return self.lease.data / name

    def root(self, name: str) -> Path:
        """Return the root file system that a workload sees."""
        return self.folder(name) / "merged" if self._parts.overlay else rootfs.rootfs()

    def argv(self, name: str) -> list[str]:
        """Return the command that makes a workload's parts, to be followed by what runs in them."""
        argv = [str(compiled.path(CONTAIN))]
        for group in self._groups:
            argv += ["-g", str(group / name)]
        if self._hub is not None:
            argv += ["-n", f"/proc/{self._hub}/ns/net", BRIDGE, ADDRESS, GATEWAY]
        if self._parts.overlay:
            folder = self.folder(name)
            folders = [folder / each for each in ("upper", "work", "merged")]
            for each in folders:
                each.mkdir(parents=True)
            argv += ["-o", str(rootfs.rootfs()), *map(str, folders)]
        return argv

    def forget(self, name: str) -> None:
        """Remove what outlives a workload that has ended; harmless when repeated.

        Raises
        ------
        DeadlineExceeded
            If something is still in one of its groups.
        """

        def gone() -> bool:
            for group in self._groups:
                with suppress(OSError):  # it is gone, or its last process has not quite ended
                    (group / name).rmdir()
            return not any((group / name).exists() for group in self._groups)

        programs.wait_until(gone, REMOVED_S, f"Control group {name} did not end", pause_s=0.001)
        shutil.rmtree(self.folder(name), ignore_errors=True)

    def metadata(self) -> dict[str, str]:
        """Return what the parts are."""
        made = [part for part, there in self._parts._asdict().items() if there]
        return {"parts": ", ".join(["namespaces", *made])}


def _groups(lease: leases.Lease) -> list[Path]:
    """Make the lease's group in each hierarchy that runc would use; return their folders."""
    mounts = [mount for mount in cgroupfs.mounts() if mount.kind in cgroupfs.VERSIONS]
    version = min((cgroupfs.VERSIONS[mount.kind] for mount in mounts), default=0)
    used = [Path(m.point) for m in mounts if cgroupfs.VERSIONS[m.kind] == version]
    groups = [top / lease.cgroup.lstrip("/") for top in dict.fromkeys(used)]
    if not groups:
        raise MeasurementError("No control groups are mounted. Must be mounted in /sys/fs/cgroup.")
    entered = [word for group in groups for word in ("-g", str(group))]
    programs.run([str(compiled.path(CONTAIN)), *entered, "true"], what="contain")
    if version == 2:  # what is handed down to the parent is handed on
        for word in (groups[0] / "cgroup.controllers").read_text().split():
            with suppress(OSError):
                (groups[0] / "cgroup.subtree_control").write_text(f"+{word}")
    return groups


class StepPlace(SpawnPlace):
    """A place where each workload has namespaces and some other parts of a container."""

    def __init__(self, around: Around):
        super().__init__(None, around.metadata(), first_process)
        self._around = around

    def _prepared(self, workload: Workload) -> Spawned:
        name, around = secrets.token_hex(4), self._around
        argv = [*around.argv(name), "-r", str(around.root(name)), "/bin/sh", "-c", workload.script]
        forget = partial(around.forget, name)
        return Leaving(argv, workload.port, self._target, self._mark, forget)


class Leaving(Spawned):
    """A workload that leaves something behind, which `remove` removes, too."""

    def __init__(self, argv, port, target, mark, forget: Callable[[], None]):
        super().__init__(argv, port, target, mark)
        self._forget = forget

    def remove(self) -> None:
        """Kill what is left of the workload, and remove what it leaves behind."""
        super().remove()
        self._forget()


class RuncStep(runc.RuncPlace):
    """A place where runc makes the container, in a network and on a mount that are there."""

    def __init__(self, around: Around):
        super().__init__("runc", around.lease)
        self._around = around

    def metadata(self) -> dict[str, str]:
        """Return what the parts are, and the runtime's name and version."""
        return self._around.metadata() | super().metadata()

    def _bundled(self, workload: Workload) -> runc.Container:
        name, around = secrets.token_hex(4), self._around
        return Mounted(
            self._program,
            around.lease,
            workload,
            root=around.root(name),
            within=around.argv(name),
            forget=partial(around.forget, name),
        )


class Mounted(runc.Container):
    """A container of runc on an overlay mount, whose folders `remove` removes, too."""

    def __init__(self, *arguments, forget: Callable[[], None], **settings):
        super().__init__(*arguments, **settings)
        self._forget = forget

    def remove(self) -> None:
        """Kill and delete the container, and remove its folders."""
        super().remove()
        self._forget()


@contextmanager
def opened(name: str) -> Iterator[StepPlace | RuncStep]:
    """Open the place of a step, a key of `PARTS`."""
    leases.sweep()
    parts = PARTS[name]
    with ExitStack() as stack:
        lease = stack.enter_context(leases.leased())
        hub = stack.enter_context(_hub(lease)) if parts.network else None
        around = Around(parts, lease, hub)
        place = RuncStep(around) if name == "step-runc" else StepPlace(around)
        try:
            yield place
        finally:
            place.close()


@contextmanager
def _hub(lease: leases.Lease) -> Iterator[int]:
    """Open a network namespace with a bridge; yield a process in it."""
    with apart.running([programs.need("busybox"), "sleep", "86400"], lease) as process:

        def made() -> int | None:
            if programs.has_ended(process, 0):
                raise MeasurementError("No network namespace can be made.")
            return apart.first(process)

        what = "No network namespace was made"
        pid = programs.wait_until(made, OPENED_S, what, pause_s=0.005)
        for words in (
            f"link add {BRIDGE} type bridge",
            f"address add {GATEWAY}/24 dev {BRIDGE}",
            f"link set {BRIDGE} up",
        ):
            netns.run_in(pid, ["ip", *words.split()])
        yield pid


class CommandLine(SpawnPlace):
    """A place where each workload is what ``docker run`` makes of it, as one would type it."""

    def __init__(self, engine: Engine, settings: Path):
        super().__init__(None, {}, lambda pid: pid)
        self._engine, self._image = engine, engine.image()
        # Not the reader's own settings: they may name proxies, and another engine.
        self._docker = [programs.need("docker"), "--config", str(settings), "--host"]
        self._docker.append(engine.where.url)

    def _prepared(self, workload: Workload) -> Spawned:
        name, labels = f"caveatlib-{secrets.token_hex(6)}", belongings.labels(self._engine.run)
        run = ["run", "--rm", "--runtime=runc", f"--name={name}"]
        run += [f"--label={key}={value}" for key, value in labels.items()]
        argv = [*self._docker, *run, self._image, "/bin/sh", "-c", workload.script]
        # A signal to the command reaches the container.
        forget = partial(self._engine.remove, name)
        return Leaving(argv, workload.port, self._target, self._mark, forget)

    def metadata(self) -> dict[str, str]:
        """Return the engine's facts and the version of the command."""
        # "Docker version 26.1.5+dfsg1, build a72d7cd"
        told = programs.run([self._docker[0], "--version"]).removeprefix("Docker version ")
        return self._engine.metadata() | {"client": told.partition(",")[0].strip()}


@contextmanager
def _command_line(session) -> Iterator[CommandLine]:
    with leases.leased() as lease:
        place = CommandLine(session.engine(), lease.data)
        try:
            yield place
        finally:
            place.close()


@functools.cache
def probe(name: str) -> Capability:
    """Return whether a step can be made here, by running a workload in its place."""
    try:
        with opened(name) as place:
            _try(place)
    except FAILURES as error:
        reason = f"the kernel refuses one of its parts: {scrub(error)}"
        return privileges.refused(name, reason, needs=["CAP_SYS_ADMIN", "CAP_NET_ADMIN"])
    return Capability(name, True, f"{place.metadata()['parts']} work")


def _try(place: StepPlace | RuncStep) -> None:
    instance = place.create(Workload("exit 0"))
    try:
        instance.start()
        if status := instance.wait(PROBE_S):
            raise MeasurementError(f"status {status}")
    finally:
        instance.remove()


@functools.cache
def client() -> Capability:
    """Return whether Docker's command line is here."""
    if programs.find("docker") is None:
        return Capability("docker run", False, "no program docker", cache.PREPARE)
    return Capability("docker run", True, "docker found")


def _step(name: str, *more) -> Spec:
    needs = (rootfs.probe, partial(compiled.probe, CONTAIN), *more, partial(probe, name))
    return Spec(needs=needs, open=lambda session: session.enter(opened(name)))


PLACES: Mapping[str, Spec] = {
    **{name: _step(name) for name in PARTS if name != "step-runc"},
    "step-runc": _step("step-runc", runc.probe),
    "docker-run": Spec(
        runtime="runc",
        needs=(client,),
        open=lambda session: session.enter(_command_line(session)),
    ),
}
