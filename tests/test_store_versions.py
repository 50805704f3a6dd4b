"""Recorded versions: runs become one, what is recorded stays, and nothing private is in it."""

import json
import os
import traceback

import canaries
import pandas as pd
import pytest
from pandera.typing.pandas import Series
from stored import MODELS, STARTUP, Marks, Trials, module, row, tables, write

from caveatlib import frames, store
from caveatlib.errors import CaveatError, DataError, StorageError, UsageError
from caveatlib.experiments import noise, recorded
from caveatlib.measuring import finish, journal
from caveatlib.measuring.experiment import Conditions, complete, tables_of
from caveatlib.support import datapackage, shipped
from caveatlib.support.paths import make_folder

pytestmark = pytest.mark.beside


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Return an empty folder of recorded data that stands for the shipped one."""
    folder = tmp_path / "checkout" / "data"
    folder.mkdir(parents=True)
    monkeypatch.setattr(shipped, "folder", lambda name: folder)
    return folder


def test_record_and_load(tmp_path, data):
    """A promoted run loads by version as recorded; simulated rows stay so; no more comes along."""
    written = write(tmp_path / "runs" / "startup")
    (tmp_path / "runs" / "startup" / "journal.jsonl").write_text("private")
    target = store.record(STARTUP, [tmp_path / "runs"], version=3)
    assert target == data / "startup-v3"
    assert sorted(p.name for p in target.iterdir()) == [
        "datapackage.json",
        "marks.csv",
        "trials.csv",
    ]
    assert target.stat().st_mode & 0o777 == 0o777 & ~umask()
    trials = store.load(STARTUP, version=3)["trials"]
    pd.testing.assert_frame_equal(trials, written["trials"].assign(source="recorded"))
    assert set(pd.read_csv(target / "trials.csv")["source"]) == {"recorded"}
    marks = store.load(STARTUP, version=3)["marks"]
    assert marks["source"].tolist() == ["recorded", "simulated"]
    package = json.loads((target / "datapackage.json").read_text())
    assert (package["version"], package["title"]) == ("3.0.0", "How long?")
    assert package["licenses"] == [datapackage.LICENCE]
    assert [p.name for p in data.iterdir()] == ["startup-v3"]


def test_versioned_data_never_read_as_live(data):
    """A live run's folder that was copied by hand loads as recorded all the same."""
    write(data / "startup-v1")
    assert set(store.load(STARTUP, version=1)["trials"]["source"]) == {"recorded"}


OLD = "x86_64, 2 CPUs, 24 GiB, Linux 6.18, cgroup v1"
"""What two machines of different make were both called before the class had the CPU's model."""


def conditions(run, model):
    """Return what held throughout a run, on a machine with this CPU."""
    facts = {"architecture": "x86_64", "cpu_model": model}
    common = {"run": run, "machine": OLD}
    rows = [common | {"place": "", "name": n, "value": v} for n, v in facts.items()]
    # A guest has a CPU, too, which is not the machine's.
    return [*rows, common | {"place": "microvm", "name": "cpu_model", "value": "QEMU"}]


def test_machines_recorded_under_one_name_are_told_apart_by_their_cpus(tmp_path, data):
    """Each run's own facts say which it is, in every table; the files keep what was written."""
    models = {**MODELS, "conditions": Conditions}
    for run, model in (("2026-03-01", "Intel(R) Xeon(R) Processor"), ("2026-03-02", "AMD EPYC")):
        trials = frames.from_rows([row(run=run, machine=OLD)], Trials)
        facts = frames.from_rows(conditions(run, model), Conditions)
        found = {"trials": trials, "marks": tables()["marks"], "conditions": facts}
        finish.write_package(tmp_path / run / "startup", "startup", found, models,
                        title="How long?", summary=pd.DataFrame(), verdicts=[])  # fmt: skip
    store.record(STARTUP, [tmp_path / "2026-03-01", tmp_path / "2026-03-02"], version=1)
    classes = [OLD.replace("x86_64", name) for name in ("Intel Xeon", "AMD EPYC")]
    assert list(store.load(STARTUP, version=1)["trials"]["machine"]) == classes
    told = store.load(STARTUP, version=1)["conditions"]
    assert list(told["machine"].unique()) == classes
    alone = store.load_run(tmp_path / "2026-03-02", STARTUP)["trials"]
    assert list(alone["machine"]) == classes[1:]
    kept = (data / "startup-v1" / "trials.csv").read_text()
    assert kept.count(OLD) == 2


class Reworded(Trials):
    """The same columns, one of them described in other words."""

    first_output_s: Series[float] = frames.measure("Time until the first output", "s")


class Renamed(Trials):
    """The same columns, one of them in another unit."""

    first_output_s: Series[float] = frames.measure("Time until the first output", "ms")


def test_descriptions_are_written_anew_and_rows_are_not(tmp_path, data):
    """New words for the columns of the newest version; another unit or type is another version."""
    write(tmp_path / "startup")
    for version in (1, 2):
        store.record(STARTUP, [tmp_path], version=version)
    about = {"title": "How long?", "models": MODELS}
    assert not store.describe_anew("startup", **about)
    before = {p.name: p.read_bytes() for p in (data / "startup-v2").iterdir()}
    first = (data / "startup-v1" / "datapackage.json").read_bytes()
    with pytest.raises(DataError, match="in more than words"):
        store.describe_anew("startup", title="x", models=MODELS | {"trials": Renamed})
    assert store.describe_anew("startup", title="How quick?", models={"trials": Reworded})
    after = {p.name: p.read_bytes() for p in (data / "startup-v2").iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"datapackage.json"}
    assert b"Time until the first output" in after["datapackage.json"]
    assert json.loads(after["datapackage.json"])["title"] == "How quick?"
    assert len(store.load(STARTUP)["trials"]) == 3
    assert (data / "startup-v1" / "datapackage.json").read_bytes() == first


@pytest.mark.parametrize("experiment", [*recorded(), noise], ids=lambda e: e.NAME)
def test_published_descriptions_are_those_of_the_models(experiment):
    """Who reads the data without us reads the same words; `tools/describe_data.py` writes them."""
    experiment = complete(experiment)
    name = f"{experiment.NAME}-v{store.version_of(experiment.NAME)}"
    package = datapackage.read(shipped.folder("data") / name)
    assert package["title"] == experiment.QUESTION
    models = tables_of(experiment)
    for table, schema in datapackage.schemas(package).items():
        there = [field["name"] for field in schema["fields"]]
        described = frames.table_schema(models[table], of=there)
        assert schema == described, f"{table}: run tools/describe_data.py"


class Grown(Marks):
    """A model that got two columns after data were recorded."""

    again_s: Series[float] = frames.measure("The same once more", "s", later=True)
    who: Series[str] = frames.field("Who looked", later=True)


class Demanding(Marks):
    """A model with a column that no recording may lack."""

    again_s: Series[float] = frames.measure("The same once more", "s")


def test_columns_added_later_are_empty_in_older_recordings(tmp_path, data):
    """Old files load as they are, text empty and numbers NaN; no other column may be missing."""
    write(tmp_path / "startup")
    store.record(STARTUP, [tmp_path], version=1)
    before = {p.name: p.read_bytes() for p in (data / "startup-v1").iterdir()}
    rows = store.load(module(TABLES={"marks": Grown}))["marks"]
    assert len(rows) == 2
    assert rows["again_s"].isna().all()
    assert list(rows["who"]) == ["", ""]
    with pytest.raises(DataError, match=r"lacks \['again_s'\]"):
        store.load(module(TABLES={"marks": Demanding}))
    assert not store.describe_anew("startup", title="How long?", models={"marks": Grown})
    with pytest.raises(DataError, match="in more than words"):
        store.describe_anew("startup", title="How long?", models={"marks": Demanding})
    assert {p.name: p.read_bytes() for p in (data / "startup-v1").iterdir()} == before


def test_columns_added_later_are_stored_once_they_are_there(tmp_path):
    """A run of today has them, described like every other column."""
    marks = tables()["marks"].assign(again_s=[1.5, None], who=["a", "b"])
    write(tmp_path / "startup", tables=tables() | {"marks": marks},
          models=MODELS | {"marks": Grown})  # fmt: skip
    back = store.load_run(tmp_path, module(TABLES={"marks": Grown}))["marks"]
    assert back["again_s"].tolist()[0] == 1.5
    assert list(back["who"]) == ["a", "b"]
    package = datapackage.read(tmp_path / "startup")
    names = [field["name"] for field in datapackage.schemas(package)["marks"]["fields"]]
    assert names[-2:] == ["again_s", "who"]


def umask():
    """Return the mask of this process."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_record_several_runs(tmp_path, data):
    """Runs of several machines become one package, in the order given."""
    for k in (1, 2):
        write(tmp_path / f"r{k}" / "startup", tables=tables(run=f"2026-03-0{k}T10:00:00Z", count=k))
    store.record(STARTUP, [tmp_path / "r1", tmp_path / "r2"], version=1)
    trials = store.load(STARTUP, version=1)["trials"]
    assert trials["run"].str[8:10].tolist() == ["01", "01", "02", "02", "02"]
    assert len(store.load(STARTUP, version=1)["marks"]) == 4


def test_versions(tmp_path, data):
    """Versions are listed by number; only complete packages of that name count."""
    write(tmp_path / "startup")
    for version in (10, 2):
        store.record(STARTUP, [tmp_path], version=version)
    for name in ("startup-v3", "startup-vx", "startup-v04", "other-v1"):
        (data / name).mkdir()
    (data / "startup-v04" / "datapackage.json").write_text("{}")
    assert store.versions("startup") == [2, 10]
    assert store.versions("other") == []
    with pytest.raises(UsageError, match=r"'startup' version 3. Must be one of \[2, 10\]"):
        store.load(STARTUP, version=3)["trials"]
    with pytest.raises(UsageError, match="Must be recorded first"):
        store.load(module("other"), version=1)["trials"]


def test_record_refuses(tmp_path, data):
    """An existing version, a bad one, no run, and a run given twice are usage errors."""
    write(tmp_path / "startup")
    store.record(STARTUP, [tmp_path], version=1)
    before = (data / "startup-v1" / "trials.csv").read_bytes()
    for folders, version, named in (
        ([tmp_path], 1, "'startup-v1' exist"),
        ([tmp_path], 0, "Invalid version 0"),
        ([], 2, "No run to record"),
        ([tmp_path, tmp_path], 2, "'2026-03-01T10:00:00Z' is given twice"),
        ([tmp_path / "none"], 2, "No run of 'startup'"),
    ):
        with pytest.raises(UsageError, match=named):
            store.record(STARTUP, folders, version=version)
    assert [p.name for p in data.iterdir()] == ["startup-v1"]
    assert (data / "startup-v1" / "trials.csv").read_bytes() == before


def with_facts(folder, **facts):
    """Write a run that states these facts of itself."""
    common = {"run": "2026-03-01T10:00:00Z", "machine": "2 cores", "place": ""}
    rows = [common | {"name": name, "value": value} for name, value in facts.items()]
    found = tables() | {"conditions": frames.from_rows(rows, Conditions)}
    write(folder, tables=found, models={**MODELS, "conditions": Conditions})


def test_an_interrupted_run_is_not_recorded(tmp_path, data, monkeypatch):
    """It says how to end it; what a budget ended, and what does not say, is recorded.

    Seen to fail: with the fact not read, and with every "no" taken for an interruption.
    """
    monkeypatch.chdir(tmp_path)
    with_facts(tmp_path / "r" / "startup", sessions="2", complete="no: 0 of 2 sessions")
    for given in (tmp_path / "r", tmp_path / "r" / "startup"):
        with pytest.raises(UsageError) as caught:
            store.record(STARTUP, [given], version=1)
        assert str(caught.value) == (
            "Run 'r/startup' of 'startup' was interrupted: 0 of 2 sessions. "
            "Must be ended first: caveatlib measure startup --resume r"
        )
    with_facts(tmp_path / "x", complete="no: interrupted in session 1")
    with pytest.raises(UsageError, match=r"interrupted in session 1\. .+ --resume DIR"):
        store.record(STARTUP, [tmp_path / "x"], version=1)
    assert not list(data.iterdir())
    spent = "no: 1 of 2 sessions, the budget was spent"
    for version, facts in enumerate(({"complete": spent}, {"complete": "yes"}, {"seed": "7"}), 1):
        with_facts(tmp_path / "r" / "startup", **facts)
        store.record(STARTUP, [tmp_path / "r"], version=version)


@pytest.mark.parametrize("name", [e.NAME for e in recorded()])
def test_recorded_versions_can_be_recorded_with_a_further_run(name):
    """None of them was interrupted, by their own facts or by having none."""
    for version in store.versions(name):
        folder = shipped.folder("data") / f"{name}-v{version}"
        facts = pd.read_csv(folder / "conditions.csv", dtype=str, keep_default_na=False)
        assert finish.interrupted(facts) == ""


def test_record_checks_its_sources(tmp_path, data):
    """A changed file or another set of columns is a data error and records nothing."""
    write(tmp_path / "a" / "startup")
    write(tmp_path / "b" / "startup", tables={"trials": tables(run="other")["trials"]})
    with pytest.raises(DataError, match="differ from those of"):
        store.record(STARTUP, [tmp_path / "a", tmp_path / "b"], version=1)
    with (tmp_path / "a" / "startup" / "marks.csv").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=r"startup/marks\.csv"):
        store.record(STARTUP, [tmp_path / "a"], version=1)
    assert list(data.iterdir()) == []


def test_record_where_it_cannot(tmp_path, data, monkeypatch):
    """An installed package refuses, and a data folder that cannot be written is told."""
    write(tmp_path / "startup")
    installed = tmp_path / "_shipped" / "data"
    installed.mkdir(parents=True)
    monkeypatch.setattr(shipped, "folder", lambda name: installed)
    with pytest.raises(UsageError, match="checkout"):
        store.record(STARTUP, [tmp_path], version=1)
    monkeypatch.setattr(shipped, "folder", lambda name: tmp_path / "startup" / "trials.csv")
    with pytest.raises(StorageError, match="Cannot make folder 'startup-v1'"):
        store.record(STARTUP, [tmp_path], version=1)


def test_nothing_private_is_written_or_said(tmp_path, data, monkeypatch):
    """With 30 private facts planted, no file and no error of store and journal holds one."""
    values = canaries.planted()
    home = tmp_path / values["home"].removeprefix("/home/")
    home.mkdir()
    for name, value in canaries.environment(values, home).items():
        monkeypatch.setenv(name, value)
    run = home / "runs" / "startup"
    make_folder(run)
    with journal.Journal(run / "journal.jsonl") as opened:
        opened.append("run", {"seed": 7})
        opened.append("trial", row())
        opened.append("end", {})
    write(run)
    store.record(STARTUP, [home / "runs"], version=1)
    facts = values | canaries.machine()
    assert canaries.assert_absent(home / "runs", facts) == 6
    assert canaries.assert_absent(data, facts) == 3
    (home / "runs" / "startup").rename(home / "gone")
    (home / "runs" / "startup").write_text("")
    messages = errors_of(
        lambda: journal.Journal(run / "journal.jsonl"),
        lambda: journal.read(run / "journal.jsonl"),
        lambda: store.load_run(run.parent, STARTUP)["trials"],
        lambda: store.load_run(home, STARTUP)["trials"],
        lambda: store.record(STARTUP, [home], version=2),
        lambda: write(run / "deeper"),
        lambda: make_folder(run / "deeper"),
    )
    assert canaries.found(messages.encode(), facts | {"own folder": str(tmp_path)}) == []


def errors_of(*actions):
    """Return what each action's error shows in a traceback, messages and causes included."""
    shown = []
    for action in actions:
        with pytest.raises(CaveatError) as caught:
            action()
        shown += traceback.format_exception_only(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return "".join(shown)
