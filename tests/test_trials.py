"""The measuring loop, on fake places."""

import contextlib
import itertools
import json
import os
import platform
import pwd
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
from places import fake

import caveatlib
from caveatlib import __version__, claims, frames, store, trials
from caveatlib.errors import MeasurementError, Unavailable, UsageError
from caveatlib.experiments import startup
from caveatlib.measuring import designs, finish, loop, machine
from caveatlib.measuring.designs import Arm, Design
from caveatlib.measuring.experiment import complete
from caveatlib.measuring.journal import Journal, read
from caveatlib.places import cache
from caveatlib.places.base import Capability, TrialResult
from caveatlib.places.engines import choice
from caveatlib.places.spec import Spec
from caveatlib.support import shipped
from caveatlib.support.privacy import scrub

pytestmark = pytest.mark.beside


class Rows(frames.Trials):
    """Trials of the little experiment below."""

    size: frames.Series[int] = frames.field("a condition", ge=0)
    took_s: frames.Series[float] = frames.measure("a measure", "s", le=10)


class Samples(frames.Table):
    """A further table."""

    run: frames.Series[str] = frames.field("the run")
    design: frames.Series[str] = frames.field("the design")
    block: frames.Series[int] = frames.field("the block")
    place: frames.Series[str] = frames.field("the place")
    value: frames.Series[float] = frames.field("a sample", "s")


def experiment(trial, **changes):
    """Return a little experiment with four arms whose trial is given."""
    arms = tuple(Arm(place, {"size": size}) for place in ("process", "runc") for size in (1, 2))
    attributes = {
        "NAME": "little",
        "QUESTION": "Does the loop loop?",
        "SESSIONS": 3,
        "DISK_BYTES": 0,
        "PLACES": ("process", "runc"),
        "Trials": Rows,
        "TABLES": {"samples": Samples},
        "DESIGNS": (Design("main", arms, block_s=0.1, warmup=True),),
        "trial": trial,
        "summarize": lambda rows: rows.groupby("place")[["took_s"]].median(),
        "verdicts": lambda rows: [],
    }
    return SimpleNamespace(**attributes | changes)


def steady(place, conditions, *, seed):
    """Return the same measure every time, and one sample."""
    return TrialResult({"took_s": 1.0}, {"samples": [{"value": 0.5}]})


DEFAULTS = {"seed": 7, "specs": fake.places("process", "runc")}


def run(little, out, **options):
    """Measure with fakes, quietly."""
    return trials.measure(little, out=out, progress=False, **DEFAULTS | options)


def table(little, out, name="trials"):
    """Return a table of a finished run."""
    return trials.get(little, source=out, table=name)


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
    calls = []

    def trial(place, conditions, *, seed):
        calls.append(place)
        if len(calls) == at:
            raise KeyboardInterrupt
        return TrialResult({"took_s": 1.0})

    little = experiment(trial)
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


def interrupted(at, **changes):
    """Return a little experiment that is interrupted in its so-manieth trial."""
    calls = []

    def trial(place, conditions, *, seed):
        calls.append(place)
        if len(calls) == at:
            raise KeyboardInterrupt
        return TrialResult({"took_s": 1.0})

    return experiment(trial, **changes)


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


def test_a_run_is_one_object(tmp_path):
    """Its trials, tables, conditions, verdicts and answer; it says in a line what it is of."""
    verdict = claims.Verdict("C1", "little", claims.OPEN, because="<b>")
    little = experiment(
        lambda place, conditions, *, seed: TrialResult(
            {"took_s": 11.0 if place.name == "runc" else 1}
        ),
        verdicts=lambda rows: [verdict] * len(rows["machine"].unique()),
        answer=lambda rows: f"{rows['ok'].sum()} of {len(rows)}.",
    )
    run(little, tmp_path, sessions=2)
    opened = trials.open(little, source=tmp_path)
    assert (opened.source, opened.version) == (tmp_path.name, None)
    pd.testing.assert_frame_equal(opened.trials, table(little, tmp_path))
    pd.testing.assert_frame_equal(opened.table("samples"), table(little, tmp_path, "samples"))
    assert opened.verdicts() == [verdict]
    assert opened.answer() == "4 of 8."
    assert repr(opened) == (
        f"little, measured in '{tmp_path.name}', on {machine.label()}: "
        "8 trials, 4 of them without a result"
    )
    shown = opened.trials
    shown["took_s"] = 0.0
    shown.loc[:, "ok"] = False
    assert opened.answer() == "4 of 8.", "what a reader does with a copy changes no answer"
    with pytest.raises(UsageError, match=r"Unknown table 'x'. Must be one of \['conditions', "):
        opened.table("x")


def test_what_succeeded_is_counted_machine_by_machine(tmp_path):
    """Of made, by place and design; nothing is pooled over machines, and nothing may be there."""

    def only_in_runc(place, conditions, *, seed):
        return TrialResult({"took_s": 1.0 if place.name == "runc" else 11.0})

    little = experiment(only_in_runc)
    run(little, tmp_path, sessions=2)
    opened = trials.open(little, source=tmp_path)
    (design,) = opened.trials["design"].unique()
    assert opened.succeeded()[design].to_dict() == {"process": "0/4", "runc": "4/4"}
    rows = opened.trials
    opened._tables["trials"] = pd.concat([rows, rows.head(4).assign(machine="ACME")])
    counts = opened.succeeded()[design]
    assert counts.loc[machine.label()].to_dict() == {"process": "0/4", "runc": "4/4"}
    assert counts.loc["ACME"].to_dict() == {"process": "0/2", "runc": "2/2"}
    opened._tables["trials"] = rows.head(0)
    assert opened.succeeded().empty


def test_conditions_are_of_the_machine_and_of_the_places_named(tmp_path):
    """A row per fact, a column per machine; what differs between its runs is all there."""
    little = experiment(steady)
    run(little, tmp_path, sessions=1)
    opened = trials.open(little, source=tmp_path)
    facts = opened.conditions()
    assert list(facts.columns) == [machine.label()]
    assert facts.loc[("runc", "fake"), machine.label()] == "yes"
    assert facts.loc[("", "seed"), machine.label()] == "7"
    assert set(opened.conditions("runc").index.get_level_values("place")) == {"", "runc"}
    rows = opened.table("conditions")
    again = rows[rows["name"] == "seed"].assign(run="another", value="8")
    other = rows.assign(run="third", machine="ACME", value="x")
    opened._tables["conditions"] = pd.concat([rows, again, other])
    facts = opened.conditions()
    assert list(facts.loc[("", "seed")]) == ["7 / 8", "x"]
    assert list(facts.columns) == [machine.label(), "ACME"]


def test_the_newest_version_is_opened_unless_one_is_named(tmp_path, monkeypatch):
    """Recorded data have versions; the run says which it is of."""
    little = experiment(steady)
    with pytest.raises(UsageError, match=r"No recorded data 'little'. Must be recorded first"):
        trials.open(little, source="recorded")
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(shipped, "folder", lambda name: tmp_path / name)
    for version in (1, 10, 2):
        run(little, tmp_path / str(version), sessions=version)
        store.record(complete(little), [tmp_path / str(version)], version=version)
    newest = trials.open(little, source="recorded")
    assert (newest.version, newest.trials["block"].nunique()) == (10, 10)
    assert repr(newest).startswith("little, recorded version 10, on ")
    assert trials.open(little, source="recorded", version=2).trials["block"].nunique() == 2
    assert trials.get(little, source="recorded", version=1)["block"].nunique() == 1
    for wrong in (3, 0):
        with pytest.raises(UsageError, match=f"version {wrong}. Must be one of"):
            trials.open(little, source="recorded", version=wrong)


def test_a_run_shows_nothing_raw(tmp_path):
    """What a stranger's package names its machine steers no terminal and is no markup."""
    little = experiment(steady)
    folder = run(little, tmp_path, sessions=1)
    rows = table(little, tmp_path).assign(machine="\x1b[31m<img src=x>")
    opened = trials.open(little, source=folder)
    opened._tables["trials"] = rows
    assert "\x1b" not in repr(opened)
    assert "<img" in repr(opened)
    assert "<img" not in opened._repr_html_()
    assert "&lt;img" in opened._repr_html_()


def test_a_live_run_is_measured_once(monkeypatch):
    """However often it is opened in a process; its folder is not the reader's concern."""
    calls = []

    def trial(place, conditions, *, seed):
        calls.append(place)
        return TrialResult({"took_s": 1.0})

    measure, little = trials.measure, experiment(trial, NAME="live-little")
    monkeypatch.setattr(
        trials, "measure", lambda *a, **o: measure(*a, specs=DEFAULTS["specs"], **o)
    )
    first = trials.open(little, source="live", sessions=1)
    assert len(trials.open(little, source="live", sessions=1).trials) == 4
    assert len(calls) == 8
    assert repr(first).startswith("live-little, measured live, on ")
    trials.open(little, source="live", sessions=2)
    assert len(calls) == 8 + 16


@pytest.mark.parametrize("lacks", ["NAME", "DESIGNS", "trial"])
def test_what_is_no_experiment_says_what_it_lacks(tmp_path, lacks):
    """One line with the name of what is missing."""
    little = experiment(steady)
    delattr(little, lacks)
    with pytest.raises(UsageError, match=rf"Experiment .* lacks {lacks}\."):
        run(little, tmp_path)


def test_what_an_experiment_leaves_out_has_a_default(tmp_path):
    """No claims, guards, tables, summary or length of its own, and it is measured all the same."""
    little = experiment(lambda place, conditions, *, seed: TrialResult({"took_s": 1.0}))
    for name in ("SESSIONS", "DISK_BYTES", "TABLES", "summarize", "verdicts"):
        delattr(little, name)
    run(little, tmp_path)
    rows = table(little, tmp_path)
    assert rows["session"].nunique() == 15
    summary = pd.read_csv(tmp_path / "little" / "summary.csv")
    assert list(summary[["place", "size", "n", "took_s_median"]].loc[0]) == ["process", 1, 15, 1.0]
    assert trials.open(little, source=tmp_path).verdicts() == []


def test_get_refuses_an_unknown_source():
    """A source is one of two words or a folder."""
    with pytest.raises(UsageError, match="'nowhere'"):
        trials.get(experiment(steady), source="nowhere", version=1)


def test_a_source_is_one_thing_for_all(tmp_path, monkeypatch):
    """Recorded, live, a run that has the experiment, one that left it out, or an error."""
    little, other = experiment(steady), experiment(steady, NAME="other")
    run(little, tmp_path / "r", sessions=1)
    folder = tmp_path / "r"
    (tmp_path / "empty").mkdir()
    for word in ("recorded", "live"):
        assert trials.source_of(other, word) == word
    assert trials.source_of(little, folder) == str(folder)
    assert trials.source_of(little, folder / "little") == str(folder / "little")
    assert trials.source_of(other, folder) is None
    assert trials.source_of(other, folder / "little") is None
    for nothing in ("nowhere", tmp_path / "empty"):
        with pytest.raises(UsageError, match=r"Unknown source .*Must be"):
            trials.source_of(little, nothing)
    monkeypatch.delenv("CAVEATLIB_SOURCE", raising=False)
    assert trials.source_of(other) == "recorded"
    monkeypatch.setenv("CAVEATLIB_SOURCE", str(folder))
    assert trials.source_of(little) == str(folder)
    assert trials.source_of(other) == trials.source_of(other, None) == "recorded"
    assert trials.source_of(other, folder) is None
    monkeypatch.setenv("CAVEATLIB_SOURCE", "nowhere")
    with pytest.raises(UsageError, match="'nowhere'"):
        trials.source_of(other)


def test_what_the_variables_run_lacks_is_recorded(tmp_path, monkeypatch):
    """The variable is meant for all notebooks; who names a folder is told that it is not there."""
    run(experiment(steady), tmp_path, sessions=1)
    monkeypatch.setenv("CAVEATLIB_SOURCE", str(tmp_path))
    for name in ("trials", "conditions"):
        rows = trials.get(startup, table=name)
        assert len(rows)
    assert set(trials.get(startup)["source"]) == {"recorded"}
    assert set(trials.get(experiment(steady), version=1)["source"]) == {"live"}
    with pytest.raises(UsageError, match="No run of 'startup'"):
        trials.get(startup, source=tmp_path)


@pytest.mark.parametrize("ends", [None, KeyboardInterrupt, ZeroDivisionError])
def test_a_run_under_sudo_is_handed_back(tmp_path, monkeypatch, ends):
    """All that was made, its new parents too, and nothing else, however the run ends."""
    changed = {}

    def chown(path, uid, gid, *, follow_symlinks=True):
        changed[str(path)] = (uid, gid, follow_symlinks)

    def trial(place, conditions, *, seed):
        if ends:
            raise ends
        return steady(place, conditions, seed=seed)

    monkeypatch.setattr(cache.os, "chown", chown)
    monkeypatch.setattr(cache.os, "geteuid", lambda: 0)
    me = pwd.getpwuid(os.getuid())
    monkeypatch.setenv("SUDO_UID", str(me.pw_uid))
    (tmp_path / "mine").touch()
    with pytest.raises(ends) if ends else contextlib.nullcontext():
        run(experiment(trial), tmp_path / "runs" / "first", sessions=1)
    made = {str(p) for p in (tmp_path / "runs").rglob("*")} | {str(tmp_path / "runs")}
    assert str(tmp_path / "runs" / "first" / "little" / "trials.csv") in made
    assert changed == dict.fromkeys(made, (me.pw_uid, me.pw_gid, False))


def test_conditions_name_the_machine_by_class_only(tmp_path):
    """The run's facts are written once, from the allow-list."""
    little = experiment(steady)
    run(little, tmp_path, sessions=2)
    facts = table(little, tmp_path, "conditions")
    assert not facts.duplicated(["place", "name"]).any()
    assert {"cpus", "kernel", "cgroup"} <= set(facts["name"])


def test_facts_are_kept_as_they_are_and_what_places_say_is_scrubbed(tmp_path, monkeypatch):
    """A kernel of four numbers is no address; what an engine answers may hold one."""
    monkeypatch.setattr(platform, "release", lambda: "5.15.167.4-microsoft-standard-WSL2")
    monkeypatch.setattr(fake.FakePlace, "metadata", lambda self: {"version": "at 5.15.167.4"})
    little = experiment(steady)
    run(little, tmp_path, sessions=1)
    facts = table(little, tmp_path, "conditions").set_index(["place", "name"])["value"]
    assert facts["", "kernel"] == f"{platform.system()} 5.15.167.4"
    assert facts["runc", "version"] == "at <address>"


@pytest.mark.parametrize("seed", [7, None])
def test_a_package_says_how_to_repeat_it(tmp_path, seed):
    """The facts of a run hold caveatlib's version and the seed, a drawn one too."""
    little = experiment(steady)
    run(little, tmp_path / "a", sessions=3, seed=seed)
    facts = table(little, tmp_path / "a", "conditions").set_index("name")["value"]
    assert facts["caveatlib"] == __version__
    assert seed is None or facts["seed"] == str(seed)
    run(little, tmp_path / "b", sessions=3, seed=int(facts["seed"]))
    columns = ["block", "position", "place", "size"]
    assert table(little, tmp_path / "a")[columns].equals(table(little, tmp_path / "b")[columns])


def header(out):
    """Return what a package says of its plan."""
    facts = table(experiment(steady), out, "conditions")
    facts = facts[facts["place"] == ""].set_index("name")["value"]
    assert not facts.index.duplicated().any()
    names = ("caveatlib", "seed", "sessions", "budget_s", "complete")
    return {name: facts[name] for name in names if name in facts}


def test_a_package_says_what_was_planned_and_whether_it_was_measured(tmp_path):
    """Sessions, budget, seed, software; how far it got; and what was asked for afterwards.

    Seen to fail: with the plan of the first day kept, and with every end called complete.
    """
    about = {"caveatlib": __version__, "seed": "7"}
    run(experiment(steady), tmp_path / "whole", sessions=2)
    assert header(tmp_path / "whole") == about | {"sessions": "2", "complete": "yes"}
    with pytest.raises(KeyboardInterrupt):
        run(interrupted(at=15), tmp_path / "cut", sessions=4)
    cut = about | {"sessions": "4", "complete": "no: 1 of 4 sessions"}
    assert header(tmp_path / "cut") == cut
    run(experiment(steady), tmp_path / "cut", sessions=5, resume=True)
    assert header(tmp_path / "cut") == about | {"sessions": "5", "complete": "yes"}
    run(experiment(steady), tmp_path / "spent", sessions=500, budget_s=1e-3)
    spent = {"sessions": "500", "budget_s": "0.001"}
    spent |= {"complete": "no: 1 of 500 sessions, the budget was spent"}
    assert header(tmp_path / "spent") == about | spent
    run(experiment(steady), tmp_path / "budget", budget_s=1e-3)
    assert header(tmp_path / "budget") == about | {"budget_s": "0.001", "complete": "yes"}


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
