"""What is said of this machine, and by what two machines are told apart."""

import getpass
import os
import platform
import re
import socket
from types import SimpleNamespace

import psutil
import pytest

from caveatlib.measuring import machine

pytestmark = pytest.mark.beside


def test_facts_are_an_allow_list():
    """Exactly the facts that readers need, each a short text."""
    facts = machine.describe()
    assert set(facts) <= {
        "cpu_model", "cpus", "memory_bytes", "architecture", "kernel", "hz", "cgroup",
        "congestion_control", "clocksource", "virtualised", "distribution", "python",
        "inside", "load_1min", "mitigations",
    }  # fmt: skip
    assert all(isinstance(v, str) and 0 < len(v) < 100 for v in (facts | MANY).values())


MANY = {"mitigations": "one phrase for each flaw of the CPU"}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, ""),
        ({"mds": "Not affected"}, "none needed"),
        ({"mds": "Not affected", "meltdown": "Mitigation: PTI"}, "meltdown: PTI"),
        (
            {
                "spectre_v2": "Mitigation: Retpolines; STIBP: disabled; BHI: Not affected",
                "mds": "Vulnerable: Clear CPU buffers attempted, no microcode; SMT vulnerable",
            },
            "mds: Vulnerable; spectre_v2: Retpolines",
        ),
    ],
)
def test_mitigations_are_told_by_flaw(tmp_path, told, expected):
    """What the CPU has and what the kernel does about it, without the details."""
    for name, text in told.items():
        (tmp_path / name).write_text(f"{text}\n")
    assert machine._mitigations(str(tmp_path)) == expected


def test_nothing_names_the_machine_or_its_owner():
    """Neither host name nor user nor home is in facts or class."""
    told = " ".join([*machine.describe().values(), machine.label()])
    for private in (socket.gethostname(), getpass.getuser(), os.path.expanduser("~")):
        assert not re.search(rf"\b{re.escape(private)}\b", told)


def test_the_kernels_version_is_a_number_only(monkeypatch):
    """What follows the number may name whoever built it."""
    monkeypatch.setattr(platform, "release", lambda: "6.1.2-acme-corp-7")
    assert machine.describe()["kernel"].endswith(" 6.1.2")
    assert "acme" not in machine.label()


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("AMD EPYC 7763 64-Core Processor", "AMD EPYC 7763"),
        ("Intel(R) Xeon(R) Processor", "Intel Xeon"),
        ("Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz", "Intel Xeon Platinum 8370C"),
        ("Intel(R) Xeon(R) CPU E5-2673 v4 @ 2.30GHz", "Intel Xeon E5-2673 v4"),
        ("12th Gen Intel(R) Core(TM) i7-1260P", "12th Gen Intel Core i7-1260P"),
        ("AMD Ryzen 7 5800X 8-Core Processor", "AMD Ryzen 7 5800X"),
        ("AMD Athlon(tm) II X4 640 Quad-Core Processor", "AMD Athlon II X4 640"),
        ("VirtualApple @ 2.50GHz processor", "VirtualApple"),
        ("a, b", "a b"),
        ("", ""),
    ],
)
def test_a_cpu_is_named_by_its_model_alone(model, expected):
    """No trade mark, no clock rate, no count of cores, nothing that parts a label."""
    assert machine.cpu_class(model) == expected


INTEL = "processor\t: 0\nmodel\t\t: 106\nmodel name\t: Intel(R) Xeon(R)\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"
FACTS = {
    "_cpu_model": "AMD EPYC 7763 64-Core Processor",
    "_kernel": "6.18.44",
    "cgroups": "v1",
    "cores": 2,
}


def test_the_class_has_the_cpus_model_and_no_reading(monkeypatch):
    """Model, CPUs, memory, kernel and cgroups; a machine of another model is another."""
    for name, value in FACTS.items():
        monkeypatch.setattr(machine, name, lambda value=value: value)
    memory = SimpleNamespace(total=24 * 2**30 - 2**28, available=1)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    assert machine.label() == "AMD EPYC 7763, 2 CPUs, 24 GiB, Linux 6.18, cgroup v1"
    for name, value in (("_cpu_model", ""), ("cores", 1), ("cgroups", "none")):
        monkeypatch.setattr(machine, name, lambda value=value: value)
    assert machine.label() == f"{platform.machine()}, 1 CPU, 24 GiB, Linux 6.18"


def test_models_as_kernels_name_them():
    """Of a name if there is one, of maker and part on ARM."""
    assert machine._cpu_model(INTEL) == "Intel(R) Xeon(R)"
    assert machine._cpu_model(INTEL + "\n" + INTEL.replace("Intel(R) ", "")) == "Xeon(R)"
    assert machine._cpu_model(ARM) == "ARM 0x41/0xd0c"
    assert machine._cpu_model("") == platform.processor()


def test_a_recorded_label_gets_its_own_runs_cpu():
    """Only where the architecture stands in the CPU's place."""
    old = "x86_64, 2 CPUs, 24 GiB, Linux 6.18, cgroup v1"
    facts = {"architecture": "x86_64", "cpu_model": "Intel(R) Xeon(R) Processor"}
    new = "Intel Xeon, 2 CPUs, 24 GiB, Linux 6.18, cgroup v1"
    assert machine.label_with_cpu(old, facts) == new
    assert machine.label_with_cpu(new, facts) == new
    assert machine.label_with_cpu(old, {}) == old
    assert machine.label_with_cpu("ACME, 2 CPUs", facts) == "ACME, 2 CPUs"
    assert machine.label_with_cpu(old, {"architecture": "x86_64"}) == old
    assert machine.label_with_cpu("x86_64", facts) == "Intel Xeon"


@pytest.mark.parametrize(
    ("after", "share"),
    [
        ((200, 10), 0.1),
        ((200, 0), 0.0),
        ((100, 0), float("nan")),
        ((99, 0), float("nan")),  # iowait went back by more than passed
        ((101, 2), float("nan")),  # and here by less
        ((200, -1), float("nan")),  # stolen time went back
    ],
)
def test_stolen_time_is_a_share_or_not_known(after, share):
    """A counter that goes back would break the column, and with it the whole run."""
    assert machine.stolen_share((100, 0), after) == pytest.approx(share, nan_ok=True)
