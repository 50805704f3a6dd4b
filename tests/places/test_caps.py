"""The cap around what could hurt the machine: made, read back, and asked for more than it has."""

import secrets
import subprocess
import sys

import left
import pytest

from caveatlib.errors import MeasurementError, Unavailable
from caveatlib.places import leases
from caveatlib.places.cgroups import caps


@pytest.fixture
def group(require):
    """Return the name of a group that is gone afterwards."""
    require("cgroup-cap")
    name = f"/caveatlib-{secrets.token_hex(4)}"
    yield name
    for folder in caps.folders(name).values():
        if folder.is_dir():
            folder.rmdir()


def test_a_cap_is_what_the_kernel_has(group):
    """Both limits are in force, and the engine's control group is made with them."""
    cap = caps.Cap(tasks=50, memory_bytes=64 << 20)
    caps.put(group, cap)
    caps.require(group, cap)
    pids, memory = (caps.folders(group)[c] for c in ("pids", "memory"))
    assert (pids / "pids.max").read_text() == "50\n"
    limit = next(p for p in ("memory.limit_in_bytes", "memory.max") if (memory / p).exists())
    assert (memory / limit).read_text() == f"{64 << 20}\n"


def test_a_higher_limit_or_none_is_no_cap(group):
    """Raised by somebody, or never made."""
    cap = caps.Cap(tasks=50, memory_bytes=64 << 20)
    with pytest.raises(MeasurementError, match=r"pids\.max of the outer group is max"):
        caps.require(group, cap)
    caps.put(group, cap)
    (caps.folders(group)["pids"] / "pids.max").write_text("51")
    with pytest.raises(MeasurementError, match=r"is 51\. Must be at most 50"):
        caps.require(group, cap)


def test_a_machine_that_is_full_starts_nothing(group, monkeypatch):
    """Memory and tasks beyond the cap must be there for the machine itself."""
    caps.put(group, caps.Cap())
    monkeypatch.setattr(caps, "_available_bytes", lambda: 1 << 30)
    with pytest.raises(MeasurementError, match="1024 MiB of memory are available"):
        caps.require(group, caps.Cap())
    monkeypatch.undo()
    monkeypatch.setattr(caps, "SPARE_TASKS", 1 << 30)
    with pytest.raises(MeasurementError, match=r"tasks exist\. Must leave"):
        caps.require(group, caps.Cap())


PROBES = """
import sys
from caveatlib.places.cgroups import caps
caps.require = lambda group, cap: (print(group, flush=True), sys.stdin.read())
caps.probe()
"""


def test_a_probe_that_is_killed_leaves_what_a_sweep_finds(require):
    """Between making its group and removing it: the group carries the name of a lease."""
    require("cgroup-cap")
    with left.state() as state:
        probing = subprocess.Popen(
            [sys.executable, "-c", PROBES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            made = probing.stdout.readline().strip()
            assert all(folder.is_dir() for folder in caps.folders(made).values())
        finally:
            probing.kill()
            probing.communicate()
        try:
            assert leases.sweep() == [f"lease {made.removeprefix('/caveatlib-')}"]
            assert not any(folder.exists() for folder in caps.folders(made).values())
            assert not list(state.iterdir())
        finally:
            for folder in caps.folders(made).values():
                if folder.is_dir():
                    folder.rmdir()


@pytest.mark.beside
def test_without_a_controller_there_is_no_cap(monkeypatch):
    """It is said which one is missing; the probe says so, too."""
    monkeypatch.setattr(caps, "locate", lambda controller: None)
    with pytest.raises(Unavailable, match="No pids controller"):
        caps.put("/caveatlib-0badcafe", caps.Cap())
    caps.probe.cache_clear()
    assert not caps.probe().available
    caps.probe.cache_clear()
