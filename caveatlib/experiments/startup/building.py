"""The same application, made into images that start and into disks that boot.

Every one holds busybox and the application; a disk also holds what a machine needs besides: a
kernel, an initial RAM file system with its modules, an init. None has a boot loader: QEMU takes the
kernel from the disk, as Firecracker's and cloud hosts' users hand theirs over. Nothing is installed
or downloaded: that would take as long for either.

The clock runs while a tool makes its product from a folder of files. Then the product is started,
with nothing but what is in it, until the application says that it has all of its files. One that
does not is a failed trial: what boots nothing is not a virtual machine.
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache as once
from functools import partial
from pathlib import Path
from typing import NamedTuple

from caveatlib.errors import (
    CaveatError,
    DeadlineExceeded,
    EngineError,
    MeasurementError,
    Unavailable,
)
from caveatlib.experiments.startup.workloads import BUILD_FILES, FILES
from caveatlib.places import cache, leases, rootfs
from caveatlib.places.base import Capability, Probe, Workload
from caveatlib.places.engines import answers, belongings
from caveatlib.places.machines import accel, guest, qemu, vm
from caveatlib.places.output import await_lines
from caveatlib.places.spec import Spec
from caveatlib.support import programs

BUILD_S = 120.0
PROOF_S = 120.0
"""Until what was made has started; an emulated machine is slow."""
APPLICATION = "srv/application"
START = """cat ${0%/*}/token
echo "files $(find ${0%/*}/files -type f | wc -l)"
"""
"""Starts the application: says which build it is of, and how many of its files are there."""
INIT = f"""#!/bin/sh
[ ! -b /dev/vdb ] || mount -t ext4 /dev/vdb /{APPLICATION}
exec sh /run/runner poweroff -f
"""
"""First program of a machine, started by its initial RAM file system."""
BUILDERS: Mapping[str, Sequence[str]] = {
    "classic": ("docker", "build"),
    "buildkit": ("docker", "buildx", "build", "--progress=plain"),
}
VERSIONS = {"classic": ("docker", "--version"), "buildkit": ("docker", "buildx", "version")}


class Files:
    """Folders of a session from which is built, each made when it is first needed.

    Parameters
    ----------
    root : Path
        An empty folder.
    """

    def __init__(self, root: Path):
        self.root = root
        self._numbers = itertools.count()

    def path(self, name: str) -> Path:
        """Return a path that nothing has had before."""
        return self.root / f"{name}-{next(self._numbers)}"

    def application(self, into: Path) -> None:
        """Put the application there, all but its token."""
        shutil.copytree(cache.ensure(FILES) / "files", into / "files", copy_function=_linked)
        (into / "start").write_text(START)

    def base(self, into: Path, *, bootable: bool) -> None:
        """Put there what the application needs: busybox, and what a machine needs to boot."""
        shutil.copytree(rootfs.rootfs(), into, symlinks=True)
        (into / APPLICATION).mkdir(parents=True)
        if bootable:
            for name in ("boot", "run", "sbin"):
                (into / name).mkdir()
            shutil.copy(cache.find(guest.KERNEL) / "vmlinuz", into / "boot/vmlinuz")
            shutil.copy(cache.ensure(guest.INITRAMFS) / "initramfs", into / "boot/initrd")
            (into / "sbin/init").write_text(INIT)
            (into / "sbin/init").chmod(0o755)


def _linked(source: str, target: str) -> None:
    """Link a file that is only read, or copy it to another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


def _marked(application: Path) -> str:
    """Write a new token into the application, and read all of it, so that none waits for a disk."""
    token = secrets.token_hex(8)
    (application / "token").write_text(f"{token}\n")
    for file in application.rglob("file*"):
        if file.is_file():
            file.read_bytes()
    os.sync()  # what a build before has left to be written
    return token


def _wanted(token: str) -> list[str]:
    return [token, f"files {BUILD_FILES}"]


class Images:
    """Builds images by the command line in the session's private engine.

    Parameters
    ----------
    engine : caveatlib.places.engines.engine.Engine
    files : Files
    builder : str
        One of `BUILDERS`.
    """

    def __init__(self, engine, files: Files, builder: str):
        self._engine, self._files, self._builder = engine, files, builder
        self._contexts: dict[bool, Path] = {}

    def build(self, *, on_base: bool) -> dict:
        """Build an image, from nothing or where its base is, and start a container of it."""
        context = self._context(on_base)
        token = _marked(context / ("application" if on_base else f"whole/{APPLICATION}"))
        tag = f"{belongings.REPOSITORIES}application:{self._engine.run}"
        try:
            started = time.monotonic()
            programs.run(self._argv(tag, context), timeout_s=BUILD_S, env=self._environment())
            took = time.monotonic() - started
            return {"build_s": took, "proof_s": self._proved(tag, token)}
        finally:
            self._forget(tag)

    def metadata(self) -> dict[str, str]:
        """Return the engine's facts, and the version of what builds."""
        told = programs.run(VERSIONS[self._builder])
        return self._engine.metadata() | {"builder": self._builder, "client": _number(told)}

    def _context(self, on_base: bool) -> Path:
        """Return the build context under a new name: BuildKit sends what it knows only once."""
        context = self._files.path("context")
        if known := self._contexts.get(on_base):
            known.rename(context)
        else:
            context.mkdir()
            self._write(context, on_base)
        self._contexts[on_base] = context
        return context

    def _write(self, context: Path, on_base: bool) -> None:
        start = f'CMD ["/bin/sh", "/{APPLICATION}/start"]\n'
        if on_base:
            self._files.application(context / "application")
            steps = f"FROM {self._engine.image()}\nCOPY application /{APPLICATION}\n"
        else:
            self._files.base(context / "whole", bootable=False)
            self._files.application(context / "whole" / APPLICATION)
            steps = "FROM scratch\nCOPY whole /\n"
        (context / "Dockerfile").write_text(steps + start)

    def _argv(self, tag: str, context: Path) -> list[str]:
        labels = belongings.image_labels(self._engine.run)
        marks = [f"--label={name}={value}" for name, value in labels.items()]
        return [*BUILDERS[self._builder], "--no-cache", f"--tag={tag}", *marks, str(context)]

    def _environment(self) -> dict[str, str]:
        return {
            "DOCKER_HOST": self._engine.where.url,
            "DOCKER_CONFIG": str(self._files.root / "client"),  # not the reader's own
            "DOCKER_BUILDKIT": "0",  # `docker build` is the classic builder then
            "BUILDX_BUILDER": "",
        }

    def _proved(self, tag: str, token: str) -> float:
        """Start a container of the image; return the seconds until it has said all."""
        engine, started = self._engine, time.monotonic()
        argv = ["/bin/sh", f"/{APPLICATION}/start"]
        container = engine.create(argv, image=tag, host={"network_mode": "none"})
        try:
            with closing(engine.attach(container)) as stream:
                engine.start(container)
                return await_lines(stream.fileno(), _wanted(token), PROOF_S)[-1] - started
        finally:
            engine.remove(container)

    def _forget(self, tag: str) -> None:
        """Remove the image and all that a later build could take from a cache."""
        with answers.ignoring(404):
            self._engine.call("image", self._engine.api.remove_image, tag)
        with suppress(EngineError):  # an engine without BuildKit has no such cache
            self._engine.call("prune", self._engine.api.prune_builds, all=True)


class Machines:
    """Makes disks that a virtual machine boots from.

    Parameters
    ----------
    files : Files
    kind : str
        ``"ext4"``: one disk, with everything in it. ``"qcow2"``: an empty one on a backing file
        that holds the base, and the application on a disk of its own.
    """

    def __init__(self, files: Files, kind: str):
        self._files, self._kind = files, kind
        self._folders: dict[str, Path] = {}
        self._there: Path | None = None

    def build(self, *, on_base: bool) -> dict:
        """Make a disk, from nothing or where its base is, and boot from it."""
        out = self._files.path("disk")
        out.mkdir()
        make = {
            ("ext4", False): self._whole,
            ("ext4", True): self._onto_a_copy,
            ("qcow2", False): self._on_a_new_base,
            ("qcow2", True): self._on_the_base,
        }[self._kind, on_base]
        try:
            made = make(out)
            return {"build_s": made.took_s, "proof_s": _booted(out, made)}
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def metadata(self) -> dict[str, str]:
        """Return the versions of what makes a disk, and of what boots from it."""
        # "mke2fs 1.47.2 (1-Jan-2025)", which it writes to standard error
        told = programs.run(["sh", "-c", f"{programs.need('mkfs.ext4')} -V 2>&1"])
        facts = {"disk": self._kind, "e2fsprogs": _number(told), "boot_loader": "none"}
        if self._kind == "qcow2":
            facts["qemu_img"] = _number(programs.run(["qemu-img", "--version"]))
        return facts | {"guest_kernel": (cache.find(guest.KERNEL) / "version").read_text().strip()}

    def _whole(self, out: Path) -> Made:
        """Make one file system of everything."""
        whole = self._folder("whole")
        token = _marked(whole / APPLICATION)
        disk = out / "disk.raw"
        return Made(token, guest.build_disk(whole, disk), disk, {"disk": disk})

    def _onto_a_copy(self, out: Path) -> Made:
        """Copy the base, and write the application into the copy."""
        application, base, disk = self._folder("application"), self._base(), out / "disk.raw"
        commands = out / "commands"
        token = _marked(application)
        commands.write_text(_writing(application))
        copy = ["cp", "--sparse=always", "--reflink=auto", str(base), str(disk)]
        write = ["debugfs", "-w", "-f", str(commands), str(disk)]
        return Made(token, sum(map(_timed, (copy, write))), disk, {"disk": disk})

    def _on_a_new_base(self, out: Path) -> Made:
        """Make the base, an empty disk on it, and one for the application."""
        base, folder = out / "base.raw", self._folder("base")
        return self._beside(out, base, lambda: guest.build_disk(folder, base))

    def _on_the_base(self, out: Path) -> Made:
        """Make an empty disk on the base, and one for the application."""
        return self._beside(out, self._base(), lambda: 0.0)

    def _beside(self, out: Path, base: Path, make_base: Callable[[], float]) -> Made:
        application, disk, data = self._folder("application"), out / "disk.qcow2", out / "data.raw"
        token = _marked(application)
        create = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "raw"]
        took = make_base() + _timed([*create, str(disk)]) + guest.build_disk(application, data)
        disks = {"disk": disk, "disk_format": "qcow2", "more_disks": (data,)}
        return Made(token, took, base, disks)

    def _folder(self, name: str) -> Path:
        """Return a folder of what goes onto a disk: the base, the application, or both."""
        if name not in self._folders:
            path = self._files.path(name)
            if name != "application":
                self._files.base(path, bootable=True)
            if name != "base":
                self._files.application(path / APPLICATION if name == "whole" else path)
            self._folders[name] = path
        return self._folders[name]

    def _base(self) -> Path:
        """Return the disk that is there already, with room for the application."""
        if self._there is None:
            made = self._files.path("base-disk")
            guest.build_disk(self._folder("base"), made, room_for=self._folder("application"))
            self._there = made
        return self._there


class Made(NamedTuple):
    """What was made of the files with a token, and in how many seconds.

    `holds` is the image that the kernel lies in, `disks` what a `qemu.Machine` is given.
    """

    token: str
    took_s: float
    holds: Path
    disks: dict


def _timed(argv: Sequence[str]) -> float:
    started = time.monotonic()
    programs.run(argv, timeout_s=BUILD_S)
    return time.monotonic() - started


def _writing(application: Path) -> str:
    """Return the commands that write an application's files into a disk, for debugfs."""
    lines = []
    for folder in (application, *sorted(p for p in application.rglob("*") if p.is_dir())):
        inside = Path("/", APPLICATION, folder.relative_to(application))
        lines += [f"mkdir {inside}"] * (folder != application)
        lines.append(f"cd {inside}")
        files = sorted(path for path in folder.iterdir() if path.is_file())
        lines += [f"write {file} {file.name}" for file in files]
    return "\n".join(lines) + "\n"


def _booted(out: Path, made: Made) -> float:
    """Boot from the kernel that lies on the disk; return the seconds until all was said."""
    for name in ("vmlinuz", "initrd"):
        programs.run(["debugfs", "-R", f"dump /boot/{name} {out / name}", str(made.holds)])
        if not (out / name).is_file():  # debugfs ends well whatever it finds
            raise MeasurementError(f"The disk holds no {name}. Must hold what it boots from.")
    by, tsc_khz = accel.accelerator()
    kernel, archives = out / "vmlinuz", (out / "initrd",)
    machine = qemu.Machine(kernel, archives, "q35", by, tsc_khz=tsc_khz, **made.disks)
    started = time.monotonic()
    instance = qemu.Guest(machine, Workload(f"sh /{APPLICATION}/start"))
    try:
        instance.start()
        return await_lines(instance.output, _wanted(made.token), PROOF_S)[-1] - started
    except MeasurementError:
        with suppress(DeadlineExceeded):  # it still runs: the error at hand says more
            instance.wait(1)  # where it has ended, its own error says why
        raise
    finally:
        instance.remove()


def _number(told: str) -> str:
    """Return the first version number in what a program says of itself."""
    found = re.search(r"\d+\.\d+(\.\d+)?", told)
    return found[0] if found else ""


@contextmanager
def _images(session, builder: str) -> Iterator[Images]:
    engine = session.engine()
    if engine.pid is None:
        raise Unavailable(
            "An engine of the reader's own. Must be a private one: in its build cache ours cannot "
            "be told from theirs."
        )
    with leases.leased() as lease:
        yield Images(engine, Files(lease.data), builder)


@contextmanager
def _machines(kind: str) -> Iterator[Machines]:
    with leases.leased() as lease:
        yield Machines(Files(lease.data), kind)


@once
def tools(ability: str, *names: str) -> Capability:
    """Return whether the programs that build are here (ability of that name)."""
    try:
        for name in names:
            programs.need(name)
    except Unavailable as error:
        return Capability(ability, False, str(error).partition(". Run")[0], cache.PREPARE)
    return Capability(ability, True, f"{', '.join(names)} found")


@once
def buildx() -> Capability:
    """Return whether Docker's command line has the front end of BuildKit."""
    try:
        programs.run(VERSIONS["buildkit"])
    except CaveatError:
        return Capability("docker buildx", False, "docker has no plugin buildx", cache.PREPARE)
    return Capability("docker buildx", True, "docker buildx found")


def _image(builder: str, need: Probe) -> Spec:
    return Spec(
        runtime="runc", needs=(need,), open=lambda session: session.enter(_images(session, builder))
    )


def _disk(kind: str, *names: str) -> Spec:
    return Spec(
        needs=(partial(vm.probe, "microvm"), partial(tools, f"{kind} disks", *names)),
        open=lambda session: session.enter(_machines(kind)),
    )


PLACES: Mapping[str, Spec] = {
    "image-classic": _image("classic", partial(tools, "docker build", "docker")),
    "image-buildkit": _image("buildkit", buildx),
    "disk-ext4": _disk("ext4", "mkfs.ext4", "debugfs"),
    "disk-qcow2": _disk("qcow2", "mkfs.ext4", "debugfs", "qemu-img"),
}
