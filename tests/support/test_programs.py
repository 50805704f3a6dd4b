"""Programs run to their end: what comes back, which errors, and that nothing is left.

Seen to fail: with `Popen.kill` in place of the group's end (the grandchild
stays), with no end after an error, with `Popen.wait(timeout)` in place of the
pidfd, and with `end` signalling the group of a child that was reaped.
"""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from caveatlib.errors import DeadlineExceeded, MeasurementError, Unavailable
from caveatlib.support import processes, programs

pytestmark = pytest.mark.beside


def running(word: str) -> list[int]:
    """Return the processes with an argument."""
    seen = psutil.process_iter(["cmdline"])
    found = [p.pid for p in seen if word in (p.info["cmdline"] or [])]
    return [pid for pid in found if processes.is_running(pid)]


def gone(word: str) -> bool:
    return programs.wait_until(lambda: not running(word), 5, f"{word} still ran")


def test_output(tmp_path):
    """Input, variables and folder reach the program, its output comes back, errors do not."""
    argv = ["sh", "-c", "cat; echo $WORD; pwd; echo bad >&2"]
    said = programs.run(argv, input="in\n", env={"WORD": "word"}, cwd=tmp_path)
    assert said == f"in\nword\n{tmp_path.resolve()}\n"


def test_mark():
    """A program carries the owner's mark, and root's folders are on its PATH."""
    said = programs.run(["sh", "-c", f"echo ${processes.OWNER}; echo $PATH"])
    mark, path = said.splitlines()
    assert mark == processes.owner_token()
    assert path.startswith(os.environ["PATH"])
    assert path.endswith("/usr/sbin:/sbin")


def test_missing_program():
    """What is missing is named with what installs it, also where another program starts it."""
    with pytest.raises(Unavailable, match=r"'no-such-thing' is missing. Run `make system`"):
        programs.run(["no-such-thing"])
    with pytest.raises(Unavailable, match="no-such-thing"):
        programs.run(["env", "no-such-thing"], env={"PATH": os.defpath})
    with pytest.raises(Unavailable, match="apt-get install its-package"):
        programs.need("no-such-thing", "its-package")


def test_not_executable(tmp_path):
    """A folder that is not there is the program's failure to run, in one line."""
    with pytest.raises(Unavailable, match=r"^true cannot be run: No such file"):
        programs.run(["true"], cwd=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo first >&2; echo last >&2; exit 3", r"^thing failed: last$"),
        ("echo told >&1; exit 3", r"^thing failed: told$"),
        ("exit 3", r"^thing failed: status 3$"),
        ("echo see http://mirror.example/x >&2; exit 1", r"^thing failed: see <url>$"),
    ],
)
def test_status(script, message):
    """A status other than 0 is an error with the last line, nothing private in it."""
    with pytest.raises(MeasurementError, match=message):
        programs.run(["sh", "-c", script], what="thing")


def test_any_status():
    """Where the status says nothing, the output comes back all the same."""
    assert programs.run(["sh", "-c", "echo report; exit 1"], check=False) == "report\n"


def test_output_to_a_file(tmp_path):
    """A file descriptor gets what is written, errors too."""
    with (tmp_path / "out").open("wb") as file:
        assert programs.run(["sh", "-c", "echo a; echo b >&2"], output=file.fileno()) == ""
    assert (tmp_path / "out").read_bytes() == b"a\nb\n"


def test_deadline():
    """At the deadline a program ends with everything that it started."""
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"^sh did not finish within 0.3 s\.$"):
        programs.run(["sh", "-c", "sleep 6151 & wait"], timeout_s=0.3)
    assert time.monotonic() - start < 5
    assert gone("6151")


def test_interrupt():
    """A Ctrl-C is the program's end, too."""

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            programs.run(["sh", "-c", "sleep 6152 & wait"], timeout_s=30)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert gone("6152")


def test_daemon():
    """What a program leaves running keeps nobody waiting, and is left alone."""
    start = time.monotonic()
    assert programs.run(["sh", "-c", "sleep 6153 & echo $!"], timeout_s=20)
    assert time.monotonic() - start < 5
    (pid,) = programs.wait_until(lambda: running("6153"), 5, "It did not run on")
    processes.signal_all(lambda: [pid])


def test_no_polling(monkeypatch):
    """The end wakes the caller: `Popen.wait` with a timeout would sleep up to 50 ms past it."""
    plain = subprocess.Popen.wait

    def wait(self, timeout=None):
        assert timeout is None
        return plain(self)

    monkeypatch.setattr(subprocess.Popen, "wait", wait)
    assert programs.run(["sh", "-c", "sleep 0.1; echo done"]) == "done\n"


def test_child_keeps_its_id():
    """A child whose end was noticed is not reaped: nobody else gets its id."""
    child = subprocess.Popen(["true"], start_new_session=True)
    assert programs.has_ended(child, 10)
    assert child.returncode is None
    assert os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT).si_status == 0
    other = subprocess.Popen(["sleep", "9"])
    assert not programs.has_ended(other, 0.05)
    other.kill()
    other.wait()
    programs.end(child)
    assert child.returncode == 0
    assert programs.has_ended(child, 0)


def test_end_without_a_group():
    """A child in our own group ends alone."""
    child = subprocess.Popen(["sleep", "60"])
    programs.end(child)
    assert child.returncode == -9


def test_no_session_of_its_own():
    """A program is in our session, as a reader's own call would be, and in a group of its own."""
    code = "import os; print(os.getsid(0), os.getpgid(0) == os.getpid())"
    assert programs.run([sys.executable, "-c", code]) == f"{os.getsid(0)} True\n"


def test_end_spares_a_reaped_childs_group(monkeypatch):
    """A child's group is killed as long as the child is unreaped, and never later."""
    child = subprocess.Popen(["sh", "-c", "sleep 6154 & exit"], start_new_session=True)
    assert programs.has_ended(child, 10)
    programs.end(child)
    assert gone("6154")
    monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("a signal to a group of nobody's"))
    programs.end(child)


def test_wait_until():
    """The condition's own value comes back as soon as it is true."""
    values = iter([0, "", [], "there"])
    assert programs.wait_until(lambda: next(values), 5, "Nothing", pause_s=0.001) == "there"


def test_wait_until_the_deadline():
    """Too late is an error that says what did not happen; it is asked at least once."""
    asked = []
    with pytest.raises(DeadlineExceeded, match=r"^Nothing came within 0.05 s\.$"):
        programs.wait_until(lambda: asked.append(1), 0.05, "Nothing came", pause_s=0.02)
    assert len(asked) >= 2
    assert programs.wait_until(lambda: 1, 0, "Nothing came") == 1


def test_python_is_found():
    """A program given by its path is taken as it is."""
    assert programs.find(sys.executable) == sys.executable
