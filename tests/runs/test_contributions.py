"""Contributions: what passes, and that each fault is one clear line.

Seen to fail: with an extra file let through, the
names of another machine's home let through, and the place not compared.
"""

import hashlib
import json
from pathlib import Path

import canaries
import pandas as pd
import pytest
from runs import made

from caveatlib import cli, runs, store
from caveatlib.errors import CaveatError, DataError
from caveatlib.measuring.experiment import tables_of
from caveatlib.support import datapackage

pytestmark = pytest.mark.beside

ROOT = Path(__file__).parents[2]
RUN = "2027-01-01T10:00:00Z"
MACHINE = "amd-epyc-7763-4-cpus-16-gib-linux-6-12-cgroup-v2"


@pytest.fixture
def contribute(tmp_path):
    """Return a function that makes a run and lays it where a contribution lies."""

    def make(place=f"2027-01-01-{MACHINE}", **settings) -> Path:
        folder = made.run(tmp_path / "runs", **settings)
        target = tmp_path / "data" / "community" / "sample" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        return folder.rename(target)

    return make


def rewrite(folder, name, change):
    """Change a file's text and its checksum with it, as one who edits a package would."""
    path = folder / name
    path.write_text(change(path.read_text()))
    if name == datapackage.FILE:
        return
    package = json.loads((folder / datapackage.FILE).read_text())
    for resource in package["resources"]:
        if resource["path"] == name:
            resource["hash"] = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / datapackage.FILE).write_text(json.dumps(package))


@pytest.mark.parametrize("end", ["", "-0af3c1"])
def test_a_run_has_the_name_of_its_start(contribute, end):
    """With an end that tells runs of one second apart, or as it was before."""
    folder = contribute()
    for name in ("trials.csv", "conditions.csv"):
        rewrite(folder, name, lambda t: t.replace("2027-01-01T10:00:00Z", RUN + end))
    assert list(runs.check(folder))[-1].endswith(f"/2027-01-01-{MACHINE}")


def test_a_sound_contribution_passes(contribute):
    """Every step says what it found, and the last one where it belongs."""
    said = list(runs.check(contribute()))
    assert said[0] == "Files: 7, all of them as their checksums say."
    assert said[1] == "Schema and guards: 60 trials in 4 tables."
    assert said[-1] == f"Place of the contribution: data/community/sample/2027-01-01-{MACHINE}"
    assert "2 of 2 known answers and A/A controls pass" in said[-2]


def test_a_run_is_told_what_to_leave_behind(tmp_path):
    """Of a run that is still where it was measured, its journal is named."""
    folder = made.run(tmp_path)
    (folder / "journal.jsonl").write_text("{}\n")
    *_, last = runs.check(folder)
    assert last.endswith(f"2027-01-01-{MACHINE}, without journal.jsonl")


def test_noise_is_said_and_refuses_nothing(contribute):
    """An A/A control that fails is named: what it limits is judged claim by claim."""
    said = list(runs.check(contribute(again=1.3)))
    assert "failed:" in said[-2]
    assert "the same pause twice" in said[-2]


FAULTS = {
    "a changed byte": (
        lambda f: (f / "trials.csv").write_text((f / "trials.csv").read_text()[:-2] + "9\n"),
        "has checksum",
    ),
    "a changed byte of what follows from the tables": (
        lambda f: (f / "verdicts.json").write_text("[]\n"),
        "'.+/verdicts.json' has checksum",
    ),
    "a file more": (lambda f: (f / "notes.txt").write_text("x"), "'notes.txt'"),
    "a file less": (lambda f: (f / "summary.csv").unlink(), "summary.csv' is missing"),
    "a key more": (
        lambda f: rewrite(
            f, datapackage.FILE, lambda t: t.replace('"profile"', '"author": "x", "profile"', 1)
        ),
        "Key 'author'",
    ),
    "no schema": (
        lambda f: rewrite(f, datapackage.FILE, lambda t: t.replace('"fields"', '"columns"')),
        "Key 'schema'",
    ),
    "another title": (
        lambda f: rewrite(
            f, datapackage.FILE, lambda t: t.replace("Does a pause", "Does my pause")
        ),
        "Title or licence",
    ),
    "another meaning": (
        lambda f: rewrite(
            f, datapackage.FILE, lambda t: t.replace("Reason of the", "Cause of the")
        ),
        "Schema of data package",
    ),
    "a value out of its bounds": (
        lambda f: rewrite(f, "trials.csv", lambda t: t.replace(",0.25,", ",-0.25,", 1)),
        "busy_per_cpu",
    ),
    "an unknown place": (
        lambda f: rewrite(f, "trials.csv", lambda t: t.replace(",namespaces,", ",my-laptop,")),
        "Place 'my-laptop'",
    ),
    "a run without a start": (
        lambda f: rewrite(f, "trials.csv", lambda t: t.replace("2027-01-01T10:00:00Z", "mine")),
        "Run 'mine'",
    ),
    "a path more": (
        lambda f: rewrite(
            f, datapackage.FILE, lambda t: t.replace('"path": "trials.csv"', '"path": "/home/x"')
        ),
        r"Key 'path' of 'trials\.csv'",
    ),
    "a text in a schema": (
        lambda f: rewrite(
            f,
            datapackage.FILE,
            lambda t: t.replace('"missingValues"', '"note": "x", "missingValues"'),
        ),
        "Key 'schema' of",
    ),
    "another version of the package": (
        lambda f: rewrite(f, datapackage.FILE, lambda t: t.replace('"0.0.0"', '"of my laptop"')),
        "Key 'version'",
    ),
    "a field without a name": (
        lambda f: rewrite(
            f, datapackage.FILE, lambda t: t.replace('"name": "busy_per_cpu",', "", 1)
        ),
        "Schema of data package",
    ),
    "a column twice": (
        lambda f: rewrite(
            f,
            "trials.csv",
            lambda t: (
                "\n".join(
                    f"of my laptop,{line}" if i else f"error,{line}"
                    for i, line in enumerate(t.splitlines())
                )
                + "\n"
            ),
        ),
        "Column 'error' of .+ is there twice",
    ),
    "quotes without end": (
        lambda f: rewrite(f, "trials.csv", lambda t: '"' * 500_000),
        "is not CSV at character 0",
    ),
    "a link to what never ends": (
        lambda f: (
            (f / "summary.csv").unlink(),
            (f / "summary.csv").symlink_to("/dev/zero"),
        ),
        "summary.csv' is a pipe or a device",
    ),
    "another experiment": (
        lambda f: rewrite(
            f, datapackage.FILE, lambda t: t.replace('"name": "sample"', '"name": "mine"')
        ),
        "is of 'mine'",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_one_line(contribute, fault):
    """It names what is wrong, and nothing of the folders above."""
    break_it, named = FAULTS[fault]
    folder = contribute()
    break_it(folder)
    with pytest.raises(CaveatError, match=named) as caught:
        list(runs.check(folder))
    assert "\n" not in str(caught.value)
    assert str(folder.parent) not in str(caught.value)


def without(folder, column):
    """Leave a column out of the trials, as one who measured before it was added."""
    table = pd.read_csv(folder / "trials.csv", dtype=str, keep_default_na=False)
    text = table.drop(columns=column).to_csv(index=False, lineterminator="\n")
    rewrite(folder, "trials.csv", lambda _: text)
    package = json.loads((folder / datapackage.FILE).read_text())
    for resource in package["resources"]:
        if resource["name"] == "trials":
            fields = resource["schema"]["fields"]
            resource["schema"]["fields"] = [f for f in fields if f["name"] != column]
    (folder / datapackage.FILE).write_text(json.dumps(package))


def test_a_contribution_outlives_columns_that_came_later(contribute):
    """One from before they were added passes; any other column may not be missing."""
    folder = contribute()
    without(folder, "lasted_s")
    assert list(runs.check(folder))
    without(folder, "stolen_share")
    with pytest.raises(DataError, match="stolen_share"):
        list(runs.check(folder))


def test_a_contribution_is_described_anew(contribute):
    """As our own data are, in other words; its rows and checksums stay."""
    folder = contribute()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    about = {"title": made.EXPERIMENT.QUESTION, "models": tables_of(made.EXPERIMENT)}
    assert not store.describe_folder(folder, "sample", **about)
    assert store.describe_folder(folder, "sample", **about | {"title": "Does it?"})
    with pytest.raises(DataError, match="Title or licence"):
        list(runs.check(folder))
    assert store.describe_folder(folder, "sample", **about)
    assert list(runs.check(folder))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


OTHERS = [
    ({"place": "2027-01-01-my-laptop"}, "is another's place. Must be 'data/community/sample/2027"),
    ({"version": ""}, "does not say which caveatlib measured"),
    ({"source": "simulated"}, "Must be 'live'"),
]


@pytest.mark.parametrize(("settings", "named"), OTHERS, ids=[n for _, n in OTHERS])
def test_what_a_contribution_must_be_of(contribute, settings, named):
    """Its folder says date and machine; it was measured, by a version that is known."""
    with pytest.raises(DataError, match=named):
        list(runs.check(contribute(**settings)))


ENDED = [
    ({}, "Run: it does not say whether it was measured to its end."),
    ({"complete": "yes", "sessions": "15"}, "Run: 15 of 15 sessions."),
    ({"complete": "yes", "budget_s": "60"}, "Run: the budget was spent, as planned."),
    (
        {"complete": "no: 1 of 2 sessions, the budget was spent", "sessions": "2"},
        "Run: 1 of 2 sessions, the budget was spent.",
    ),
]


@pytest.mark.parametrize(("facts", "told"), ENDED, ids=[t for _, t in ENDED])
def test_how_much_of_its_plan_a_run_measured_is_said(contribute, facts, told):
    """Whatever ended it on purpose; one from before runs said so passes, too."""
    assert told in list(runs.check(contribute(facts=facts)))


def test_an_interrupted_run_is_no_contribution(tmp_path, monkeypatch):
    """Where it was measured the command that ends it is named; it can be typed as it stands.

    Seen to fail: with the fact not read.
    """
    monkeypatch.chdir(tmp_path)
    folder = made.run(tmp_path / "r", facts={"complete": "no: 0 of 2 sessions", "sessions": "2"})
    with pytest.raises(DataError) as caught:
        list(runs.check(folder))
    assert str(caught.value).endswith(
        "was interrupted: 0 of 2 sessions. Must be ended first: caveatlib measure sample --resume r"
    )


def test_two_machines_are_two_contributions(contribute):
    """A package of two machines is refused."""
    folder = contribute()
    half = "AMD EPYC 7763, 4 CPUs"
    rewrite(folder, "trials.csv", lambda t: t.replace(half, "AMD EPYC 7763, 8 CPUs", 20))
    with pytest.raises(DataError, match="holds 2 machines"):
        list(runs.check(folder))


UNKNOWABLE = {
    "host name", "user", "full name", "container name", "private image", "cloud secret",
    "label", "proxy password", "registry password", "engine id", "iperf3 cookie",
    "cache folder", "working folder",
}  # fmt: skip
"""Facts whose text alone looks like any other word, once they are not this machine's own."""


def _refusal(folder) -> str | None:
    try:
        return list(runs.check(folder)) and None
    except DataError as error:
        return str(error)


def test_private_texts_are_refused(contribute, monkeypatch):
    """Addresses, hosts, homes and secrets are found, and the line does not repeat them."""
    values = canaries.planted()
    monkeypatch.setenv("XDG_CACHE_HOME", values["cache folder"])
    folder = contribute(error="placeholder-of-an-error")
    sound = (folder / "trials.csv").read_text()
    missed = set()
    for name, value in values.items():
        error = f"cannot open {value} there".replace(",", "")
        told = sound.replace("placeholder-of-an-error", error)
        rewrite(folder, "trials.csv", lambda _, told=told: told)
        if (line := _refusal(folder)) is None:
            missed.add(name)
            continue
        assert "of column 'error' in row 59 of table 'trials' held " in line
        assert value not in line
    assert missed == UNKNOWABLE


def test_private_texts_in_what_follows_from_the_tables(contribute):
    """The sentences of verdicts are searched, too."""
    folder = contribute()
    rewrite(folder, "verdicts.json", lambda t: t.replace("sample-longer", "on 203.0.113.9"))
    with pytest.raises(DataError, match=r"file 'verdicts\.json' held <address>"):
        list(runs.check(folder))


def test_the_command(contribute, monkeypatch, capsys, tmp_path):
    """Steps on standard output, a fault as one line on standard error with status 2."""
    folder = contribute()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["caveatlib", "check", "data/community"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert "  Schema and guards: 60 trials in 4 tables.\n" in capsys.readouterr().out
    (folder / "notes.txt").write_text("x")
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_our_contributions_pass():
    """What lies in this repository passes."""
    folder = ROOT / "data" / "community"
    for package in sorted(path.parent for path in folder.rglob(datapackage.FILE)):
        assert list(runs.check(package))


def test_a_folder_called_community_is_not_the_communitys(tmp_path):
    """Only the one in `data`: a checkout may lie in any folder."""
    ours = tmp_path / "community" / "caveatlib" / "runs" / "a"
    folder = made.run(ours)
    (folder / "journal.jsonl").write_text("{}\n")
    assert runs.origin(folder) == "ours"
    ((found,),) = runs.checked([ours])
    assert found[1] == "ours"
    assert runs.origin(tmp_path / "data" / "community" / "x") == "community"
    assert runs.origin(None) == "ours"


def test_what_was_not_written_whole_is_no_run(tmp_path):
    """A process that was killed while it wrote a folder left it under a name with a dot."""
    for name in ("a", ".a.1.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / datapackage.FILE).touch()
    assert runs.packages(tmp_path) == [tmp_path / "a"]
