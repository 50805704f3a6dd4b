"""What owners leave when they are killed, and what a sweep removes."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from caveatlib.errors import Unavailable
from caveatlib.places import leases
from caveatlib.places.cgroups import cgroupfs
from caveatlib.support import processes

OWNER = Path(__file__).with_name("owner.py")
GONE_S = 5.0


@pytest.fixture
def state(monkeypatch):
    """Return a state folder of this test alone; a socket's path in it is short enough."""
    folder = tempfile.mkdtemp(prefix="cv-")
    monkeypatch.setenv("CAVEATLIB_STATE", folder)
    yield Path(folder)
    leases.sweep()  # a failed test's leases go with what they stand for
    shutil.rmtree(folder)


def _until(condition, seconds):
    until = time.monotonic() + seconds
    while not (done := condition()) and time.monotonic() < until:
        time.sleep(0.02)
    return done


def _owned(state: Path, spaces: set) -> list[int]:
    """Return the processes that name the state folder, or are in its groups or namespaces.

    A namespace also lives on by a descriptor that somebody holds.
    """
    names = [f"caveatlib-{p.name}" for p in (state / "data").glob("*")]
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        pid, told = process.pid, process.info
        if pid == os.getpid() or not processes.is_running(pid):
            continue
        said = " ".join([*(told["cmdline"] or []), *(told["environ"] or {}).values()])
        try:
            groups = Path(f"/proc/{pid}/cgroup").read_text()
        except OSError:
            continue
        if str(state) in said or any(n in groups for n in names) or spaces & _held(pid):
            found.append(pid)
    return found


def _spaces(pid: int) -> set[str]:
    """Return the namespaces that a process is in, as the kernel writes them: ``net:[4026531]``."""
    return _links(f"/proc/{pid}/ns/{kind}" for kind in ("net", "mnt", "pid"))


def _held(pid: int) -> set[str]:
    """Return the namespaces that a process is in, and all that it has open."""
    try:
        opened = [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        opened = []
    return _spaces(pid) | _links(opened)


def _links(paths) -> set[str]:
    found = set()
    for path in paths:
        with contextlib.suppress(OSError):
            found.add(os.readlink(path))
    return found


def _mounts(state: Path, spaces: set = frozenset()) -> list[str]:
    """Return the mounts that name the state folder or keep a namespace."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if any(name in line for name in (str(state), *spaces))]


def _net_links(pid: int | str = "self") -> set[str]:
    """Return the names of the network links that a process has, veths among them."""
    # "veth1a2b3c4:  726  7 0 ..." below two lines of headings
    lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    return {line.partition(":")[0].strip() for line in lines}


def _cgroups(state: Path, names: list[str]) -> list[Path]:
    return [folder for name in names for folder in cgroupfs.folders(f"/caveatlib-{name}")]


def _owner(kind: str, state: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, OWNER, kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "CAVEATLIB_STATE": str(state)},
    )


def _kill(owner: subprocess.Popen) -> None:
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()


def _interrupt_and_check(state: Path, instant_s: float) -> None:
    """Interrupt an owner as Ctrl-C does; what it was, and that nothing is left."""
    owner = _owner("engine", state)
    time.sleep(instant_s)
    owner.send_signal(signal.SIGINT)
    try:
        owner.wait(timeout=30)
    finally:
        owner.kill()
        owner.stdin.close()
        owner.stdout.close()
    assert _until(lambda: not _owned(state, set()), GONE_S)
    names = [p.name for p in (state / "data").glob("*")]
    leases.sweep()
    assert not list(state.iterdir())
    assert not _cgroups(state, names)
    assert not _mounts(state)


def _kill_and_check(
    kind: str, state: Path, *, starting_s: float | None = None, running_s: float = 0.0
) -> float:
    """Kill an owner and check that nothing is left; return the seconds until that was so.

    Killed so long after its container runs or, if given, after its own start.
    """
    links = set(os.listdir("/sys/class/net"))
    owner, spaces, child = _owner(kind, state), set(), None
    if starting_s is None:
        told = json.loads(owner.stdout.readline())
        child = told.get("child")
        assert len(told["pids"]) >= 3  # shim, shell, proxy
        inside = [told["engine"], *told["pids"]]
        spaces = set().union(*map(_spaces, inside)) - _spaces(os.getpid())
        assert len(spaces) >= 5  # the engine's and the container's
        assert any(link.startswith("veth") for link in _net_links(told["engine"]))
        time.sleep(running_s)
        assert len(set(inside) & set(_owned(state, spaces))) >= 4  # they still run
    else:
        time.sleep(starting_s)
    names = [p.name for p in (state / "data").glob("*")]
    _kill(owner)
    start = time.monotonic()

    def left() -> list:
        processes = set(_owned(state, spaces)) - {child}
        more = set(os.listdir("/sys/class/net")) - links
        return [*processes, *_mounts(state, spaces), *more]

    try:
        _until(lambda: not left(), GONE_S)
        took = time.monotonic() - start
        assert not left(), "processes, namespaces, mounts or links left"
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
    names = names or [p.name for p in (state / "data").glob("*")]
    leases.sweep()
    assert not list(state.iterdir())
    assert not _cgroups(state, names)
    assert leases.sweep() == []
    return took


@pytest.mark.engine
@pytest.mark.parametrize(
    "kind", ["engine", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("thread", "fork"))]
)
def test_killed_owner_of_engine(require, state, kind):
    """A killed owner's engine dies with its container, and a sweep removes the rest."""
    require("private-engine")
    _kill_and_check(kind, state)


@pytest.mark.engine
def test_owner_killed_while_engine_starts(require, state):
    """An owner killed in the middle of the start leaves nothing either."""
    require("private-engine")
    _kill_and_check("engine", state, starting_s=0.8)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.engine
def test_thirty_kills(require, state, bars):
    """30 kills at random instants, a container with a published port running in all of them."""
    require("private-engine")
    instants = random.Random(1)
    took = [
        _kill_and_check(kind, state, running_s=instants.uniform(0, 2))
        for kind in ("engine", "thread") * 15
    ]
    bars.append(("engine's owner killed, slowest of 30 to be gone", f"{max(took):.1f} s", "<= 5 s"))


@pytest.mark.slow
@pytest.mark.engine
def test_fifteen_kills_during_the_start(require, state, bars):
    """15 kills at random instants from the owner's start until a little after the engine's."""
    require("private-engine")
    instants = random.Random(3)
    took = [
        _kill_and_check("engine", state, starting_s=instants.uniform(0, 2.5)) for _ in range(15)
    ]
    bars.append(("killed in its start, slowest of 15 to be gone", f"{max(took):.1f} s", "<= 5 s"))


@pytest.mark.engine
def test_interrupted_owner(require, state):
    """Ctrl-C while an engine runs a container ends everything, without any sweep."""
    require("private-engine")
    owner = _owner("engine", state)
    json.loads(owner.stdout.readline())
    owner.send_signal(signal.SIGINT)
    owner.wait(timeout=30)
    owner.stdin.close()
    owner.stdout.close()
    assert not list(state.iterdir())


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.engine
def test_thirty_interrupts(require, state):
    """30 times Ctrl-C at random instants leave nothing."""
    require("private-engine")
    instants = random.Random(2)
    for _ in range(30):
        _interrupt_and_check(state, instants.uniform(0.2, 2.5))


@pytest.mark.parametrize(
    "kind", ["process", "namespaces", "runc", pytest.param("microvm", marks=pytest.mark.vm)]
)
def test_killed_owner_of_workload(require, state, kind):
    """A sweep ends the workload of a killed owner, and leaves a living owner's alone."""
    require("busybox")
    if kind != "process":
        require(kind)
    dead, alive = _owner(kind, state), _owner(kind, state)
    try:
        doomed, kept = (json.loads(o.stdout.readline())["pids"][0] for o in (dead, alive))
        starts = {pid: processes.start_ticks(pid) for pid in (doomed, kept)}
        _kill(dead)
        leases.sweep()

        def runs(pid):
            return processes.start_ticks(pid) == starts[pid] and bool(processes.is_running(pid))

        assert _until(lambda: not runs(doomed), GONE_S)
        assert runs(kept)
    finally:
        _kill(alive)
        leases.sweep()
    assert not list(state.iterdir())


def _lease(state: Path, name: str, owner: object) -> Path:
    folder = state / "data" / name
    (folder / "docker").mkdir(parents=True)
    (folder / "lease.json").write_text(json.dumps({"owner": owner}))
    return folder


def test_sweep_keeps_what_it_did_not_make(state):
    """Living owners', strangers' and unreadable leases stay, only dead ones go."""
    pid, start, boot, space = processes.owner_token().split(":")
    kept = [
        _lease(state, "00000001", processes.owner_token()),
        _lease(state, "00000002", f"{pid}:{start}:{boot}:1"),  # another pid namespace
        _lease(state, "00000003", 7),
        _lease(state, "not-an-id", f"{pid}:1:{boot}:{space}"),
    ]
    stranger = state / "data" / "0badcafe"
    stranger.mkdir()
    (stranger / "precious").touch()
    gone = [
        _lease(state, "00000004", f"{pid}:1:{boot}:{space}"),  # the pid was reused
        _lease(state, "00000005", f"{pid}:{start}:0:{space}"),  # before a restart
    ]
    unborn = state / "data" / "00000006"
    unborn.mkdir()
    removed = leases.sweep()
    assert sorted(removed) == [f"lease 0000000{n}" for n in (4, 5, 6)]
    assert all(folder.exists() for folder in [*kept, stranger / "precious"])
    assert not any(folder.exists() for folder in [*gone, unborn])
    assert leases.sweep() == []


@pytest.mark.engine
def test_sweep_does_not_cross_mounts(require, state):
    """A sweep unmounts what is mounted below a dead lease instead of emptying it."""
    require("private-engine")
    precious = state / "precious"
    precious.mkdir()
    (precious / "file").touch()
    folder = _lease(state, "00000007", "1:1:0:0")
    subprocess.run(["mount", "--bind", precious, folder / "docker"], check=True, timeout=10)
    try:
        assert leases.sweep() == ["lease 00000007"]
        assert (precious / "file").exists()
        assert not _mounts(state)
    finally:
        subprocess.run(["umount", folder / "docker"], capture_output=True, timeout=10)


@pytest.mark.engine
@pytest.mark.parametrize("name", ["a b", "tab\t", "line\n", "back\\slash", "no\u00a0break", "link"])
def test_no_name_hides_a_mount(require, state, monkeypatch, name):
    """The kernel escapes some characters of mount points; a sweep finds every one of them.

    Seen to fail when the escapes were not undone: the precious file was gone.
    """
    require("private-engine")
    folder = state / name
    if name == "link":
        (state / "target").mkdir()
        folder.symlink_to("target")
    else:
        folder.mkdir()
    monkeypatch.setenv("CAVEATLIB_STATE", str(folder))
    precious = state / "precious"
    precious.mkdir()
    (precious / "file").touch()
    mounted = _lease(folder, "00000007", "1:1:0:0") / "docker"
    subprocess.run(["mount", "--bind", precious, mounted], check=True, timeout=10)
    try:
        assert leases.sweep() == ["lease 00000007"]
        assert (precious / "file").exists()
    finally:
        subprocess.run(["umount", mounted], capture_output=True, timeout=10)


def test_what_stays_mounted_is_not_emptied(state, monkeypatch):
    """Where a mount cannot be taken away, the lease stays with all that is in it."""
    folder = _lease(state, "00000007", "1:1:0:0")
    (folder / "docker" / "precious").touch()
    mount = cgroupfs.Mount("ext4", frozenset(), "/", str((folder / "docker").resolve()))
    monkeypatch.setattr(cgroupfs, "mounts", lambda **_: [mount])
    monkeypatch.setattr(leases, "REMOVE_S", 0.1)
    assert leases.sweep() == []
    assert (folder / "docker" / "precious").exists()


@pytest.mark.engine
def test_sweep_removes_only_its_own_cgroups(require, state):
    """The control groups of a dead lease go with their processes; a stranger's stays."""
    require("private-engine")
    root = next(r for r in cgroupfs.hierarchies() if (r / "cgroup.procs").exists())
    ours, foreign = root / "caveatlib-00000008" / "inner", root / "caveatlib-of-a-stranger"
    for folder in (ours, foreign):
        folder.mkdir(parents=True)
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        (ours / "cgroup.procs").write_text(str(sleeper.pid))
        _lease(state, "00000008", "1:1:0:0")
        threading.Timer(0.2, sleeper.wait).start()
        assert leases.sweep() == ["lease 00000008"]
        assert not ours.parent.exists()
        assert foreign.exists()
    finally:
        sleeper.kill()
        sleeper.wait()
        foreign.rmdir()


def test_sweeps_at_the_same_time(state):
    """Leases taken and given back while others sweep are never lost or kept."""
    errors = []

    def work(number):
        try:
            for _ in range(10):
                if number % 2:
                    leases.sweep()
                    continue
                with leases.leased() as lease:
                    (lease.data / "file").touch()
                    time.sleep(0.002)
                    assert (lease.data / "lease.json").exists()
                    assert lease.run.is_dir()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert not list(state.iterdir())


def test_release_keeps_the_first_exception(state):
    """What went wrong inside is what comes out, and the lease is gone."""
    with pytest.raises(KeyboardInterrupt), leases.leased() as lease:
        raise KeyboardInterrupt
    assert not lease.data.exists()


def test_unwritable_state(monkeypatch):
    """A state folder that may not be made is one clear line."""
    monkeypatch.setenv("CAVEATLIB_STATE", "/proc/nowhere")
    with pytest.raises((Unavailable, OSError)) as caught, leases.leased():
        pass
    assert "\n" not in str(caught.value)


def test_what_only_root_may_look_at_is_told(state, monkeypatch):
    """A folder of leases that this user cannot open; none, or one's own, is nothing to tell."""
    assert not leases.closed()
    with leases.leased():
        assert not leases.closed()
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        assert leases.closed()
    assert not leases.closed()
