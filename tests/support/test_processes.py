"""Who a process is, and that no signal reaches a stranger.

Seen to fail: with `signal_all` asking only once, and with 0 among the ids (the
test's child then kills itself).
"""

import os
import signal
import subprocess
import sys

import pytest

from caveatlib.support import processes, programs

pytestmark = pytest.mark.beside


@pytest.fixture
def stranger():
    """Return a process that must live."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process
    assert process.poll() is None
    process.kill()
    process.wait()


def test_an_id_that_was_reused(stranger):
    """A process that is not found again once its handle is held gets no signal."""
    found = iter([[stranger.pid], []])
    assert processes.signal_all(lambda: next(found)) == []


def test_those_that_are_found_twice():
    """Who is found twice gets the signal, and its end is awaited."""
    ours = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    found = processes.signal_all(lambda: [p.pid for p in ours], signal.SIGTERM, wait_s=5)
    assert sorted(found) == sorted(p.pid for p in ours)
    assert [p.poll() for p in ours] == [-15, -15]


def test_nobody():
    """An id that nobody has is no error."""
    child = subprocess.Popen(["true"])
    child.wait()
    assert processes.signal_all(lambda: [child.pid]) == []


def test_zero_is_not_a_process():
    """0, which cgroup.procs says of what lives elsewhere, is never signalled: it is ourselves."""
    code = (
        "from caveatlib.support import processes;"
        "print(processes.signal_all(lambda: [0]), flush=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=20,
        start_new_session=True,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n")


def test_marked(stranger):
    """Marked processes end, those with another mark or none stay."""
    ours = subprocess.Popen(["sleep", "60"], env=os.environ | {"CAVEATLIB_TEST": "a-7"})
    other = subprocess.Popen(["sleep", "60"], env=os.environ | {"CAVEATLIB_TEST": "b-7"})
    try:
        assert processes.end_marked("CAVEATLIB_TEST", lambda v: v == "a-7") == [ours.pid]
        assert ours.wait(5) == -9
        assert other.poll() is None
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()


def test_owner():
    """This process lives; another start time, an ended process, an earlier boot do not."""
    token = processes.owner_token()
    pid, start, boot, space = token.split(":")
    child = subprocess.Popen(["sleep", "60"])
    ticks = processes.start_ticks(child.pid)
    assert processes.owner_alive(token)
    assert processes.owner_alive(f"{child.pid}:{ticks}:{boot}:{space}")
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.owner_alive(f"{child.pid}:{ticks}:{boot}:{space}")  # a zombie
    child.wait()
    assert not processes.owner_alive(f"{child.pid}:{ticks}:{boot}:{space}")
    assert not processes.owner_alive(f"{pid}:1:{boot}:{space}")
    assert not processes.owner_alive(f"{pid}:{start}:0:{space}")
    assert processes.owner_alive(f"{pid}:1:{boot}:1")  # of another pid namespace
    assert processes.owner_alive("from a later version")


def test_family():
    """Children and what is below them are found, the process itself first."""
    parent = subprocess.Popen(["sh", "-c", "sleep 60 & echo; wait"], stdout=subprocess.PIPE)
    parent.stdout.readline()
    (child,) = processes.children(parent.pid)
    assert parent.pid in processes.children(os.getpid())
    assert processes.descendants(parent.pid) == [parent.pid, child]
    # The shell's child is a shell until it has become the program.
    programs.wait_until(lambda: processes.arguments(child) == ["sleep", "60"], 5, "No sleep")
    processes.signal_all(lambda: [parent.pid, child])
    parent.wait()
    parent.stdout.close()
    assert processes.descendants(parent.pid) == []
    assert processes.arguments(parent.pid) == []
