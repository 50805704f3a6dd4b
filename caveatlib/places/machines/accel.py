"""What runs a guest's instructions here, hardware or emulator, and how fast.

``/dev/kvm`` is not proof: a host that is itself a virtual machine may offer it
and yet not get a guest through its boot, and PVM offers it to guests only that
were built for PVM. So hardware counts only after a guest has booted with it
within `PROBE_S`, at the second try at the latest; the result is kept until the
host boots again. Otherwise QEMU emulates, and `slowdown` says what that costs.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from pathlib import Path

from caveatlib.errors import CaveatError, DeadlineExceeded, MeasurementError
from caveatlib.places import cache
from caveatlib.places.base import Capability, Place, Workload
from caveatlib.places.machines import guest
from caveatlib.places.machines.qemu import Guest, Machine
from caveatlib.places.output import await_lines
from caveatlib.places.process import process_place

DEVICE = "/dev/kvm"
MODULES = Path("/sys/module")
CPUINFO = Path("/proc/cpuinfo")
DRIVERS = {"vmx": "kvm_intel", "svm": "kvm_amd"}
"""Flag of a CPU that can virtualise -> the module that makes use of it."""
PVM = "kvm_pvm"
"""Module of PVM, which needs no such CPU, but a guest that knows it: SOSP'23, Huang et al.,
"PVM: Efficient Shadow Paging for Deploying Secure Containers in Cloud-native Environment"."""

PROBE_S = 5
"""Seconds within which a guest on hardware virtualisation must have booted."""

CALIBRATION_S = 60
"""Seconds that the emulated guest may take which measures the clock."""

SLOWDOWN_S = 120
"""Seconds that all kinds of work may take in a guest, its boot included."""

KINDS = {
    "integer": "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done",
    "memory": "dd if=/dev/zero of=/dev/null bs=1048576 count=1000 2>/dev/null",
    "system calls": "dd if=/dev/zero of=/dev/null bs=1 count=500000 2>/dev/null",
    "page faults": "i=0; while [ $i -lt 500 ]; do (:); i=$((i+1)); done",
}
"""Scripts that keep one part of a machine busy. A forked shell's first writes
fault on the pages that it shares with its parent."""


@functools.cache
def probe() -> Capability:
    """Return whether hardware virtualisation works here (ability ``"kvm"``), or why it does not."""
    if not os.path.exists(DEVICE):
        return Capability("kvm", False, *_why_no_device())
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return Capability("kvm", False, "no access to /dev/kvm", "sudo usermod -aG kvm $USER")
    try:
        known = _known()
        if "kvm" not in known:
            # Kept for long, so a machine that is busy for a moment gets a second try.
            known = _keep(known | {"kvm": _boots_on_hardware() and _boots_on_hardware()})
    except CaveatError as error:
        return Capability("kvm", False, f"not tried: {error}", cache.PREPARE)
    if not known["kvm"]:
        return Capability("kvm", True, "a guest boots with it")
    return Capability("kvm", False, f"{_what_it_is()}: {known['kvm']}")


def _why_no_device() -> tuple[str, str]:
    """Return why there is no device, and what would mend it."""
    missing, flags = "there is no /dev/kvm", _flags()
    for flag, driver in DRIVERS.items():
        if _loaded(driver):
            return f"{missing} here, though the kernel has {driver}", "docker run --device /dev/kvm"
        if flag in flags:
            return f"{missing}: the module {driver} is not loaded", f"sudo modprobe {driver}"
    if "hypervisor" in flags:
        return f"{missing}: the host of this virtual machine does not pass virtualisation on", ""
    return missing, ""


def _what_it_is() -> str:
    """Return what kind of KVM it is with which a guest does not boot."""
    if _loaded(PVM) and not any(map(_loaded, DRIVERS.values())):
        return f"/dev/kvm is PVM's (module {PVM}), which runs only guests built for it"
    if "hypervisor" in _flags():
        return "/dev/kvm is there in a virtual machine (nested), but does not work"
    return "/dev/kvm is there, but does not work"


def _loaded(module: str) -> bool:
    return (MODULES / module).is_dir()


def _flags() -> frozenset[str]:
    """Return the flags of the first CPU; none where /proc lists none, as on ARM."""
    try:
        found = re.search(r"^flags\s*:(.*)$", CPUINFO.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return frozenset(found.group(1).split()) if found else frozenset()


def accelerator() -> tuple[str, int]:
    """Return ``("kvm", 0)``, or ``("tcg", tsc_khz)`` where hardware does not serve.

    An emulated microVM that measures the frequency of its time stamp counter
    itself hangs in some boots (17 of 250 on one machine), and a wrong
    frequency bends its clock. So one guest on another board, which does not
    hang, measures it once per boot of the host.

    Raises
    ------
    Unavailable
        If the guest is not prepared.
    MeasurementError
        If the emulator does not boot a guest either.
    """
    if probe().available:
        return "kvm", 0
    known = _known()
    if "tsc_khz" not in known:
        known = _keep(known | {"tsc_khz": _tsc_khz()})
    return "tcg", known["tsc_khz"]


def slowdown(place: Place) -> list[dict[str, object]]:
    """Time the same scripts in a guest and on the host, with the same busybox.

    Every time is read on the host's clock, between two lines that the script
    writes.

    Returns
    -------
    list of dict
        One row per kind of work (`KINDS`): ``kind``, ``guest_s``, ``host_s``.

    Raises
    ------
    MeasurementError
        If the guest did not get through.
    """
    script = "\n".join(["echo start 0", *(f"{s}; echo done {k}" for k, s in KINDS.items())])
    lines = ["start 0", *(f"done {kind}" for kind in KINDS)]
    with process_place() as host:
        host_marks = _marks(host, script, lines)
    guest_marks = _marks(place, script, lines)
    return [
        {
            "kind": kind,
            "guest_s": guest_marks[i + 1] - guest_marks[i],
            "host_s": host_marks[i + 1] - host_marks[i],
        }
        for i, kind in enumerate(KINDS)
    ]


def _marks(place: Place, script: str, lines: list[str]) -> list[float]:
    instance = place.create(Workload(script))
    try:
        instance.start()
        return await_lines(instance.output, lines, SLOWDOWN_S)
    finally:
        instance.remove()


def _files() -> tuple[Path, tuple[Path, ...]]:
    """Return the kernel and the archives that a probing guest boots."""
    return cache.find(guest.KERNEL) / "vmlinuz", (cache.ensure(guest.INITRAMFS) / "initramfs",)


def _boots_on_hardware() -> str:
    """Return why a guest does not boot on hardware; empty if it does."""
    instance = Guest(Machine(*_files(), "microvm", "kvm"), Workload("echo booted"))
    try:
        instance.start()
        await_lines(instance.output, ["booted"], PROBE_S)
    except DeadlineExceeded:
        return f"a guest does not boot within {PROBE_S} s"
    except MeasurementError:
        try:
            instance.wait(PROBE_S)
        except CaveatError as error:
            return f"a guest does not boot: {error}"
        return "a guest does not boot"
    finally:
        instance.remove()
    return ""


def _tsc_khz() -> int:
    # "[    0.000000] tsc: Detected 2600.013 MHz processor"
    script = "dmesg | sed -n 's/.*tsc: Detected \\([0-9.]*\\) MHz.*/tsc \\1/p'; echo booted"
    instance = Guest(Machine(*_files(), "q35", "tcg"), Workload(script))
    try:
        instance.start()
        instance.wait(CALIBRATION_S)
        told = re.search(rb"^tsc ([0-9.]+)", os.read(instance.output, 65536), re.MULTILINE)
    finally:
        instance.remove()
    if told is None:
        raise MeasurementError("An emulated guest did not tell the frequency of its clock.")
    return round(float(told[1]) * 1000)


def _key() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    parts = (boot, cache.checksum(guest.KERNEL), cache.checksum(guest.INITRAMFS))
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _file() -> Path:
    return cache.folder() / "accelerator.json"


def _known() -> dict:
    """Return what was found since the host booted, with the same guest."""
    try:
        stored = json.loads(_file().read_text())
    except (OSError, ValueError):
        stored = {}
    return stored if stored.get("key") == _key() else {"key": _key()}


def _keep(known: dict) -> dict:
    try:
        temporary = _file().with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(known))
        temporary.replace(_file())
    except OSError:
        pass  # A cache that cannot be written costs the probe again, nothing else.
    return known
