"""What a virtual machine boots: kernel, initial RAM file system, disk, container bundle.

Every guest starts the same way: Debian's cloud kernel, taken out of its package
without installing it, and one initial RAM file system of a static busybox. A
trial's own files (its script) follow it as a second, tiny archive. The microVM
stays there; the full VM goes on to systemd on a disk.
"""

from __future__ import annotations

import json
import lzma
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from caveatlib.errors import Unavailable
from caveatlib.places import cache, debian, rootfs
from caveatlib.places.cache import Artefact
from caveatlib.places.machines import cpio
from caveatlib.support import programs

PACKAGE = "linux-image-cloud-amd64"
GENERIC_PACKAGE = "linux-image-amd64"
BUILD_S = 300.0
MODULES = ("virtio_mmio", "failover", "net_failover", "virtio_net", "virtio_blk")
"""Kernel modules in the order in which they are loaded; virtio over PCI and ext4 are built in."""

LOAD = "[ -e /sys/module/{name} ] || insmod /modules/{file}.ko || exit 1\n"
DEPENDS = re.compile(rb"\0depends=([\w,-]*)\0")
"""What a module says of itself, in its section .modinfo."""

# Runs the trial's script as the only thing in the guest. The serial line is its
# output; a line on it, e.g. "TERM", is a signal for the script. The last line
# tells the exit status: the virtual machine's own says nothing about it.
RUNNER = """#!/bin/sh
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo -opost
sh -c "$(cat ${0%/*}/workload.sh)" </dev/null &
workload=$!
while read -r signal; do kill -s "$signal" $workload; done </dev/ttyS0 &
wait $workload
status=$?
echo
echo "caveatlib: exit $status"
stty -opost  # returns when everything is sent
exec "$@"
"""

INIT = """#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
load() {
    for module; do
        [ ! -e /modules/$module.ko ] || insmod /modules/$module.ko
    done
}
ip link set lo up
if [ -e /trial/network ]; then
    load virtio_mmio failover net_failover virtio_net
    ip address add 10.0.2.15/24 dev eth0
    ip link set eth0 up
fi
if [ -e /trial/disk ]; then
    load virtio_blk
    if ! mount -t ext4 /dev/vda /root; then
        echo "caveatlib: the disk cannot be mounted" >/dev/ttyS0
        exec poweroff -f
    fi
    cp -a /bin /www /trial/runner /trial/workload.sh /run
    for tree in dev proc sys run; do mount -o move /$tree /root/$tree; done
    exec switch_root /root /sbin/init
fi
exec sh /trial/runner poweroff -f
"""

# "After" without "Before" keeps a target from waiting for what it wants.
UNIT = """[Unit]
Description=The script of one trial
After=multi-user.target

[Service]
WorkingDirectory=/run
Environment=PATH=/run/bin
ExecStart=/run/bin/sh /run/runner /usr/bin/systemctl start --no-block poweroff.target

[Install]
WantedBy=multi-user.target
"""

# The serial line belongs to the script, without a login prompt in it; modules
# are built in or loaded before systemd starts.
MASKED = ("serial-getty@ttyS0.service", "systemd-modules-load.service")

# container SCRIPT: runs it in the first container of a guest.
CONTAINER = """#!/bin/sh
mount -t cgroup2 cgroup2 /sys/fs/cgroup
printf %s "$1" >/bundle/rootfs/script
exec runc run --no-pivot --bundle /bundle first
"""

BUNDLE = {
    "ociVersion": "1.0.2",
    "process": {
        "user": {"uid": 0, "gid": 0},
        "args": ["/bin/sh", "/script"],
        "env": ["PATH=/bin"],
        "cwd": "/",
    },
    "root": {"path": "rootfs"},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
    ],
    "linux": {
        "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount", "cgroup")]
    },
}


def build_disk(folder: Path, out: Path, *, room_for: Path | None = None) -> float:
    """Make a raw ext4 disk of a folder's files; return how many seconds it took.

    The disk has room for the files, and those of another folder, and a quarter more, and 64 MiB for
    its own tables.

    Raises
    ------
    Unavailable
        If ``mkfs.ext4`` is missing.
    MeasurementError
        If it failed.
    """
    mkfs = programs.need("mkfs.ext4", "e2fsprogs")
    folders = (folder,) if room_for is None else (folder, room_for)
    files = [p.lstat().st_size for each in folders for p in each.rglob("*")]
    size_mib = (sum(4096 + size for size in files) * 5 // 4 >> 20) + 64
    # Else a large disk of small files runs out of inodes before it is full.
    options = ("-q", "-F", "-N", str(len(files) + 1024), "-d", str(folder))
    if out.exists():
        os.truncate(out, 0)  # a longer file would keep its length
    started = time.monotonic()
    programs.run([mkfs, *options, str(out), f"{size_mib}M"], timeout_s=BUILD_S)
    return time.monotonic() - started


def _build_kernel(out: Path) -> None:
    _take_kernel(PACKAGE, MODULES, out)


def _take_kernel(wanted: str, modules: Sequence[str], out: Path) -> None:
    """Take a kernel and modules of it out of the package that a package depends on."""
    for program in ("apt-get", "apt-cache", "dpkg-deb"):
        if programs.find(program) is None:
            raise Unavailable(f"{program} is missing: the guest's kernel needs a Debian host.")
    listing = programs.run(["apt-cache", "depends", "--important", wanted], timeout_s=60)
    # "  Depends: linux-image-6.12.117+deb13-cloud-amd64"
    found = re.search(r"Depends: (linux-image-(\S+))", listing)
    if found is None:
        raise Unavailable(f"apt knows no {wanted}: needs Debian on x86-64. Run `apt-get update`.")
    package, version = found.groups()
    with _unpacked(package) as tree:
        shutil.move(tree / "boot" / f"vmlinuz-{version}", out / "vmlinuz")
        (out / "modules").mkdir()
        for name, content in _modules(tree, modules):
            (out / "modules" / f"{name}.ko").write_bytes(content)
    (out / "version").write_text(version)


@contextmanager
def _unpacked(package: str) -> Iterator[Path]:
    """Download a package and unpack it into a folder, which does not stay."""
    with tempfile.TemporaryDirectory(prefix=".package-", dir=cache.folder()) as folder:
        programs.run(["apt-get", "-q", "download", package], timeout_s=BUILD_S, cwd=Path(folder))
        (archive,) = Path(folder).glob("*.deb")
        programs.run(["dpkg-deb", "-x", str(archive), f"{folder}/tree"], timeout_s=BUILD_S)
        yield Path(folder) / "tree"


def _modules(tree: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the modules that an unpacked kernel has of these, each with its content."""
    for name in names:
        # "virtio_net.ko.xz", or "virtio_net.ko" in older packages
        for module in tree.rglob(f"{name}.ko*"):
            yield name, _unpacked_module(module)


def _unpacked_module(file: Path) -> bytes:
    content = file.read_bytes()
    return lzma.decompress(content) if file.suffix == ".xz" else content


def more_modules(name: str, modules: Sequence[str]) -> Artefact:
    """Return an archive of further modules of the guest's kernel, as an artefact.

    It is the artefact's file ``initramfs``, one more of a `qemu.Machine`'s archives; in the guest
    the modules lie in ``/modules``. `KERNEL` comes before it among an experiment's artefacts.

    Parameters
    ----------
    name : str
        Ends the artefact's name.
    modules : sequence of str
        Names of files without ``.ko``, in the order in which they are to be loaded.
    """

    def build(out: Path) -> None:
        cache.find(KERNEL)
        with _unpacked(f"linux-image-{_kernel_version()}") as tree:
            found = dict(_modules(tree, modules))
        if lacking := set(modules) - set(found):
            raise Unavailable(f"The guest's kernel has no module {', '.join(sorted(lacking))}.")
        entries = {f"modules/{m}.ko": (cpio.REGULAR, content) for m, content in found.items()}
        (out / "initramfs").write_bytes(cpio.archive(entries))

    return Artefact(
        f"guest-modules-{name}",
        f"Modules of the virtual machines' kernel ({', '.join(modules)})",
        lambda: {"kernel": _kernel_version(), "modules": " ".join(modules)},
        build,
        download_bytes=35_000_000,
        disk_bytes=90_000_000,
    )


def loadable(name: str, modules: Mapping[str, Sequence[str]]) -> Artefact:
    """Return modules of the guest's kernel and all that these depend on, as an artefact.

    It is an archive as that of `more_modules`. In the guest ``load-COMMAND`` loads those of a
    command and what they depend on, in order; what is there already is left out.

    Parameters
    ----------
    name : str
        Ends the artefact's name.
    modules : mapping
        Command -> names of files without ``.ko``.
    """
    wanted = {command: " ".join(names) for command, names in modules.items()}

    def build(out: Path) -> None:
        cache.find(KERNEL)
        entries = {}
        with _unpacked(f"linux-image-{_kernel_version()}") as tree:
            for command, names in modules.items():
                found = _with_dependencies(tree, names)
                lines = [LOAD.format(file=m, name=m.replace("-", "_")) for m in found]
                script = "".join(["#!/bin/sh\n", *lines]).encode()
                entries[f"bin/load-{command}"] = (cpio.EXECUTABLE, script)
                entries |= {f"modules/{m}.ko": (cpio.REGULAR, code) for m, code in found.items()}
        (out / "initramfs").write_bytes(cpio.archive(entries))

    return Artefact(
        f"guest-loadable-{name}",
        f"Modules of the virtual machines' kernel, with what they need ({', '.join(modules)})",
        lambda: {"kernel": _kernel_version(), "load": LOAD} | wanted,
        build,
        download_bytes=35_000_000,
        disk_bytes=90_000_000,
    )


def _with_dependencies(tree: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Return modules of an unpacked kernel by file name, each after those that it depends on."""
    found: dict[str, bytes] = {}

    def add(name: str, *, wanted: bool) -> None:
        # A file may have a dash where the module, and whoever depends on it, has none.
        pattern = re.sub("[-_]", "[-_]", name)
        path = next(iter(sorted(tree.rglob(f"{pattern}.ko*"))), None)
        if path is None:
            if wanted:
                raise Unavailable(f"The guest's kernel has no module {name}.")
            return  # it is built in
        file = path.name.partition(".ko")[0]
        if file in found:
            return
        content = _unpacked_module(path)
        for other in DEPENDS.findall(content):
            for each in filter(None, other.decode().split(",")):
                add(each, wanted=False)
        found[file] = content

    for name in names:
        add(name, wanted=True)
    return found


def _build_initramfs(out: Path) -> None:
    kernel = cache.find(KERNEL)
    entries = {"init": (cpio.EXECUTABLE, INIT.encode())} | cpio.tree(rootfs.rootfs())
    entries["run"] = (cpio.DIRECTORY, b"")
    for module in (kernel / "modules").iterdir():
        entries[f"modules/{module.name}"] = (cpio.REGULAR, module.read_bytes())
    (out / "initramfs").write_bytes(cpio.archive(entries))


def _build_inception(out: Path) -> None:
    entries = {
        "bin/container": (cpio.EXECUTABLE, CONTAINER.encode()),
        "bin/runc": (cpio.EXECUTABLE, Path(_runc()).read_bytes()),
        "bundle/config.json": (cpio.REGULAR, json.dumps(BUNDLE).encode()),
    }
    entries |= {f"bundle/rootfs/{n}": e for n, e in cpio.tree(rootfs.rootfs()).items()}
    for library in _libraries(_runc()):
        entries[library.lstrip("/")] = (cpio.EXECUTABLE, Path(library).read_bytes())
    (out / "initramfs").write_bytes(cpio.archive(entries))


def _build_full_disk(out: Path) -> None:
    suite, mirror = debian.archive()
    tree = out / "tree"
    options = ("--variant=minbase", "--include=systemd-sysv")
    # In namespaces of its own, so that what it mounts and starts ends with it.
    apart = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    argv = [programs.need("debootstrap", "debootstrap"), *options, suite, str(tree), mirror]
    programs.run([*apart, *argv], timeout_s=3 * BUILD_S, what="debootstrap")
    for kept in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(tree / kept)
        (tree / kept).mkdir()
    system = tree / "etc/systemd/system"
    (system / "workload.service").write_text(UNIT)
    (system / "multi-user.target.wants/workload.service").symlink_to("../workload.service")
    for unit in MASKED:
        (system / unit).symlink_to("/dev/null")
    (tree / "etc/hostname").write_text("guest\n")
    (tree / "etc/machine-id").write_text("0123456789abcdef" * 2 + "\n")
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    build_disk(tree, out / "disk.raw")
    shutil.rmtree(tree)


def _kernel_recipe() -> dict[str, str]:
    return {"package": PACKAGE, "modules": " ".join(MODULES)}


def _kernel_version() -> str:
    """Return the prepared kernel's version, empty if there is none: modules fit one only."""
    try:
        return (cache.find(KERNEL) / "version").read_text()
    except (Unavailable, OSError):
        return ""


def _initramfs_recipe() -> dict[str, str]:
    return {
        "kernel": _kernel_version(),
        "rootfs": rootfs.image_digest(),
        "init": INIT,
    }


def _inception_recipe() -> dict[str, str]:
    return {
        "rootfs": rootfs.image_digest(),
        "runc": cache.sha256_of(_runc()),
        "bundle": json.dumps(BUNDLE),
        "container": CONTAINER,
    }


def _full_disk_recipe() -> dict[str, str]:
    return {"base": "debootstrap minbase + systemd-sysv", "unit": UNIT, "masked": " ".join(MASKED)}


KERNEL = Artefact(
    "guest-kernel",
    "The kernel of the virtual machines",
    _kernel_recipe,
    _build_kernel,
    download_bytes=35_000_000,
    disk_bytes=90_000_000,
)
GENERIC_KERNEL = Artefact(
    "guest-generic-kernel",
    "A second kernel for virtual machines, Debian's for any hardware",
    lambda: {"package": GENERIC_PACKAGE},
    lambda out: _take_kernel(GENERIC_PACKAGE, (), out),
    download_bytes=105_000_000,
    disk_bytes=650_000_000,
)
INITRAMFS = Artefact(
    "guest-initramfs",
    "The initial RAM file system of the virtual machines",
    _initramfs_recipe,
    _build_initramfs,
    disk_bytes=3_000_000,
)
INCEPTION = Artefact(
    "guest-inception",
    "The container runtime and bundle inside a virtual machine",
    _inception_recipe,
    _build_inception,
    disk_bytes=20_000_000,
)
FULL_DISK = Artefact(
    "guest-disk",
    "The disk of the full virtual machine",
    _full_disk_recipe,
    _build_full_disk,
    download_bytes=50_000_000,
    disk_bytes=550_000_000,
    needs_root=True,
)


def _runc() -> str:
    return programs.need("runc", "runc")


def _libraries(program: str) -> list[str]:
    # "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f96c4dba000)"
    # "\t/lib64/ld-linux-x86-64.so.2 (0x00007f96c51b6000)"
    return re.findall(r"(/\S+) \(0x", programs.run(["ldd", program]))
