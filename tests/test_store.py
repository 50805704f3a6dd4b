"""Data packages: what is written comes back exactly, and what was changed is found."""

import csv
import hashlib
import io
import json
import math
import os
import resource
import traceback
from types import SimpleNamespace

import canaries
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandera.typing.pandas import Series

from caveatlib import frames, store
from caveatlib.errors import CaveatError, DataError, StorageError, UsageError
from caveatlib.experiments import noise, recorded
from caveatlib.measuring import finish, journal
from caveatlib.measuring.experiment import Conditions, complete, tables_of
from caveatlib.support import datapackage, shipped
from caveatlib.support.paths import make_folder

pytestmark = pytest.mark.beside


class Trials(frames.Trials):
    """Trials with every kind of column."""

    first_output_s: Series[float] = frames.measure("start to first output", "s")
    tasks: Series[pd.Int64Dtype] = frames.measure("tasks that ran")
    note: Series[str] = frames.field("a remark, where there is one", nullable=True)


class Marks(frames.Table):
    """A further table."""

    run: Series[str] = frames.field("the run")
    source: Series[str] = frames.field("where the row comes from", isin=frames.SOURCES)
    at_s: Series[float] = frames.field("when", "s")


class Other(frames.Trials):
    """A table of another kind."""


MODELS = {"trials": Trials, "marks": Marks}


def module(name="startup", **changes):
    """Return an experiment of these tables that is asked for nothing but its data."""
    said = {"NAME": name, "QUESTION": "How long?", "PLACES": {}, "DESIGNS": (), "trial": None}
    return complete(
        SimpleNamespace(**said | {"Trials": Trials, "TABLES": {"marks": Marks}} | changes)
    )


STARTUP = module()


def row(**changes):
    """Return one trial."""
    return {
        "run": "2026-03-01T10:00:00Z",
        "source": "live",
        "machine": "2 cores",
        "session": 0,
        "design": "quick",
        "block": 0,
        "position": 0,
        "place": "process",
        "started_at": "2026-03-01T10:00:01.000+00:00",
        "ok": True,
        "error": "",
        "first_output_s": 0.1,
        "tasks": 3,
        "note": "warm",
    } | changes


def tables(run="2026-03-01T10:00:00Z", count=2):
    """Return the tables of a small run; its last trial failed."""
    rows = [row(run=run, block=i, first_output_s=0.1 + i) for i in range(count)]
    failed = {"ok": False, "error": 'no, "it" didn\'t\r\n=1+1'}
    rows.append(row(run=run, block=count, first_output_s=None, tasks=None, note=None, **failed))
    marks = [{"run": run, "source": s, "at_s": 1e-7} for s in ("live", "simulated")]
    return {
        "trials": frames.from_rows(rows, Trials),
        "marks": frames.from_rows(marks, Marks),
    }


def write(folder, **changes):
    """Write a small run and return its tables."""
    written = changes.pop("tables", None) or tables()
    models = changes.pop("models", MODELS)
    summary = pd.DataFrame(
        {"n": [2], "median_s": [0.6], "high_s": [math.inf]},
        index=pd.Index(["process"], name="place"),
    )
    arguments = {"title": "How long?", "summary": summary, "verdicts": [{"low": math.nan}]}
    finish.write_package(folder, "startup", written, models, **(arguments | changes))
    return written


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Return an empty folder of recorded data that stands for the shipped one."""
    folder = tmp_path / "checkout" / "data"
    folder.mkdir(parents=True)
    monkeypatch.setattr(shipped, "folder", lambda name: folder)
    return folder


def test_tables_come_back_exactly(tmp_path):
    """Every table reads back equal, dtypes included, from the run or its inner folder."""
    written = write(tmp_path / "startup")
    for folder in (tmp_path, tmp_path / "startup", str(tmp_path)):
        for table in MODELS:
            back = store.load_run(folder, STARTUP)[table]
            pd.testing.assert_frame_equal(back, written[table], check_exact=True)
    back = store.load_run(tmp_path, STARTUP)["trials"]
    assert back["error"].tolist() == ["", "", 'no, "it" didn\'t\r\n=1+1']
    assert back["note"].isna().tolist() == [False, False, True]
    assert set(back["source"]) == {"live"}


def test_bytes_of_a_table(tmp_path):
    """A table's file is these bytes and no others, and writing it again changes none."""
    write(tmp_path / "startup")
    first = {p.name: p.read_bytes() for p in (tmp_path / "startup").iterdir()}
    assert first["trials.csv"].decode() == (
        "run,source,machine,session,design,block,position,place,started_at,ok,error,"
        "busy_per_cpu,stolen_share,lasted_s,age_s,age_trials,first_output_s,tasks,note\n"
        "2026-03-01T10:00:00Z,live,2 cores,0,quick,0,0,process,2026-03-01T10:00:01.000+00:00,"
        "True,,,,,,,0.1,3,warm\n"
        "2026-03-01T10:00:00Z,live,2 cores,0,quick,1,0,process,2026-03-01T10:00:01.000+00:00,"
        "True,,,,,,,1.1,3,warm\n"
        "2026-03-01T10:00:00Z,live,2 cores,0,quick,2,0,process,2026-03-01T10:00:01.000+00:00,"
        'False,"no, ""it"" didn\'t\r\n=1+1",,,,,,,,\n'
    )
    assert first["summary.csv"] == b"place,n,median_s,high_s\nprocess,2,0.6,INF\n"
    assert json.loads(first["verdicts.json"]) == [{"low": None}]
    write(tmp_path / "startup")
    assert {p.name: p.read_bytes() for p in (tmp_path / "startup").iterdir()} == first


def test_package_describes_its_files(tmp_path):
    """The description names, sizes and hashes every other file, and explains every column."""
    write(tmp_path / "startup")
    package = json.loads((tmp_path / "startup" / "datapackage.json").read_text())
    assert (package["name"], package["title"]) == ("startup", "How long?")
    assert package["licenses"][0]["name"] == "CC-BY-4.0"
    files = {p.name for p in (tmp_path / "startup").iterdir()}
    assert {r["path"] for r in package["resources"]} | {"datapackage.json"} == files
    for entry in package["resources"]:
        content = (tmp_path / "startup" / entry["path"]).read_bytes()
        assert entry["bytes"] == len(content)
        assert entry["hash"] == "sha256:" + hashlib.sha256(content).hexdigest()
    trials = next(r for r in package["resources"] if r["name"] == "trials")
    assert trials["schema"] == frames.table_schema(Trials)


TEXT = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["", "=1+1", '"', '""', "a,b", "\n", "\r\n", "\r", "NaN", "null", "True", " x ", "\0", "\ufeff"]
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "error": TEXT,
            "place": TEXT,
            "ok": st.booleans(),
            "block": st.integers(0, 2**63 - 1),
            "first_output_s": st.none() | st.floats(0, allow_nan=False),
            "tasks": st.none() | st.integers(0, 2**53),
            "note": st.none() | TEXT.filter(bool),
        }
    ),
    min_size=0,
    max_size=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(ROWS)
def test_any_rows_come_back_exactly(tmp_path, rows):
    """Whatever text, number, or nothing is written is read, and `csv` reads the same."""
    frame = frames.from_rows([row(**values) for values in rows], Trials)
    written = write(tmp_path / "startup", tables={"trials": frame, "marks": tables()["marks"]})
    folder = tmp_path / "startup"
    texts = datapackage.read_rows(folder, datapackage.read(folder), "trials")
    back = datapackage.to_frame(*texts, Trials, "trials.csv")
    pd.testing.assert_frame_equal(back, written["trials"], check_exact=True)
    content = (tmp_path / "startup" / "trials.csv").read_bytes().decode()
    others = list(csv.reader(io.StringIO(content, newline="")))
    header, texts = datapackage.parse(content.encode(), "trials.csv")
    assert others == [header, *texts]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text('ab,"\n', max_size=30).map(str.encode))
def test_any_bytes_are_csv_or_a_data_error(content):
    """Bytes that are no table are a data error, never a guess and never a traceback."""
    try:
        header, rows = datapackage.parse(content, "x.csv")
    except DataError:
        return
    assert all(len(r) == len(header) for r in rows)
    assert datapackage.parse(datapackage.to_csv("x", header, rows), "x.csv") == (header, rows)


@pytest.mark.parametrize(
    "content", [b"", b"a", b"a\nb", b'a\n"b', b'a\n"b"c\n', b"\xff\n", b"a\n1,2\n"]
)
def test_text_that_is_no_csv(content):
    """A file that stops inside a row, or quotes out of place, is a data error."""
    with pytest.raises(DataError, match=r"x\.csv"):
        datapackage.parse(content, "x.csv")


def test_lone_empty_field():
    """A row that is one empty text is not the empty line that other readers skip."""
    assert datapackage.to_csv("x", ["a"], [[""], ["b"]]) == b'a\n""\nb\n'


def test_unreadable_file(tmp_path):
    """A file that cannot be read is a storage error that gives no folder above it."""
    (tmp_path / "startup" / "datapackage.json").mkdir(parents=True)
    with pytest.raises(StorageError) as caught:
        datapackage.read(tmp_path / "startup")
    assert str(caught.value) == "Cannot read 'startup/datapackage.json': Is a directory."
    assert caught.value.__suppress_context__


def test_texts_that_would_not_come_back(tmp_path):
    """Empty text where text may be missing, and half a surrogate pair, are refused."""
    for changes, named in (({"note": ""}, "'note'"), ({"place": "x\udcff"}, "cannot be UTF-8")):
        frame = frames.from_rows([row(**changes)], Trials)
        with pytest.raises(DataError, match=named):
            write(tmp_path / "startup", tables={"trials": frame})
    assert not (tmp_path / "startup").exists()


def test_invalid_table_writes_nothing(tmp_path):
    """A frame that breaks its model is refused before anything is written."""
    frame = tables()["trials"].assign(first_output_s=-1.0)
    with pytest.raises(DataError, match="first_output_s"):
        write(tmp_path / "startup", tables={"trials": frame})
    assert not (tmp_path / "startup").exists()


def test_every_changed_byte_is_found(tmp_path):
    """A changed, cut or longer file is an error that names it, what it has and must have."""
    write(tmp_path / "startup")
    path = tmp_path / "startup" / "trials.csv"
    content = path.read_bytes()
    expected = "sha256:" + hashlib.sha256(content).hexdigest()
    changed = [content[:i] + bytes([b ^ 1]) + content[i + 1 :] for i, b in enumerate(content)]
    for wrong in (*changed, content[:-1], b"", content + b"\n"):
        path.write_bytes(wrong)
        with pytest.raises(DataError) as caught:
            store.load_run(tmp_path, STARTUP)["trials"]
        message = str(caught.value)
        assert "'startup/trials.csv'" in message
        assert expected in message
        assert hashlib.sha256(wrong).hexdigest() in message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"resources": 3}',
        b"\xff",
        b'{"name": "startup"}',
    ],
)
def test_unusable_description(tmp_path, content):
    """A description that is cut or nonsense is a data error."""
    write(tmp_path / "startup")
    (tmp_path / "startup" / "datapackage.json").write_bytes(content)
    with pytest.raises(DataError, match=r"startup/datapackage\.json"):
        store.load_run(tmp_path, STARTUP)["trials"]


def test_description_cannot_lead_elsewhere(tmp_path):
    """The path that a description gives is not followed, and other names are refused."""
    write(tmp_path / "startup")
    path = tmp_path / "startup" / "datapackage.json"
    path.write_text(path.read_text().replace('"path": "trials.csv"', '"path": "../../secret"'))
    assert len(store.load_run(tmp_path, STARTUP)["trials"]) == 3
    for name in ("../x", "", "Startup", "/etc", "a/b", "a\n"):
        with pytest.raises(UsageError, match="Invalid name"):
            store.load_run(tmp_path, module(name))
        with pytest.raises(UsageError, match="Invalid name"):
            store.versions(name)


def test_requests_that_find_nothing(tmp_path):
    """A missing run, table or file is one clear line."""
    with pytest.raises(UsageError, match="No run of 'startup' in"):
        store.load_run(tmp_path, STARTUP)["trials"]
    (tmp_path / "startup").mkdir()
    (tmp_path / "startup" / "journal.jsonl").write_text("")
    with pytest.raises(UsageError, match="unfinished"):
        store.load_run(tmp_path, STARTUP)["trials"]
    write(tmp_path / "startup")
    folder = tmp_path / "startup"
    for table in ("nope", "summary", "verdicts"):
        with pytest.raises(UsageError, match=rf"No table '{table}'.*\['marks', 'trials'\]"):
            datapackage.read_rows(folder, datapackage.read(folder), table)
    with pytest.raises(DataError, match=r"of 'startup'\. Must be of 'quota'"):
        store.load_run(tmp_path / "startup", module("quota"))["trials"]
    (tmp_path / "startup" / "marks.csv").unlink()
    with pytest.raises(DataError, match=r"'startup/marks\.csv' is missing"):
        store.load_run(tmp_path, STARTUP)["marks"]


def test_model_that_has_moved_on(tmp_path):
    """A table written under another model is a data error that names the columns."""
    write(tmp_path / "startup")
    with pytest.raises(DataError, match=r"lacks \['machine', .* and has \['at_s'"):
        store.load_run(tmp_path, module(TABLES={"marks": Other}))
    folder = tmp_path / "startup"
    header, rows = datapackage.parse((folder / "trials.csv").read_bytes(), "x")
    for column, text in (("ok", "yes"), ("block", "1.5"), ("block", ""), ("first_output_s", "1,5")):
        wrong = [dict(zip(header, r, strict=True)) | {column: text} for r in rows]
        with pytest.raises(DataError, match=f"Column '{column}' of 'x' has a value that is not"):
            datapackage.to_frame(header, [list(r.values()) for r in wrong], Trials, "x")


def test_unwritable_folder(tmp_path):
    """A folder that cannot be made or written is a storage error, with nothing left."""
    (tmp_path / "file").write_text("")
    for action in (write, make_folder):
        with pytest.raises(StorageError) as caught:
            action(tmp_path / "file" / "startup")
        assert str(caught.value) == "Cannot make folder 'startup': Not a directory."
    (tmp_path / "startup" / "trials.csv").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"startup/trials\.csv"):
        write(tmp_path / "startup")
    assert [p.name for p in (tmp_path / "startup").iterdir()] == ["trials.csv"]


def test_full_disk_changes_nothing(tmp_path):
    """When the last file does not fit, the earlier package stays and nothing joins it."""
    write(tmp_path / "startup")
    before = {p.name: p.read_bytes() for p in (tmp_path / "startup").iterdir()}
    larger = tables(count=3)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before["datapackage.json"]) - 10, hard))
    try:
        with pytest.raises(StorageError, match=r"startup/datapackage\.json"):
            write(tmp_path / "startup", tables=larger)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {p.name: p.read_bytes() for p in (tmp_path / "startup").iterdir()} == before


def test_table_names_that_are_taken(tmp_path):
    """A table may not take the name of what follows from the tables."""
    with pytest.raises(UsageError, match="'summary'"):
        write(tmp_path / "startup", tables={"summary": tables()["trials"]})


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
