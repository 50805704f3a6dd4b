"""Archives for the kernel, read back by another program."""

import subprocess

import pytest

from caveatlib.places.machines import cpio

pytestmark = pytest.mark.beside

ENTRIES = {
    "init": (cpio.EXECUTABLE, b"#!/bin/sh\n"),
    "deep/er/file": (cpio.REGULAR, b"content"),
    "deep/er/empty": (cpio.REGULAR, b""),
    "bin/sh": (cpio.SYMLINK, b"busybox"),
    "bin/busybox": (cpio.EXECUTABLE, bytes(range(256)) * 40),
    "proc": (cpio.DIRECTORY, b""),
}


def test_read_back(tmp_path, require):
    """Another program unpacks the same names, contents, links and modes."""
    require("busybox")
    archive = cpio.archive(ENTRIES)
    assert len(archive) % 4 == 0
    subprocess.run(["busybox", "cpio", "-i"], input=archive, cwd=tmp_path, check=True, timeout=20)
    above = dict.fromkeys(("bin", "deep", "deep/er"), (cpio.DIRECTORY, b""))
    assert cpio.tree(tmp_path) == ENTRIES | above


def test_same_bytes():
    """The order in which entries are given changes nothing."""
    assert cpio.archive(dict(reversed(ENTRIES.items()))) == cpio.archive(ENTRIES)
