"""Virtual machines as places: a microVM, a full VM, and a microVM with a container inside.

microvm
    QEMU's board of that name, kernel and busybox in memory, one processor.
full-vm
    A PC (q35) with firmware and a disk, Debian with systemd, two processors.
    The script runs after multi-user.target. The kernel is handed to the
    firmware by QEMU: there is no boot loader.
inception
    A microVM that has runc and a bundle: ``container SCRIPT`` in the workload's
    script runs a first container in it.

The serial line is the output. A guest has a network only if its workload has a
port. An orderly end is a line with the signal's name on the serial line: the
guest passes it to the workload, and powers off when that has ended (the full VM
through systemd's poweroff.target).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from caveatlib.errors import CaveatError, UsageError
from caveatlib.places import cache as kept
from caveatlib.places.base import Capability, Workload
from caveatlib.places.machines import accel, guest, qemu
from caveatlib.support import programs

KINDS = ("microvm", "full-vm", "inception")


@dataclass
class Vm:
    """An opened kind of virtual machine (a `caveatlib.places.base.Place`)."""

    machine: qemu.Machine
    made: list[qemu.Guest]

    def create(self, workload: Workload) -> qemu.Guest:
        """Prepare a guest up to the point where only QEMU's process is missing."""
        instance = qemu.Guest(self.machine, workload)
        self.made.append(instance)
        return instance

    @property
    def accel(self) -> str:
        """``"kvm"`` where hardware runs the guest, ``"tcg"`` where it is emulated."""
        return self.machine.accel

    def build(self, folder: Path) -> float:
        """Make a disk of a folder's files; return how many seconds it took."""
        with tempfile.TemporaryFile() as out:  # without a name: nothing is left by a kill
            return guest.build_disk(folder, Path(f"/proc/{os.getpid()}/fd/{out.fileno()}"))

    def metadata(self) -> dict[str, str]:
        """Return the hardware that the guest sees and the versions it is made of."""
        machine = self.machine
        return {
            "accel": machine.accel,
            "board": machine.board,
            "vcpus": str(machine.vcpus),
            "guest_memory_bytes": str(machine.memory_mib << 20),
            "boot_words": "" if machine.waiting else qemu.WAITLESS,
            "guest_kernel": machine.kernel.with_name("version").read_text().strip(),
            "qemu": _qemu_version(),
        }


@contextmanager
def vm_place(kind: str) -> Iterator[Vm]:
    """Open a kind of virtual machine; its guests end with it.

    Raises
    ------
    UsageError
        If there is no such kind.
    Unavailable
        If QEMU is missing or the guest is not prepared.
    """
    if kind not in KINDS:
        raise UsageError(f"Unknown virtual machine {kind!r}. Must be one of {KINDS}.")
    qemu.program()
    kernel = kept.find(guest.KERNEL) / "vmlinuz"
    archives = [kept.ensure(guest.INITRAMFS) / "initramfs"]
    disk = kept.find(guest.FULL_DISK) / "disk.raw" if kind == "full-vm" else None
    if kind == "inception":
        archives.append(kept.ensure(guest.INCEPTION) / "initramfs")
    by, tsc_khz = accel.accelerator()
    board, vcpus, memory_mib = {
        "microvm": ("microvm", 1, 256),
        "full-vm": ("q35", min(2, os.cpu_count() or 1), 1024),
        "inception": ("microvm", 1, 512),
    }[kind]
    machine = qemu.Machine(
        kernel, tuple(archives), board, by, vcpus, memory_mib, disk=disk, tsc_khz=tsc_khz
    )
    place = Vm(machine, [])
    try:
        yield place
    finally:
        with ExitStack() as stack:  # each of them, also where one does not end
            for instance in place.made:
                stack.callback(instance.remove)


@cache
def probe(kind: str) -> Capability:
    """Return whether a kind of virtual machine can be opened here (ability of the same name)."""
    try:
        qemu.program()
        kept.find(guest.KERNEL)
        kept.checksum(guest.INITRAMFS)
        if kind == "full-vm":
            kept.find(guest.FULL_DISK)
        if kind == "inception":
            kept.checksum(guest.INCEPTION)
    except CaveatError as error:
        reason, _, fix = str(error).partition(" Run ")
        return Capability(kind, False, reason, fix.strip("`. ").split("`")[0])
    return Capability(kind, True, f"QEMU {_qemu_version()}, guest prepared")


@cache
def _qemu_version() -> str:
    told = programs.run([qemu.program(), "--version"], timeout_s=20)
    # "QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)"
    return told.split("version ", 1)[-1].split()[0]
