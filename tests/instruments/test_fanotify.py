"""Files that are opened are reported, wherever they are seen from; others are not."""

import os
import subprocess

import pytest

from caveatlib.errors import Unavailable
from caveatlib.instruments import fanotify


@pytest.fixture(autouse=True)
def able(require):
    """Skip where this user may not watch."""
    require("fanotify")


@pytest.fixture
def own_files(tmp_path):
    """Return a file system of this test alone, and the process whose namespace it is in."""
    script = 'mount -t tmpfs none "$0" && echo a >"$0/a" && echo bb >"$0/b" && echo && read -r end'
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"\n"
    yield f"/proc/{process.pid}/root{tmp_path}", process.pid
    process.communicate(b"\n", timeout=10)


def test_opened_and_not_opened(own_files):
    """The file that another process opens in its namespace is reported, with its size."""
    folder, pid = own_files
    with fanotify.recorder(folder) as watched:
        assert watched.drain() == {}
        # In one more namespace, so through another mount of it, as in a container.
        inside = ["nsenter", f"--target={pid}", "--mount", "--", "unshare", "--mount", "--"]
        path = folder.partition("/root")[2]
        subprocess.run([*inside, "cat", f"{path}/b"], check=True, capture_output=True)
        found = watched.drain()
    assert [(os.path.basename(p), size) for p, size in found.items()] == [("b", 3)]


def test_before_and_after_do_not_count(own_files):
    """What was opened before the start is not reported; what is reported stays."""
    folder, _ = own_files
    open(f"{folder}/a").close()
    with fanotify.recorder(folder) as watched:
        open(f"{folder}/b").close()
        assert len(watched.drain()) == 1
        assert len(watched.drain()) == 1


def test_many_opens_lose_nothing(own_files):
    """More files than the kernel's usual queue of 16,384 are all reported."""
    folder, _ = own_files
    for number in range(17_000):
        os.close(os.open(f"{folder}/n{number}", os.O_CREAT | os.O_WRONLY))
    with fanotify.recorder(folder) as watched:
        for number in range(17_000):
            os.close(os.open(f"{folder}/n{number}", os.O_RDONLY))
        assert len(watched.drain()) == 17_000


def test_no_such_folder(tmp_path):
    """A folder that is not there is one clear error, and leaves no descriptor."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Unavailable, match="No such file"), fanotify.recorder(tmp_path / "none"):
        pass
    assert len(os.listdir("/proc/self/fd")) == before
