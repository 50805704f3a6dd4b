"""Disks of our own: made, mounted where they are used, and gone; loop devices of the dead, too."""

import json
import re
import subprocess
from pathlib import Path

import left
import pytest

from caveatlib.errors import StorageError, UsageError
from caveatlib.places import disks, leases, loops


@pytest.fixture
def state():
    """Return a state folder of this test alone."""
    with left.state() as folder:
        yield folder


@pytest.mark.beside
def test_a_missing_mkfs_is_one_clear_line(monkeypatch, fresh_probes):
    """The reason names the program, and the fix what brings it."""
    monkeypatch.setitem(disks.PROGRAMS, "xfs", "mkfs.missing")
    ability = disks.probe("xfs")
    assert (ability.available, ability.reason) == (False, "missing: mkfs.missing")
    assert "make system" in ability.fix


@pytest.mark.beside
def test_an_unknown_file_system_is_refused():
    """With the value, then the rule."""
    with pytest.raises(UsageError, match=r"Unknown file system 'zfs'\. Must be one of"):
        disks.Disk("zfs", 1 << 30)


@pytest.mark.beside
def test_no_room_for_a_disk_is_one_clear_line(require, tmp_path, monkeypatch):
    """The machine's own disk is full: its size, then why."""
    require("mkfs.ext4")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disks.os, "posix_fallocate", full)
    with pytest.raises(StorageError, match="A disk of 64 MiB cannot be made: No space left"):
        disks.make(disks.Disk("ext4", 64 << 20), tmp_path / "disk")


@pytest.mark.beside
def test_a_disk_is_allocated_whole(require, tmp_path):
    """No block is left for the first write to find."""
    require("mkfs.ext4")
    disks.make(disks.Disk("ext4", 64 << 20), tmp_path / "disk")
    found = (tmp_path / "disk").stat()
    assert found.st_size == 64 << 20
    assert found.st_blocks * 512 >= found.st_size


@pytest.mark.engine
def test_a_disk_the_kernel_refuses_is_one_clear_line(require, state, fresh_probes, monkeypatch):
    """One that says it is ext4 and is none: the first line of what mount says, and nothing left."""
    require("mounts")
    monkeypatch.setitem(disks.PROGRAMS, "btrfs", "mkfs.ext4")
    monkeypatch.setitem(disks._FORMAT, "btrfs", disks._FORMAT["ext4"])
    ability = disks.probe("btrfs")
    assert not ability.available
    assert re.search(r"wrong fs type|unknown filesystem", ability.reason)
    assert "\n" not in ability.reason
    assert not list(state.iterdir())


@pytest.mark.engine
def test_a_disk_can_be_mounted(require, state, fresh_probes):
    """In namespaces that end: no loop device is left, and no file."""
    require("mounts")
    require("mkfs.ext4")
    assert disks.probe("ext4").available
    assert not loops.attached(state)
    assert not list(state.iterdir())


def _abandoned(state: Path) -> Path:
    """Return the folder of a lease whose owner is dead."""
    folder = state / "data" / "0000000a"
    folder.mkdir(parents=True)
    (folder / "lease.json").write_text(json.dumps({"owner": "1:1:0:0"}))
    return folder


def _losetup(file: Path) -> str:
    argv = ["losetup", "--find", "--show", file]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=10)
    return done.stdout.strip()


@pytest.mark.engine
def test_a_sweep_detaches_what_a_dead_owner_left(require, state, tmp_path):
    """Also one that is mounted, and one whose file is gone; a stranger's stays."""
    require("mounts")
    stranger = tmp_path / "disk"
    stranger.write_bytes(bytes(1 << 20))
    folder = _abandoned(state)
    names = ("disk", "deleted", "mounted")
    for name in names:
        (folder / name).write_bytes(bytes(1 << 20))
    theirs = _losetup(stranger)
    try:
        devices = [_losetup(folder / name) for name in names]
        (folder / "deleted").unlink()
        subprocess.run(["mkfs.ext4", "-q", devices[2]], check=True, timeout=10)
        (folder / "on").mkdir()
        subprocess.run(["mount", devices[2], folder / "on"], check=True, timeout=10)
        assert len(loops.attached(state)) == 3
        assert leases.sweep() == ["lease 0000000a"]
        assert loops.attached(state) == []
        assert loops.attached(tmp_path) == [Path(theirs).name]
        assert not list(state.iterdir())
    finally:
        loops.detach(state)
        subprocess.run(["losetup", "--detach", theirs], check=True, timeout=10)
