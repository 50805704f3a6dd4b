"""The root filesystem of every workload."""

import io
import subprocess
import tarfile

import pytest

from caveatlib.places import rootfs

pytestmark = pytest.mark.beside


@pytest.fixture(autouse=True)
def _fresh(require, monkeypatch, tmp_path):
    """Give each test an empty cache folder."""
    require("busybox")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rootfs.rootfs.cache_clear()
    yield
    rootfs.rootfs.cache_clear()


def test_same_bytes():
    """The tar is the same bytes each time it is made."""
    first = rootfs.image_tar()
    rootfs.image_tar.cache_clear()
    assert rootfs.image_tar() == first


def test_folder_is_the_tar():
    """Folder and tar hold the same files with the same modes and links."""
    folder = rootfs.rootfs()
    with tarfile.open(fileobj=io.BytesIO(rootfs.image_tar())) as tar:
        members = {m.name: m for m in tar.getmembers()}
        content = tar.extractfile("www/index.html").read()
    found = {str(p.relative_to(folder)) for p in folder.rglob("*")}
    assert found == set(members)
    for name, member in members.items():
        path = folder / name
        if member.issym():
            assert str(path.readlink()) == member.linkname
        else:
            assert path.stat().st_mode & 0o7777 == member.mode
    assert (folder / "www/index.html").read_bytes() == content


def test_applets_run():
    """The applets that workloads need run from the folder."""
    for applet in ("sh", "sleep", "httpd", "cat", "echo"):
        assert (rootfs.rootfs() / "bin" / applet).exists()
    argv, name = rootfs.shell()
    done = subprocess.run([*argv, "echo $((6 * 7))"], capture_output=True, check=True, timeout=5)
    assert (name, done.stdout) == ("busybox", b"42\n")


def test_second_use_builds_nothing(tmp_path):
    """What is in the cache is used as it is, and nothing half-made stays beside it."""
    folder = rootfs.rootfs()
    made = folder.stat().st_mtime_ns
    rootfs.rootfs.cache_clear()
    assert rootfs.rootfs().stat().st_mtime_ns == made
    assert [p.name for p in (tmp_path / "caveatlib").iterdir()] == [folder.name]


def test_unwritable_cache(monkeypatch):
    """A cache that cannot be written is no obstacle."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert (rootfs.rootfs() / "bin/busybox").is_file()


def test_dynamic_program_is_refused(fresh_probes, tmp_path, monkeypatch):
    """A busybox that needs libraries is not taken: it would not run in an empty root."""
    assert not rootfs._is_static(rootfs.Path("/proc/self/exe"))
    script = tmp_path / "busybox"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    ability = rootfs.probe()
    assert not ability.available
    assert "not a static program" in ability.reason
