"""The journal: nothing acknowledged is lost, and nothing wrong is believed.

Seen to fail: with the checksum not looked at, with a torn tail left where it is, with a record
written in two pieces, and without the lock.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pandas as pd
import pytest
import tried

from caveatlib.errors import DataError, StorageError, UsageError
from caveatlib.measuring import journal

pytestmark = pytest.mark.beside

# Appends rows 0, 1, 2, ... and says each one's number once it is acknowledged.
# Every tenth is long enough for a kill to hit in the middle of its write.
WRITER = """
import os, sys
from caveatlib.measuring.journal import Journal
path, life, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with Journal(path) as journal:
    for i in range(rows):
        pad = "x" * (300_000 if i % 10 == 3 else i % 50)
        journal.append("trial", {"life": life, "i": i, "pad": pad})
        os.write(1, b"%d\\n" % i)
"""

# Appends until the disk is full, makes room, and appends once more.
FILLER = """
import resource, subprocess, sys
from caveatlib.errors import StorageError
from caveatlib.measuring.journal import Journal, read
path, kind = sys.argv[1:]
if kind == "tmpfs":
    folder = path.rpartition("/")[0]
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    ballast = folder + "/ballast"
    open(ballast, "wb").write(bytes(8192))
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
with Journal(path) as journal:
    rows = 0
    try:
        while rows < 1000:
            journal.append("trial", {"i": rows, "pad": "x" * 700})
            rows += 1
    except StorageError as error:
        print(error)
    print(rows, [r.data["i"] for r in read(path).records] == list(range(rows)))
    if kind == "tmpfs":
        open(ballast, "wb").close()
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    journal.append("end", {})
    found = read(path)
    print(len(found.records), found.complete)
"""


@pytest.fixture
def path(tmp_path):
    """Return where a journal may be."""
    return tmp_path / "journal.jsonl"


def write(path, rows=3, end=True):
    """Write a small complete journal and return its bytes."""
    with journal.Journal(path) as opened:
        opened.append("run", {"seed": 7})
        for i in range(rows):
            opened.append("trial", {"i": i, "first_output_s": 0.1 + i})
        if end:
            opened.append("end", {})
    return path.read_bytes()


def test_records_come_back(path):
    """What was appended is read, in order."""
    write(path)
    found = journal.read(path)
    assert [r.kind for r in found.records] == ["run", "trial", "trial", "trial", "end"]
    assert found.records[2].data == {"i": 1, "first_output_s": 1.1}
    assert (found.complete, found.note) == (True, "")


def test_values_of_numpy_and_pandas(path):
    """Scalars become Python's, and no value becomes null in strict JSON."""
    data = {
        "count": np.int64(3),
        "ok": np.bool_(True),
        "exact_s": np.float64(0.1) + 0.2,
        "none": [float("nan"), np.float32("nan"), pd.NA, pd.NaT, None],
        "array": np.arange(3),
        "text": "line\nend \udcff \u202e \x1b[31m",
    }
    with journal.Journal(path) as opened:
        opened.append("trial", data)
    (record,) = journal.read(path).records
    assert record.data == {
        "count": 3,
        "ok": True,
        "exact_s": 0.1 + 0.2,
        "none": [None] * 5,
        "array": [0, 1, 2],
        "text": data["text"],
    }
    assert record.data["ok"] is True
    line = path.read_bytes()
    assert line.isascii()
    assert line.count(b"\n") == 1
    json.loads(line.split(b" ", 1)[1], parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (float("inf"), "Value inf of data.x[1].y is infinite"),
        (np.float64("-inf"), "of data.x[1].y is infinite"),
        (object(), "Value of data.x[1].y is of type 'object'"),
        (np.longdouble(1), "Value of data.x[1].y is of type 'longdouble'"),
        ({1: 2}, "Key 1 of data.x[1].y is not text"),
    ],
)
def test_values_that_json_cannot_say(path, value, named):
    """A value without a JSON form is refused by name, and nothing is written."""
    with journal.Journal(path) as opened:
        with pytest.raises(DataError) as caught:
            opened.append("trial", {"x": [0, {"y": value}]})
        opened.append("end", {})
    assert named in str(caught.value)
    assert [r.kind for r in journal.read(path).records] == ["end"]


def test_every_prefix_loads_and_can_be_continued(path):
    """A journal cut at any byte gives its whole records, a flag, and goes on."""
    content = write(path)
    whole = journal.read(path).records
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        lines = content[:cut].count(b"\n")
        found = journal.read(path)
        assert found.records == whole[:lines]
        assert not found.complete
        assert ("cut short" in found.note) == (not content[:cut].endswith(b"\n") and cut > 0)
        with journal.Journal(path) as opened:
            opened.append("end", {})
        after = journal.read(path)
        assert after.records[:-1] == whole[:lines]
        assert after.complete


@pytest.mark.slow
def test_every_wrong_byte_is_found_whatever_it_becomes(path, bars):
    """Each byte of a small journal, set to each other value, is an error with its line."""
    check_flips(path, lambda byte: set(range(256)) - {byte}, bars)


def test_every_wrong_byte_is_found(path, bars):
    """Each byte of a small journal, changed in a few telling ways, is an error with its line."""
    telling = {10, 0, 32}
    check_flips(path, lambda byte: {byte ^ (1 << bit) for bit in range(8)} | telling, bars)


def check_flips(path, values, bars):
    content, count = write(path, rows=2), 0
    for at, byte in enumerate(content):
        line = content[:at].count(b"\n") + 1
        for value in values(byte) - {byte}:
            path.write_bytes(content[:at] + bytes([value]) + content[at + 1 :])
            with pytest.raises(DataError, match=rf"^Line {line} of 'journal.jsonl'"):
                journal.read(path)
            count += 1
    bars.append(("journal: wrong bytes found, with their line", f"{count} of {count}", "all"))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: lines[1:], 1),
        (lambda lines: [*lines[:2], *lines[3:]], 3),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], 3),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2),
        (lambda lines: [*lines[:2], b"\n", *lines[2:]], 3),
        (lambda lines: [*lines[:2], lines[2][:-1] + b"\r\n", *lines[3:]], 3),
        (lambda lines: [*lines, lines[-1]], 6),
    ],
    ids=["first", "middle", "doubled", "swapped", "blank", "crlf", "doubled-last"],
)
def test_missing_doubled_and_moved_records(path, change, line):
    """Whole records in a wrong place are an error with the line where it shows."""
    lines = write(path).splitlines(keepends=True)
    path.write_bytes(b"".join(change(lines)))
    with pytest.raises(DataError, match=rf"^Line {line} of"):
        journal.read(path)


def test_valid_checksum_does_not_make_a_record(path):
    """JSON that is no record is damage even where its checksum is right."""
    for text in (b"[]", b"{}", b"nonsense", b"[" * 100_000):
        path.write_bytes(b"%08x %s\n" % (zlib.crc32(text), text))
        with pytest.raises(DataError, match=r"^Line 1 "):
            journal.read(path)


def test_damaged_end_is_not_cut_away(path):
    """A last record with a wrong line end is damage, which opening must not erase."""
    content = write(path)[:-1] + b"?"
    path.write_bytes(content)
    with pytest.raises(DataError, match="line end"):
        journal.Journal(path)
    assert path.read_bytes() == content


def test_run_without_end_is_flagged(path):
    """A journal of whole records that never ended says how far it came."""
    write(path, end=False)
    found = journal.read(path)
    assert not found.complete
    assert "4 records" in found.note
    path.write_bytes(b"")
    assert journal.read(path) == ([], False, journal.read(path).note)


def kill_writers(path, lives, seed):
    """Kill a writer per life at a random instant; return acknowledged rows and torn tails."""
    pace = random.Random(seed)
    acknowledged, torn = set(), 0
    for life in range(lives):
        command = [sys.executable, "-c", WRITER, str(path), str(life), "1000000"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        said = [child.stdout.readline()]
        reader = threading.Thread(target=lambda c=child, s=said: s.append(c.stdout.read()))
        reader.start()
        time.sleep(pace.uniform(0, 0.02))
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=20)
        reader.join(timeout=20)
        child.stdout.close()
        numbers = b"".join(said).split(b"\n")[:-1]  # an acknowledgement itself may be cut
        acknowledged |= {(life, int(i)) for i in numbers}
        torn += "cut short" in journal.read(path).note
    return acknowledged, torn


def check_kills(path, lives, seed) -> tuple[int, int]:
    acknowledged, torn = kill_writers(path, lives, seed)
    rows = [(r.data["life"], r.data["i"]) for r in journal.read(path).records]
    assert len({life for life, _ in acknowledged}) == lives
    assert acknowledged <= set(rows)
    assert len(rows) == len(set(rows))
    assert len(rows) - len(acknowledged) <= lives  # only a trial in flight may be extra
    return len(acknowledged), torn


def test_kills_lose_nothing_acknowledged(path, bars):
    """Eight writers of one file, each killed at a random instant, lose no row."""
    rows, torn = check_kills(path, lives=8, seed=1)
    bars.append(("journal: 8 kills, rows lost", f"0 of {rows:,}, {torn} torn", "0"))


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing_acknowledged(tmp_path, bars):
    """Two hundred killed writers lose no acknowledged row."""
    parts = [check_kills(tmp_path / f"{n}.jsonl", lives=20, seed=100 + n) for n in range(10)]
    rows, torn = map(sum, zip(*parts, strict=True))
    bars.append(("journal: 200 kills, rows lost", f"0 of {rows:,}, {torn} torn", "0"))


def test_one_process_at_a_time(path):
    """A second opening is refused, in this process and in another, and changes nothing."""
    with journal.Journal(path) as opened:
        opened.append("run", {})
        with pytest.raises(UsageError, match=r"'journal.jsonl' is open in another process\. One"):
            journal.Journal(path)
        done = subprocess.run(
            [sys.executable, "-c", WRITER, str(path), "0", "1"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert "is open in another process" in done.stderr
        opened.append("end", {})
    with journal.Journal(path):
        pass
    assert [r.kind for r in journal.read(path).records] == ["run", "end"]


def test_a_tail_is_cut_before_the_next_record(path):
    """What an interrupted write of this very journal left does not stay in the middle."""
    with journal.Journal(path) as opened:
        opened.append("run", {})
        with path.open("ab") as other:
            other.write(b'0badf00d {"kind":"tri')
        opened.append("end", {})
    assert [r.kind for r in journal.read(path).records] == ["run", "end"]


def fill(command, path, kind):
    done = subprocess.run(
        [*command, sys.executable, "-c", FILLER, str(path), kind],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    message, rows, after = done.stdout.splitlines()
    count, exact = rows.split()
    assert int(count) > 40
    assert exact == "True"
    assert after == f"{int(count) + 1} True"
    return message, int(count)


def test_file_size_limit_keeps_earlier_rows(path):
    """A write cut by RLIMIT_FSIZE is a typed error; all earlier and later rows are readable."""
    message, _ = fill([], path, "limit")
    assert message.startswith("Cannot write 'journal.jsonl': ")


def test_full_disk_keeps_earlier_rows(path, require, bars):
    """A write to a full tmpfs is a typed error; all earlier and later rows are readable."""
    private = tried.MOUNTS if tried.mounts().available else tried.ANYBODY
    require("mounts" if private is tried.MOUNTS else "anybody's mounts")
    message, rows = fill([*private], path, "tmpfs")
    assert message.startswith("Cannot write 'journal.jsonl': ")
    bars.append(("journal: full disk, earlier rows readable", f"{rows} of {rows}", "all"))


def test_interrupted_append_leaves_the_journal_usable(path, monkeypatch):
    """Ctrl-C right after the write keeps that record, and later ones are readable."""
    real = os.write

    def interrupted(fd, line):
        real(fd, line)
        raise KeyboardInterrupt

    with journal.Journal(path) as opened:
        monkeypatch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            opened.append("trial", {"i": 0})
        monkeypatch.setattr(os, "write", real)
        opened.append("trial", {"i": 1})
    assert [r.data["i"] for r in journal.read(path).records] == [0, 1]


def test_closed_journal_refuses(path):
    """Appending to a closed journal is a usage error; closing twice is harmless."""
    opened = journal.Journal(path)
    opened.close()
    opened.close()
    with pytest.raises(UsageError, match="is closed"):
        opened.append("trial", {})


def test_unusable_paths(tmp_path):
    """What cannot be opened or read is a storage error without the folders above it."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "none" / "j.jsonl", tmp_path / "file" / "j.jsonl", tmp_path):
        for action in (journal.Journal, journal.read):
            with pytest.raises(StorageError) as caught:
                action(path)
            assert str(tmp_path.parent) not in str(caught.value)
            assert repr(path.name) in str(caught.value)
            assert caught.value.__suppress_context__
