"""Whatever ends a run, nothing of it stays, and nothing of anybody else's goes.

Seen to fail: with `SpawnPlace.close` and `RuncPlace.close` doing nothing (an
instance lost between create and its caller stays), with `engine.clear` left out
of `own_engine` (containers and the image stay), and with `is_orphaned` true of
everything (a living owner's goes).
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from dataclasses import replace
from pathlib import Path

import left
import pytest
from experiments.startup import fake

from caveatlib import cli, trials
from caveatlib.errors import MeasurementError
from caveatlib.experiments import startup
from caveatlib.experiments.startup import workloads
from caveatlib.places import leases, netns, process, runc
from caveatlib.places.base import TrialResult
from caveatlib.places.cgroups import cgroupfs
from caveatlib.places.engines import containers, engine
from caveatlib.support import processes

STEPS = ("create", "start", "read", "signal", "wait", "remove")
KINDS = {
    "process": (process.SpawnPlace, process.Spawned),
    "namespaces": (process.SpawnPlace, process.Spawned),
    "runc": (runc.RuncPlace, runc.Container),
    "docker-runc": (containers.EnginePlace, containers.EngineInstance),
}
ENDS = (KeyboardInterrupt, ZeroDivisionError, MeasurementError)
"""Ctrl-C, a bug, and what counts as a failed trial: the run goes on after it."""


class Told:
    """Raises an error of ours at one step of one trial, before or after the step itself."""

    def __init__(self, patch, place: str, step: str, error: type, *, after: bool):
        self.error, self.raised, self.after = error, False, after
        owner, name = {
            "create": (KINDS[place][0], "create"),
            "read": (workloads._Reader, "seen_at"),
        }.get(step, (KINDS[place][1], step))
        self.step = getattr(owner, name)
        patch.setattr(owner, name, lambda *args, **kw: self(*args, **kw))

    def __call__(self, *args, **kwargs):
        if self.raised:
            return self.step(*args, **kwargs)
        if self.after:
            self.step(*args, **kwargs)
        self.raised = True
        raise self.error("told to")


@pytest.fixture
def state():
    """Return a state folder of this test alone."""
    with left.state() as folder:
        yield folder


@pytest.fixture(scope="module")
def own(require):
    """Return an engine that stands for the reader's own."""
    require("private-engine")
    with left.reader_engine() as running:
        yield running


def _measure(out, place, *, workload="nonce", **options):
    name = {"nonce": "start", "http": "answer", "idle": "at-once", "stubborn": "stubborn"}[workload]
    (design,) = (d for d in startup.DESIGNS if d.name == name)
    arms = tuple(a for a in design.arms if a.place == place and a.conditions["at_once"] < 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(startup, "DESIGNS", (replace(design, arms=arms, optional=False),))
        return _one_session(out, place, **options)


def _one_session(out, place, **options):
    return trials.measure(
        startup, out=out, places=[place], budget_s=0.001, progress=False, seed=1, **options
    )


def _interrupted(monkeypatch, tmp_path, place, step, error, *, after, **options):
    """Run a trial that is told to fail, and check what comes out of it."""
    raised = None
    with monkeypatch.context() as patch:
        told = Told(patch, place, step, error, after=after)
        try:
            _measure(tmp_path / f"{step}{error.__name__}{after}", place, **options)
        except BaseException as found:
            raised = found
    assert told.raised
    if error is MeasurementError:
        assert raised is None
    else:
        assert (type(raised), str(raised), raised.__cause__) == (error, "told to", None)


WORKLOADS = [
    (w, s, a)
    for w, steps in (
        ("http", ("create", "start", "connect", "signal", "wait")),
        ("idle", ("create", "start", "read", "pids", "remove")),
        ("stubborn", ("start", "wait")),
    )
    for s in steps
    for a in (False, True)
]
"""Ctrl-C in the steps of the other workloads, which use threads."""


CASES = [(s, e, a) for s in STEPS for e in ENDS for a in (False, True)]
FEW = [(s, KeyboardInterrupt, True) for s in STEPS]


@pytest.mark.parametrize(
    ("place", "cases", "others"),
    [
        ("process", FEW, WORKLOADS[1::2]),
        ("namespaces", FEW, []),
        ("runc", FEW, []),
        pytest.param("process", CASES, WORKLOADS, marks=pytest.mark.slow),
        pytest.param("namespaces", CASES, WORKLOADS, marks=pytest.mark.slow),
        pytest.param("runc", CASES, WORKLOADS, marks=pytest.mark.slow),
    ],
)
@pytest.mark.beside
def test_every_step_on_small_places(
    require, monkeypatch, tmp_path, state, place, cases, others, bars
):
    """Whatever a step raises, before or after it: nothing stays, the exception is kept."""
    require("busybox")
    if place != "process":
        require(place)
    _measure(tmp_path / "first", place)  # what is made once per process is made now
    before, running = left.here(), set(left.processes(processes.owner_token()))
    for step, error, after in cases:
        _interrupted(monkeypatch, tmp_path, place, step, error, after=after)
        assert not left.more(before), (step, error, after)
        assert left.until(lambda: set(left.processes(processes.owner_token())) <= running), step
        assert not list(state.iterdir()), (step, error, after)
    for workload, step, after in others:
        monkeypatch.setattr(workloads, "STOP_GRACE_S", 0.1)
        options = {"after": after, "workload": workload}
        folder = tmp_path / workload
        started = time.monotonic()
        _interrupted(monkeypatch, folder, place, step, KeyboardInterrupt, **options)
        assert time.monotonic() - started < workloads.START_DEADLINE_S / 4, (workload, step)
        assert not left.more(before), (workload, step, after)
        assert left.until(lambda: set(left.processes(processes.owner_token())) <= running), step
        assert not list(state.iterdir()), (workload, step, after)
    count = len(cases) + len(others)
    bars.append((f"clean-up: injected ends, {place}", f"{count} clean", "all"))


@pytest.mark.engine
@pytest.mark.parametrize("cases", [FEW, pytest.param(CASES, marks=pytest.mark.slow)])
@pytest.mark.beside
def test_every_step_on_the_readers_engine(own, monkeypatch, tmp_path, cases, bars):
    """The same on an engine that outlives the run, where nothing could hide what stays."""
    _measure(tmp_path / "first", "docker-runc", engine="own")
    before, things = left.here(), left.listing(own)
    for step, error, after in cases:
        case = (step, error, after)
        _interrupted(monkeypatch, tmp_path, "docker-runc", step, error, after=after, engine="own")
        assert left.listing(own) == things, case
        assert not left.more(before), case
    bars.append(("clean-up: injected ends, reader's engine", f"{len(cases)} clean", "all"))


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.long
def test_every_step_on_a_private_engine(require, monkeypatch, tmp_path, state, bars):
    """The same with an engine that is started and ended by the run."""
    require("private-engine")
    _measure(tmp_path / "first", "docker-runc", engine="private")
    before = left.here()
    for step, error, after in CASES:
        case = (step, error, after)
        _interrupted(
            monkeypatch, tmp_path, "docker-runc", step, error, after=after, engine="private"
        )
        assert left.until(lambda: not left.processes(state=state)), case
        assert not list(state.iterdir()), case
        assert not left.more(before), case
    bars.append(("clean-up: injected ends, private engine", f"{len(CASES)} clean", "all"))


@pytest.mark.engine
@pytest.mark.parametrize("step", ["start", pytest.param("remove", marks=pytest.mark.slow)])
@pytest.mark.beside
def test_a_step_on_a_private_engine(require, monkeypatch, tmp_path, state, step):
    """One of them in the fast set."""
    require("private-engine")
    _interrupted(
        monkeypatch, tmp_path, "docker-runc", step, KeyboardInterrupt, after=True, engine="private"
    )
    assert left.until(lambda: not left.processes(state=state))
    assert not list(state.iterdir())


def _clean(monkeypatch, capsys) -> list[str]:
    monkeypatch.setattr(sys, "argv", ["caveatlib", "clean"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    return capsys.readouterr().out.splitlines()


@pytest.mark.engine
def test_clean_twice_among_strangers(require, own, monkeypatch, capsys, state):
    """A dead owner's things go at the first time, nothing at the second; strangers' all stay."""
    require("ip")
    owner = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("places") / "owner.py", "runc"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "CAVEATLIB_STATE": str(state)},
    )
    assert owner.stdout.readline()
    with monkeypatch.context() as patch:
        dead = processes.owner_token().replace(":", ":1", 1)
        patch.setattr(processes, "owner_token", lambda: dead)
        lost = engine.Engine(own.where)
        lost.create(["true"], ports=[80])
        lost.create_network()
        lost.close()
    # What strangers have: named like ours, labelled nearly like ours, made from our image.
    image = own.image()
    named = {"name": "caveatlib-mine", "labels": {"caveatlib.x": "1"}}
    foreign = own.api.create_container(image, ["sleep", "60"], **named)
    own.start(foreign["Id"])
    network = own.api.create_network("caveatlib-abcd", labels={"caveatlibs": "1"})
    own.api.create_volume("caveatlib-volume")
    subprocess.run(["ip", "netns", "add", "caveatlib-of-a-stranger"], check=True, timeout=10)
    root = next(r for r in cgroupfs.hierarchies() if (r / "cgroup.procs").exists())
    group = root / "caveatlib-of-a-stranger"
    group.mkdir()
    folder = state / "data" / "precious"
    folder.mkdir(parents=True, exist_ok=True)
    sleeper = subprocess.Popen(["sleep", "60"], env={"CAVEATLIB_STATE": str(state)})
    try:
        owner.kill()
        owner.wait()
        removed = _clean(monkeypatch, capsys)
        assert {line.split()[1] for line in removed} >= {"container", "network", "lease"}
        after = left.listing(own)
        assert _clean(monkeypatch, capsys) == ["Nothing was left behind."]
        assert left.listing(own) == after
        assert after["containers"] == [foreign["Id"]]
        assert own.inspect(foreign["Id"])["State"]["Running"]
        assert network["Id"] in after["networks"]
        assert "caveatlib-volume" in after["volumes"]
        assert Path("/run/netns/caveatlib-of-a-stranger").exists()
        assert group.exists()
        assert folder.exists()
        assert sleeper.poll() is None
        assert processes.children(os.getpid())
    finally:
        owner.stdin.close()
        owner.stdout.close()
        sleeper.kill()
        sleeper.wait()
        group.rmdir()
        subprocess.run(["ip", "netns", "del", "caveatlib-of-a-stranger"], timeout=10)
        own.remove(foreign["Id"])
        own.api.remove_network(network["Id"])
        own.api.remove_volume("caveatlib-volume")


def _command(pid, *words):
    """Return the command, as a user on the engine's own host would run it."""
    return netns.argv_in(pid, [sys.executable, "-m", "caveatlib.cli", *map(str, words)])


def _complete_run(own, tmp_path, *words, timeout_s):
    """Run `measure startup` on the reader's engine, a stranger's container beside it."""
    image = own.image()
    foreign = own.api.create_container(image, ["sleep", "600"])["Id"]
    own.start(foreign)
    before = left.listing(own)
    with tempfile.TemporaryDirectory(prefix="cv-") as folder:
        done = subprocess.run(
            _command(own.pid, "measure", "startup", "--engine", "own", *words),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=tmp_path,
            env={**os.environ, "CAVEATLIB_STATE": folder},
        )
        assert not os.listdir(folder)
    assert done.returncode == 0, done.stderr
    assert left.listing(own) == before
    own.remove(foreign)
    (run,) = (tmp_path / "runs").iterdir()
    rows = trials.get(startup, source=run)
    return rows[rows["place"] == "docker-runc"]


@pytest.mark.engine
@pytest.mark.slow
def test_a_short_run_leaves_the_readers_engine_as_it_was(own, tmp_path):
    """Containers, images, networks, volumes and firewall rules are the same before and after."""
    rows = _complete_run(
        own, tmp_path, "--places", "docker-runc", "--budget-s", "0.1", timeout_s=120
    )
    assert rows["ok"].all()
    assert list(rows["replicate"].sort_values()) == [0, 1]


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.long
def test_a_complete_run_leaves_the_readers_engine_as_it_was(own, tmp_path, bars):
    """The same after every design of `startup`, published ports and a build among them."""
    rows = _complete_run(own, tmp_path, "--blocks", "1", timeout_s=580)
    assert rows["ok"].all(), rows.loc[~rows["ok"], "error"].unique()
    assert {"nonce", "http", "idle", "stubborn", "build"} <= set(rows["workload"])
    bars.append(("reader's engine after a complete run", "identical", "identical"))


@pytest.mark.engine
@pytest.mark.slow
def test_a_killed_command_leaves_nothing(require, state, tmp_path, bars):
    """SIGKILL while a private engine runs a container with a published port."""
    require("private-engine")
    command = subprocess.Popen(
        [sys.executable, "-c", _ONLY_HTTP, str(tmp_path / "out")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    try:
        spaces = left.until(lambda: _spaces_with_a_port(state), 60)
        assert spaces, "no container with a published port was seen"
        names = [p.name for p in state.glob("data/*")]
    finally:
        command.kill()
        command.wait()
    killed = time.monotonic()
    assert left.until(lambda: not left.processes(state=state, spaces=spaces))
    took = time.monotonic() - killed
    assert not left.mounts(state)
    leases.sweep()
    assert not list(state.iterdir())
    assert not left.cgroups(names)
    bars.append(("killed command: seconds until nothing is left", f"{took:.1f}", "<= 5"))


_ONLY_HTTP = """
import sys
from caveatlib import trials
from caveatlib.experiments import startup
startup.DESIGNS = tuple(d for d in startup.DESIGNS if d.name == "answer")
trials.measure(startup, out=sys.argv[1], places=["docker-runc"], sessions=100, engine="private")
"""
"""Stays at the workload whose port is published, so that the kill meets one."""


def _spaces_with_a_port(state) -> frozenset:
    """Return the namespaces of an engine and a container, empty if none publishes a port yet."""
    inside = left.processes(state=state)
    programs = {Path(argv[0]).name for pid in inside if (argv := processes.arguments(pid))}
    spaces = frozenset().union(*map(left.namespaces, inside)) - left.namespaces(os.getpid())
    running = "docker-proxy" in programs and len(spaces) >= 5  # the engine's 3, the container's
    return spaces if running else frozenset()


@pytest.mark.beside
def test_the_first_exception_is_kept(monkeypatch, tmp_path):
    """A summary that fails over half a run does not hide what ended the run."""

    def fail(*_, **__):
        raise KeyError("no such column")

    ends = iter([{}, {}, KeyboardInterrupt("told to")])

    def trial(place, conditions, *, seed):
        if isinstance(end := next(ends), BaseException):
            raise end
        return TrialResult(end)

    monkeypatch.setattr(startup, "trial", trial)
    monkeypatch.setattr(startup, "summarize", fail)
    with pytest.raises(KeyboardInterrupt, match="told to"):
        trials.measure(startup, out=tmp_path, places=["process"], sessions=9, specs=fake.PLACES,
                       progress=False)  # fmt: skip


@pytest.mark.beside
def test_a_ctrl_c_that_python_drops(monkeypatch, tmp_path):
    """One that comes within a weak reference's callback, imports have many, ends the run too."""

    class Thing:
        pass

    def trial(place, conditions, *, seed):
        thing = Thing()
        reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
        del thing
        assert reference() is None
        calls.append(place)
        return TrialResult({})

    calls = []
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    monkeypatch.setattr(startup, "trial", trial)
    with pytest.raises(KeyboardInterrupt):
        _one_session(tmp_path, "process", specs=fake.PLACES)
    assert len(calls) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.engine
@pytest.mark.beside
@pytest.mark.slow
def test_ctrl_c_of_the_command(require, state, tmp_path):
    """SIGINT to the command: status 130, how to go on, whole blocks kept, nothing left."""
    require("private-engine")
    command = subprocess.Popen(
        [sys.executable, "-m", "caveatlib.cli", "measure", "startup", "--places", "docker-runc",
         "--budget-s", "100", "--out", "out"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        start_new_session=True,
    )  # fmt: skip
    journal = tmp_path / "out" / "startup" / "journal.jsonl"
    try:
        assert left.until(
            lambda: journal.exists() and b'"kind":"block"' in journal.read_bytes(), 60
        )
        command.send_signal(signal.SIGINT)
        _, err = command.communicate(timeout=60)
    finally:
        command.kill()
        command.wait()
    assert command.returncode == 130, err
    assert "--resume out" in err
    assert "Traceback" not in err
    assert len(trials.get(startup, source=tmp_path / "out")) >= 2
    assert left.until(lambda: not left.processes(state=state))
    assert not list(state.iterdir())
