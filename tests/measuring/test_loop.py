"""The measuring loop, on fake places."""

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import left
import pandas as pd
import pytest
from little import DEFAULTS, experiment, interrupted, run, steady, table
from places import fake

import caveatlib
from caveatlib import __version__, trials
from caveatlib.errors import MeasurementError, Unavailable, UsageError
from caveatlib.experiments import startup
from caveatlib.measuring import designs, finish, loop, machine
from caveatlib.measuring.designs import Design
from caveatlib.measuring.experiment import complete
from caveatlib.measuring.journal import Journal, read
from caveatlib.places.base import Capability, TrialResult
from caveatlib.places.engines import choice
from caveatlib.places.spec import Spec
from caveatlib.support.privacy import scrub

pytestmark = pytest.mark.beside


def test_blocks_are_complete_and_in_random_order(tmp_path):
    """Every block holds each arm once; the orders differ between blocks."""
    little = experiment(steady)
    run(little, tmp_path, sessions=12)
    rows = table(little, tmp_path)
    arms = rows.groupby("block").apply(lambda b: sorted(zip(b.place, b["size"], strict=True)))
    assert len(arms) == 12
    assert all(a == arms.iloc[0] and len(a) == 4 for a in arms)
    orders = {
        tuple(b.sort_values("position")["place"] + b["size"].astype(str))
        for _, b in rows.groupby("block")
    }
    assert len(orders) > 3


def test_the_seed_decides_the_order(tmp_path):
    """Two runs with one seed have one order, another seed has another."""
    little = experiment(steady)
    orders = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(little, tmp_path / name, sessions=6, seed=seed)
        rows = table(little, tmp_path / name)
        orders.append(list(zip(rows.place, rows["size"], strict=True)))
    assert orders[0] == orders[1] != orders[2]


def test_places_are_opened_afresh_for_every_session(tmp_path):
    """A session is one opening of all places."""
    opened = []

    def trial(place, conditions, *, seed):
        opened.append(place)
        return TrialResult({"took_s": 1.0})

    run(experiment(trial), tmp_path, sessions=3)
    assert len({id(place) for place in opened}) == 6
    assert table(experiment(trial), tmp_path)["session"].nunique() == 3


def test_warmups_are_kept_apart(tmp_path):
    """Warm-up trials are in a table of their own, never among the trials."""
    little = experiment(steady)
    run(little, tmp_path, sessions=3)
    assert len(table(little, tmp_path)) == 12
    assert len(table(little, tmp_path, "warmups")) == 12


def led_in(trial, blocks=1):
    """Return the little experiment, each block of whose design is led in."""
    design = replace(experiment(trial).DESIGNS[0], lead_in=True, blocks_per_session=blocks)
    return experiment(trial, DESIGNS=(design,))


def test_a_block_is_led_in_by_its_own_first_arm(tmp_path):
    """Over one square each arm runs right after itself and after each other arm, once."""
    ran = []

    def trial(place, conditions, *, seed):
        ran.append((place, conditions["size"], seed))
        return TrialResult({"took_s": 1.0})

    little = led_in(trial, blocks=4)
    fakes = fake.places("process", "runc")
    specs = {p: replace(f, open=lambda session, p=p: _Named(p)) for p, f in fakes.items()}
    run(little, tmp_path, sessions=1, specs=specs)
    blocks = [ran[4:][i : i + 5] for i in range(0, 20, 5)]  # after four warm-ups
    arms = [[(str(place), size) for place, size, _ in block] for block in blocks]
    assert all(block[0] == block[1] for block in arms)
    assert all(len(set(block[1:])) == 4 for block in arms)
    follow = [pair for block in arms for pair in itertools.pairwise(block)]
    assert len(set(follow)) == len(follow) == 16
    assert len({seed for block in blocks for _, _, seed in block}) == 20
    kept = table(little, tmp_path, "warmups")
    assert list(kept["block"]) == [0] * 5 + [1, 2, 3]
    assert len(table(little, tmp_path)) == 16


class _Named(str):
    """A place that is its own name."""

    def metadata(self):
        return {}


def test_the_age_of_a_session_is_stored(tmp_path):
    """Each trial says how long its session's places were open, and how many trials came before."""
    little = led_in(steady)
    run(little, tmp_path, sessions=2)
    rows, kept = table(little, tmp_path), table(little, tmp_path, "warmups")
    for _, session in rows.groupby("session"):
        assert list(session["age_trials"]) == [5, 6, 7, 8]  # four warm-ups and the lead-in
        assert session["age_s"].is_monotonic_increasing
        assert session["age_s"].between(0, 60).all()
    assert list(kept["age_trials"]) == [0, 1, 2, 3, 4] * 2


def test_how_long_a_trial_lasted_is_stored(tmp_path):
    """Of one that failed, too: so it can be told whether it was the slow ones that failed."""

    def trial(place, conditions, *, seed):
        time.sleep(0.02 * conditions["size"])
        if conditions["size"] == 2:
            raise MeasurementError("too slow")
        return TrialResult({"took_s": 1.0})

    run(experiment(trial), tmp_path, sessions=1)
    rows = table(experiment(trial), tmp_path)
    assert list(rows["ok"]) == list(rows["size"] == 1)
    assert (rows["lasted_s"] >= 0.02 * rows["size"]).all()
    assert (rows["lasted_s"] < 5).all()


def test_a_led_in_run_costs_its_trials_and_goes_on_as_it_would_have(tmp_path):
    """The lead-in is in how long a block lasts; one cut short keeps its order when it comes again.

    A block of the little design takes 0.1 s for four arms.
    """
    little = led_in(steady)
    assert little.DESIGNS[0].lasts_s() == pytest.approx(0.125)
    assert little.DESIGNS[0].trials_in(3) == 4 + 3 * 5
    run(little, tmp_path / "whole", sessions=6)
    count = 0

    def broken(place, conditions, *, seed):
        nonlocal count
        count += 1
        if count == 20:
            raise KeyboardInterrupt
        return steady(place, conditions, seed=seed)

    with pytest.raises(KeyboardInterrupt):
        run(led_in(broken), tmp_path / "cut", sessions=6)
    run(little, tmp_path / "cut", sessions=6, resume=True)
    columns = ["block", "position", "place", "size"]
    whole, cut = (table(little, tmp_path / name)[columns] for name in ("whole", "cut"))
    assert cut.equals(whole)


def test_a_failed_trial_is_a_row(tmp_path):
    """A failure is kept with its reason and without measures."""

    def trial(place, conditions, *, seed):
        if place.name == "runc" and conditions["size"] == 2:
            raise MeasurementError("It broke at 10.1.2.3.")
        return TrialResult({"took_s": 1.0})

    little = experiment(trial)
    run(little, tmp_path, sessions=2)
    failed = table(little, tmp_path).query("not ok")
    assert len(failed) == 2
    assert failed["took_s"].isna().all()
    assert set(failed["error"]) == {"It broke at <address>."}


def test_a_violated_bound_is_no_number(tmp_path):
    """A measure outside its bounds fails the trial and names column and rule."""
    little = experiment(lambda place, conditions, *, seed: TrialResult({"took_s": 11.0}))
    run(little, tmp_path, sessions=1)
    rows = table(little, tmp_path)
    assert not rows["ok"].any()
    assert rows["took_s"].isna().all()
    assert "took_s" in rows["error"].iloc[0]


def test_a_bug_in_an_experiment_is_not_a_failed_trial(tmp_path):
    """What nobody expected ends the run, and what was measured is kept."""
    calls = []

    def trial(place, conditions, *, seed):
        calls.append(place)
        if len(calls) > 4 + 4 + 2:
            raise ZeroDivisionError
        return TrialResult({"took_s": 1.0})

    little = experiment(trial)
    with pytest.raises(ZeroDivisionError):
        run(little, tmp_path)
    assert len(table(little, tmp_path)) == 4
    assert len(table(little, tmp_path, "interrupted")) == 0


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

    Its own seed decides, whichever is given when it goes on.
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
    run(little, tmp_path / "a", sessions=4, resume=True, seed=99)
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


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path):
    """A real run, SIGKILLed in a block and again when it goes on: each acknowledged trial, once."""
    folder = tmp_path / "killed" / "startup"
    with left.state():
        acknowledged = _killed(folder, "--seed", "8", "--out", "killed")
        acknowledged |= _killed(folder, "--seed", "99", "--resume", "killed")
        resumed = _measure(tmp_path, "caveatlib.cli", "--seed", "99", "--resume", "killed")
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
        env=os.environ | {"PYTHONPATH": os.path.dirname(__file__)},
        capture_output=True,
        text=True,
        timeout=60,
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


def test_further_tables_follow_their_block(tmp_path):
    """Rows of further tables carry run, design, block and place."""
    little = experiment(steady)
    run(little, tmp_path, sessions=2)
    samples = table(little, tmp_path, "samples")
    assert len(samples) == 8
    assert set(samples["place"]) == {"process", "runc"}
    assert set(samples["block"]) == {0, 1}


def test_a_budget_ends_after_a_whole_block(tmp_path):
    """However short the budget, a first session runs and no block is cut."""
    little = experiment(steady)
    run(little, tmp_path, sessions=None, budget_s=0.001)
    rows = table(little, tmp_path)
    assert rows["session"].nunique() == 1
    assert rows.groupby("block").size().eq(4).all()
    assert len(table(little, tmp_path, "interrupted")) == 0


def test_spare_designs_wait_under_a_budget(tmp_path):
    """Under a budget a spare design begins when the others have enough blocks."""
    (main,) = experiment(steady).DESIGNS
    spare = Design("spare", main.arms[:1], block_s=0.1, optional=True)
    little = experiment(steady, DESIGNS=(main, spare))
    run(little, tmp_path, sessions=8, budget_s=1000)
    rows = table(little, tmp_path)
    assert rows.query("design == 'spare'")["session"].min() == designs.ENOUGH
    run(little, tmp_path / "b", sessions=2)
    assert table(little, tmp_path / "b").query("design == 'spare'")["session"].min() == 0


def test_a_spare_block_that_does_not_fit_is_left_out(tmp_path):
    """Under a budget no spare block begins that would end after it; the others go on."""
    (main,) = experiment(steady).DESIGNS
    long = Design("long", main.arms[:1], block_s=2000, optional=True)
    little = experiment(steady, DESIGNS=(main, long))
    run(little, tmp_path, sessions=8, budget_s=1000)
    rows = table(little, tmp_path)
    assert set(rows["design"]) == {main.name}
    assert rows["session"].nunique() == 8


def test_optional_designs_get_their_turn_under_a_budget(tmp_path):
    """What takes part in the first session only is measured once the others have enough."""
    (main,) = experiment(steady).DESIGNS
    arms = main.arms[:1]
    once = Design("once", arms, block_s=0.1, sessions=1, optional=True)
    often = Design("often", arms, block_s=0.1, blocks_per_session=3, optional=True)
    seldom = Design("seldom", arms, block_s=0.1, every=4, optional=True)
    little = experiment(steady, DESIGNS=(main, often, seldom, once))
    run(little, tmp_path, sessions=10, budget_s=1000)
    rows = table(little, tmp_path).query("design != 'main'")
    assert rows["session"].min() == designs.ENOUGH
    blocks = rows.groupby("design")["block"].nunique()
    # four sessions were left; of `seldom` the sessions 0, 4 and 8 were due
    assert blocks.to_dict() == {"often": 12, "seldom": 3, "once": 1}


def test_what_was_measured_least_has_its_turn_first(tmp_path, monkeypatch):
    """Under a budget that is too short for all, none is starved by one that stands before it."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(loop.time, "monotonic", lambda: clock.now)

    def trial(place, conditions, *, seed):
        clock.now += 1
        return TrialResult({"took_s": 1.0})

    (main,) = experiment(steady).DESIGNS
    often = Design("often", main.arms, block_s=4, blocks_per_session=3, optional=True)
    other = Design("other", main.arms, block_s=4, optional=True)
    little = experiment(trial, DESIGNS=(main, often, other))
    # six sessions of main alone, one of all, one with time for one optional block
    run(little, tmp_path, budget_s=6 * 8 + (8 + 3 * 4 + 4) + (8 + 5))
    blocks = table(little, tmp_path).groupby("design")["block"].nunique()
    assert blocks.to_dict() == {"main": 8, "often": 3, "other": 2}


def test_designs_take_part_in_some_sessions():
    """`every` and `sessions` say in which."""
    design = Design("d", (), block_s=1, every=3, sessions=2)
    assert [s for s in range(12) if design.due(s)] == [0, 3]


def lacking(*names, why):
    """Return the fake places, some of which need what is not there."""
    needs = (lambda: Capability("runc", False, why),)
    changed = {name: replace(spec, needs=needs) for name, spec in DEFAULTS["specs"].items()}
    return DEFAULTS["specs"] | {name: changed[name] for name in names}


def test_a_place_that_lacks_something_is_said_and_the_rest_runs(tmp_path):
    """A missing place is one row per arm with the reason."""
    little = experiment(steady)
    run(little, tmp_path, sessions=2, specs=lacking("runc", why="no program"))
    rows = table(little, tmp_path)
    assert list(rows.query("not ok")["error"]) == ["unavailable: runc: no program"] * 2
    assert rows.query("ok")["place"].unique().tolist() == ["process"]


@pytest.mark.parametrize("by", ["opening", "metadata"])
@pytest.mark.parametrize(
    "error",
    [
        MeasurementError("It broke at 10.1.2.3."),
        FileNotFoundError(2, "No such file or directory"),
        subprocess.TimeoutExpired("dockerd", 30),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_place_that_cannot_be_opened_gives_failed_rows(tmp_path, by, error):
    """Whatever a trial may end with, opening may, too: the rest of the run goes on."""

    def fails(*_):
        raise error

    def opened(session):
        return SimpleNamespace(metadata=fails) if by == "metadata" else fails()

    little = experiment(steady)
    run(little, tmp_path, sessions=2, specs=DEFAULTS["specs"] | {"runc": Spec(opened)})
    rows = table(little, tmp_path)
    assert rows.groupby("place")["ok"].agg(["size", "sum"]).to_dict("index") == {
        "process": {"size": 4, "sum": 4},
        "runc": {"size": 4, "sum": 0},
    }
    assert set(rows.query("not ok")["error"]) == {str(scrub(error))}
    assert "10.1.2.3" not in " ".join(rows["error"])


def test_no_place_at_all_can_be_opened(tmp_path):
    """A session without any place ends the run with one error, and says why."""

    def opened(session):
        raise subprocess.TimeoutExpired("dockerd", 30)

    little = experiment(steady)
    specs = {"process": Spec(opened), "runc": Spec(opened)}
    with pytest.raises(MeasurementError, match=r"^No place could be opened: .*dockerd.* timed out"):
        run(little, tmp_path, sessions=2, specs=specs)


def test_nothing_can_run(tmp_path):
    """A live request where nothing can run is one error, and nothing is written."""
    specs = lacking("process", "runc", why="no such thing")
    with pytest.raises(Unavailable, match="no such thing"):
        run(experiment(steady), tmp_path / "x", specs=specs)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sessions": 0}, "Invalid number of sessions 0"),
        ({"sessions": 1.5}, "Invalid number of sessions 1.5"),
        ({"sessions": True}, "Invalid number of sessions True"),
        ({"budget_s": -1}, "Invalid budget in seconds -1"),
        ({"budget_s": 0}, "Invalid budget in seconds 0"),
        ({"budget_s": float("nan")}, "Invalid budget in seconds nan"),
        ({"budget_s": float("inf")}, "Invalid budget in seconds inf"),
        ({"seed": float("nan")}, "Invalid seed nan"),
        ({"seed": -1}, "Invalid seed -1"),
        ({"seed": 2**32}, "Invalid seed 4294967296"),
        ({"places": ["dockr"]}, "Unknown place 'dockr'"),
        ({"resume": True}, "Nothing to resume"),
    ],
)
def test_bad_requests(tmp_path, options, message):
    """Each is one error that names the value, and nothing is written."""
    with pytest.raises(UsageError, match=message):
        run(experiment(steady), tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path):
    """The second run into one folder is refused."""
    run(experiment(steady), tmp_path, sessions=1)
    with pytest.raises(UsageError, match="exists"):
        run(experiment(steady), tmp_path, sessions=1)


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
