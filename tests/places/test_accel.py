"""What runs a guest's instructions: probed by a boot, remembered until the next."""

import contextlib
import os

import pytest

from caveatlib.errors import DeadlineExceeded, MeasurementError, Unavailable
from caveatlib.places import cache
from caveatlib.places.machines import accel
from caveatlib.places.output import await_lines

pytestmark = pytest.mark.beside


@pytest.fixture
def host(fresh_probes, tmp_path, monkeypatch):
    """Pretend a host with a device for virtualisation and a prepared guest."""
    state = {"boots": 0, "calibrations": 0, "says": "", "boot": "first"}

    def boot():
        state["boots"] += 1
        return state["says"]

    def calibrate():
        state["calibrations"] += 1
        return 2_600_000

    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    monkeypatch.setattr(accel, "DEVICE", str(tmp_path / "kvm"))
    monkeypatch.setattr(accel, "MODULES", tmp_path / "module")
    monkeypatch.setattr(accel, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(accel, "_key", lambda: state["boot"])
    monkeypatch.setattr(accel, "_boots_on_hardware", boot)
    monkeypatch.setattr(accel, "_tsc_khz", calibrate)
    (tmp_path / "kvm").write_text("")
    return state


def test_hardware_that_works(host):
    """A guest that boots is proof; it is booted once per boot of the host."""
    assert accel.probe().available
    assert accel.accelerator() == ("kvm", 0)
    assert (host["boots"], host["calibrations"]) == (1, 0)
    host["boot"] = "second"
    accel.probe.cache_clear()
    assert accel.probe().available
    assert host["boots"] == 2


def test_hardware_that_does_not_work(host):
    """A device alone is no proof: the reason is kept, and the emulator taken."""
    host["says"] = "a guest does not boot"
    ability = accel.probe()
    assert not ability.available
    assert ability.reason == "/dev/kvm is there, but does not work: a guest does not boot"
    assert accel.accelerator() == accel.accelerator() == ("tcg", 2_600_000)
    assert (host["boots"], host["calibrations"]) == (2, 1)


def test_hardware_that_works_at_the_second_try(host, monkeypatch):
    """A guest that one busy moment held up is no proof that hardware does not serve."""
    told = iter(["a guest does not boot within 5 s", ""])
    monkeypatch.setattr(accel, "_boots_on_hardware", lambda: next(told))
    assert accel.probe().available
    accel.probe.cache_clear()
    assert accel.probe().available, "not kept"


def test_no_device(host, tmp_path):
    """Without the device nothing is booted to find out."""
    (tmp_path / "kvm").unlink()
    assert not accel.probe().available
    assert accel.accelerator()[0] == "tcg"
    assert host["boots"] == 0


BARE = "flags\t\t: fpu vme svm sse"
RENTED = "flags\t\t: fpu vme hypervisor sse"


@pytest.mark.parametrize(
    ("modules", "cpuinfo", "reason"),
    [
        (["kvm", "kvm_pvm"], RENTED, "PVM's (module kvm_pvm), which runs only guests built for it"),
        (["kvm", "kvm_intel"], RENTED, "in a virtual machine (nested), but does not work"),
        (["kvm", "kvm_amd"], BARE, "/dev/kvm is there, but does not work"),
        ([], "", "/dev/kvm is there, but does not work"),
    ],
)
def test_a_kvm_that_is_none_is_named(host, tmp_path, modules, cpuinfo, reason):
    """By its module and by the CPU; what QEMU said of it follows."""
    for name in modules:
        (tmp_path / "module" / name).mkdir(parents=True)
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    host["says"] = "a guest does not boot: exit status 1"
    assert reason in accel.probe().reason
    assert accel.probe().reason.endswith(": a guest does not boot: exit status 1")


@pytest.mark.parametrize(
    ("modules", "cpuinfo", "reason", "fix"),
    [
        (["kvm_amd"], BARE, "the kernel has kvm_amd", "docker run --device /dev/kvm"),
        ([], BARE, "the module kvm_amd is not loaded", "sudo modprobe kvm_amd"),
        ([], BARE.replace("svm", "vmx"), "kvm_intel is not loaded", "sudo modprobe kvm_intel"),
        ([], RENTED, "does not pass virtualisation on", ""),
        ([], "Features\t: fp asimd", "there is no /dev/kvm", ""),
    ],
)
def test_why_there_is_no_device(host, tmp_path, modules, cpuinfo, reason, fix):
    """A container that is not given it, a module that is not loaded, a host that keeps it."""
    (tmp_path / "kvm").unlink()
    for name in modules:
        (tmp_path / "module" / name).mkdir(parents=True)
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    found = accel.probe()
    assert reason in found.reason
    assert found.fix == fix


def test_no_access(host, monkeypatch):
    """A device that this user may not open names the group; another user's result is not kept."""
    monkeypatch.setattr(os, "access", lambda *a: False)
    assert "kvm" in accel.probe().fix
    monkeypatch.undo()


def test_not_prepared(host, monkeypatch):
    """Without a guest to boot nothing is claimed, and nothing kept."""

    def unprepared():
        raise Unavailable("The kernel is not prepared.")

    monkeypatch.setattr(accel, "_boots_on_hardware", unprepared)
    assert "not tried: The kernel is not prepared" in accel.probe().reason
    monkeypatch.setattr(accel, "_boots_on_hardware", lambda: "")
    accel.probe.cache_clear()
    assert accel.probe().available


def test_cache_that_cannot_be_used(host, tmp_path, monkeypatch):
    """A damaged or missing cache costs a probe, not an error."""
    (tmp_path / "accelerator.json").write_text("[1")
    assert accel.probe().available
    monkeypatch.setattr(cache, "folder", lambda: tmp_path / "kvm" / "no")
    accel.probe.cache_clear()
    assert accel.probe().available
    assert host["boots"] == 2


@pytest.fixture
def pipe():
    """Return a pipe's ends."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def test_lines_in_order(pipe):
    """Each line is found in order, also with a kernel's words before it."""
    os.write(pipe[1], b"boot noise one\r\ntwo is not yet it\ntwo\n")
    first, second = await_lines(pipe[0], ["one", "two"], 5)
    assert first <= second


def test_line_that_never_comes(pipe):
    """Half a line is none: the wait ends in time."""
    os.write(pipe[1], b"one")
    with pytest.raises(DeadlineExceeded, match=r"No 'one' within 0\.1 s"):
        await_lines(pipe[0], ["one"], 0.1)


def test_output_that_ends(pipe):
    """An output that ends is an error at once, not at the deadline."""
    os.write(pipe[1], b"else\n")
    os.close(pipe[1])
    with pytest.raises(MeasurementError, match="ended before 'one'"):
        await_lines(pipe[0], ["one"], 60)
