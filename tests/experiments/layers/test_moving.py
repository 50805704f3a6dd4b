"""Pulls and disks over a real rate-limited link: computable times, and nothing left behind."""

import ctypes
import errno
import os
import subprocess
import zlib
from contextlib import contextmanager

import psutil
import pytest
from places import fake

from caveatlib import images
from caveatlib.errors import MeasurementError
from caveatlib.experiments.layers import generated, moving
from caveatlib.instruments import registry

pytestmark = [pytest.mark.engine, pytest.mark.slow]
SIZES = (2, 16)
MBIT_100 = 1e8


@pytest.fixture(scope="module")
def place(require, tmp_path_factory):
    """Yield a fresh engine beside a registry with two images; nothing is left afterwards."""
    require("private-engine")
    require("registry")
    links = sorted(os.listdir("/sys/class/net"))
    with pytest.MonkeyPatch.context() as patch:
        state = tmp_path_factory.mktemp("state")
        patch.setenv("CAVEATLIB_STATE", str(state))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(moving, "SIZES_MIB", SIZES)
        with moving.moving_place() as opened:
            spaces = {net(opened._server.pid), net(opened._server.engine_pid)}
            yield opened
        assert not os.listdir(state)
    assert [pid for pid in psutil.pids() if net(pid) in spaces] == []
    assert sorted(os.listdir("/sys/class/net")) == links


def net(pid):
    """Return the number of a process's network namespace; None if it is gone."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return None


@pytest.mark.timed
def test_a_disk_takes_what_the_link_takes(place):
    """At 100 Mbit/s a disk arrives with the goodput that its headers leave, within 2 %."""
    # A busy machine only adds.
    twice = (place.fetch(16, MBIT_100, packed=False) for _ in range(2))
    found = min(twice, key=lambda found: found["moved_s"])
    size = generated.disk_mib(16) << 20
    seconds = (size - registry.BURST_BYTES) * 8 / (MBIT_100 * registry.GOODPUT)
    assert found["moved_s"] == pytest.approx(seconds, rel=0.02)
    assert found["moved_bytes"] == pytest.approx(size, rel=0.05)


def test_a_pull_takes_at_least_what_the_link_takes(place):
    """N bytes over 100 Mbit/s take at least N * 8 / 1e8 / 0.957 s, the burst apart."""
    found = place.pull(16, MBIT_100)
    sent = found["moved_bytes"] - registry.BURST_BYTES
    assert found["moved_s"] >= sent * 8 / MBIT_100
    # about half of what was generated compresses away
    assert 0.48 < found["moved_bytes"] / generated.content_bytes(16) < 0.60


def test_the_base_layer_is_not_moved_again(place):
    """With the lower layer there, only the upper one crosses the link: an eighth."""
    nothing, base = (place.pull(16, 0, base_there=there) for there in (False, True))
    assert base["moved_bytes"] / nothing["moved_bytes"] == pytest.approx(1 / 8, rel=0.1)


def test_a_base_that_is_there_is_not_moved_again(place):
    """Nor is a disk's: what crosses is an eighth of the files, and ext4's own writes."""
    found = place.fetch(16, 0, packed=True, base_there=True)
    assert 1 / 10 < found["moved_bytes"] / generated.content_bytes(16) * 2 < 1 / 5
    assert not list(place._scratch.glob("*.qcow2"))


def test_the_difference_and_its_base_are_the_whole_disk(place, require, tmp_path):
    """The files of the upper layer come from the qcow2, those of the lower one from its base."""
    require("qemu-img")
    disk = tmp_path / "disk.raw"
    source = place._files / "16.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "raw", source, disk], check=True)
    subprocess.run(["e2fsck", "-f", "-n", disk], check=True, capture_output=True)
    for part in generated.PARTS:
        for path, content in list(generated.files(16, part))[::50]:
            argv = ["debugfs", "-R", f"cat /{path}", disk]
            assert subprocess.run(argv, check=True, capture_output=True).stdout == content
    without = place._files / "16.base"
    argv = ["debugfs", "-R", "ls /rest", without]
    assert b"not found" in subprocess.run(argv, check=True, capture_output=True).stderr


def test_even_layers_are_as_many_bytes(place):
    """Spread over eight layers the same files take as much of the link."""
    even, whole = (place.pull(16, 0, kind=kind)["moved_bytes"] for kind in ("even", "whole"))
    assert even == pytest.approx(whole, rel=0.02)


@pytest.mark.parametrize("move", ["pull", "fetch"])
def test_both_ends_are_durable(place, monkeypatch, move):
    """What came is on the disk when the clock stops, so flushing is part of the time."""
    flushed, flush, clock = [], moving._flush, fake.Clock()

    def slowly(folder):
        flushed.append(os.stat(folder).st_dev)
        flush(folder)
        clock.passes(1000 * len(flushed))  # before the clock starts, and before it stops

    monkeypatch.setattr(moving, "_flush", slowly)
    monkeypatch.setattr(moving, "time", clock)
    found = place.pull(2, 0) if move == "pull" else place.fetch(2, 0, packed=True)
    data = place._engine.call("info", place._engine.api.info)["DockerRootDir"]
    assert flushed == [os.stat(data).st_dev] * 2  # the engine's data are in that file system
    assert 2000 <= found["moved_s"] < 3000


def test_a_flush_that_fails(tmp_path, monkeypatch):
    """A file system that cannot be flushed is an error that says why."""

    class Full:
        def syncfs(self, descriptor):
            ctypes.set_errno(errno.ENOSPC)
            return -1

    moving._flush(tmp_path)
    monkeypatch.setattr(moving, "_libc", Full())
    with pytest.raises(MeasurementError, match="No space left on device"):
        moving._flush(tmp_path)


@pytest.mark.parametrize("kind", ["whole", "even"])
def test_a_pull_leaves_nothing_there(place, kind):
    """The second pull of the same image moves as many bytes as the first."""
    first, second = (place.pull(2, 0, kind=kind)["moved_bytes"] for _ in range(2))
    assert second == pytest.approx(first, rel=0.05)
    assert place._engine.call("images", place._engine.api.images) == []


def test_a_fresh_engine_takes_over(place, monkeypatch):
    """After so many moves, pulls or fetches; one that does not start fails its trial only."""
    monkeypatch.setattr(moving, "MOVES_PER_ENGINE", 2)
    place._moves = 2  # whatever ran before
    first = place._engine.pid
    found = [place.pull(2, 0), place.fetch(2, 0, packed=False)]
    second = place._engine.pid
    opened = place._opened
    monkeypatch.setattr(place, "_opened", _unopened)
    with pytest.raises(MeasurementError, match="no engine today"):
        place.pull(2, 0)
    monkeypatch.setattr(place, "_opened", opened)
    found += [place.fetch(2, 0, packed=True), place.pull(2, 0)]
    assert [move["engine_moves"] for move in found] == [0, 1, 0, 1]
    assert len({first, second, place._engine.pid}) == 3
    assert all(move["moved_bytes"] > 0 for move in found)


@contextmanager
def _unopened():
    raise MeasurementError("no engine today")
    yield


def test_pulled_layers_are_exact(place):
    """What was pulled has the generated bytes, layer by layer."""
    whole = moving.names(2)["whole"]
    place._pull(whole)
    try:
        found = images.read_stream(place._engine.saved(whole)).layers["size_bytes"].tolist()
    finally:
        place._engine.call("image", place._engine.api.remove_image, whole)
    assert found == [generated.content_bytes(2, part) for part in generated.PARTS]


def test_a_packed_disk_is_unpacked(place):
    """A packed disk moves half of the bytes, is as long, and says with what it was unpacked."""
    packed, plain = (place.fetch(16, 0, packed=packed) for packed in (True, False))
    assert packed["moved_bytes"] < 0.6 * plain["moved_bytes"]
    assert place.metadata()["disk_unpacked_by"] == f"zlib {zlib.ZLIB_RUNTIME_VERSION}"


def test_a_disk_that_is_short_is_no_number(place, monkeypatch, tmp_path):
    """A disk of another length than the served one is an error."""
    (tmp_path / "2.raw").write_bytes(b"x" * 4096)
    monkeypatch.setattr(place, "_files", tmp_path)
    with pytest.raises(MeasurementError, match=r"came as \d+ bytes. Must be \d+"):
        place.fetch(2, 0, packed=False)


def test_what_is_not_there(place):
    """A disk or an image that the servers lack is one clear error."""
    with pytest.raises(MeasurementError, match="404"):
        place.fetch(3, 0, packed=False)
    with pytest.raises(MeasurementError, match="pull"):
        place.pull(3, 0)


def test_the_disk_holds_the_files(place):
    """The served disk is an ext4 file system with as many files as were generated."""
    disk = place._files / "2.raw"
    said = subprocess.run(["fsck.ext4", "-fn", str(disk)], capture_output=True, text=True)
    assert said.returncode == 0
    assert disk.stat().st_size == generated.disk_mib(2) << 20
    used = int(said.stdout.rpartition(": ")[2].split("/")[0])  # "disk: 79/2560 files ..."
    assert used >= generated.content_bytes(2) // generated.FILE_BYTES
