"""Other sandboxes: found, or named with what is missing."""

import pytest

from caveatlib.places.base import Capability
from caveatlib.places.machines import accel, sandboxes


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a program that tells a version, and nothing else."""
    monkeypatch.setenv("PATH", f"{tmp_path}")
    program = tmp_path / "firecracker"
    program.write_text("#!/bin/sh\necho Firecracker v1.7.0\necho\necho more\n")
    program.chmod(0o755)


def test_missing(monkeypatch):
    """What is not installed says so and how to get it."""
    monkeypatch.setattr(sandboxes.shutil, "which", lambda name: None)
    abilities = sandboxes.probe()
    assert [a.name for a in abilities] == ["kata", "firecracker", "cloud-hypervisor"]
    assert all(not a.available and a.reason and a.fix for a in abilities)


@pytest.mark.parametrize("works", [True, False])
def test_installed(installed, monkeypatch, works):
    """An installed one is available only with hardware virtualisation."""
    monkeypatch.setattr(accel, "probe", lambda: Capability("kvm", works, "no kvm"))
    found = {a.name: a for a in sandboxes.probe()}["firecracker"]
    assert found.available == works
    assert found.reason == ("Firecracker v1.7.0" if works else "installed, but no kvm")
