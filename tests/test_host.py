"""What this machine can measure, and what it lacks."""

import subprocess

import pytest

from caveatlib import host
from caveatlib.experiments import ALL

pytestmark = pytest.mark.beside


def test_abilities_are_what_the_experiments_need():
    """Each once, in the order of experiments and places; those of either engine with them."""
    specs = [spec for experiment in ALL for spec in experiment.PLACES.values()]
    asked = [probe().name for spec in specs for probe in spec.probes()]
    found = [ability.name for ability in host.capabilities()]
    assert found == list(dict.fromkeys(asked))
    assert {"private-engine", "own-engine", "runc", "kvm", "process"} <= set(found)
    assert found == [ability.name for ability in host.capabilities()]


def test_a_probe_tries_once(monkeypatch):
    """What was found is kept for this process: nothing is started a second time."""
    before = host.capabilities()
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", None)
        assert host.capabilities() == before


def test_abilities_name_what_is_missing():
    """Each says what was found, or what is missing."""
    found = host.capabilities()
    assert len({a.name for a in found}) == len(found)
    assert all(a.reason for a in found)
    assert next(a for a in found if a.name == "process").available
    assert list(host.can_measure()["ability"]) == [a.name for a in found]


def test_what_can_be_decided_comes_first(monkeypatch):
    """Then one row for each reason, with how many claims it keeps from a verdict."""
    told = [
        host.Prospect("C23", "startup", "kvm: no /dev/kvm", frozenset()),
        host.Prospect("C07", "quota", "", frozenset()),
        host.Prospect("C24", "startup", "kvm: no /dev/kvm", frozenset()),
    ]
    monkeypatch.setattr(host, "prospects", lambda e: told if e is ALL[0] else [])
    assert host.can_decide().to_numpy().tolist() == [
        [1, "can be decided here", "C07"],
        [2, "kvm: no /dev/kvm", "C23, C24"],
    ]
