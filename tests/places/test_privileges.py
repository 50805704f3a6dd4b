"""A refusal names the Linux capability that this process lacks."""

import os

import pytest

from caveatlib.errors import MeasurementError
from caveatlib.places import namespaces, privileges, runc
from caveatlib.places.base import Capability
from caveatlib.places.engines import private_engine

pytestmark = pytest.mark.beside

FULL = 0x1FFFFFFFFFF
IN_A_CONTAINER = 0xA80425FB
"""What an engine leaves to root by default."""


@pytest.fixture
def holding(tmp_path, monkeypatch):
    """Return a function that lets this process seem to hold these capabilities."""

    def hold(mask: int) -> None:
        (tmp_path / "status").write_text(f"Name:\tpython\nCapPrm:\t0\nCapEff:\t{mask:016x}\n")
        monkeypatch.setattr(privileges, "STATUS", tmp_path / "status")

    return hold


@pytest.mark.parametrize(
    ("mask", "missing"),
    [
        (FULL, []),
        (IN_A_CONTAINER, ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]),
        (FULL & ~(1 << 21), ["CAP_SYS_ADMIN"]),
        (0, ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]),
    ],
)
def test_what_is_lacking(holding, mask, missing):
    """Bits of the effective set, by the names of linux/capability.h."""
    holding(mask)
    assert privileges.lacking("CAP_NET_ADMIN", "CAP_SYS_ADMIN") == missing


def test_where_nothing_tells_nothing_is_lacking(tmp_path, monkeypatch):
    """Without /proc, on macOS, what the attempt said is all there is."""
    monkeypatch.setattr(privileges, "STATUS", tmp_path / "none")
    assert privileges.refused("x", "It broke.", needs=["CAP_SYS_ADMIN"]).reason == "It broke."


@pytest.mark.parametrize(
    ("mask", "user", "reason", "fix"),
    [
        (FULL, 0, "It broke.", ""),
        (FULL & ~(1 << 12), 0, "It broke.", "run the container with --privileged"),
        (IN_A_CONTAINER, 0, "needs CAP_SYS_ADMIN", "run the container with --privileged"),
        (0, 1000, "needs CAP_SYS_ADMIN", "run it as root"),
    ],
)
def test_reason_and_fix(holding, monkeypatch, mask, user, reason, fix):
    """The capability if one is missing, else what was said; for root no advice to become root."""
    holding(mask)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    found = privileges.refused("x", "It broke.", needs=["CAP_SYS_ADMIN"])
    assert (found.available, found.reason, found.fix) == (False, reason, fix)


@pytest.fixture
def broken(require, fresh_probes, tmp_path, monkeypatch):
    """Return a function that puts a program that fails in front of the real one."""
    require("private-engine")

    def put(name: str, said: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return put


@pytest.mark.parametrize("program", ["runc", "crun", "runsc"])
def test_a_runtime_that_starts_nothing_is_not_available(broken, program):
    """That a program is there says nothing: a container is started, and its words are kept."""
    broken(program, "container_linux.go: failed to unshare at 10.1.2.3")
    found = runc.probe(program)
    assert not found.available
    assert found.reason.endswith(
        f"{program} failed: container_linux.go: failed to unshare at <address>"
    )


def test_namespaces_that_are_refused(broken):
    """The kernel's refusal is what counts."""
    broken("unshare", "unshare failed: Operation not permitted")
    assert not namespaces.probe().available


def test_an_engine_that_gets_no_bridge(broken):
    """Namespaces are not enough: a kernel may have no bridges."""
    broken("ip", "Error: Unknown device type.")
    found = private_engine.probe()
    assert not found.available
    assert "Error: Unknown device type." in found.reason


@pytest.mark.parametrize(("failures", "available"), [(0, True), (1, True), (2, False)])
def test_a_runtime_that_fails_once_is_tried_again(failures, available, monkeypatch):
    left = iter([MeasurementError("runc failed: connection reset by peer")] * failures)

    def start(program):
        if error := next(left, None):
            raise error

    monkeypatch.setattr(runc.programs, "find", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(runc.rootfs, "probe", lambda: Capability("rootfs", True, "told"))
    monkeypatch.setattr(runc.cgroupfs, "hierarchies", lambda: ["told"])
    monkeypatch.setattr(runc, "_try", start)
    monkeypatch.setattr(runc, "version", lambda program: "1")
    # whatever this process lacks
    monkeypatch.setattr(privileges, "lacking", lambda *needs: [])
    found = runc.probe.__wrapped__("runc")
    assert found.available == available
    assert available or "connection reset" in found.reason
