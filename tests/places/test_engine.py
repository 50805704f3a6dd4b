"""A real engine: containers' lives, settings, and what is left on it."""

import contextlib
import io
import os
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from caveatlib.errors import (
    DeadlineExceeded,
    EngineError,
    MeasurementError,
    Unavailable,
    UsageError,
)
from caveatlib.places import cache, leftovers, netns, runc
from caveatlib.places.base import Workload
from caveatlib.places.engines import belongings, own_engine, private_engine
from caveatlib.places.engines.containers import EnginePlace
from caveatlib.places.engines.engine import Engine, check_image
from caveatlib.support import processes, programs

pytestmark = [pytest.mark.engine, pytest.mark.beside]
SCRIPT = "trap 'exit 3' TERM; echo {nonce}; httpd -p 80 -h www; while :; do sleep 0.02; done"


@pytest.fixture(scope="module")
def engine(require):
    """Return a private engine for the tests of this module."""
    require("private-engine")
    with tempfile.TemporaryDirectory(prefix="cv-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAVEATLIB_STATE", folder)
        os.chmod(folder, 0o711)  # other users of the socket must get to it
        runtimes = [name for name in runc.RUNTIMES if runc.probe(name).available]
        with private_engine.private_engine(
            runtimes=runtimes, congestion_control="reno", socket_group="daemon"
        ) as engine:
            yield engine
        assert not os.listdir(folder)


def _read(instance, wanted: bytes) -> bytes:
    data = b""
    while wanted not in data:
        part = os.read(instance.output, 4096)
        assert part, f"output ended with {data!r}"
        data += part
    return data


@pytest.fixture(autouse=True)
def _empty(request):
    """Remove the containers that a failed test left, so that the next one can pass."""
    yield
    if "engine" in request.fixturenames:
        engine = request.getfixturevalue("engine")
        for container in engine.containers():
            engine.remove(container["Id"])


def _programs(pids) -> set[str]:
    lines = [processes.arguments(pid) for pid in pids]
    return {Path(line[0]).name for line in lines if line}


def _fetch(instance) -> bytes:
    until = time.monotonic() + 30
    while True:
        with contextlib.suppress(ConnectionError, TimeoutError), instance.connect(5) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if answer := sock.recv(15):
                return answer
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("runtime", ["runc", "crun", "runsc"])
def test_a_life(engine, require, runtime):
    """A container of each runtime writes its nonce, serves its port, gets the signal, is gone."""
    require(runtime)
    place = EnginePlace(engine, runtime=runtime)
    facts = place.metadata()
    assert facts["runtime"] == runtime
    assert facts[f"{runtime}_version"]
    assert facts.get("runsc_platform") == ("systrap" if runtime == "runsc" else None)
    instance = place.create(Workload(SCRIPT.format(nonce="n-4711"), 80))
    instance.start()
    _read(instance, b"n-4711\n")
    assert _fetch(instance).startswith(b"HTTP/1.")
    pids, folder = instance.pids(), instance.memory_cgroup()
    assert {"docker-proxy", "containerd-shim-runc-v2"} <= _programs(pids)
    assert folder.name == instance.id
    with pytest.raises(DeadlineExceeded, match=r"did not finish within 0\.1 s"):
        instance.wait(0.1)
    instance.signal("TERM")
    assert instance.wait(10) == 3
    instance.signal("TERM")
    instance.remove()
    instance.remove()
    assert engine.containers() == []
    until = time.monotonic() + 5
    while any(processes.is_running(p) for p in pids):
        assert time.monotonic() < until
        time.sleep(0.01)


def _images(engine):
    return sorted(thing["Id"] for thing in engine.api.images(all=True))


def test_builds_leave_no_image(engine, tmp_path):
    """Two builds under one name leave neither image, the unnamed one included."""
    (tmp_path / "file").write_bytes(b"x")
    before = _images(engine)
    for _ in range(2):
        assert EnginePlace(engine).build(tmp_path) > 0
    assert _images(engine) == before


def test_an_image_that_lost_its_name_is_removed(engine):
    """What a killed run built twice is found by its label, though the first has no name left."""
    before = _images(engine)
    with io.BytesIO() as context:
        with tarfile.open(fileobj=context, mode="w") as tar:
            text = b"FROM scratch\nCOPY Dockerfile /\n"
            entry = tarfile.TarInfo("Dockerfile")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
        named = {engine.build("twice", context.getvalue()) for _ in range(2)}
    assert len(named) == 1
    assert len(_images(engine)) >= len(before) + 2
    belongings.remove(engine, lambda labels: labels.get(belongings.RUN_LABEL) == engine.run)
    engine._image = None  # the busybox went, too
    assert set(_images(engine)) <= set(before)


def test_an_image_saved_is_loaded_again(engine, tmp_path):
    """From a file, compressed or not, and from bytes; what is no archive is an error in words."""
    name = engine.build("saved", _context(b"FROM scratch\nLABEL saved=yes\nCOPY Dockerfile /\n"))
    archive = tmp_path / "saved.tar"
    archive.write_bytes(b"".join(engine.saved(name)))
    programs.run(["gzip", "-k", str(archive)])
    for source in (archive, archive.with_suffix(".tar.gz"), archive.read_bytes()):
        engine.call("image", engine.api.remove_image, name)
        engine.load(source)
        assert engine.call("image", engine.api.inspect_image, name)["Config"]["Labels"]["saved"]
    engine.call("image", engine.api.remove_image, name)
    with pytest.raises(EngineError, match="load: "):
        engine.load(b"nothing")


NAMED = ["busybox", "busybox:1.36", "a/b_c/d__e-f.g:V1", "r.invalid:5000/a", "[::1]:5000/a:b",
         "a@sha256:" + "0f" * 32, "a:b@sha256:" + "0f" * 32, "0f1e2d", "sha256:" + "0f" * 32,
         "sha256:0f1e"]  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_whatever_an_engine_lists_may_be_asked_for(name):
    """Names with a registry, a tag, a digest, and ids, whole or as `docker images` cuts them."""
    check_image(name)


@pytest.mark.parametrize(
    "name", ["", "../x", "a/../b", "a//b", "a/", "a b", "a?b", "A", "a\n", "-a"]
)
def test_what_can_be_no_image_is_not_asked_for(name):
    """It would be a part of the path that is asked for."""
    with pytest.raises(UsageError, match=r"of an engine\. Must be"):
        check_image(name)


def _context(dockerfile: bytes) -> bytes:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile)
        tar.addfile(entry, io.BytesIO(dockerfile))
    return context.getvalue()


def test_facts(engine):
    """The conditions are there, and nothing that names the machine."""
    facts = engine.metadata()
    assert facts["storage_driver"] == "overlay2"
    assert facts["congestion_control"] == "reno"
    assert facts["userland_proxy"] == "true"
    assert facts["cgroup_driver"] == "cgroupfs"
    assert facts["firewall_backend"] in ("nf_tables", "legacy")
    assert facts["engine_version"][0].isdigit()
    assert facts["runc_version"]
    assert os.uname().nodename not in " ".join(facts.values())


def test_exec(engine):
    """A command's own output and status come back, its errors do not mix in."""
    instance = EnginePlace(engine).create(Workload("sleep 100"))
    instance.start()
    try:
        argv = ["sh", "-c", "echo out; echo err >&2; exit 4"]
        assert engine.exec(instance.id, argv) == (4, b"out\n")
        with pytest.raises(DeadlineExceeded):
            engine.exec(instance.id, ["sleep", "3"], timeout_s=0.3)
        status, output = engine.exec(instance.id, ["head", "-c", "3000000", "/dev/zero"])
        assert (status, len(output)) == (0, 3_000_000)
    finally:
        instance.remove()


def test_host_settings(engine):
    """Limits and settings arrive in the container."""
    host = {"pids_limit": 17, "sysctls": {"net.ipv4.tcp_congestion_control": "reno"}}
    instance = EnginePlace(engine, host=host).create(Workload("sleep 100"))
    instance.start()
    try:
        assert engine.inspect(instance.id)["HostConfig"]["PidsLimit"] == 17
        _, said = engine.exec(instance.id, ["cat", "/proc/sys/net/ipv4/tcp_congestion_control"])
        assert said == b"reno\n"
    finally:
        instance.remove()


def test_a_privileged_command_has_all_capabilities_and_the_same_filter(engine):
    """And what docker-py does not know arrives in the container as the API calls it."""
    status = ["grep", "-E", "CapEff|Seccomp:", "/proc/self/status"]
    bare = {"MaskedPaths": [], "ReadonlyPaths": []}
    instance = EnginePlace(engine, host=bare).create(Workload("sleep 100"))
    try:
        instance.start()
        usual, free = (engine.exec(instance.id, status, privileged=p)[1] for p in (False, True))
        masked = ": >>/proc/sys/vm/overcommit_memory && [ -f /proc/timer_list ]"
        assert engine.exec(instance.id, ["sh", "-c", masked])[0] == 0
    finally:
        instance.remove()
    assert usual != free
    assert usual.splitlines()[1] == free.splitlines()[1] == b"Seccomp:\t2"
    assert bin(int(free.split()[1], 16)).count("1") > bin(int(usual.split()[1], 16)).count("1")


def test_user_namespaces(require):
    """Root in a container is another user outside; the machine's own files stay as they are."""
    require("private-engine")
    files = [Path(file) for file in private_engine.ID_FILES]
    before = [file.read_bytes() for file in files]
    with private_engine.private_engine(user_namespaces=True) as engine:
        assert "name=userns" in engine.info()["SecurityOptions"]
        instance = EnginePlace(engine).create(Workload("sleep 100"))
        instance.start()
        _, said = engine.exec(instance.id, ["cat", "/proc/self/uid_map"])
        instance.remove()
    assert tuple(map(int, said.split()[1:])) == private_engine.SUBORDINATE
    assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize("limit", [5, 40])
def test_pids_limit_gives_exactly_so_many_tasks(engine, limit, bars):
    """Forking until the kernel refuses, a container sees as many processes as its limit says."""
    # The count is a builtin, which needs no process: the last one stands.
    count = "while :; do set -- /proc/[0-9]*; echo $#; sleep 100 >/dev/null 2>&1 & done"
    instance = EnginePlace(engine, host={"pids_limit": limit}).create(Workload("sleep 100"))
    try:
        instance.start()
        status, said = engine.exec(instance.id, ["sh", "-c", f"exec 2>&1; {count}"])
    finally:
        instance.remove()
    *counts, last = said.decode().splitlines()
    assert (status, last) == (2, "sh: can't fork: Resource temporarily unavailable")
    assert [int(count) for count in counts] == list(range(2, limit + 1))  # it and PID 1 are two
    bars.append((f"pids limit {limit}: tasks", counts[-1], limit))


def test_eight_at_once(engine):
    """Eight containers live side by side from threads."""
    place = EnginePlace(engine)

    def life(number):
        instance = place.create(Workload(SCRIPT.format(nonce=f"n-{number}-")))
        try:
            instance.start()
            _read(instance, f"n-{number}-".encode())
        finally:
            instance.remove()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(life, range(8)))
    assert engine.containers() == []


def test_errors(engine):
    """What the engine refuses is one clear line."""
    with pytest.raises(EngineError, match=r"^create: the engine says: .*nonesuch") as caught:
        EnginePlace(engine, runtime="nonesuch").create(Workload("true"))
    assert "\n" not in str(caught.value)
    with pytest.raises(EngineError, match=r"^start: the engine says: No such container"):
        engine.start("6a6a")
    with pytest.raises(UsageError, match="Must be an id or a name"):
        engine.attach("../info")


def test_namespaces(engine):
    """Commands and sockets reach the engine's network namespace and not the host's."""

    def inode(pid):
        return os.stat(f"/proc/{pid}/ns/net").st_ino

    assert inode(engine.pid) != inode(os.getpid())
    done = subprocess.run(
        netns.argv_in(engine.pid, ["ip", "-o", "link"]), capture_output=True, text=True, timeout=5
    )
    assert "docker0" in done.stdout
    assert "docker0" not in netns.call_in(os.getpid(), lambda: os.listdir("/sys/class/net"))
    assert netns.sysctl_in(engine.pid, "net.ipv4.tcp_congestion_control") == "reno"
    with pytest.raises(ConnectionRefusedError):
        netns.connect_in(engine.pid, ("127.0.0.1", 1), 1)
    with pytest.raises(MeasurementError, match="No such file"):
        netns.socket_in(2**22 - 1)


def test_host_is_hidden(engine):
    """The engine sees an empty /run with its own folder in it, not the host's daemons."""
    seen = Path(f"/proc/{engine.pid}/root/run")
    assert seen.stat().st_dev != Path("/run").stat().st_dev
    assert not (seen / "dbus").exists()
    assert not (seen / "systemd").exists()


def test_socket_is_for_its_group_only(engine):
    """The socket of the engine belongs to root and to the group asked for."""
    found = Path(engine.where.address).stat()
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert found.st_uid == 0
    assert found.st_gid != 0


def test_member_of_the_group(engine, lacking):
    """An unprivileged member of the socket's group runs a container; others are told why not."""
    as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--groups"]
    script = """
from caveatlib.places.engines import own_engine
from caveatlib.places.engines.containers import EnginePlace
from caveatlib.places.base import Workload
print(own_engine.probe().reason)
with own_engine.own_engine() as mine:
    instance = EnginePlace(mine).create(Workload("exit 7"))
    instance.start()
    print(instance.wait(10))
"""

    def run(group):
        return subprocess.run(
            [*as_user, group, sys.executable, "-c", script],
            capture_output=True,
            text=True,
            timeout=30,
            cwd="/",
            env={"PATH": os.environ["PATH"], "DOCKER_HOST": engine.where.url, "HOME": "/nowhere"},
        )

    if subprocess.run([*as_user, "daemon", sys.executable, "-c", "import caveatlib"]).returncode:
        lacking("this Python is not readable for other users")
    member, stranger = run("daemon"), run("mail")
    assert member.stdout.split("\n")[1] == "7", member.stderr
    assert stranger.stdout == "this user may not open its socket\n"
    assert "may not be opened. Mend it with: sudo usermod" in stranger.stderr


@pytest.fixture
def own(engine, monkeypatch):
    """Make the private engine look like the reader's own."""
    monkeypatch.setenv("DOCKER_HOST", engine.where.url)
    return engine


def _listing(engine):
    """Return everything there is on an engine, and the firewall rules of its namespace."""
    api = engine.api
    rules = subprocess.run(
        netns.argv_in(engine.pid, ["iptables-save"]), capture_output=True, text=True, timeout=10
    ).stdout
    return (
        sorted(c["Id"] for c in api.containers(all=True)),
        sorted((i["Id"], *i["RepoTags"]) for i in api.images(all=True)),
        sorted(n["Id"] for n in api.networks()),
        sorted(v["Name"] for v in api.volumes()["Volumes"] or []),
        [r for r in rules.splitlines() if not r.startswith((":", "#"))],
    )


def test_own_engine_is_left_as_it_was(own):
    """A run on the reader's engine leaves every list of it and the firewall as they were."""
    image = own.image()
    foreign = own.api.create_container(image, ["sleep", "100"], labels={"caveatlib.x": "1"})["Id"]
    own.start(foreign)
    before = _listing(own)
    with own_engine.own_engine() as mine:
        assert mine.pid is None
        instance = EnginePlace(mine).create(Workload(SCRIPT.format(nonce="n-1"), 80))
        instance.start()
        _read(instance, b"n-1\n")
        mine.create_network()
        assert _listing(own) != before
    assert _listing(own) == before
    with contextlib.suppress(KeyboardInterrupt), own_engine.own_engine() as mine:
        EnginePlace(mine).create(Workload("sleep 100")).start()
        assert _listing(own) != before
        raise KeyboardInterrupt
    assert _listing(own) == before
    own.remove(foreign)


def test_container_of_a_stranger(own):
    """A container that somebody makes from our image is not ours: it stays, and so its image."""
    with own_engine.own_engine() as mine:
        image = mine.image()
        foreign = own.api.create_container(image, ["true"])["Id"]
    assert foreign in {c["Id"] for c in own.api.containers(all=True)}
    own.remove(foreign)
    own.api.remove_image(image)


def test_sweep_of_own_engine(own, monkeypatch):
    """What a dead owner left on an engine goes; a living owner's and a stranger's stay."""
    dead = processes.owner_token().replace(":", ":1", 1)
    with own_engine.own_engine() as alive:
        kept = alive.create(["true"])
        heir = own.api.create_container(alive.image(), ["true"])["Id"]
        lost = Engine(own.where)
        with monkeypatch.context() as patch:
            patch.setattr(processes, "owner_token", lambda: dead)
            doomed, image, network = lost.create(["true"]), lost.image(), lost.create_network()
        lost.close()
        removed = belongings.sweep(own)
        assert sorted(removed) == sorted(
            [f"container {doomed[:12]}", f"image {image}", f"network {network[:12]}"]
        )
        assert belongings.sweep(own) == []
        left = {c["Id"] for c in own.api.containers(all=True)}
        assert {kept, heir} <= left
        assert doomed not in left
        own.remove(heir)


def test_an_engine_that_two_machines_share(own, monkeypatch):
    """What runs for the other one stays when this one opens the engine, and when it cleans."""
    there = processes.owner_token().split(":")
    there[2] = "0badcafe0bad"  # its boot
    other = Engine(own.where)
    with monkeypatch.context() as patch:
        patch.setattr(processes, "owner_token", lambda: ":".join(there))
        patch.setattr(processes, "machine", lambda: "1f2e3d4c5b6a7988", raising=False)
        running, network = other.create(["sleep", "100"]), other.create_network()
        image = own.api.inspect_image(other.image())["Id"]
    other.start(running)
    try:
        with own_engine.own_engine() as mine:
            assert other.inspect(running)["State"]["Running"]
            mine.create(["true"])
        removed, undecided, _ = leftovers.sweep()
        assert removed == []
        assert undecided == [
            f"container {running[:12]}", f"network {network[:12]}", f"image {image[7:19]}"
        ]  # fmt: skip
        assert other.inspect(running)["State"]["Running"]
        # On that machine, after a restart.
        monkeypatch.setattr(processes, "machine", lambda: "1f2e3d4c5b6a7988", raising=False)
        removed, _, _ = leftovers.sweep()
        assert [line.split()[0] for line in removed] == ["container", "network", "image"]
    finally:
        other.clear()
        other.close()


def test_probe_of_own_engine(fresh_probes, own, monkeypatch):
    """The probe tells the version, and without an engine what would mend it."""
    assert own_engine.probe().available
    assert own_engine.probe().reason == f"Docker {own.version}"
    for url, reason in [
        ("unix:///nonexistent/socket", "no running engine found"),
        ("tcp://192.0.2.1:2375", "remote or unknown"),
        ("nonsense", "remote or unknown"),
    ]:
        monkeypatch.setenv("DOCKER_HOST", url)
        own_engine.probe.cache_clear()
        ability = own_engine.probe()
        assert not ability.available
        assert reason in ability.reason
        assert "192" not in ability.reason + ability.fix


def test_without_proxy(require, monkeypatch):
    """With the userland proxy off no proxy runs, and the port still answers."""
    require("private-engine")
    with tempfile.TemporaryDirectory(prefix="cv-") as folder:
        monkeypatch.setenv("CAVEATLIB_STATE", folder)
        with private_engine.private_engine(userland_proxy=False, storage_driver="vfs") as engine:
            facts = engine.metadata()
            assert (facts["userland_proxy"], facts["storage_driver"]) == ("false", "vfs")
            instance = EnginePlace(engine).create(Workload(SCRIPT.format(nonce="n-2"), 80))
            instance.start()
            assert _fetch(instance).startswith(b"HTTP/1.")
            programs = _programs(instance.pids())
            assert "containerd-shim-runc-v2" in programs
            assert "docker-proxy" not in programs
        assert not os.listdir(folder)


def test_start_that_fails(require, monkeypatch):
    """An engine that cannot start says why in one line and leaves nothing."""
    require("private-engine")
    with tempfile.TemporaryDirectory(prefix="cv-") as folder:
        monkeypatch.setenv("CAVEATLIB_STATE", folder)
        for options, said in [
            ({"storage_driver": "nonesuch"}, "nonesuch"),
            ({"congestion_control": "nonesuch"}, "did not start"),
        ]:
            with pytest.raises(MeasurementError, match=said) as caught:
                with private_engine.private_engine(**options):
                    pass
            assert "\n" not in str(caught.value)
            assert folder not in str(caught.value)
        assert not os.listdir(folder)
        with pytest.raises(UsageError, match="Unknown runtime 'cry'"):
            with private_engine.private_engine(runtimes=("cry",)):
                pass
        monkeypatch.setenv("CAVEATLIB_STATE", f"{folder}/{'long' * 25}")
        with pytest.raises(UsageError, match="too long for a socket"):
            with private_engine.private_engine():
                pass


def state_of(base: str, longest: int) -> str:
    """Return a state folder in which an engine's longest socket has a path of so many bytes."""
    rest = len(f"/run/01234567/{private_engine.LONGEST_SOCKET}")
    return f"{base}/{'x' * (longest - rest - len(base) - 1)}"


@pytest.mark.engine
def test_the_longest_socket_decides_how_long_a_state_folder_may_be(require, monkeypatch):
    """A path of 104 bytes is good; one more is refused by its name before anything is started."""
    require("private-engine")
    with tempfile.TemporaryDirectory(prefix="cv-") as base:
        monkeypatch.setenv("CAVEATLIB_STATE", state_of(base, 104))
        with private_engine.private_engine() as engine:
            assert engine.info()
        monkeypatch.setenv("CAVEATLIB_STATE", state_of(base, 105))
        monkeypatch.setattr(private_engine.apart, "running", None)  # it is not even tried
        said = r"/exec/containerd/containerd\.sock\.ttrpc: 105 bytes are too long .* at most 104\."
        with pytest.raises(UsageError, match=said):
            with private_engine.private_engine():
                pass
        assert not [file for _, _, files in os.walk(base) for file in files]


def test_missing_programs(fresh_probes, monkeypatch):
    """Without dockerd the probe says so, and what would mend it."""
    monkeypatch.setattr(programs, "find", lambda name: None)
    ability = private_engine.probe()
    assert not ability.available
    assert ability.reason.startswith("missing: dockerd")
    assert ability.fix == cache.PREPARE
    with pytest.raises(Unavailable, match="missing: dockerd"):
        with private_engine.private_engine():
            pass
