"""Guests whose kernel has what this machine's may lack, each asked one thing of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from caveatlib.errors import FAILURES
from caveatlib.places import cache
from caveatlib.places.base import Capability, Workload
from caveatlib.places.cache import Artefact
from caveatlib.places.machines import guest, vm
from caveatlib.places.output import text_before
from caveatlib.support.privacy import scrub

SAID_S = 120.0
"""For a boot and all that is asked, emulated."""
DISK = "disk.raw"
"""The file of an artefact that is a disk."""
MODULES = guest.loadable(
    "defaults",
    {
        "ipvs": ("ip_vs", "ip_vs_rr"),
        "room": ("virtio_mmio", "virtio_blk", "xfs", "overlay"),
    },
)
"""Of the guests' kernel: for one address of many, and for a disk on which a folder is limited."""


@dataclass(frozen=True)
class Asked:
    """Guests, one for each trial; see `Containers` for what they stand beside.

    Attributes
    ----------
    vm : caveatlib.places.machines.vm.Vm
    program : Artefact
        What the scripts call.
    scripts : mapping
        Setting -> what a guest runs; it ends with ``echo over``.
    """

    vm: vm.Vm
    program: Artefact
    scripts: Mapping[str, str]

    def ask(self, setting: str) -> str:
        """Boot a guest and return what its program wrote."""
        return said(self.vm, self.scripts[setting], self.program)

    def metadata(self) -> dict[str, str]:
        """Return what the guests are."""
        return self.vm.metadata()


@contextmanager
def asked(program: Artefact, scripts: Mapping[str, str], *disks: Artefact) -> Iterator[Asked]:
    """Open what boots guests that have modules of their kernel, and disks."""
    with vm.vm_place("microvm") as place:
        archives = (*place.machine.archives, cache.find(MODULES) / "initramfs")
        drives = tuple(cache.ensure(disk) / DISK for disk in disks)
        machine = replace(place.machine, archives=archives, more_disks=drives)
        yield Asked(replace(place, machine=machine), program, scripts)


def said(machine: vm.Vm, script: str, program: Artefact) -> str:
    """Boot a guest for a script that ends with ``echo over``, and return what it wrote."""
    instance = machine.create(Workload(script, programs=(program,)))
    try:
        instance.start()
        return text_before(instance.output, "over", SAID_S)
    finally:
        instance.remove()


def probed(name: str, *disks: Artefact) -> Capability:
    """Return whether modules of the guests' kernel are prepared, and disks can be."""
    try:
        cache.find(MODULES)
        for disk in disks:
            cache.ensure(disk)
    except FAILURES as error:
        return Capability(name, False, scrub(error).partition(" Run `")[0], cache.PREPARE)
    return Capability(name, True, "modules of the guests' kernel are prepared")
