"""A published machine in small: a package with a disk that boots nothing, a kernel, and files."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import zipfile
from pathlib import Path

from caveatlib.places import cache
from caveatlib.places.machines import published
from caveatlib.support import programs

KERNEL = "6.18.2-0-virt"
FILES = {
    "etc/init.d/sshd": "a service\n",
    "etc/runlevels/default/sshd": "a link\n",
    "boot/vmlinuz": random.Random(1).randbytes(90_000).hex(),
    "lib/modules/6.18/ext4.ko": "a module\n" * 10_000,
    "lib/libc.so": random.Random(2).randbytes(50_000).hex(),
    "bin/sh": "a shell\n",
}
"""Half of kernel and library compress away: what moves them is seen."""


def kernel() -> bytes:
    """Return the header of a kernel for x86 that states its version."""
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = (0x100).to_bytes(2, "little")
    head[0x300:0x320] = f"{KERNEL} (builder) #1".encode().ljust(32, b"\0")
    return bytes(head)


def publish(folder: Path, *, files=FILES) -> Path:
    """Write such a package where pip can be told to look for it; return its file."""
    root, raw, disk = folder / "root", folder / "raw", folder / "qcow2"
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    mkfs = [programs.need("mkfs.ext4"), "-q", "-F", "-d", str(root), str(raw), "16M"]
    convert = ["qemu-img", "convert", "-q", "-c", "-O", "qcow2", str(raw), str(disk)]
    for argv in (mkfs, convert):
        subprocess.run(argv, check=True)
    index = folder / "index"
    index.mkdir()
    release = published.ALPINE
    package = release.package.replace("-", "_")
    wheel = index / f"{package}-{release.version}-py3-none-any.whl"
    about = f"{package}-{release.version}.dist-info"
    names = f"Metadata-Version: 2.1\nName: {release.package}\nVersion: {release.version}\n"
    with zipfile.ZipFile(wheel, "w") as out:
        out.write(disk, f"{release.stem}.qcow2")
        out.writestr(f"{release.stem}.kernel", kernel())
        out.writestr(f"{release.stem}.initrd", b"files of the beginning")
        out.writestr(f"{about}/METADATA", names)
        out.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        out.writestr(f"{about}/RECORD", "")
    return wheel


def release(wheel: Path) -> published.Release:
    """Return Alpine's release as if that package were the published one."""
    return dataclasses.replace(published.ALPINE, sha256=cache.sha256_of(wheel))
