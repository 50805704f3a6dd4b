"""What a guest boots from."""

import lzma
import re
import subprocess
from pathlib import Path

import pytest

from caveatlib.errors import MeasurementError, Unavailable
from caveatlib.places import cache, debian
from caveatlib.places.machines import guest
from caveatlib.support import programs

pytestmark = pytest.mark.beside

# apt-get indextargets on Debian 13, the mirror's name replaced
DEBIAN = """Debian main stable-security trixie-security http://mirror.example/debian-security
Debian main stable-updates trixie-updates http://mirror.example/debian
Debian main stable trixie http://mirror.example/debian
"""
UBUNTU = "Ubuntu main noble noble http://mirror.example/ubuntu\n"
LDD = """\tlinux-vdso.so.1 (0x00007f48308ae000)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f4830679000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f48308b0000)
"""


def test_disk_of_a_folder(tmp_path, require):
    """A disk holds the folder's files, and the time it took is positive."""
    require("mkfs.ext4")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_bytes(b"content " * 1000)
    (tmp_path / "disk.raw").write_bytes(bytes(200 << 20))
    assert guest.build_disk(folder, tmp_path / "disk.raw") > 0
    assert (tmp_path / "disk.raw").stat().st_size == 64 << 20
    read = ["debugfs", "-R", "cat /file", str(tmp_path / "disk.raw")]
    assert subprocess.run(read, check=True, capture_output=True).stdout == b"content " * 1000


def test_disk_that_cannot_be_made(tmp_path, require):
    """A failure of the program is its last words."""
    require("mkfs.ext4")
    with pytest.raises(MeasurementError, match=r"mkfs\.ext4 failed"):
        guest.build_disk(tmp_path, tmp_path / "no" / "disk.raw")


def test_archive_of_this_debian(monkeypatch):
    """Of all that apt knows the release itself is taken, not its updates."""
    monkeypatch.setattr(programs, "run", lambda *a, **k: DEBIAN)
    assert debian.archive() == ("trixie", "http://mirror.example/debian")


def test_no_debian(monkeypatch):
    """Another distribution is told so."""
    monkeypatch.setattr(programs, "run", lambda *a, **k: UBUNTU)
    with pytest.raises(Unavailable, match="Debian host"):
        debian.archive()


def test_no_kernel_package(monkeypatch, tmp_path, require):
    """An apt that knows no such kernel is told what it takes."""
    require("apt-get")
    monkeypatch.setattr(programs, "run", lambda *a, **k: "")
    with pytest.raises(Unavailable, match="apt-get update"):
        guest._build_kernel(tmp_path)


def test_libraries(monkeypatch):
    """The libraries of a program are those with a path, its loader included."""
    monkeypatch.setattr(programs, "run", lambda *a, **k: LDD)
    assert guest._libraries("runc") == [
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib64/ld-linux-x86-64.so.2",
    ]


def test_another_kernel_another_initramfs(monkeypatch, tmp_path, require):
    """Kernel modules fit one kernel only: another version is another recipe."""
    require("busybox")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    version = cache.path(guest.KERNEL) / "version"
    seen = {cache.checksum(guest.INITRAMFS)}
    for number in ("6.1", "6.12"):
        version.parent.mkdir(parents=True, exist_ok=True)
        version.write_text(number)
        seen.add(cache.checksum(guest.INITRAMFS))
    assert len(seen) == 3


def test_more_modules_are_of_the_same_kernel(monkeypatch, tmp_path):
    """They lie in an archive of their own, packed or not; one that the kernel lacks is named."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernel = cache.path(guest.KERNEL)
    kernel.mkdir(parents=True)
    (kernel / "version").write_text("6.1-cloud")
    asked = []

    def run(argv, *, cwd=None, **options):
        asked.append(argv)
        if "download" in argv:
            (cwd / "kernel.deb").touch()
        else:
            tree = Path(argv[-1]) / "lib/modules"
            tree.mkdir(parents=True)
            (tree / "plain.ko").write_bytes(b"plain module")
            (tree / "packed.ko.xz").write_bytes(lzma.compress(b"packed module"))
        return ""

    monkeypatch.setattr(programs, "run", run)
    made = cache.ensure(guest.more_modules("two", ("plain", "packed"))) / "initramfs"
    assert asked[0][-1] == "linux-image-6.1-cloud"
    assert b"modules/packed.ko" in made.read_bytes()
    assert b"packed module" in made.read_bytes()
    assert b"plain module" in made.read_bytes()
    with pytest.raises(Unavailable, match="no module absent"):
        cache.ensure(guest.more_modules("none", ("plain", "absent")))
    assert not list(cache.folder().glob("guest-modules-none-*"))


def module(depends: str) -> bytes:
    """Return what a module says of itself, between code and code."""
    return b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0retpoline=Y\0code"


def test_modules_come_with_what_they_depend_on(monkeypatch, tmp_path):
    """Each after its own, once, whatever its file's dashes; what has no file is built in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernel = cache.path(guest.KERNEL)
    kernel.mkdir(parents=True)
    (kernel / "version").write_text("6.1-cloud")
    files = {
        "net/ip_vs.ko": module("nf_conn_track,libcrc"),
        "net/ip_vs_rr.ko": module("ip_vs"),
        "net/nf-conn_track.ko": module("nf_defrag"),
        "net/nf_defrag.ko.xz": lzma.compress(module("")),
        "net/other.ko": module(""),
    }

    def run(argv, *, cwd=None, **options):
        if "download" in argv:
            (cwd / "kernel.deb").touch()
            return ""
        for name, content in files.items():
            path = Path(argv[-1]) / "lib/modules/kernel" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return ""

    monkeypatch.setattr(programs, "run", run)
    artefact = guest.loadable("two", {"rr": ("ip_vs_rr", "ip_vs"), "one": ("nf_conn_track",)})
    archive = (cache.ensure(artefact) / "initramfs").read_bytes()
    texts = re.findall(rb"bin/load-(\w+)\0+#!/bin/sh\n((?:\[ [^\n]*\n)*)", archive)
    scripts = {
        command: re.findall(rb"/sys/module/(\w+) \] \|\| insmod /modules/(\S+)\.ko", script)
        for command, script in texts
    }
    loaded = scripts[b"rr"]
    assert loaded == [
        (b"nf_defrag", b"nf_defrag"),
        (b"nf_conn_track", b"nf-conn_track"),
        (b"ip_vs", b"ip_vs"),
        (b"ip_vs_rr", b"ip_vs_rr"),
    ]
    assert scripts[b"one"] == loaded[:2]
    assert b"modules/nf_defrag.ko" in archive
    assert b"modules/other.ko" not in archive
    with pytest.raises(Unavailable, match="no module ip_vs_sh"):
        cache.ensure(guest.loadable("three", {"sh": ("ip_vs", "ip_vs_sh")}))
    del files["net/ip_vs.ko"]
    with pytest.raises(Unavailable, match=r"no module ip_vs\."):
        cache.ensure(guest.loadable("four", {"rr": ("ip_vs_rr", "ip_vs")}))
