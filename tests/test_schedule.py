"""Which experiments a report measures, and what it says as soon as something is decided.

Seen to fail: with `shares` in the order of `ALL`; with the null arm left out of `_wheres`;
with `told` saying every verdict each time.
"""

import time
from types import SimpleNamespace

import pytest

from caveatlib import claims, host, prepare, schedule
from caveatlib.experiments import ALL, applications, ports, quota, startup
from caveatlib.places import spec

pytestmark = pytest.mark.beside


def prospects_of(decided):
    """Return a function like `host.prospects`: so many claims of each experiment are decided."""

    def prospects(experiment, *, engine=None, waiting=True):
        count = decided[experiment.NAME][0 if waiting else 1]
        lacks = ["" if i < count else "kvm: none" for i in range(6)]
        return [host.Prospect(f"c{i}", experiment.NAME, why, frozenset()) for i, why in
                enumerate(lacks)]  # fmt: skip

    return prospects


@pytest.fixture
def given(monkeypatch):
    """Let experiments need so many seconds, and decide so many claims.

    Each has: seconds, claims, and the same of its first verdicts if it has any.
    """

    def set_up(**needs):
        needs = {name: (*need, 0, 0)[:4] for name, need in needs.items()}
        made = [
            SimpleNamespace(NAME=name, VERDICT_S=seconds, FIRST_S=first)
            for name, (seconds, _, first, _) in needs.items()
        ]
        decided = {name: (count, few) for name, (_, count, _, few) in needs.items()}
        monkeypatch.setattr(schedule, "ALL", made)
        monkeypatch.setattr(schedule, "complete", lambda e: e)
        monkeypatch.setattr(schedule, "_prepared", lambda s: s.experiment.NAME != "unprepared")
        monkeypatch.setattr(schedule, "_first_places", lambda e: ("first",))
        monkeypatch.setattr(host, "prospects", prospects_of(decided))
        monkeypatch.setattr(host, "worthwhile", lambda e: ("here",))
        monkeypatch.setattr(schedule, "first_session_s", lambda e: getattr(e, "first_s", 0.0))

    return set_up


def measured(shares):
    """Return name -> seconds of what is measured, in order."""
    return {share.experiment.NAME: share.seconds for share in shares if share.seconds}


def test_the_reason_is_what_most_claims_lack(given, monkeypatch):
    """A statement that is left open for fairness is no reason why a machine cannot measure."""
    given(one=(10, 0))
    lacks = ("It was built to hold.", "engine: none", "engine: none")
    found = [host.Prospect(f"C{i}", "one", lack, frozenset()) for i, lack in enumerate(lacks)]
    monkeypatch.setattr(host, "prospects", lambda e, **how: found)
    (share,) = schedule.shares(200)
    assert share.reason == "nothing of it can be decided here: engine: none"


def test_what_decides_most_per_second_is_measured(given):
    """Whatever their order; the next gets what is left, the others are replayed and say why."""
    given(slow=(1000, 6), quick=(60, 6), middle=(180, 6), none=(10, 0))
    shares = schedule.shares(200)
    assert measured(shares) == {"quick": 60, "middle": 140}
    why = {share.experiment.NAME: share.reason for share in shares}
    assert (
        why["slow"] == "its verdicts need about 17 minutes of measuring, `caveatlib measure slow`"
    )
    assert why["none"] == "nothing of it can be decided here: kvm: none"
    assert "measures all of it" in why["middle"]


def test_first_verdicts_come_before_all_of_one(given):
    """Of several experiments some, rather than of one all; what is left goes to all of some.

    Seen to fail: with `_first` returning nothing.
    """
    given(many=(100, 6), one=(300, 4, 40, 2), other=(200, 2, 50, 1), dear=(400, 1, 90, 1))
    shares = schedule.shares(130)
    assert measured(shares) == {"one": 40, "other": 50}
    assert [(s.whole, s.places) for s in shares if s.seconds] == [(False, ("first",))] * 2
    assert all("measures all of it" in share.reason for share in shares if share.seconds)
    shares = schedule.shares(290)
    assert measured(shares) == {"one": 40, "other": 50, "dear": 90, "many": 100}
    assert measured(schedule.shares(630))["one"] == 300


def test_headlines_come_before_what_is_cheaper(given):
    """What the post is known for is measured, if a minute or two of it decides something.

    Seen to fail: with `HEADLINES` left out of the order.
    """
    given(cheap=(300, 6, 40, 6), startup=(300, 3, 60, 1), ports=(800, 2, 80, 0))
    assert measured(schedule.shares(90)) == {"startup": 60}
    assert measured(schedule.shares(110)) == {"cheap": 40, "startup": 60}


def test_what_was_spent_is_left_to_nobody():
    """Preparing has taken from the last; with less than half of its share it is replayed."""
    share = schedule.Share(startup, 60.0, (), "")
    assert schedule.left_s(share, 100, 240) == 60
    assert schedule.left_s(share, 200, 240) == 40
    assert schedule.left_s(share, 215, 240) == 0


def test_a_rest_that_decides_nothing_is_not_spent(given):
    """A minute is the least; what needs less than that gets it."""
    given(first=(180, 6), second=(170, 3), little=(20, 1))
    assert measured(schedule.shares(230)) == {"first": 180, "little": 20}


def test_a_first_session_that_is_too_long_is_replayed(given):
    """It would be measured whole, whatever the budget."""
    given(long=(300, 6))
    schedule.ALL[0].first_s = 250.0
    assert measured(schedule.shares(300)) == {"long": 300}
    assert measured(schedule.shares(240)) == {}


def test_a_first_session_is_what_is_due_in_it(monkeypatch):
    """Applications that are not prepared take nothing; all of them take half an hour."""
    monkeypatch.setattr(spec, "missing", lambda specs, *, engine: {})
    every = schedule.first_session_s(applications)
    assert every == sum(design.block_s for design in applications.DESIGNS) > 1000
    monkeypatch.setattr(spec, "missing", lambda specs, *, engine: dict.fromkeys(specs, "no"))
    assert schedule.first_session_s(applications) == 0


def test_what_is_prepared_comes_first(given):
    """The first verdict does not wait for a download."""
    given(unprepared=(60, 6), ready=(60, 1))
    assert list(measured(schedule.shares(200))) == ["ready", "unprepared"]


def test_all_is_within_the_budget_here():
    """On this very machine, whatever it lacks: every experiment once, no more than the budget."""
    shares = schedule.shares()
    assert {share.experiment.NAME for share in shares} == {e.NAME for e in ALL}
    assert sum(share.seconds for share in shares) <= schedule.TOTAL_S
    assert all(share.reason for share in shares if not share.seconds)


def test_a_verdict_is_said_once_and_again_if_it_changes(monkeypatch):
    """Open ones and those that were not measured are not news, nor are parts."""
    words = {"c": claims.OPEN, "d": claims.NOT_MEASURED, "d/part": claims.HOLDS}

    def verdicts(trials):
        return [claims.Verdict(name, "e", word, headline="H") for name, word in words.items()]

    monkeypatch.setattr(schedule, "complete", lambda e: SimpleNamespace(verdicts=verdicts))
    said = []
    watch = schedule.told("e", said.append, time.monotonic() - 31)
    watch(None)
    assert said == []
    words["c"] = claims.HOLDS
    watch(None)
    watch(None)
    assert len(said) == 1
    assert said[0].startswith("  31 s  c    ✓ holds")
    words["c"] = claims.OPEN
    watch(None)
    assert "? inconclusive" in said[-1]
    assert max(map(len, said)) <= 78


def test_what_a_place_lacks_is_said_of_its_claims(monkeypatch):
    """Without an engine, what one decides cannot be decided; the quota of a plain group can."""
    lacking = {"docker-runc": "private-engine: no dockerd"}
    monkeypatch.setattr(
        spec, "missing", lambda specs, *, engine: {n: w for n, w in lacking.items() if n in specs}
    )
    found = {p.claim: p for p in host.prospects(startup)}
    assert found["startup-kernel"].lacks == "private-engine: no dockerd"
    assert not found["C21"].lacks  # builders and disks have places of their own
    assert {"image-classic", "disk-ext4"} <= found["C21"].places
    assert "counted" in found["startup-work"].places
    assert not any(p.lacks for p in host.prospects(quota))


def test_a_control_is_needed_too(monkeypatch):
    """The engine that is the A/A control is one of those that decide; other parts need none."""
    monkeypatch.setattr(spec, "missing", lambda specs, *, engine: {})
    assert "engine-proxy-again" in {p.claim: p for p in host.prospects(ports)}["C17"].places
    monkeypatch.setattr(
        spec, "missing",
        lambda specs, *, engine: {"engine-proxy-again": "no"} if "engine-proxy" in specs else {},
    )  # fmt: skip
    found = {p.claim: p for p in host.prospects(ports)}
    assert "engine-proxy-again" not in found["C17"].places
    assert not found["C17"].lacks


def test_emulated_places_are_left_out_where_they_decide_nothing(monkeypatch):
    """Without KVM no microVM is measured for a report; what packs a disk is."""
    monkeypatch.setattr(host, "_poor", lambda spec: "kvm: none" if spec.better_with else "")
    monkeypatch.setattr(spec, "missing", lambda specs, *, engine: {})
    kept = host.worthwhile(startup)
    assert set(schedule._first_places(startup)) == set(startup.designs.QUICK)
    assert "microvm" not in kept
    assert {"full-vm", "docker-runc", "process"} <= set(kept)
    monkeypatch.setattr(host, "_poor", lambda spec: "")
    assert set(host.worthwhile(startup)) == set(startup.PLACES)


def test_only_what_an_experiment_needs_is_prepared(monkeypatch):
    """Nothing else is downloaded, and no guest is booted for a quota."""
    made = []
    monkeypatch.setattr(prepare.cache, "ensure", made.append)
    assert prepare.run(lambda line: None, []) == {}
    assert made == []
