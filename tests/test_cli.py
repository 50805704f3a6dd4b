"""The command line: what it prints, and how every mistake ends."""

import json
import sys

import pandas as pd
import pytest

from caveatlib import cli, report, scorecard, trials
from caveatlib.backends import places
from caveatlib.errors import MeasurementError


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Return a function that runs the command in an empty folder: status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CAVEATLIB_SOURCE", raising=False)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["caveatlib", *map(str, words)])
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = end.code or 0
        return status, *capsys.readouterr()

    return call


BAD = [
    (["measure", "dockr"], "'dockr'"),
    (["measure"], "NAME"),
    (["frobnicate"], "frobnicate"),
    (["measure", "startup", "--bogus"], "--bogus"),
    (["measure", "startup", "--blocks", "x"], "'x'"),
    (["measure", "startup", "--blocks", "0"], "0"),
    (["measure", "startup", "--budget-s", "-3"], "-3"),
    (["measure", "startup", "--places", "process,dockr"], "'dockr'"),
    (["measure", "startup", "--engine", "nix"], "'nix'"),
    (["measure", "startup", "--engine", "tcp://engine.invalid:2375"], "engine.invalid"),
    (["measure", "startup", "--engine", "ssh://engine.invalid"], "engine.invalid"),
    (["measure", "startup", "--resume", "nowhere"], "'nowhere'"),
    (["measure", "startup", "--resume", "a", "--out", "b"], "'a'"),
    (["measure", "startup", "--places", "process", "--out", "/proc/nowhere"], "startup"),
    (["scorecard", "--source", "nowhere"], "'nowhere'"),
    (["report", "--source", "nowhere"], "'nowhere'"),
    (["record", "startup", "--from", "nowhere", "--version", "99"], "nowhere"),
    (["record", "startup", "--from", "nowhere", "--version", "1"], "1"),
]


@pytest.mark.parametrize(("words", "named"), BAD, ids=[" ".join(w) for w, _ in BAD])
def test_a_mistake_is_one_line_and_leaves_nothing(run, tmp_path, words, named):
    """Offending value on stderr, status 2, no traceback, no file."""
    status, _, err = run(*words)
    assert status == 2
    assert err.count("\n") == 1
    assert err.startswith("caveatlib: ")
    assert named in err
    assert not list(tmp_path.iterdir())


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
    """A live request where nothing can run says why, and writes nothing."""
    monkeypatch.setattr(places, "missing", lambda names, *, engine: dict.fromkeys(names, "absent"))
    status, _, err = run("measure", "startup")
    assert (status, err.count("\n")) == (2, 1)
    assert "absent" in err
    assert not list(tmp_path.iterdir())


def test_measure_announces_prints_and_writes(run, tmp_path):
    """It says first how long and where, then the summary and each verdict."""
    status, out, err = run(
        "measure", "startup", "--places", "process", "--blocks", "2", "--out", "here"
    )
    assert (status, err) == (0, "")
    first, *rest = out.splitlines()
    assert "MiB of disk" in first
    assert "here/startup" in first
    assert any(line.startswith("process") for line in rest)
    assert any(line.startswith("C23 not measured here") for line in rest)
    written = {p.name for p in (tmp_path / "here" / "startup").iterdir()}
    assert written >= {"trials.csv", "datapackage.json", "summary.csv", "verdicts.json"}
    keys = {"claim", "experiment", "verdict", "effect", "low", "high", "unit", "n", "machine",
            "source", "because"}  # fmt: skip
    verdicts = json.loads((tmp_path / "here" / "startup" / "verdicts.json").read_text())
    assert all(set(v) == keys for v in verdicts)


def test_a_failed_measurement_is_status_1(run, monkeypatch):
    """What was tried and failed is no bad usage."""

    def fail(*args, **options):
        raise MeasurementError("It broke.\n\x1b[31mhere")

    monkeypatch.setattr(trials, "measure", fail)
    status, _, err = run("measure", "startup", "--places", "process")
    assert (status, err) == (1, "caveatlib: It broke. [31mhere\n")


def test_ctrl_c_says_how_to_go_on(run, monkeypatch):
    """An interruption keeps its status and names the command that resumes."""

    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(trials, "measure", interrupt)
    status, _, err = run("measure", "startup", "--places", "process", "--out", "r")
    assert status == 130
    assert "--resume r" in err


def test_doctor_speaks_json(run):
    """A list of objects with exactly four keys; status 0 whatever is missing."""
    status, out, _ = run("doctor", "--json")
    assert status == 0
    found = json.loads(out)
    assert {"process", "private-engine", "own-engine"} <= {a["ability"] for a in found}
    assert all(set(a) == {"ability", "available", "reason", "fix"} for a in found)


def test_doctor_names_a_fix_for_what_is_missing(run, monkeypatch):
    """Ability by ability, then experiment by arm."""
    monkeypatch.setattr(places, "missing", lambda names, *, engine: {"runc": "runc: no program"})
    _, out, _ = run("doctor")
    assert "no: runc: no program" in out
    assert "can run" in out


def test_scorecard_has_every_row_of_the_ledger(run):
    """One line each, in the order of the post."""
    _, out, _ = run("scorecard")
    ids = [line.split()[0] for line in out.splitlines()]
    assert [i for i in dict.fromkeys(ids) if i.startswith("C")] == [
        f"C{n:02}" for n in range(1, 38)
    ]


def test_scorecard_of_a_run(run):
    """A folder's own verdicts, and the rest not measured yet."""
    run("measure", "startup", "--places", "process", "--blocks", "1", "--out", "r")
    status, out, _ = run("scorecard", "--source", "r")
    assert status == 0
    assert "live" in next(line for line in out.splitlines() if line.startswith("C23"))


def test_a_wrong_checksum_is_one_line(run, tmp_path):
    """A data file that was changed is refused by name."""
    run("measure", "startup", "--places", "process", "--blocks", "1", "--out", "r")
    path = tmp_path / "r" / "startup" / "trials.csv"
    path.write_text(path.read_text().replace("process", "process2", 1))
    status, _, err = run("scorecard", "--source", "r")
    assert (status, err.count("\n")) == (2, 1)
    assert "trials.csv" in err


def test_report_prints_the_scorecard_of_its_page(run, monkeypatch):
    """What is printed is what the page shows, not made again from other trials."""
    row = dict.fromkeys(scorecard.COLUMNS, "x") | {"claim": "C99", "verdict": "holds"}

    def write(out, *, source, say):
        return out / "index.html", {}, pd.DataFrame([row])

    def table(source):
        raise AssertionError("made again")

    monkeypatch.setattr(report, "write", write)
    monkeypatch.setattr(scorecard, "table", table)
    status, out, _ = run("report", "--out", "here")
    assert status == 0
    first, last = out.splitlines()
    assert first.startswith("C99")
    assert last == "Written: here/index.html"


def test_clean_is_harmless_twice(run):
    """It says what it removed, or that there was nothing."""
    assert run("clean")[0] == 0
    status, out, _ = run("clean")
    assert (status, out) == (0, "Nothing was left behind.\n")
