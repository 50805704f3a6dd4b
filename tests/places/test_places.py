"""The places without an engine: bare process, namespaces, an OCI runtime alone."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from caveatlib.errors import DeadlineExceeded, MeasurementError, Unavailable, UsageError
from caveatlib.places import cache, namespaces, privileges, process, runc, spec
from caveatlib.places.base import Workload
from caveatlib.support import processes

pytestmark = pytest.mark.beside

OPENERS = {
    "process": process.process_place,
    "namespaces": namespaces.namespaces_place,
    "runc": runc.runc_place,
}
SCRIPT = "trap 'exit 3' TERM; echo {nonce}; while :; do sleep 0.02; done"


@pytest.fixture(params=OPENERS)
def place(request, require, monkeypatch, tmp_path):
    """Return an opened place, its state in a folder of this test."""
    if request.param != "process":
        require("busybox")
        require(request.param)
    monkeypatch.setenv("CAVEATLIB_STATE", str(tmp_path))
    with OPENERS[request.param]() as opened:
        opened.name = request.param
        yield opened
    assert not list(tmp_path.iterdir())


def _read(instance, wanted: bytes) -> bytes:
    data = b""
    while wanted not in data:
        part = os.read(instance.output, 4096)
        assert part, f"output ended with {data!r}"
        data += part
    return data


def test_a_life(place):
    """The workload writes its nonce, gets the signal itself, ends, and is gone."""
    before = len(os.listdir("/proc/self/fd"))
    instance = place.create(Workload(SCRIPT.format(nonce="n-4711")))
    instance.start()
    assert _read(instance, b"\n") == b"n-4711\n"
    pids = instance.pids()
    assert pids
    with pytest.raises(DeadlineExceeded, match=r"still runs after 0.05 s"):
        instance.wait(0.05)
    instance.signal("TERM")
    status = instance.wait(10)
    assert status == (0 if place.name == "runc" else 3)
    assert os.read(instance.output, 1) == b""
    instance.remove()
    instance.remove()
    assert not [pid for pid in pids if processes.is_running(pid)]
    assert len(os.listdir("/proc/self/fd")) == before


def test_removed_while_running(place):
    """A workload that ignores signals is gone after its removal, children included."""
    instance = place.create(Workload("trap '' TERM; setsid sh -c 'echo up; sleep 100' & wait"))
    instance.start()
    _read(instance, b"up\n")
    pids = instance.pids()
    assert len(pids) >= 2
    instance.remove()
    gone = time.monotonic() + 5
    while any(processes.is_running(p) for p in pids):
        assert time.monotonic() < gone
        time.sleep(0.01)


def test_never_started(place):
    """An instance that was only created can be removed."""
    instance = place.create(Workload("true"))
    instance.remove()
    assert instance.output == -1


def test_place_removes_its_instances(require, monkeypatch, tmp_path):
    """Closing a place ends what still runs in it, daemons included."""
    require("busybox")
    monkeypatch.setenv("CAVEATLIB_STATE", str(tmp_path))
    port = process.free_port()
    with process.process_place() as place:
        instance = place.create(Workload(f"httpd -p 127.0.0.1:{port} -h www; echo up", port))
        instance.start()
        _read(instance, b"up\n")
        assert instance.wait(5) == 0
        instance.connect(1).close()
    with pytest.raises(OSError, match="refused"):
        instance.connect(1)


def test_one_that_does_not_end_keeps_no_other(monkeypatch):
    """All are removed, and daemons ended, before the error of the first comes out."""
    removed = []

    def stuck():
        removed.append("stuck")
        raise DeadlineExceeded("outlived SIGKILL")

    place = process.SpawnPlace(lambda script: [script], {}, None)
    names = ("first", "second")
    ends = [lambda name=name: removed.append(name) for name in names]
    place._instances = [SimpleNamespace(remove=each) for each in (ends[0], stuck, ends[1])]
    monkeypatch.setattr(processes, "end_marked", lambda *_: removed.append("daemons"))
    with pytest.raises(DeadlineExceeded, match="outlived"):
        place.close()
    assert sorted(removed[:3]) == ["first", "second", "stuck"]
    assert removed[3:] == ["daemons"]


def test_web_page(place, require):
    """The same relative folder is served in every place, and connect reaches it."""
    require("busybox")
    port = process.free_port()
    script = f"httpd -f -p 127.0.0.1:{port} -h www & echo up; wait"
    instance = place.create(Workload(script, port))
    instance.start()
    _read(instance, b"up\n")
    until = time.monotonic() + 30
    while True:
        with contextlib.suppress(ConnectionError, TimeoutError), instance.connect(5) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert sock.recv(15).startswith(b"HTTP/1.")
            break
        assert time.monotonic() < until
        time.sleep(0.01)
    instance.remove()


def test_no_port(place):
    """Connecting to a workload without a port is an error that says so."""
    instance = place.create(Workload("true"))
    with pytest.raises(UsageError, match="port 0"):
        instance.connect(1)
    instance.remove()


def test_unknown_signal(place):
    """An unknown signal is an error with an example."""
    instance = place.create(Workload("sleep 9"))
    instance.start()
    with pytest.raises(UsageError, match="Unknown signal 'TREM'"):
        instance.signal("TREM")
    instance.remove()


def test_four_at_once(place):
    """Instances of one place start side by side from threads and keep their outputs apart."""
    instances = [place.create(Workload(SCRIPT.format(nonce=f"n-{n}"))) for n in range(4)]
    threads = [threading.Thread(target=i.start) for i in instances]
    for thread in threads:
        thread.start()
    for number, instance in enumerate(instances):
        assert _read(instance, b"\n") == f"n-{number}\n".encode()
    for thread in threads:
        thread.join()
    for instance in instances:
        instance.remove()


def test_only_with_pidfds(fresh_probes, monkeypatch):
    """Where no process can be held, none is started: its end could not be made sure of."""
    monkeypatch.delattr(os, "pidfd_open")
    assert process.probe().reason.startswith("needs Linux")
    with pytest.raises(Unavailable, match="needs Linux"), process.process_place():
        pass


def test_exit_by_signal(require):
    """A workload killed by signal N has status 128 + N, as an engine would say."""
    with process.process_place() as place:
        instance = place.create(Workload("kill -9 $$"))
        instance.start()
        assert instance.wait(5) == 137


REUSED = """
import subprocess, time
from pathlib import Path
from caveatlib.places import process
from caveatlib.places.base import Workload
with process.process_place() as place:
    instance = place.create(Workload("true"))
    instance.start()
    ended = instance._process.pid
    assert instance.wait(5) == 0
    # The kernel gives the next process the id that follows.
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(ended - 1))
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    instance.remove()
    time.sleep(0.1)
    print("killed" if stranger.poll() else "lives")
    stranger.kill()
    stranger.wait()
"""


def test_removal_spares_who_got_the_id(require):
    """What has ended is removed with no signal to a stranger that got its id and group.

    Seen to fail when the process was reaped by `wait`, and its group killed by `remove`.
    """
    require("namespaces")
    user = ["--user", "--map-root-user"] if privileges.lacking("CAP_SYS_ADMIN") else []
    space = ["unshare", *user, "--pid", "--fork", "--mount-proc", "--kill-child"]
    done = subprocess.run(
        [*space, sys.executable, "-c", REUSED], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("lives\n", 0), done.stderr


def test_runc_cgroup(require, monkeypatch, tmp_path):
    """A container of runc has a memory control group of its own, gone with the place."""
    require("runc")
    monkeypatch.setenv("CAVEATLIB_STATE", str(tmp_path))
    with runc.runc_place() as place:
        instance = place.create(Workload("sleep 100"))
        instance.start()
        folder = instance.memory_cgroup()
        assert folder.parent.name.startswith("caveatlib-")
        assert str(instance.pids()[0]) in (folder / "cgroup.procs").read_text().split()
    assert not folder.parent.exists()


def test_runtime_says_why(require, monkeypatch, tmp_path):
    """What the runtime says about its failure is in the error, and nothing is left."""
    require("runc")
    monkeypatch.setenv("CAVEATLIB_STATE", str(tmp_path))
    monkeypatch.setattr(runc, "_config", lambda *_: {"ociVersion": "1.0.2"})
    with runc.runc_place() as place:
        with pytest.raises(MeasurementError, match=r"runc create: .*process"):
            place.create(Workload("true"))
    assert not list(tmp_path.iterdir())


def test_missing_programs(fresh_probes, monkeypatch):
    """Probes say what is missing and what would mend it; opening says the same."""
    monkeypatch.setenv("PATH", "/nonexistent")
    for ability in (namespaces.probe(), runc.probe("crun")):
        assert not ability.available
        assert ability.fix == cache.PREPARE
    assert process.probe().available
    with pytest.raises(Unavailable, match=r"No runc: no program .*make system"):
        with runc.runc_place():
            pass


@pytest.mark.parametrize("fails", [False, True])
def test_ctrl_c_waits_for_what_is_being_closed(fails):
    """A place that is being closed is closed whole; the Ctrl-C is obeyed afterwards."""
    closed = []

    @contextlib.contextmanager
    def slow():
        try:
            yield "a place"
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            closed.append("whole")

    specs = {"slow": spec.Spec(lambda session: session.enter(slow()))}

    def session():
        with spec.opened(specs, engine="own") as handles:
            assert handles == {"slow": "a place"}
            if fails:
                raise MeasurementError("A trial failed.")

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        session()
    assert closed == ["whole"]
    assert signal.getsignal(signal.SIGINT) is handler
