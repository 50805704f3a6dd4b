"""Artefacts by recipe: made once, whole or not at all."""

import os
import pwd
import signal
import subprocess
import sys

import pytest

from caveatlib.errors import MeasurementError, StorageError, Unavailable
from caveatlib.places import cache

pytestmark = pytest.mark.beside


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Give each test a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "caveatlib"


def artefact(built, recipe="1", build=None, **more):
    """Return an artefact that notes each time it is built."""

    def write(out):
        built.append(recipe)
        (out / "file").write_text(recipe)

    return cache.Artefact("thing", "The thing", lambda: {"is": recipe}, build or write, **more)


def test_made_once(folder):
    """A second call finds what the first has made, with its recipe."""
    built = []
    first = cache.ensure(artefact(built))
    assert cache.ensure(artefact(built)) == first == cache.find(artefact(built))
    assert built == ["1"]
    assert (first / "file").read_text() == "1"
    assert '"is": "1"' in (first / "recipe.json").read_text()


def test_another_recipe_replaces(folder):
    """Another recipe is made anew, and what it replaces is removed."""
    built = []
    old = cache.ensure(artefact(built, "1"))
    new = cache.ensure(artefact(built, "2"))
    assert built == ["1", "2"]
    assert new.is_dir()
    assert not old.exists()


def test_failure_leaves_nothing(folder):
    """A build that fails leaves neither an artefact nor a half of one."""

    def fail(out):
        (out / "half").write_text("x")
        raise MeasurementError("no luck")

    with pytest.raises(MeasurementError, match="no luck"):
        cache.ensure(artefact([], build=fail))
    assert [p.name for p in folder.iterdir() if not p.name.startswith(".lock")] == []


KILLED = """
import time
from caveatlib.places import cache
def build(out):
    (out / "file").write_text("half")
    print("half", flush=True)
    time.sleep(100)
cache.ensure(cache.Artefact("thing", "The thing", lambda: {"is": "1"}, build))
"""


def test_killed_while_building(folder):
    """A build that is killed is not taken for done, and the next sweeps its rest."""
    builder = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE)
    assert builder.stdout.readline() == b"half\n"
    builder.send_signal(signal.SIGKILL)
    builder.wait(5)
    builder.stdout.close()
    with pytest.raises(Unavailable, match="is not prepared"):
        cache.find(artefact([]))
    made = cache.ensure(artefact([]))
    assert (made / "file").read_text() == "1"
    assert [p.name for p in folder.iterdir() if not p.name.startswith(".lock")] == [made.name]


def test_what_another_makes_meanwhile_stays(folder):
    """Its name may begin with this one's; the rest of this one's own killed build goes."""
    other, own = folder / ".thing-of-others-abcdefgh", folder / ".thing-abcd_123"
    for half in (other, own):
        half.mkdir(parents=True)
    cache.ensure(artefact([]))
    assert other.is_dir()
    assert not own.exists()


def test_root_only(monkeypatch):
    """What needs root says so instead of failing half-way."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    built = []
    with pytest.raises(Unavailable, match="needs root"):
        cache.ensure(artefact(built, needs_root=True))
    assert built == []


def test_handed_back(require, monkeypatch, folder):
    """What sudo made belongs to whoever called sudo; a lock too, or nothing could be made anew."""
    require("owners")
    monkeypatch.setenv("SUDO_UID", "1")
    made = cache.ensure(artefact([]))
    every = (made, made / "file", made / "recipe.json", folder / ".lock-thing")
    assert {p.stat().st_uid for p in every} == {1}


def test_folder_under_sudo(monkeypatch):
    """Under sudo the cache is that of whoever called sudo."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.delenv("SUDO_UID", raising=False)
    assert str(cache.folder()) == "/nowhere/.cache/caveatlib"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1")
    home = pwd.getpwuid(1).pw_dir
    assert str(cache.folder()) == f"{home}/.cache/caveatlib"


def test_cache_that_cannot_be_written(tmp_path, monkeypatch):
    """A cache in an impossible place is a clear error without its path."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="cannot be kept") as caught:
        cache.ensure(artefact([]))
    assert str(tmp_path) not in str(caught.value)
