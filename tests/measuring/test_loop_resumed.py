"""Runs that were cut short go on as if they had not been, and as no other run."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from datetime import datetime
from types import SimpleNamespace

import left
import pandas as pd
import pytest
from little import DEFAULTS, experiment, interrupted, run, steady, table

import caveatlib
from caveatlib import __version__, trials
from caveatlib.errors import UsageError
from caveatlib.experiments import startup
from caveatlib.measuring import clock, finish, loop, machine
from caveatlib.measuring.experiment import complete
from caveatlib.measuring.journal import Journal, read
from caveatlib.measuring.plan import Plan, resumed
from caveatlib.places.base import TrialResult
from caveatlib.places.engines import choice

pytestmark = pytest.mark.beside


@pytest.mark.parametrize("at", range(1, 17))
def test_interruption_keeps_whole_blocks_and_the_exception(tmp_path, at):
    """Ctrl-C in any trial: whole blocks are trials, the rest is kept apart."""
    little = interrupted(at)
    with pytest.raises(KeyboardInterrupt):
        run(little, tmp_path, sessions=2)
    rows, rest = table(little, tmp_path), table(little, tmp_path, "interrupted")
    assert len(rows) % 4 == 0
    done = len(rows) + len(rest) + len(table(little, tmp_path, "warmups"))
    assert done == at - 1


def test_resume_counts_no_block_twice(tmp_path):
    """A resumed run has the blocks and the order of one that was never interrupted.

    Its own seed decides; another one, and other places, are refused.
    """
    calls = []

    def broken(place, conditions, *, seed):
        calls.append(place)
        if len(calls) == 15:
            raise KeyboardInterrupt
        return TrialResult({"took_s": 1.0})

    with pytest.raises(KeyboardInterrupt):
        run(experiment(broken), tmp_path / "a", sessions=4)
    little = experiment(steady)
    for other in ({"seed": 99}, {"places": ["nowhere"]}):
        with pytest.raises(UsageError, match="Must be the same, or left out"):
            run(little, tmp_path / "a", sessions=4, resume=True, **other)
    run(little, tmp_path / "a", sessions=4, resume=True)
    run(little, tmp_path / "b", sessions=4)
    resumed, whole = table(little, tmp_path / "a"), table(little, tmp_path / "b")
    columns = ["block", "position", "place", "size"]
    assert resumed[columns].equals(whole[columns])
    assert len(table(little, tmp_path / "a", "interrupted")) == 2
    assert not table(little, tmp_path / "a", "conditions").duplicated(["place", "name"]).any()
    assert read(tmp_path / "a" / "little" / "journal.jsonl").complete


def test_a_resumed_run_ends_where_it_was_to_end(tmp_path):
    """Eight sessions asked for are eight, not the default; more may be asked for, then."""
    with pytest.raises(KeyboardInterrupt):
        run(interrupted(at=15), tmp_path, sessions=8)
    little = experiment(steady)
    run(little, tmp_path, resume=True)
    assert table(little, tmp_path)["block"].nunique() == 8
    run(little, tmp_path, resume=True)
    assert table(little, tmp_path)["block"].nunique() == 8
    run(little, tmp_path, sessions=9, resume=True)
    assert table(little, tmp_path)["block"].nunique() == 9


def test_a_resumed_run_keeps_what_was_asked_for_last(tmp_path):
    """Fewer sessions, too: it goes on to these, and is complete with them."""
    with pytest.raises(KeyboardInterrupt):
        run(interrupted(at=15), tmp_path, sessions=8)
    little = experiment(steady)
    run(little, tmp_path, sessions=3, resume=True)
    run(little, tmp_path, resume=True)
    assert table(little, tmp_path)["block"].nunique() == 3
    facts = table(little, tmp_path, "conditions")
    told = facts[facts["place"] == ""].set_index("name")["value"]
    assert (told["sessions"], told["complete"]) == ("3", "yes")


def test_a_resumed_run_has_the_rest_of_its_budget(tmp_path, monkeypatch):
    """What was spent before the interruption is spent."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(loop.time, "monotonic", lambda: clock.now)

    def trial(place, conditions, *, seed):
        clock.now += 1
        if clock.now == 26.0:  # in the third session of 8 s
            raise KeyboardInterrupt
        return TrialResult({"took_s": 1.0})

    little = experiment(trial)
    with pytest.raises(KeyboardInterrupt):
        run(little, tmp_path, budget_s=50.0)
    assert len(table(little, tmp_path)) == 12
    clock.now = 1000.0
    run(little, tmp_path, resume=True)
    assert clock.now == 1000 + 28  # 24 s were spent in whole blocks; no block begins after 50
    clock.now = 5000.0
    run(little, tmp_path, resume=True)
    assert clock.now == 5000


def test_resume_begins_what_had_not_begun(tmp_path):
    """An experiment that comes after the interrupted one is measured as the run was planned."""
    with pytest.raises(KeyboardInterrupt):
        run(interrupted(at=3), tmp_path, sessions=2, places=["runc"])
    later = experiment(steady, NAME="later")
    run(later, tmp_path, resume=True)
    rows = table(later, tmp_path)
    assert (rows["block"].nunique(), set(rows["place"])) == (2, {"runc"})
    # and one that was killed before its first record
    (tmp_path / "last").mkdir()
    (tmp_path / "last" / "journal.jsonl").touch()
    run(experiment(steady, NAME="last"), tmp_path, resume=True)
    assert table(experiment(steady, NAME="last"), tmp_path)["block"].nunique() == 2


def test_the_places_of_a_run_are_its_places_in_any_order(tmp_path):
    """As a tuple, and the other way round: given again, they are the same."""
    with pytest.raises(KeyboardInterrupt):
        run(interrupted(at=7), tmp_path, sessions=2, places=["process", "runc"])
    little = experiment(steady)
    run(little, tmp_path, resume=True, places=("runc", "process"))
    assert table(little, tmp_path)["block"].nunique() == 2
    with pytest.raises(UsageError, match="Must be the same, or left out"):
        run(little, tmp_path, resume=True, places=("runc",))


def test_what_had_not_begun_has_its_own_number_of_sessions(tmp_path):
    """Unless a number was asked for; one that had begun goes on to what it began with."""
    with pytest.raises(KeyboardInterrupt):
        run(interrupted(at=3), tmp_path)
    little, later = experiment(steady), experiment(steady, NAME="later", SESSIONS=2)
    _, plan = resumed("little", tmp_path, Plan())
    run(experiment(steady, SESSIONS=1), tmp_path, resume=True, sessions=plan.sessions)
    run(later, tmp_path, resume=True)
    sessions = [table(each, tmp_path)["session"].nunique() for each in (later, little)]
    assert sessions == [2, 3]
    run(little, tmp_path, sessions=4, resume=True)  # from now on a number is asked for
    last = experiment(steady, NAME="a", SESSIONS=2)
    run(last, tmp_path / "other", sessions=1)
    (tmp_path / "later").rename(tmp_path / "other" / "later")
    run(last, tmp_path, resume=True)
    assert table(last, tmp_path)["session"].nunique() == 4


def test_a_budget_that_comes_later_is_all_that_was_asked_for(tmp_path):
    """What had begun ends with it, or before; what had not has no other end."""
    with pytest.raises(KeyboardInterrupt):
        run(interrupted(at=3), tmp_path)
    little, later = experiment(steady), experiment(steady, NAME="later", SESSIONS=2)
    for each in (little, later):
        run(each, tmp_path, resume=True, budget_s=0.001)
    told = [
        table(each, tmp_path, "conditions").set_index("name")["value"] for each in (little, later)
    ]
    assert [facts.get("sessions") for facts in told] == ["3", None]
    assert [facts["budget_s"] for facts in told] == ["0.001"] * 2


def test_a_journal_from_before_goes_on(tmp_path):
    """It does not tell a number that was asked for from a default: both are the run's."""
    with pytest.raises(KeyboardInterrupt):
        run(interrupted(at=3), tmp_path / "new")
    header = read(tmp_path / "new" / "little" / "journal.jsonl").records[0].data
    (tmp_path / "old" / "little").mkdir(parents=True)
    with Journal(tmp_path / "old" / "little" / "journal.jsonl") as journal:
        journal.append("run", {k: v for k, v in header.items() if k != "sessions_by_default"})
    for each in (experiment(steady), experiment(steady, NAME="later", SESSIONS=2)):
        run(each, tmp_path / "old", resume=True)
        assert table(each, tmp_path / "old")["session"].nunique() == 3


def test_what_is_left_is_what_it_costs(tmp_path):
    """A session of the little design takes 0.2 s, its warm-ups included; what is over is paid."""
    little = experiment(steady, PLACES=DEFAULTS["specs"])
    with pytest.raises(KeyboardInterrupt):
        run(interrupted(at=13), tmp_path, sessions=4)
    header, plan = resumed("little", tmp_path, Plan())
    assert (header["ended"], header["spent_s"]) == (1, pytest.approx(0.1, abs=0.1))
    left = {"ended": header["ended"], "spent_s": header["spent_s"]}
    assert trials.cost(little, sessions=4)[0] == pytest.approx(0.8)
    assert trials.cost(little, sessions=plan.sessions, **left)[0] == pytest.approx(0.6)
    assert trials.cost(little, budget_s=9, ended=1, spent_s=7.5)[0] == pytest.approx(1.5)
    assert trials.cost(little, budget_s=9, ended=1, spent_s=9.5)[0] == 0
    assert trials.cost(little, budget_s=0.1)[0] == pytest.approx(0.2)
    assert trials.cost(little, sessions=3, budget_s=9, ended=1, spent_s=1)[0] == pytest.approx(0.4)


def test_a_clock_that_was_set_back_before_a_run_goes_on(tmp_path, monkeypatch):
    """What comes later has begun later, though by no more than it must."""
    with pytest.raises(KeyboardInterrupt):
        run(interrupted(at=15), tmp_path, sessions=3)
    before = pd.to_datetime(table(experiment(steady), tmp_path)["started_at"]).max()

    class Long(datetime):
        @classmethod
        def now(cls, zone):
            return datetime(2001, 1, 1, tzinfo=zone)

    monkeypatch.setattr(clock, "datetime", Long)
    little = experiment(steady)
    run(little, tmp_path, resume=True)
    began = pd.to_datetime(table(little, tmp_path)["started_at"])
    assert len(began) == 12
    assert began.is_monotonic_increasing
    assert (began - before).max() < pd.Timedelta(minutes=1)


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ("version", f"is of caveatlib {__version__}, this is 9.9. Must be resumed with the same"),
        ("machine", r"is of another machine \(.*; this one: ACME, 8 CPUs\). Must be resumed where"),
    ],
)
def test_a_run_goes_on_with_the_same_version_on_the_same_machine(
    tmp_path, monkeypatch, changed, refused
):
    """Trials of two versions, or of two machines, are never one run."""
    little = experiment(steady)
    run(little, tmp_path, sessions=1)
    if changed == "version":
        monkeypatch.setattr(caveatlib, "__version__", "9.9")
    else:
        monkeypatch.setattr(machine, "label", lambda: "ACME, 8 CPUs")
    for name in ("little", "later"):
        with pytest.raises(UsageError, match=refused):
            run(experiment(steady, NAME=name), tmp_path, sessions=2, resume=True)
    assert not (tmp_path / "later").exists()


ORDER = ["design", "block", "position", "place", "workload", "at_once"]


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path):
    """A real run, SIGKILLed in a block and again when it goes on: each acknowledged trial, once."""
    folder = tmp_path / "killed" / "startup"
    with left.state():
        acknowledged = _killed(folder, "--seed", "8", "--out", "killed")
        acknowledged |= _killed(folder, "--resume", "killed")
        resumed = _measure(tmp_path, "caveatlib.cli", "--resume", "killed")
        assert resumed.returncode == 0, resumed.stderr
        trials.measure(
            startup, out=tmp_path, places=["process"], sessions=2, seed=8, progress=False
        )
    killed, cut, warmups = (
        table(startup, folder, name) for name in ("trials", "interrupted", "warmups")
    )
    assert killed[ORDER].equals(table(startup, tmp_path)[ORDER])
    assert len(cut) > 0
    assert acknowledged <= set(pd.concat([killed, cut, warmups])["started_at"])
    assert read(folder / "journal.jsonl").complete


KEPT = ("trial", "warmup")


def _measure(folder, module, *words) -> subprocess.CompletedProcess:
    """Measure with the command, as a reader would, or with a module that stands for it."""
    command = ["measure", "startup", "--places", "process", "--blocks", "2", *words]
    return subprocess.run(
        [sys.executable, "-m", module, *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
        capture_output=True,
        text=True,
        timeout=300,
    )


def _killed(folder, *words) -> set[str]:
    """Have the command killed within a block; return when the trials kept began."""
    run = _measure(folder.parents[1], "killed_cli", *words)
    assert run.returncode == -signal.SIGKILL, run.stderr
    kept = [r.data for r in read(folder / "journal.jsonl").records if r.kind in KEPT]
    assert sum(row["workload"] == "idle" for row in kept) >= 2
    return {row["started_at"] for row in kept}


URL = "tcp://engine.invalid:2375"


@pytest.fixture
def engines(monkeypatch):
    """Let any engine be there; return those that were asked for."""
    asked = []
    monkeypatch.setattr(choice, "checked", lambda kind: asked.append(kind) or kind or "private")
    return asked


def test_the_address_of_an_engine_is_written_nowhere(tmp_path, engines):
    """A run on an engine named by its URL uses it and keeps only that it was named."""
    run(experiment(steady), tmp_path, sessions=1, engine=URL)
    assert set(engines) == {URL}
    header = read(tmp_path / "little" / "journal.jsonl").records[0].data
    assert header["engine"] == "named"
    for path in tmp_path.rglob("*.*"):
        assert b"engine.invalid" not in path.read_bytes(), path.name


@pytest.mark.parametrize(
    ("begun", "given", "used"),
    [
        (URL, URL, URL),
        (URL, None, "which is not stored. Must be named again: --engine URL"),
        (URL, "own", "which is not stored. Must be named again: --engine URL"),
        ("own", None, "own"),
        ("own", "own", "own"),
        ("own", URL, f"Engine '{URL}' for a run on 'own'. Must be the same, or left out."),
        (None, None, "private"),
        (None, URL, f"Engine '{URL}' for a run on 'private'. Must be the same, or left out."),
        (None, "own", "Engine 'own' for a run on 'private'. Must be the same, or left out."),
    ],
)
def test_a_run_is_resumed_on_its_own_kind_of_engine(tmp_path, engines, begun, given, used):
    """A named engine must be named again; no other is asked, a remote one least of all."""
    little = experiment(steady)
    run(little, tmp_path, sessions=1, engine=begun)
    engines.clear()
    refused = used.endswith((".", "URL"))
    with pytest.raises(UsageError, match=re.escape(used)) if refused else contextlib.nullcontext():
        run(little, tmp_path, sessions=2, engine=given, resume=True)
    assert set(engines) == (set() if refused else {used})
    assert table(little, tmp_path)["block"].nunique() == (1 if refused else 2)


def test_a_kill_between_trials_loses_nothing(tmp_path):
    """A journal without its end still gives every whole block."""
    little = experiment(steady)
    run(little, tmp_path, sessions=3)
    path = tmp_path / "little" / "journal.jsonl"
    records = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(records[:-4]))
    tables = finish.from_journal(complete(little), path)
    assert len(tables["trials"]) == 8
    assert len(tables["interrupted"]) == 4 - 1
    assert json.loads(records[0].split(b" ", 1)[1])["kind"] == "run"
    with Journal(path) as journal:
        journal.append("end", {})
