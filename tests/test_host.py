"""What is said of this machine."""

import getpass
import os
import platform
import re
import socket

from caveatlib import host


def test_facts_are_an_allow_list():
    """Exactly the facts that readers need, each a short text."""
    facts = host.describe()
    assert set(facts) <= {
        "cpu_model", "cpus", "memory_bytes", "architecture", "kernel", "hz", "cgroup",
        "congestion_control", "clocksource", "virtualised", "distribution", "python",
        "load_1min",
    }  # fmt: skip
    assert all(isinstance(v, str) and 0 < len(v) < 100 for v in facts.values())


def test_nothing_names_the_machine_or_its_owner():
    """Neither host name nor user nor home is in facts or class."""
    told = " ".join([*host.describe().values(), host.machine()])
    for private in (socket.gethostname(), getpass.getuser(), os.path.expanduser("~")):
        assert not re.search(rf"\b{re.escape(private)}\b", told)


def test_the_kernels_version_is_a_number_only(monkeypatch):
    """What follows the number may name whoever built it."""
    monkeypatch.setattr(platform, "release", lambda: "6.1.2-acme-corp-7")
    assert host.describe()["kernel"].endswith(" 6.1.2")
    assert "acme" not in host.machine()


def test_abilities_name_what_is_missing():
    """Each says what was found, or what is missing."""
    found = host.capabilities()
    assert len({a.name for a in found}) == len(found)
    assert all(a.reason for a in found)
    assert next(a for a in found if a.name == "process").available
    assert list(host.can_measure()["ability"]) == [a.name for a in found]
