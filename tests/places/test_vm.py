"""Virtual machines, booted for real."""

import dataclasses
import itertools
import os
import time
from pathlib import Path

import pytest

from caveatlib.errors import CaveatError, MeasurementError, Unavailable, UsageError
from caveatlib.places import cache
from caveatlib.places.base import Workload
from caveatlib.places.machines import accel, qemu, vm
from caveatlib.places.output import await_lines

BOOT_S = 120
"""Seconds until a test gives a boot up; an emulated one on a busy machine is slow."""


@pytest.fixture
def place(require):
    """Return a function that opens a kind of machine until the test ends."""
    opened = []

    def open_kind(kind):
        require(kind)
        opened.append(vm.vm_place(kind))
        return opened[-1].__enter__()

    yield open_kind
    for manager in opened:
        manager.__exit__(None, None, None)


def started(place, script, port=0):
    """Return a guest that has been started."""
    instance = place.create(Workload(script, port))
    instance.start()
    return instance


def first_line_of_answer(instance):
    """Return the first line of an HTTP answer, asked for until there is one."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with instance.connect(2) as connection:
                connection.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
                if answer := connection.recv(100):
                    return answer.split(b"\r\n")[0]
        except OSError:
            time.sleep(0.05)
    return b""


@pytest.mark.vm
@pytest.mark.slow
def test_microvm(place):
    """A microVM runs a script, answers on its port, ends on a signal, leaves no process."""
    microvm = place("microvm")
    script = "trap 'kill $!; exit 3' TERM; busybox httpd -f -p 8080 -h www & echo nonce; wait"
    instance = started(microvm, script, 8080)
    (pid,) = instance.pids()
    await_lines(instance.output, ["nonce"], BOOT_S)
    assert b"qemu" in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert first_line_of_answer(instance) == b"HTTP/1.1 200 OK"
    instance.signal("TERM")
    assert instance.wait(BOOT_S) == 3
    instance.remove()
    assert not os.path.exists(f"/proc/{pid}")
    facts = microvm.metadata()
    assert facts["accel"] in ("kvm", "tcg")
    assert facts["board"] == "microvm"


@pytest.mark.vm
@pytest.mark.timed
def test_known_answer_and_panic(place, bars):
    """A sleep of 100 ms in the guest is 100 +- 10 ms here; a panic is an error in time."""
    # Running "sleep" costs emulated time too: what "sleep 0" takes is taken off.
    rounds = [f"sleep 0; echo a{i}; sleep 0.1; echo b{i}" for i in range(7)]
    script = "; ".join(["echo b", *rounds, "echo c >/proc/sysrq-trigger"])
    instance = started(place("microvm"), script)
    lines = ["b", *(f"{mark}{i}" for i in range(7) for mark in "ab")]
    marks = await_lines(instance.output, lines, BOOT_S)
    steps = [after - before for before, after in itertools.pairwise(marks)]
    found = min(steps[3::2]) - min(steps[2::2])  # a busy machine only adds
    bars.append(("0.1 s of sleep in a microVM, read", f"{found * 1e3:.1f} ms", "100 +- 10"))
    assert found == pytest.approx(0.1, abs=0.01)
    with pytest.raises(MeasurementError, match="Kernel panic - not syncing: sysrq"):
        instance.wait(BOOT_S)


@pytest.mark.vm
def test_context_ends_its_guests(place):
    """A guest that nobody removed ends with its place."""
    if not vm.probe("microvm").available:
        place("microvm")
    with vm.vm_place("microvm") as opened:
        (pid,) = started(opened, "sleep 1000").pids()
    assert not os.path.exists(f"/proc/{pid}")


def test_unknown_kind():
    """An unknown kind is named beside the known ones."""
    with pytest.raises(UsageError, match="'hypervm'"), vm.vm_place("hypervm"):
        pass


def test_nothing_prepared(fresh_probes, tmp_path, monkeypatch):
    """With an empty cache each kind says what would mend it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(qemu, "program", lambda: "/bin/true")
    for ability in map(vm.probe, vm.KINDS):
        assert not ability.available
        assert ability.fix == cache.PREPARE
    with pytest.raises(Unavailable, match="is not prepared"), vm.vm_place("full-vm"):
        pass


@pytest.mark.vm
@pytest.mark.slow
def test_full_vm(place):
    """Debian with systemd runs the script, answers, and powers off in an orderly way."""
    script = "trap 'exit 4' TERM; busybox httpd -p 8080 -h www; echo nonce; sleep 1000 & wait"
    instance = started(place("full-vm"), script, 8080)
    await_lines(instance.output, ["nonce"], BOOT_S)
    assert first_line_of_answer(instance) == b"HTTP/1.1 200 OK"
    instance.signal("TERM")
    assert instance.wait(BOOT_S) == 4


@pytest.mark.vm
@pytest.mark.slow
def test_full_vm_throws_writes_away(place):
    """What a trial writes to the disk is not there for the next."""
    full = place("full-vm")
    before = (full.machine.disk.stat().st_mtime_ns, full.machine.disk.stat().st_size)
    for _ in range(2):
        instance = started(full, "ls /srv; echo x >/srv/trace; sync; echo listed")
        await_lines(instance.output, ["listed"], BOOT_S)
        instance.wait(BOOT_S)
        assert b"trace" not in qemu._content(instance._log).split(b"listed")[0]
    assert (full.machine.disk.stat().st_mtime_ns, full.machine.disk.stat().st_size) == before


@pytest.mark.vm
@pytest.mark.slow
def test_inception(place):
    """A first container runs in a guest, apart from it, and its status comes out."""
    script = "echo guest $$; container 'echo container $$; test -d /bundle || exit 7'"
    instance = started(place("inception"), script)
    await_lines(instance.output, ["container 1"], BOOT_S)
    assert instance.wait(BOOT_S) == 7


@pytest.mark.vm
@pytest.mark.slow
@pytest.mark.timed
def test_slowdown(place):
    """Every kind of work is timed on both sides."""
    rows = accel.slowdown(place("microvm"))
    assert [row["kind"] for row in rows] == list(accel.KINDS)
    assert all(row["guest_s"] > 0 and row["host_s"] > 0 for row in rows)


@pytest.mark.vm
@pytest.mark.slow
def test_disk_that_is_none(place, tmp_path):
    """A disk without a file system ends the guest with that reason."""
    full = place("full-vm")
    (tmp_path / "disk.raw").write_bytes(bytes(1 << 20))
    full.machine = dataclasses.replace(full.machine, disk=tmp_path / "disk.raw")
    with pytest.raises(MeasurementError, match="disk cannot be mounted"):
        started(full, "echo up").wait(BOOT_S)
    (tmp_path / "disk.raw").unlink()
    with pytest.raises(Unavailable, match=r"'disk\.raw' is missing"):
        full.create(Workload("true"))


@pytest.mark.vm
@pytest.mark.slow
@pytest.mark.long
def test_boots_do_not_hang(place, bars):
    """Of 50 boots none hangs: at most 5.8 % would, with 95 % confidence (rule of three)."""
    microvm, hung = place("microvm"), 0
    for _ in range(50):
        instance = started(microvm, "echo up")
        try:
            await_lines(instance.output, ["up"], BOOT_S)
        except CaveatError:
            hung += 1
        instance.remove()
    bars.append(("microVM boots that hang", f"{hung} of 50", "0"))
    assert hung == 0
