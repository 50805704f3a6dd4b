"""Whether all is ready for a talk: one line each, on machines made of files.

Seen to fail: with an empty battery called charged, and with the worst of two governors lost.
"""

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from caveatlib import cli, talk
from caveatlib.prepare import Step
from caveatlib.talk import readiness

pytestmark = pytest.mark.beside


def folder(root, **files):
    """Write files, ``a__b="x"`` as ``a/b``."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


BATTERY = {"BAT0__type": "Battery", "BAT0__capacity": "34"}


@pytest.mark.parametrize(
    ("files", "ok", "told"),
    [
        ({}, True, "none"),
        (BATTERY | {"AC__type": "Mains", "AC__online": "1"}, True, "34 % charged, plugged in"),
        (BATTERY | {"AC__type": "Mains", "AC__online": "0"}, False, "34 % charged, not plugged"),
        (BATTERY | {"BAT0__capacity": "97"}, True, "97 % charged, not plugged"),
        ({"M__type": "Battery", "M__capacity": "3", "M__scope": "Device"}, True, "none"),
        (BATTERY | {"BAT0__capacity": ""}, True, "none"),
    ],
)
def test_the_power_lasts(tmp_path, files, ok, told):
    """A plug, a charged battery, or none; that of a mouse does not count."""
    item = readiness.battery(folder(tmp_path, **files))
    assert (item.ok, bool(item.fix)) == (ok, not ok)
    assert item.told.startswith(told)


@pytest.mark.parametrize(
    ("governors", "ok", "told"),
    [
        ([], True, "not shown here"),
        (["performance", "performance"], True, "performance"),
        (["performance", "powersave"], False, "performance, powersave"),
    ],
)
def test_the_clock_rate_stays(tmp_path, governors, ok, told):
    """One CPU that saves power is one too many."""
    files = {f"cpu{n}__cpufreq__scaling_governor": g for n, g in enumerate(governors)}
    item = readiness.governor(folder(tmp_path, **files))
    assert item.ok == ok
    assert item.told.startswith(told)
    assert bool(item.fix) != ok


@pytest.mark.parametrize(
    ("state", "ok", "told"),
    [(0, True, "synchronised, "), (5, False, "not synchronised"), (None, False, "nobody says")],
)
def test_the_day_is_right(state, ok, told):
    """It stands on every badge."""
    item = readiness.clock(lambda: state)
    assert item.ok == ok
    assert item.told.startswith(told)


def test_the_kernel_is_asked_for_its_clock():
    """The real call answers one of its states, and changes nothing."""
    assert readiness._clock_state() in range(6)


@pytest.mark.parametrize(("free", "ok"), [(2e9, True), (1.9e9, False)])
def test_there_is_room(free, ok):
    """The fuller of the two folders counts."""
    sizes = iter([9e9, free])
    assert readiness.disk(lambda path: SimpleNamespace(free=next(sizes))).ok == ok


@pytest.mark.parametrize("ready", [True, False])
def test_nothing_is_pulled(ready):
    """What the acts need is in the cache, or is named."""
    step = Step("disk", "a disk of Debian", ready, "", 0, 0)
    item = readiness.nothing_to_pull(lambda wanted: [step])
    assert item.ok == ready
    assert ("a disk of Debian" in item.told) != ready


def test_slides_are_installed():
    """What is lacking is named."""
    assert readiness.slides(lambda name: object()).ok
    item = readiness.slides(lambda name: None if name == "jupyterlab_rise" else object())
    assert (item.ok, item.told, item.fix) == (False, "jupyterlab_rise not installed", "make talk")


def test_an_act_that_cannot_run(monkeypatch):
    """It says which place, and why."""
    lacking = {"docker": "private-engine: no dockerd"}
    monkeypatch.setattr(readiness.trials, "arms_here", lambda e, places: ((), lacking))
    item = readiness.live("limit")
    assert not item.ok
    assert item.told == "docker cannot run: private-engine: no dockerd"


def test_what_is_fallen_back_on_is_there():
    """The recorded trials of each act, with their versions."""
    item = readiness.data()
    assert item.ok
    assert "quota version " in item.told


@pytest.mark.parametrize("ok", [True, False])
def test_the_command_says_each_in_a_line(monkeypatch, ok):
    """And its status says whether the machine is ready."""
    found = [talk.Item("disk", True, "9 GB free"), talk.Item("battery", ok, "3 %", "plug it in")]
    monkeypatch.setattr(talk, "ready", lambda: found)
    done = CliRunner().invoke(cli.app, ["doctor", "--talk"])
    assert done.exit_code == (0 if ok else 1)
    lines = done.output.splitlines()
    assert lines[0] == "ok       disk         9 GB free"
    assert lines[1] == f"{'ok    ' if ok else 'not ok'}   battery      3 %  ->  plug it in"
    assert lines[-1] == ("Ready for the talk: make talk" if ok else "Not ready: battery.")


def test_every_item_is_asked(tmp_path):
    """Nothing that has spoilt a talk is left out."""
    names = [item.name for item in talk.ready(tmp_path)]
    assert names == ["slides", "recorded", "live: race", "live: limit", "local", "battery",
                     "governor", "clock", "disk"]  # fmt: skip
