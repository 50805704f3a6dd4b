"""The application, built into images and disks: what lies where, and that each starts or boots."""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from caveatlib.errors import EngineError, MeasurementError, Unavailable
from caveatlib.experiments import startup
from caveatlib.experiments.startup import building
from caveatlib.places import cache, spec
from caveatlib.places.machines import guest
from caveatlib.support import programs

FROM_NOTHING, ON_BASE = (
    {"workload": workload, "at_once": 1, "sleep_s": 0.0, "replicate": 0}
    for workload in ("application", "application-on-base")
)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Return the folders of a session, of a small application and no real kernel."""
    made = tmp_path / "made"
    for name in ("lib00/file0000", "lib00/file0001", "lib01/file0002"):
        path = made / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 1000)
    for name in ("vmlinuz", "initramfs", "version"):
        (made / name).write_bytes(b"kernel")
    monkeypatch.setattr(building.cache, "ensure", lambda artefact: made)
    monkeypatch.setattr(building.cache, "find", lambda artefact: made)
    session = tmp_path / "session"
    session.mkdir()
    return building.Files(session)


def read(disk: Path, path: str) -> bytes:
    """Return a file's content from a disk."""
    argv = ["debugfs", "-R", f"cat {path}", str(disk)]
    return subprocess.run(argv, check=True, capture_output=True).stdout


@pytest.fixture
def kept(monkeypatch):
    """Return the disks that were made, each read before it goes; none is booted."""
    found = []

    def booted(out, made):
        files = {}
        for name in ("token", "start", "files/lib00/file0001", "files/lib01/file0002"):
            beside = made.disks.get("more_disks")
            disk = beside[0] if beside else made.disks["disk"]
            files[name] = read(disk, f"/{name}" if beside else f"/{building.APPLICATION}/{name}")
        kernel, init = (read(made.holds, name) for name in ("/boot/vmlinuz", "/sbin/init"))
        found.append((made, files, kernel, init))
        return 1.0

    monkeypatch.setattr(building, "_booted", booted)
    return found


@pytest.mark.parametrize("on_base", [False, True])
@pytest.mark.parametrize("kind", ["ext4", "qcow2"])
def test_a_disk_has_all_of_it(require, small, kept, kind, on_base):
    """Kernel, init, application and this build's token, each time anew; nothing stays."""
    for program in ("mkfs.ext4", "debugfs", "busybox", *(["qemu-img"] * (kind == "qcow2"))):
        require(program)
    place = building.Machines(small, kind)
    took = [place.build(on_base=on_base)["build_s"] for _ in range(2)]
    assert min(took) > 0
    tokens = set()
    for made, files, kernel, init in kept:
        assert files["token"] == f"{made.token}\n".encode()
        assert files["files/lib00/file0001"] == b"lib00/file0001" * 1000
        assert files["files/lib01/file0002"] == b"lib01/file0002" * 1000
        assert b"token" in files["start"]
        assert kernel == b"kernel"
        assert building.APPLICATION in init.decode()
        tokens.add(made.token)
    assert len(tokens) == 2
    assert not [path for path in small.root.iterdir() if path.name.startswith("disk-")]


def test_what_a_tool_could_not_make_is_an_error(require, small, monkeypatch):
    """A failing mkfs fails the trial with its words, and leaves no disk."""
    require("mkfs.ext4")
    monkeypatch.setattr(guest, "build_disk", lambda *a, **k: programs.run(["false"]))
    with pytest.raises(MeasurementError, match="false failed"):
        building.Machines(small, "ext4").build(on_base=False)
    assert not list(small.root.glob("disk-*"))


class Engine:
    """An engine that takes what the command line has built, or says that there is no such image."""

    run, pid = "0badcafe", 1
    where = SimpleNamespace(url="unix:///nowhere/docker.sock")

    def __init__(self):
        self.called, self.api = [], SimpleNamespace(remove_image="remove", prune_builds="prune")

    def image(self):
        return "caveatlib/busybox:0badcafe"

    def call(self, what, function, *arguments, **options):
        self.called.append((what, arguments))


@pytest.fixture
def built(require, monkeypatch):
    """Return the commands that would have built an image, with what lay in the context."""
    require("busybox")
    building.rootfs.rootfs()
    commands = []

    def run(argv, **options):
        context = Path(argv[-1])
        names = {str(p.relative_to(context)) for p in context.rglob("*") if not p.is_dir()}
        commands.append((argv, options, (context / "Dockerfile").read_text(), names))
        return ""

    monkeypatch.setattr(building.programs, "run", run)
    monkeypatch.setattr(building.Images, "_proved", lambda self, tag, token: 1.0)
    return commands


@pytest.mark.beside
@pytest.mark.parametrize(("builder", "words"), building.BUILDERS.items())
def test_an_image_is_built_by_the_builder_that_was_asked_for(small, built, builder, words):
    """By name and variable, from a context that BuildKit has not seen, nothing from a cache."""
    engine = Engine()
    place = building.Images(engine, small, builder)
    for on_base in (False, True, True):
        place.build(on_base=on_base)
    argvs = [argv for argv, *_ in built]
    assert all(argv[: len(words)] == list(words) for argv in argvs)
    assert all("--no-cache" in argv for argv in argvs)
    assert len({argv[-1] for argv in argvs}) == 3
    assert all(options["env"]["DOCKER_BUILDKIT"] == "0" for _, options, *_ in built)
    whole, onto, _ = built
    assert whole[2].startswith("FROM scratch\nCOPY whole /\n")
    assert "whole/bin/busybox" in whole[3]
    assert not any("boot/" in name for name in whole[3])
    steps = "FROM caveatlib/busybox:0badcafe\nCOPY application /srv/application\n"
    assert onto[2].startswith(steps)
    assert {"application/token", "application/files/lib00/file0000"} <= onto[3]
    assert not any(name.startswith("whole") for name in onto[3])
    assert [what for what, _ in engine.called] == ["image", "prune"] * 3


@pytest.mark.beside
def test_nothing_stays_of_an_image_that_does_not_start(small, built, monkeypatch):
    """Its reason is the trial's, and it is removed all the same."""

    def broken(self, tag, token):
        raise EngineError("start: no such file")

    monkeypatch.setattr(building.Images, "_proved", broken)
    engine = Engine()
    with pytest.raises(EngineError, match="no such file"):
        building.Images(engine, small, "classic").build(on_base=False)
    assert ("image", ("caveatlib/application:0badcafe",)) in engine.called


@pytest.mark.beside
def test_a_readers_own_engine_is_left_alone():
    """Its build cache cannot be pruned without theirs."""
    own = SimpleNamespace(engine=lambda: SimpleNamespace(pid=None))
    with pytest.raises(Unavailable, match="private one"), building._images(own, "classic"):
        pass


@pytest.mark.beside
def test_what_builds_is_asked_for(fresh_probes, monkeypatch):
    """A missing tool, and a command line without BuildKit, are named with what mends them."""
    building.tools.cache_clear()
    building.buildx.cache_clear()
    monkeypatch.setattr(building.programs, "find", lambda name: None)
    for found in (building.tools("qcow2 disks", "qemu-img"), building.buildx()):
        assert not found.available
        assert found.fix == cache.PREPARE
    assert "qemu-img" in building.tools("qcow2 disks", "qemu-img").reason
    building.tools.cache_clear()
    building.buildx.cache_clear()


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("name", ["image-classic", "image-buildkit"])
def test_a_real_image_starts(require, name):
    """Both builders, from nothing and on the base; afterwards the engine has no image of it."""
    for ability in ("private-engine", "docker buildx"):
        require(ability)
    with spec.opened({name: startup.PLACES[name]}, engine="private") as handles:
        found = [
            startup.trial(handles[name], conditions, seed=1).measures
            for conditions in (FROM_NOTHING, ON_BASE)
        ]
        engine = handles[name]._engine
        assert not engine.call("images", engine.api.images, name="caveatlib/application")
    assert all(each["build_s"] > 0.05 and each["proof_s"] > 0 for each in found)


@pytest.mark.vm
@pytest.mark.slow
@pytest.mark.parametrize("conditions", [FROM_NOTHING, ON_BASE], ids=["nothing", "base"])
@pytest.mark.parametrize("name", ["disk-ext4", "disk-qcow2"])
def test_a_real_disk_boots(require, name, conditions):
    """Each kind of disk has its application's 2,000 files, seen from within."""
    for ability in ("microvm", "ext4 disks", "qcow2 disks"):
        require(ability)
    with spec.opened({name: startup.PLACES[name]}, engine="none") as handles:
        found = startup.trial(handles[name], conditions, seed=1).measures
        root = handles[name]._files.root
    assert found["build_s"] > 0.005
    assert found["proof_s"] > 0.3
    assert not root.exists()


def test_a_cut_disk_holds_no_kernel(require, small, monkeypatch):
    """A disk of which the most is missing is an error that names what is lost, before any boot."""
    for program in ("mkfs.ext4", "debugfs", "busybox"):
        require(program)
    whole = building.Machines._whole

    def cut(self, out):
        made = whole(self, out)
        os.truncate(made.holds, 512)
        return made

    monkeypatch.setattr(building.Machines, "_whole", cut)
    with pytest.raises(MeasurementError, match="holds no vmlinuz"):
        building.Machines(small, "ext4").build(on_base=False)
    assert not list(small.root.glob("disk-*"))


@pytest.mark.vm
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("disk-ext4", "_onto_a_copy", "disk cannot be mounted"),
        ("disk-qcow2", "_on_the_base", "qcow2"),
    ],
)
def test_a_cut_disk_fails_with_its_reason(require, monkeypatch, name, make, reason):
    """A guest that finds half a disk, or a QEMU that does: the trial fails, nothing is left."""
    for ability in ("microvm", "ext4 disks", "qcow2 disks"):
        require(ability)
    whole = getattr(building.Machines, make)

    def cut(self, out):
        made = whole(self, out)
        disk = made.disks["disk"]
        os.truncate(disk, 100 if name == "disk-qcow2" else disk.stat().st_size // 2)
        return made._replace(holds=self._base())  # the kernel is got from elsewhere

    monkeypatch.setattr(building.Machines, make, cut)
    with spec.opened({name: startup.PLACES[name]}, engine="none") as handles:
        with pytest.raises(MeasurementError, match=reason):
            startup.trial(handles[name], ON_BASE, seed=1)
        root = handles[name]._files.root
    assert not root.exists()
