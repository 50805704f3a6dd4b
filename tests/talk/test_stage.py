"""A live part: whatever it ends in, there is a run to show within the limit, and it says which.

Seen to fail: with the fallback called live, with the deadline left out, and with a run that
lacks an arm taken for whole.
"""

import signal
import sys
import threading
import time
from dataclasses import replace

import pandas as pd
import pytest

from caveatlib import talk, trials
from caveatlib.errors import UsageError
from caveatlib.experiments import quota, startup
from caveatlib.measuring.experiment import complete
from caveatlib.support import shipped
from caveatlib.talk import acts, stage

FAKE = """
import shutil, sys
name, out = sys.argv[-2:]
{body}
"""


def fake(body: str) -> list[str]:
    """Return a command that stands for measuring."""
    return [sys.executable, "-c", FAKE.format(body=body)]


WHOLE = shipped.folder("data") / "quota-v1"
"""A run that decides what the act `limit` is to decide."""


def test_recorded_unless_asked(monkeypatch):
    """Nothing is started for a reader."""
    monkeypatch.delenv("CAVEATLIB_SOURCE", raising=False)
    monkeypatch.setattr(stage.subprocess, "Popen", None)
    scene = talk.live("race")
    assert (scene.kind, scene.reason) == ("recorded", "")
    began = pd.to_datetime(trials.get(startup, source="recorded")["started_at"]).min()
    assert scene.badge == f"RECORDED on {began.day} {began:%B %Y}"
    assert set(scene.trials["place"]) == set(acts.ACTS["race"].places)


def test_what_measuring_brings_is_live():
    """A run that is whole and decides its claim is shown as measured now."""
    command = fake(f"shutil.copytree({str(WHOLE)!r}, out + '/quota')")
    told = []
    scene = talk.live("limit", source="live", tell=told.append, command=command)
    assert (scene.kind, scene.reason) == ("live", "")
    assert scene.badge.startswith("LIVE, measured just now in ")
    assert "RECORDED" not in repr(scene)
    assert told[0] == pytest.approx(stage.LIMIT_S, abs=2)
    assert told[-1] is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("sys.exit('No engine here.')", "No engine here."),
        ("sys.exit(3)", "measuring ended with status 3"),
        ("pass", "Must be"),
    ],
)
def test_what_fails_falls_back_and_says_why(body, reason):
    """A process that ends badly, and one that leaves nothing."""
    scene = talk.live("limit", source="live", tell=lambda s: None, command=fake(body))
    assert scene.kind == "fallback"
    assert reason in scene.reason
    assert scene.badge.startswith("RECORDED on ")
    assert "NOT LIVE: " in repr(scene)
    assert set(scene.trials["design"]) == {"tools-docker"}


def test_the_audience_waits_no_longer(tmp_path):
    """At the limit the recorded trials are there, and what still ran is asked to clean up."""
    mark = tmp_path / "cleaned"
    body = (
        "import time, pathlib\ntry:\n    time.sleep(60)\n"
        f"except KeyboardInterrupt:\n    pathlib.Path({str(mark)!r}).touch()"
    )
    began = time.monotonic()
    scene = talk.live("limit", source="live", limit_s=2, tell=lambda s: None, command=fake(body))
    assert time.monotonic() - began < 30
    assert (scene.kind, scene.reason) == ("fallback", "it took longer than 2 s")
    until = time.monotonic() + 10
    while not mark.exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    _joined()


def test_what_ignores_the_end_is_killed(monkeypatch):
    """Nothing stays behind."""
    monkeypatch.setattr(stage, "CLEAN_UP_S", 0.5)
    started = []
    popen = stage.subprocess.Popen
    monkeypatch.setattr(
        stage.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
    )
    body = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    talk.live("limit", source="live", limit_s=1, tell=lambda s: None, command=fake(body))
    _joined()
    assert started[0].returncode == -signal.SIGKILL


def test_the_speaker_may_stop_it():
    """Ctrl-C on a live part goes on with the recorded trials."""
    body = (
        "import os, signal, time\ntime.sleep(1)\n"
        "os.kill(os.getppid(), signal.SIGINT)\ntime.sleep(60)"
    )
    scene = talk.live("limit", source="live", tell=lambda s: None, command=fake(body))
    assert (scene.kind, scene.reason) == ("fallback", "it was stopped by hand")
    _joined()


def _joined():
    for thread in threading.enumerate():
        if thread.name == "talk: clean up":
            thread.join(stage.CLEAN_UP_S + 10)
            assert not thread.is_alive()


def test_a_run_with_a_failed_arm_is_not_live():
    """Nor one without a trial, nor one that does not decide what it was to decide."""
    act, run = acts.ACTS["limit"], talk.recorded(quota).run
    rows = acts.of(act, run.trials)

    def lacks(measured):
        other = trials.Run(run.experiment, "live")
        other._tables["trials"] = measured
        return acts.lacks(act, other)

    assert lacks(rows) == ""
    assert lacks(rows.head(0)) == "nothing was measured"
    assert lacks(rows.assign(ok=False, error="no engine")) == "docker: no engine"
    assert lacks(rows[rows["tool"] == "nproc"].assign(cores=1)) == "C07 was not decided"


@pytest.mark.parametrize("name", acts.ACTS)
def test_an_act_is_a_part_of_its_experiment(name):
    """One design with its places; the recorded trials have all of them."""
    act = acts.ACTS[name]
    (design,) = complete(acts.part(act)).designs(2)
    assert design.name == act.design
    assert {arm.place for arm in design.arms} == set(act.places)
    assert set(acts.of(act, talk.recorded(act.experiment).trials)["place"]) == set(act.places)


def test_mistakes_are_said():
    """An unknown act, and a folder where a word is meant."""
    with pytest.raises(UsageError, match="'dance'"):
        talk.live("dance")
    with pytest.raises(UsageError, match="'runs/mine'"):
        talk.live("race", source="runs/mine")


def test_one_machine_is_shown():
    """A second machine's trials are left out, not mixed in."""
    scene = talk.recorded(startup)
    run = trials.Run(scene.run.experiment, "recorded")
    both = scene.run.trials
    other = both.assign(machine="another")
    run._tables["trials"] = pd.concat([both, other])
    assert len(replace(scene, run=run).trials) == len(scene.trials)
