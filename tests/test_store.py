"""Data packages: what is written comes back exactly, and what was changed is found."""

import csv
import hashlib
import io
import json
import re
import resource

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import MODELS, STARTUP, Trials, module, row, tables, write

from caveatlib import frames, store
from caveatlib.errors import DataError, StorageError, UsageError
from caveatlib.support import datapackage
from caveatlib.support.paths import display_path, make_folder

pytestmark = pytest.mark.beside


class Other(frames.Trials):
    """A table of another kind."""


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


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
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
    ended = re.escape(f"measure startup --resume {display_path(tmp_path)}")
    with pytest.raises(UsageError, match=f"unfinished.*caveatlib {ended}$"):
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
