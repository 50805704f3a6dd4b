"""The command line: what it prints, and how every mistake ends."""

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import re
import shutil
import socket
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import imagebuild as build
import left
import pytest

from caveatlib import claims, cli, host, images, report, scorecard, trials
from caveatlib.errors import MeasurementError
from caveatlib.experiments import ALL, startup
from caveatlib.places import spec
from caveatlib.places.base import Capability
from caveatlib.places.engines import choice

pytestmark = pytest.mark.beside

SAMPLES = Path(__file__).parents[1] / "data" / "images"
COLUMNS = (
    "layer,digest,diff_id,created_by,media_type,compressed_bytes,size_bytes,files,wasted_bytes,"
    "verified"
)


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Return a function that runs the command in an empty folder: status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CAVEATLIB_SOURCE", raising=False)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["caveatlib", *map(str, words)])
        return ended(), *capsys.readouterr()

    return call


def ended() -> int:
    """Run the command and return its status."""
    try:
        cli.main()
    except SystemExit as end:
        return end.code or 0
    return 0


SHORT = "measure startup --places process --blocks 2 --out here"


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Measure once for all tests: the folder of the run, how the command ended, what it said."""
    folder = tmp_path_factory.mktemp("short")
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("CAVEATLIB_SOURCE", raising=False)
        patch.setattr(sys, "argv", ["caveatlib", *SHORT.split()])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = ended()
    said = {"status": status, "out": out.getvalue(), "err": err.getvalue()}
    return SimpleNamespace(folder=folder / "here", **said)


BAD = [
    (["measure", "dockr"], "'dockr'"),
    (["measure"], "NAME"),
    (["frobnicate"], "frobnicate"),
    (["measure", "startup", "--bogus"], "--bogus"),
    (["measure", "startup", "--blocks", "x"], "'x'"),
    (["measure", "startup", "--blocks", "0"], "0"),
    (["measure", "startup", "--sessions", "0"], "0"),
    (["measure", "startup", "--budget-s", "-3"], "-3"),
    (["measure", "startup", "--budget-s", "nan"], "nan"),
    (["measure", "startup", "--budget-s", "inf"], "inf"),
    (["measure", "startup", "--places", "process,dockr"], "'dockr'"),
    (["measure", "startup", "--engine", "nix"], "'nix'"),
    (["measure", "startup", "--engine", "tcp://engine.invalid:2375"], "engine.invalid"),
    (["measure", "startup", "--engine", "ssh://engine.invalid"], "engine.invalid"),
    (["measure", "startup", "--resume", "nowhere"], "'nowhere'"),
    (["measure", "startup", "--resume", "a", "--out", "b"], "'a'"),
    (["measure", "startup", "--places", "process", "--out", "/proc/nowhere"], "startup"),
    (["measure", "startup", "--seed", "-1"], "-1"),
    (["measure", "startup", "startup"], "'startup' twice"),
    (["measure", "startup", "--places", ","], "','"),
    (["measure", "startup", "quota", "--places", "process"], "'process'"),
    (["measure", "startup", "--places", "process", "--out", "x" * 300], "xxx"),
    (["import", "x.json", "--out", "x" * 300], "xxx"),
    (["record", "startup", "--from", "x" * 300, "--version", "99"], "xxx"),
    (["check", "x" * 300], "xxx"),
    (["image", "nowhere.tar"], "'nowhere.tar'"),
    (["image", "x", "--table", "bytes"], "'bytes'"),
    (["image", "x", "--verify", "--table", "files"], "--verify and --table files"),
    (["image", "docker://"], "Image ''"),
    (["image", "docker://../../x y"], "'../../x y'"),
    (["image", "docker://a/../b"], "'a/../b'"),
    (["why", "8080"], "'8080'"),
    (["scorecard", "--source", "nowhere"], "'nowhere'"),
    (["report", "--source", "nowhere"], "'nowhere'"),
    (["record", "startup", "--from", "nowhere", "--version", "99"], "nowhere"),
    (["record", "startup", "--from", "nowhere", "--version", "1"], "1"),
]


@pytest.mark.parametrize(("words", "named"), BAD, ids=[" ".join(w) for w, _ in BAD])
def test_a_mistake_is_one_line_and_leaves_nothing(run, tmp_path, words, named):
    """Offending value on stderr, status 2, no traceback, no file, nothing announced before."""
    status, out, err = run(*words)
    assert status == 2
    assert out == "" or "--out" in words  # that a folder cannot be made shows when it is made
    assert err.count("\n") == 1
    assert err.startswith("caveatlib: ")
    assert named in err
    assert not list(tmp_path.iterdir())


COMMANDS = [c.name or c.callback.__name__ for c in cli.app.registered_commands]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(run, name):
    """Whole, brackets and all."""
    status, out, err = run(name, "--help")
    assert (status, err) == (0, "")
    assert "--help" in out.splitlines()[-2 if not out.splitlines()[-1].strip() else -1]


def test_no_folder_is_found_in_the_way_after_an_hour(run, monkeypatch, tmp_path):
    """What stands in the way of the last experiment is said before the first is measured."""
    monkeypatch.setattr(trials, "cost", lambda *asked, **of: (1.0, 0))  # wherever it runs
    (tmp_path / "r" / "quota").mkdir(parents=True)
    status, out, err = run("measure", "startup", "quota", "--out", "r")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "'r/quota' exists" in err
    assert [p.name for p in (tmp_path / "r").iterdir()] == ["quota"]


def test_the_budget_announced_has_a_first_session(run, monkeypatch):
    """That is measured whole, so ten seconds are not what it takes."""

    def stop(*args, **options):
        raise MeasurementError("Enough.")

    monkeypatch.setattr(trials, "measure", stop)
    _, out, _ = run("measure", "startup", "--places", "process", "--budget-s", "1")
    designs, missing = trials.arms_here(startup, places=["process"])
    first_s = trials.first_session_s(designs, missing)
    assert first_s > 2
    assert f"about {first_s:.0f} s" in out


def test_a_full_disk_at_standard_output_is_one_line(run, monkeypatch):
    """Whatever is printed, no traceback follows."""

    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sys, "stdout", Full())
    status, _, err = run("why", "--help")
    assert (status, err) == (2, "caveatlib: The system refused: No space left on device.\n")


def test_a_remote_engine_must_be_named(run, monkeypatch, tmp_path):
    """An environment that points at another machine is refused, and shown."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://production.invalid:2375")
    status, _, err = run("measure", "startup", "--engine", "own")
    assert status == 2
    assert "production.invalid" in err
    assert not list(tmp_path.iterdir())


def test_an_unknown_context_is_no_silent_fallback(run, monkeypatch):
    """A context that does not exist ends in one line."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONTEXT", "prod")
    status, _, err = run("measure", "startup", "--engine", "own")
    assert (status, err.count("\n")) == (2, 1)
    assert "'prod'" in err


def test_a_dead_engine(run, monkeypatch, tmp_path):
    """A socket nobody listens on is one line."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    status, _, err = run("measure", "startup", "--engine", "own")
    assert (status, err.count("\n")) == (2, 1)


def test_nothing_can_run(run, monkeypatch, tmp_path):
    """A live request where nothing can run says why, once, announces and writes nothing."""
    monkeypatch.setattr(spec, "missing", lambda specs, *, engine: dict.fromkeys(specs, "absent"))
    status, out, err = run("measure", "startup")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.count("absent") == 1
    assert not list(tmp_path.iterdir())


def test_measure_announces_prints_and_writes(short):
    """It says first how long and where; last the numbers, what they decide, and what is next."""
    assert (short.status, short.err) == (0, "")
    first, *rest = short.out.splitlines()
    assert "MiB of disk" in first
    assert "here/startup" in first
    assert any(line.startswith("process") for line in rest)
    assert any(re.match(r"C23.* not measured here: ", line) for line in rest)
    assert rest[-2:] == ["The run lies in here/startup", "Next: caveatlib report --source here"]
    assert max(map(len, rest)) <= 100
    assert "nan" not in short.out.split()
    written = {p.name for p in (short.folder / "startup").iterdir()}
    assert written >= {"trials.csv", "datapackage.json", "summary.csv", "verdicts.json"}
    keys = {"claim", "experiment", "verdict", "effect", "low", "high", "unit", "n", "machine",
            "source", "because"}  # fmt: skip
    verdicts = json.loads((short.folder / "startup" / "verdicts.json").read_text())
    assert all(set(v) == keys for v in verdicts)


def test_a_failed_measurement_is_status_1(run, monkeypatch):
    """What was tried and failed is no bad usage."""

    def fail(*args, **options):
        raise MeasurementError("It broke.\n\x1b[31mhere")

    monkeypatch.setattr(trials, "measure", fail)
    status, _, err = run("measure", "startup", "--places", "process")
    assert (status, err) == (1, "caveatlib: It broke. [31mhere\n")


def test_ctrl_c_says_how_to_go_on(run, monkeypatch):
    """An interruption keeps its status and names the command that resumes this and the rest."""

    def interrupt(experiment, *, out, **options):
        if begun:
            (out / experiment.NAME).mkdir(parents=True)
            (out / experiment.NAME / "journal.jsonl").touch()
        raise KeyboardInterrupt

    begun = False
    monkeypatch.setattr(trials, "cost", lambda *asked, **of: (1.0, 0))  # wherever it runs
    monkeypatch.setattr(trials, "measure", interrupt)
    words = ["measure", "startup", "quota", "--sessions", "1", "--out", "r"]
    assert run(*words)[::2] == (130, "\nInterrupted before anything was measured.\n")
    begun = True
    status, _, err = run(*words)
    assert status == 130
    assert err.endswith("Go on with: caveatlib measure startup quota --resume r\n")
    words[-1] = "with blanks"
    assert run(*words)[2].endswith("--resume 'with blanks'\n")


def test_doctor_speaks_json(run):
    """A list of objects with exactly four keys; status 0 whatever is missing."""
    status, out, _ = run("doctor", "--json")
    assert status == 0
    found = json.loads(out)
    assert {"process", "private-engine", "own-engine"} <= {a["ability"] for a in found}
    assert all(set(a) == {"ability", "available", "reason", "fix"} for a in found)


def test_doctor_names_a_fix_for_what_is_missing(run, monkeypatch):
    """Capability by ability, then experiment by arm."""
    monkeypatch.setattr(spec, "missing", lambda specs, *, engine: {"runc": "runc: no program"})
    _, out, _ = run("doctor", "--long")
    assert "no: runc: no program" in out
    assert "can run" in out


def test_doctor_ends_with_what_can_be_decided(run, monkeypatch):
    """Each claim once, with the command that decides it, or what is missing for it."""
    prospects = [
        host.Prospect("C07", "quota", "", frozenset()),
        host.Prospect("C23", "startup", "kvm: no /dev/kvm", frozenset()),
        host.Prospect("C24", "startup", "kvm: no /dev/kvm", frozenset()),
    ]
    first = ALL[0]
    monkeypatch.setattr(host, "prospects", lambda e: prospects if e is first else [])
    _, out, _ = run("doctor")
    assert out.splitlines()[-4:] == [
        "You can decide 1 of 3 claims here:",
        "  caveatlib measure quota: C07",
        "You cannot decide here:",
        "  C23, C24: kvm: no /dev/kvm",
    ]


def test_doctor_tells_each_reason_once(run, monkeypatch):
    """What lacks one thing stands in one line; all of it on request. Nobody needs to try as root.

    Seen to fail: with a line for each ability.
    """
    why = {"available": False, "reason": "needs root", "fix": "sudo make system"}
    found = [Capability("a", **why), Capability("b", **why), Capability("c", True, "here")]
    monkeypatch.setattr(host, "capabilities", lambda: found)
    monkeypatch.setattr(host, "prospects", lambda e: [])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    short = run("doctor")[1].splitlines()
    assert [line for line in short if "needs root" in line] == [
        "missing  a, b: needs root  ->  sudo make system"
    ]
    assert "ok       c" in short
    assert any(line.startswith("Without root nothing") for line in short)
    assert run("doctor", "--long")[1].count("needs root  ->") == 2
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "Without root" not in run("doctor")[1]


def test_scorecard_has_every_row_of_the_ledger(recorded_entries, run, monkeypatch):
    """The tally, then one line each, in the order of the post; the rest on request."""
    monkeypatch.setattr(scorecard, "entries", lambda source: recorded_entries)
    _, out, _ = run("scorecard")
    ids = [line.split()[0] for line in out.splitlines() if line]
    assert [i for i in dict.fromkeys(ids) if i.startswith("C")] == [
        f"C{n:02}" for n in range(1, 38)
    ]
    assert out.splitlines()[0].startswith("37 statements of the post: ")
    assert max(map(len, out.splitlines())) <= 78
    _, long, _ = run("scorecard", "--long")
    assert "  " in long
    assert all(quote in long for quote in claims.ledger()["quote"])


def test_scorecard_of_a_run(run, short, tmp_path):
    """A folder's own verdicts, and the rest without an experiment."""
    shutil.copytree(short.folder, tmp_path / "r")
    status, out, _ = run("scorecard", "--source", "r")
    assert status == 0
    assert "not measured here" in next(x for x in out.splitlines() if x.startswith("C23"))
    assert out.splitlines()[-1].endswith("(live)")


def test_a_wrong_checksum_is_one_line(run, short, tmp_path):
    """A data file that was changed is refused by name."""
    shutil.copytree(short.folder, tmp_path / "r")
    path = tmp_path / "r" / "startup" / "trials.csv"
    path.write_text(path.read_text().replace("process", "process2", 1))
    status, _, err = run("scorecard", "--source", "r")
    assert (status, err.count("\n")) == (2, 1)
    assert "trials.csv" in err


def test_report_prints_the_scorecard_of_its_page(run, monkeypatch):
    """What is printed is what the page shows, not made again; an error of ours is status 1."""
    entry = scorecard.Entry(
        "C99", "s", "q", "measurable", "startup", "t",
        verdicts=(claims.Verdict("C99", "startup", "holds", because="It does."),),
    )  # fmt: skip
    failed = {}

    def write(out, *, source, address, say):
        return report.Report(out / "index.html", {}, [entry], failed)

    def entries(source):
        raise AssertionError("made again")

    monkeypatch.setattr(report, "write", write)
    monkeypatch.setattr(scorecard, "entries", entries)
    status, out, _ = run("report", "--out", "here")
    assert status == 0
    tally, _, first, *_, last = out.splitlines()
    assert first.startswith("C99")
    assert tally == "1 statements of the post: holds 1."
    assert last == "Written: here/index.html"
    failed["02-x.ipynb"] = "KeyError: 'x'"
    status, out, err = run("report", "--out", "here")
    assert status == 1
    assert "Written: here/index.html" in out
    assert "02-x.ipynb: KeyError: 'x'" in err


def test_what_measures_names_the_readers_engine(run, monkeypatch):
    """Report and scorecard: where no private engine can be had it is the reader's own."""
    entry = scorecard.Entry("C99", "s", "q", "measurable", "startup", "t")
    made = report.Report(Path("here/index.html"), {}, [entry])
    monkeypatch.setattr(report, "write", lambda *_, **__: made)
    monkeypatch.setattr(scorecard, "entries", lambda source: [entry])
    monkeypatch.setattr(choice, "checked", lambda kind: "own")
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/mine.sock")
    shown = "Engine: unix:///run/mine.sock (DOCKER_HOST)\n"
    assert [run("report")[2], run("report", "--source", "recorded")[2]] == [shown, ""]
    assert [run("scorecard", "--source", "live")[2], run("scorecard")[2]] == [shown, ""]
    monkeypatch.setattr(choice, "checked", lambda kind: "private")
    assert run("report")[2] == ""


def test_clean_is_harmless_twice(run):
    """It says what it removed, or that there was nothing."""
    assert run("clean")[0] == 0
    status, out, _ = run("clean")
    assert (status, out) == (0, "Nothing was left behind.\n")


ENGINES = {
    "a socket that is gone": "unix:///nowhere/docker.sock",
    "another machine": "tcp://far.invalid:2375",
}


@pytest.mark.parametrize("host", ENGINES.values(), ids=ENGINES)
def test_clean_says_that_the_engine_did_not_answer(run, monkeypatch, host):
    """What lies on it may be left: one line says so, and that nothing is left is not said of it.

    Seen to fail: with whatever goes wrong there passed over.
    """
    run("clean")
    monkeypatch.setenv("DOCKER_HOST", host)
    status, out, err = run("clean")
    assert (status, err) == (0, "")
    first, last = out.splitlines()
    assert first.startswith("Your Docker engine was not looked at. ")
    assert host.partition("://")[2].partition(":")[0] in first
    assert last == "Elsewhere nothing was left behind."


def rows_by_others(path):
    """Return what `image --table layers` must print for a `docker save` archive, told by tarfile.

    Only for an archive of ours: `tarfile` is not safe with those of strangers.
    """
    with tarfile.open(path) as archive:
        (item,) = json.load(archive.extractfile("manifest.json"))
        settings = json.load(archive.extractfile(item["Config"]))
        blobs = [archive.extractfile(name).read() for name in item["Layers"]]
    commands = [h["created_by"] for h in settings["history"] if not h.get("empty_layer")]
    rows, size_of = [], {}
    for number, blob in enumerate(blobs):
        with tarfile.open(fileobj=io.BytesIO(blob)) as layer:
            members = {m.name: m for m in layer.getmembers()}
        kept = {name: m.size for name, m in members.items() if "/.wh." not in name}
        for name in {name.replace("/.wh.", "/") for name in members} & size_of.keys():
            below, size = size_of.pop(name)
            rows[below]["wasted_bytes"] += size
        size_of |= {name: (number, size) for name, size in kept.items()}
        rows.append(
            {
                "layer": number,
                "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}",
                "diff_id": settings["rootfs"]["diff_ids"][number],
                "created_by": commands[number],
                "media_type": "application/vnd.docker.image.rootfs.diff.tar",
                "compressed_bytes": len(blob),
                "size_bytes": sum(kept.values()),
                "files": len(kept),
                "wasted_bytes": 0,
                "verified": "true",
            }
        )
    return rows


def test_image_is_exact_to_the_byte(run):
    """The layers as CSV and as JSON are what `tarfile` and `hashlib` say of the same archive."""
    path = SAMPLES / "bloated.tar"
    expected = rows_by_others(path)
    assert sum(row["wasted_bytes"] for row in expected) > 0
    status, out, err = run("image", path, "--table", "layers", "--format", "csv")
    assert (status, err) == (0, "")
    header, *_ = out.splitlines()
    assert header == COLUMNS
    texts = [{name: str(value) for name, value in row.items()} for row in expected]
    assert list(csv.DictReader(io.StringIO(out))) == texts
    status, out, err = run("image", path, "--table", "layers", "--format", "json")
    assert (status, err) == (0, "")
    assert json.loads(out) == expected


@pytest.mark.parametrize("table", ["layers", "files", "packages", "summary"])
def test_image_speaks_json(run, table):
    """Every table is a list of objects with the columns that its CSV has."""
    _, text, _ = run("image", SAMPLES / "lean.tar", "--table", table, "--format", "csv")
    status, out, err = run("image", SAMPLES / "lean.tar", "--table", table, "--format", "json")
    assert (status, err) == (0, "")
    columns = text.splitlines()[0].split(",")
    assert all(list(row) == columns for row in json.loads(out))


def test_tables_are_for_reading(run):
    """In a terminal: short digests, modes as `ls` knows them, one fact of a summary a line."""
    _, out, _ = run("image", SAMPLES / "bloated.tar")
    assert rows_by_others(SAMPLES / "bloated.tar")[0]["digest"][:19] in out
    assert not re.search(r"sha256:\w{13}", out)
    _, out, _ = run("image", SAMPLES / "bloated.tar", "--table", "files")
    assert re.search(r"/etc +directory +0755 ", out)
    _, out, _ = run("image", SAMPLES / "bloated.tar", "--table", "summary")
    assert re.search(r"^layers +4$", out, re.M)


@pytest.mark.parametrize("table", ["secrets", "packages"])
def test_a_table_without_rows_is_a_sentence(run, tmp_path, table):
    """For reading; for programs it is the header or an empty list."""
    files = build.oci([{"name": "a", "layers": [[build.file("x")]]}])
    (tmp_path / "a.tar").write_bytes(build.archive(files))
    assert run("image", "a.tar", "--table", table) == (0, f"No {table} found.\n", "")
    _, out, _ = run("image", "a.tar", "--table", table, "--format", "json")
    assert json.loads(out) == []
    _, out, _ = run("image", "a.tar", "--table", table, "--format", "csv")
    assert out.count("\n") == 1
    assert "," in out


def test_verify_and_its_own_table_agree(run):
    """They ask for the same; without either it is the layers."""
    whole = run("image", SAMPLES / "lean.tar", "--verify")
    assert run("image", SAMPLES / "lean.tar", "--verify", "--table", "checks") == whole
    layers = run("image", SAMPLES / "lean.tar", "--table", "layers")
    assert run("image", SAMPLES / "lean.tar") == layers


def test_the_olive_is_named(run):
    """Whichever table is asked for, the shell that is a script is named apart, and what changed."""
    status, out, err = run("image", SAMPLES / "olive.tar", "--table", "summary")
    assert status == 0
    assert "olive: /usr/bin/dash: expected /bin/sh leads to an ELF program, found" in err
    assert "olive: /usr/bin/ls: expected md5:" in err
    assert "expected" not in out
    assert run("image", SAMPLES / "bloated.tar")[2] == ""


def test_verify_says_what_was_checked_against_what(run, tmp_path):
    """A row per part, and in a sentence what nothing vouches for; the keys that were deleted."""
    status, out, err = run("image", SAMPLES / "olive.tar", "--verify")
    assert status == 0
    assert re.search(r"layer 1, unpacked +sha256:\w{12} +the config\n", out)
    digest = images.read(SAMPLES / "olive.tar").digest
    assert out.endswith(f"Compare with what its maker says: {digest}\n")
    status, out, err = run("image", SAMPLES / "olive.tar", "--verify", "--format", "csv")
    assert out.startswith("part,digest,against\n")
    assert "nothing vouches for index.json" in err
    status, _, err = run("image", SAMPLES / "tampered.tar", "--verify")
    assert (status, err.count("\n")) == (2, 1)
    key = b"-----BEGIN PRIVATE KEY-----\n"
    layers = [[build.file("k", key)], [build.file(".wh.k")]]
    (tmp_path / "key.tar").write_bytes(build.archive(build.oci([{"layers": layers}])))
    _, _, err = run("image", "key.tar")
    assert err == "secret: /k: private key in layer 0, hidden by layer 1, still in the image\n"


EVIL = "x\x1b[2J\r\n\x07\x9b\u202e%"


@pytest.mark.parametrize("table", ["layers", "files", "summary"])
@pytest.mark.parametrize("as_format", ["table", "csv", "json"])
def test_no_name_steers_the_terminal(run, tmp_path, table, as_format):
    """Names of files, image and command are percent-escaped; nothing but line ends is obeyed."""
    files = build.oci(
        [{"name": EVIL, "layers": [[build.file(EVIL, b"1")]], "commands": [f"RUN {EVIL}"]}]
    )
    (tmp_path / "evil.tar").write_bytes(build.archive(files))
    status, out, err = run("image", "evil.tar", "--table", table, "--format", as_format)
    assert (status, err) == (0, "")
    assert out.replace("\n", "").isprintable()
    assert images.escape(EVIL) in out


def test_no_source_steers_the_terminal(run):
    """Nor does the name of an image that is not there."""
    status, _, err = run("image", EVIL)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("caveatlib: ")
    assert "[2J" in err
    assert err.removesuffix("\n").isprintable()


@pytest.fixture(scope="module")
def own(require):
    """Return an engine that stands for the reader's own."""
    require("private-engine")
    with left.reader_engine() as running:
        yield running


@pytest.mark.engine
def test_the_engine_is_shown(run, own):
    """Whoever asks the reader's engine says first which: on stderr where a table is printed."""
    shown = f"Engine: {own.where.url} (DOCKER_HOST)\n"
    words = ["measure", "startup", "--places", "process", "--blocks", "1"]
    _, out, err = run(*words, "--engine", "own", "--out", "a")
    assert (out.count("Engine: "), err) == (1, "")
    assert out.startswith(shown)
    _, out, err = run("image", f"docker://{own.image()}", "--format", "csv")
    assert err == shown
    assert out.startswith(COLUMNS)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        status, out, err = run("why", f"127.0.0.1:{port}")
    assert (status, err) == (0, shown)
    assert out.startswith(f"127.0.0.1:{port} called from this machine: ")


@pytest.mark.engine
def test_the_address_of_a_named_engine_is_shown_and_not_kept(run, own, tmp_path):
    """To go on it must be named again; until then no engine is asked."""
    words = ["measure", "startup", "--places", "process", "--blocks", "1"]
    _, out, _ = run(*words, "--engine", own.where.url, "--out", "a")
    assert out.startswith(f"Engine: {own.where.url} (named)\n")
    kept = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(kept) > 5
    for path in kept:
        assert own.where.address.encode() not in path.read_bytes(), path.name
    status, out, err = run("measure", "startup", "--resume", "a")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "'a' was on an engine named by its URL" in err
    status, out, _ = run(
        "measure", "startup", "--resume", "a", "--blocks", "1", "--engine", own.where.url
    )
    assert status == 0
    assert out.startswith(f"Engine: {own.where.url} (named)\n")


def test_what_is_over_is_not_announced_again(run, short, tmp_path):
    """Who goes on is told how long what is left takes, which is nothing of a whole run."""
    shutil.copytree(short.folder, tmp_path / "a")
    status, out, _ = run("measure", "startup", "--resume", "a")
    assert status == 0
    assert out.startswith("startup: about 0 s, ")


def test_no_engine_but_the_runs_own_is_asked(run, short, tmp_path):
    """A run without an engine's URL is not resumed on one that has it, which is not called."""
    shutil.copytree(short.folder, tmp_path / "a")
    status, out, err = run("measure", "startup", "--resume", "a", "--engine", "tcp://far.invalid:1")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "Engine 'tcp://far.invalid:1' for a run on" in err


def test_why_asks_no_remote_engine(run, monkeypatch):
    """Where only a remote engine is configured, what the kernel shows is enough."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://production.invalid:2375")
    with socket.create_server(("127.0.0.1", 0)) as server:
        status, out, err = run("why", f"127.0.0.1:{server.getsockname()[1]}")
    assert (status, err) == (0, "")
    assert "called from this machine" in out
