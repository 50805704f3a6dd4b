"""The one step that fills the cache."""

import dataclasses

import pytest

from caveatlib import prepare
from caveatlib.errors import MeasurementError, Unavailable
from caveatlib.experiments import ALL
from caveatlib.measuring.experiment import complete
from caveatlib.places import cache
from caveatlib.places.machines import accel

pytestmark = pytest.mark.beside


@pytest.fixture
def artefacts(tmp_path, monkeypatch):
    """Replace what is prepared by a small thing, a broken one and an impossible one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(accel, "accelerator", lambda: ("tcg", 1))
    built = []

    def fail(out):
        raise MeasurementError("apt-get failed: no such mirror http://mirror.example/debian")

    def lacking():
        raise Unavailable("runc is missing. Run `apt-get install runc`.")

    artefacts = (
        cache.Artefact("good", "A good thing", lambda: {}, built.append, 7_000_000, 8_000_000),
        cache.Artefact("broken", "A broken thing", lambda: {}, fail, 1_000_000, 1_000_000),
        cache.Artefact("impossible", "An impossible thing", lacking, built.append, 50_000_000),
    )
    monkeypatch.setattr(prepare, "ARTEFACTS", artefacts)
    return built


def test_all_that_experiments_name_is_prepared_in_their_order():
    """Each artefact once; what one is made of comes before it, as its experiment has it."""
    named = [complete(experiment).ARTEFACTS for experiment in ALL]
    assert set(prepare.ARTEFACTS) == set().union(*named)
    assert len(set(prepare.ARTEFACTS)) == len(prepare.ARTEFACTS) >= 6
    asked = [complete(experiment).ON_REQUEST for experiment in ALL]
    assert set(prepare.ON_REQUEST) == set().union(*asked)
    assert not set(prepare.ON_REQUEST) & set(prepare.ARTEFACTS)
    for artefacts in named:
        assert [a for a in prepare.ARTEFACTS if a in artefacts] == list(artefacts)


def test_plan_does_nothing(artefacts, tmp_path):
    """The plan tells state and cost, and makes nothing."""
    good, _, impossible = prepare.plan()
    assert (good.ready, good.problem, good.download_bytes) == (False, "", 7_000_000)
    assert (impossible.problem[:15], impossible.download_bytes) == ("runc is missing", 0)
    assert artefacts == []
    assert list(tmp_path.iterdir()) == []


def test_cost_is_said_first(artefacts):
    """What will be downloaded is said before anything is made."""
    said = []

    def progress(line):
        said.append((line, len(artefacts)))

    failed = prepare.run(progress)
    assert said[0] == ("Downloads about 8 MB with apt and takes up to 9 MB of disk.", 0)
    assert len(artefacts) == 1
    assert set(failed) == {"broken", "impossible"}
    assert "mirror.example" not in failed["broken"]


def test_again(artefacts, monkeypatch):
    """What is ready is left alone and costs nothing."""
    prepare.run(lambda line: None)
    monkeypatch.setattr(prepare, "ARTEFACTS", prepare.ARTEFACTS[:1])
    said = []
    assert prepare.run(said.append) == {}
    assert len(artefacts) == 1
    assert said[0] == "A good thing: ready"


def test_without_root(artefacts, monkeypatch):
    """What needs root is named and skipped, the rest is made."""
    good = prepare.ARTEFACTS[0]
    rooted = dataclasses.replace(good, name="rooted", needs_root=True)
    monkeypatch.setattr(prepare, "ARTEFACTS", (rooted, good))
    monkeypatch.setattr(prepare.os, "geteuid", lambda: 1000)
    said = []
    assert "make system` once" in prepare.run(said.append)["rooted"]
    assert said[0].startswith("Downloads about 7 MB")
    assert len(artefacts) == 1


@pytest.fixture
def on_request(artefacts, monkeypatch):
    """Have one thing more that is prepared on request only, by pip."""
    asked = cache.Artefact(
        "asked-for", "A thing of others", lambda: {}, artefacts.append, 2_000_000, source="pip"
    )
    monkeypatch.setattr(prepare, "ON_REQUEST", (asked,))
    return artefacts


def test_what_is_on_request_is_left_out(on_request, capsys):
    """The step of `make system` neither makes it nor counts what it costs."""
    assert prepare.main([]) == 1  # two of three cannot be made
    told = capsys.readouterr().out
    assert "A thing of others" not in told
    assert len(on_request) == 1


def test_what_is_asked_for_by_name_is_made(on_request, capsys):
    """By its name, or how that begins; the cost names what downloads."""
    assert prepare.main(["asked"]) == 0
    assert capsys.readouterr().out.startswith("Downloads about 2 MB with pip and takes")
    assert len(on_request) == 1
    assert prepare.main(["asked-for", "good"]) == 0
    assert "A good thing: being made" in capsys.readouterr().out
    assert len(on_request) == 2


def test_an_unknown_name_is_one_line(on_request, capsys):
    """It names the value and all that there is, and makes nothing."""
    assert prepare.main(["good", "publishd"]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("Nothing to prepare is called 'publishd'. Must be an experiment")
    assert " one of good, " in told.err
    assert "asked-for" in told.err
    assert told.out == ""
    assert on_request == []


def test_two_sources_are_told_apart(on_request):
    """What apt and what pip download stand in one line."""
    said = []
    prepare.run(said.append, prepare.named(["good", "asked"]))
    assert said[0].startswith("Downloads about 7 MB with apt and about 2 MB with pip and takes up")
