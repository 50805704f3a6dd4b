"""A run as one object: what it was measured on, what it says of itself, where it is found."""

import contextlib
import os
import platform
import pwd

import pandas as pd
import pytest
from little import DEFAULTS, experiment, interrupted, run, steady, table
from places import fake

from caveatlib import __version__, claims, store, trials
from caveatlib.errors import UsageError
from caveatlib.experiments import startup
from caveatlib.measuring import machine
from caveatlib.measuring.experiment import complete
from caveatlib.places import cache
from caveatlib.places.base import TrialResult
from caveatlib.support import shipped

pytestmark = pytest.mark.beside


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
    """Of made, by design; nothing is pooled over machines, and nothing may be there."""

    def only_in_runc(place, conditions, *, seed):
        return TrialResult({"took_s": 1.0 if place.name == "runc" else 11.0})

    little = experiment(only_in_runc)
    run(little, tmp_path, sessions=2)
    opened = trials.open(little, source=tmp_path)
    counted = opened.succeeded().set_index("places")["succeeded"]
    assert counted.to_dict() == {"process": "0/4", "runc": "4/4"}
    rows = opened.trials
    opened._tables["trials"] = pd.concat([rows, rows.head(4).assign(machine="ACME")])
    counts = opened.succeeded().set_index(["machine", "places"])["succeeded"]
    assert counts.loc[machine.label()].to_dict() == {"process": "0/4", "runc": "4/4"}
    assert counts.loc["ACME"].to_dict() == {"process": "0/2", "runc": "2/2"}
    opened._tables["trials"] = rows.head(4).assign(ok=True, place=["c", "b", "a", "a"])
    (a, b) = opened.succeeded().drop(columns="design").to_dict("records")
    assert (a, b) == (
        {"succeeded": "1/1", "places": "b, c"}, {"succeeded": "2/2", "places": "a"}
    )  # fmt: skip
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


@pytest.mark.parametrize("source", ["recorded", "live", None])
def test_an_option_that_is_unknown_is_refused(source, monkeypatch):
    """Whatever the source: a misspelt version would read another one without a word.

    Seen to fail: with options looked at where something is measured only.
    """
    monkeypatch.setattr(trials, "measure", lambda *_, **__: pytest.fail("measured"))
    for wrong in ("verison", "out", "resume"):
        named = rf"'{wrong}'\. Must be one of source, version, places"
        with pytest.raises(UsageError, match=named):
            trials.open(startup, source=source, **{wrong: 1})
    with pytest.raises(UsageError, match="'verison'"):
        trials.get(startup, source=source, verison=1)


def test_what_is_recorded_takes_the_options_of_a_live_run():
    """A cell of a notebook gives them for all sources."""
    options = {"budget_s": 3, "sessions": 1, "places": ["process"], "engine": "own", "seed": 7}
    opened = trials.open(startup, source="recorded", version=1, progress=False, **options)
    assert opened.version == 1


def test_only_recorded_trials_have_a_version(tmp_path, monkeypatch):
    """What is measured now has none, nor has a folder; a variable for all notebooks is no folder.

    Seen to fail: with the version left unread.
    """
    monkeypatch.setattr(trials, "measure", lambda *_, **__: pytest.fail("measured"))
    with pytest.raises(UsageError, match=r"Version 1 of 'live'\. Must be left out"):
        trials.open(startup, source="live", version=1)
    monkeypatch.setenv("CAVEATLIB_SOURCE", "live")
    with pytest.raises(UsageError, match="Version 1 of 'live'"):
        trials.open(startup, version=1)
    monkeypatch.undo()
    little = experiment(steady)
    run(little, tmp_path, sessions=1)
    with pytest.raises(UsageError, match=f"Version 2 of '{tmp_path.name}'"):
        trials.open(little, source=tmp_path, version=2)


def test_places_that_are_one_text_are_refused():
    """A text is a sequence, too: its letters are no places.

    Seen to fail: with "Unknown place 'p'".
    """
    little = experiment(steady)
    for ask in (trials.arms_here, trials.cost):
        with pytest.raises(UsageError, match=r"Places 'process'. Must be a list: \['process'\]"):
            ask(little, places="process")
    with pytest.raises(UsageError, match="Places 'process'"):
        trials.open(little, source="live", places="process")


@pytest.mark.parametrize("lacks", ["NAME", "DESIGNS", "trial"])
def test_what_is_no_experiment_says_what_it_lacks(tmp_path, lacks):
    """One line with the name of what is missing."""
    little = experiment(steady)
    delattr(little, lacks)
    with pytest.raises(UsageError, match=rf"Experiment .* lacks {lacks}\."):
        run(little, tmp_path)


def test_what_an_experiment_leaves_out_has_a_default(tmp_path):
    """No claims, guards, cases, tables, summary, length of its own: it is measured all the same."""
    little = experiment(lambda place, conditions, *, seed: TrialResult({"took_s": 1.0}))
    for name in ("SESSIONS", "DISK_BYTES", "TABLES", "summarize", "verdicts"):
        delattr(little, name)
    run(little, tmp_path)
    rows = table(little, tmp_path)
    assert rows["session"].nunique() == 15
    summary = pd.read_csv(tmp_path / "little" / "summary.csv")
    assert list(summary[["place", "size", "n", "took_s_median"]].loc[0]) == ["process", 1, 15, 1.0]
    opened = trials.open(little, source=tmp_path)
    assert opened.verdicts() == []
    assert opened.calibration().empty
    assert opened.doubts().empty


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


def test_a_watcher_sees_all_of_a_run_at_its_end(tmp_path):
    """However short it was: what its last block decides is said, too.

    Seen to fail: with the trials handed on between blocks only.
    """
    seen = []
    little = experiment(steady)
    run(little, tmp_path, sessions=2, watch=lambda rows: seen.append(len(rows)))
    assert seen == [len(table(little, tmp_path))]
