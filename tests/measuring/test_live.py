"""Folders of runs that nobody named do not outlive the process that made them.

Seen to fail: without the handler at exit, and with a sweep that takes every owner for alive.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from caveatlib import cli
from caveatlib.measuring import live
from caveatlib.places import leases, leftovers

pytestmark = pytest.mark.beside

MAKER = """
import os, sys
from caveatlib.measuring import live
first = live.folder()
(live.folder() / "startup").mkdir()
print(first, flush=True)
if sys.argv[1] == "fork" and os.fork() == 0:
    sys.exit()
if sys.argv[1] == "fork":
    os.wait()
    print(len(os.listdir(os.environ["TMPDIR"])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def temp(tmp_path, monkeypatch):
    """Let temporary folders of this test be made in one of its own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def made(how="exit"):
    """Start a process that has made two folders and waits."""
    command = [sys.executable, "-c", MAKER, how]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert Path(running.stdout.readline().strip()).is_dir()
    return running


def test_removed_at_exit(temp):
    """A process that ends takes its folders along, with what is in them."""
    with made() as running:
        running.communicate(timeout=60)
    assert list(temp.iterdir()) == []


def test_a_fork_removes_nothing(temp):
    """A fork of the process ends, and the folders stay for the process itself."""
    with made("fork") as running:
        assert running.stdout.readline() == "2\n"
        running.communicate(timeout=60)
    assert list(temp.iterdir()) == []


def test_clean_removes_them(temp, monkeypatch, capsys):
    """What a killed process left goes with the rest that `caveatlib clean` finds."""
    with made() as killed:
        killed.kill()
        killed.wait(timeout=60)
    assert len(list(temp.iterdir())) == 2
    monkeypatch.setattr(leftovers, "sweep", lambda: ([], [], ""))
    cli.clean()
    assert capsys.readouterr().out.count("Removed run ") == 2
    assert list(temp.iterdir()) == []
    cli.clean()
    assert capsys.readouterr().out == "Nothing was left behind.\n"


def test_what_a_killed_process_left_is_swept_and_nothing_else(temp):
    """Of a dead owner only; those of the living, of nobody, and links stay."""
    with made() as running, made() as killed:
        killed.kill()
        killed.wait(timeout=60)
        mine = live.folder()  # sweeps, too
        assert len(list(temp.glob("caveatlib-live-*"))) == 3
        others = [temp / "caveatlib-live-x", temp / "caveatlib-live-x-y", temp / "other"]
        for folder in others:
            folder.mkdir()
        (temp / "caveatlib-live-1_1_0badcafe0bad_1-12345678").symlink_to(temp / "other")
        assert live.sweep() == []
        running.kill()
        running.wait(timeout=60)
        assert len(live.sweep()) == 2
        assert live.sweep() == []
    assert mine.is_dir()
    assert len(list(temp.iterdir())) == 1 + len(others) + 1
    live._remove(mine, os.getpid())
    assert not mine.exists()


def test_one_that_goes_meanwhile_is_no_error(temp, monkeypatch):
    """Its owner ended between the look into the folder and the look at it."""
    gone = [temp / "caveatlib-live-1_1_0badcafe0bad_1-12345678"]
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(gone))
    monkeypatch.setattr(Path, "is_dir", lambda self: True)
    assert live.sweep() == []


def test_clean_says_what_it_may_not_look_at(temp, monkeypatch, capsys):
    """Not that nothing is left: a killed run of root's may have left something."""
    monkeypatch.setattr(leftovers, "sweep", lambda: ([], [], ""))
    monkeypatch.setattr(leases, "closed", lambda: True)
    cli.clean()
    told = capsys.readouterr().out
    assert "sudo .venv/bin/caveatlib clean" in told
    assert "Nothing" not in told
