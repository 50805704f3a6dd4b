"""Where `kernel` measures: four tenants in one guest, in four, and as gVisor sandboxes in one."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from caveatlib.errors import CaveatError, MeasurementError
from caveatlib.experiments.kernel.tenants import GO, NAMES, TENANT, script
from caveatlib.experiments.kernel.watching import Watched, watch
from caveatlib.places import cache, compiled
from caveatlib.places.base import Capability, Workload
from caveatlib.places.machines import accel, cpio, guest, vm
from caveatlib.places.spec import Spec
from caveatlib.support import programs

KILLING = ("memory", "tmpfs")
"""Faults for which a kernel kills neighbours, one every two seconds."""
EMULATOR_BYTES = 256 << 20
"""What QEMU takes besides the guest's memory, at most: code that it has translated."""


@dataclass(frozen=True)
class Tenancy:
    """Tenants divided among guests, which are booted for each trial.

    Attributes
    ----------
    vm : caveatlib.places.machines.vm.Vm
        What each guest is.
    guests : tuple of str
        The tenants of each guest.
    runtime : str
        What runs a tenant, see `tenants.RUNTIMES`.
    """

    vm: vm.Vm
    guests: tuple[str, ...]
    runtime: str

    @property
    def accel(self) -> str:
        """``"kvm"`` where hardware runs the guests, ``"tcg"`` where they are emulated."""
        return self.vm.accel

    def strike(self, fault: str, culprit: str, *, limited: bool) -> Watched:
        """Boot the guests, let one tenant do its harm, and watch the others.

        Raises
        ------
        DeadlineExceeded
            If a tenant's heartbeat, or the fault, does not come in time.
        MeasurementError
            If a guest ends before the fault, or the host lacks memory for the guests.
        """
        self._check_memory()
        settings = {"runtime": self.runtime, "limited": limited}
        with ExitStack() as stack:
            made = []
            for tenants in self.guests:
                text = script(tenants, culprit, fault, **settings)
                made.append(self.vm.create(Workload(text, programs=(TENANT,))))
                stack.callback(made[-1].remove)
            started = time.monotonic()
            for each in made:
                each.start()
            found = watch(
                [each.output for each in made],
                culprit,
                lambda: [each.signal(GO) for each in made],
                longer=fault in KILLING,
            )
            return replace(found, started_s=started)

    def metadata(self) -> dict[str, str]:
        """Return what the guests are, and how the tenants are divided among them."""
        divided = {"guests": str(len(self.guests)), "runtime": self.runtime}
        return self.vm.metadata() | divided

    def _check_memory(self) -> None:
        import psutil

        each = (self.vm.machine.memory_mib << 20) + EMULATOR_BYTES
        needed, there = each * len(self.guests), psutil.virtual_memory().available
        if there < needed:
            raise MeasurementError(
                f"{there >> 20} MiB of memory are available. Must be at least {needed >> 20} for "
                f"{len(self.guests)} guests, so that no hog in them reaches the host."
            )


@contextmanager
def _tenancy(guests: tuple[str, ...], memory_mib: int, runtime: str = "runc") -> Iterator[Tenancy]:
    with vm.vm_place("inception") as place:
        machine = replace(place.machine, memory_mib=memory_mib)
        if runtime == "runsc":
            archives = (*machine.archives, cache.ensure(GVISOR) / "initramfs")
            # The sentry and what it watches take turns: on one processor each waits for the other.
            machine = replace(machine, archives=archives, vcpus=min(2, os.cpu_count() or 1))
        yield Tenancy(replace(place, machine=machine), guests, runtime)


def _build_gvisor(out: Path) -> None:
    program = Path(_runsc()).read_bytes()
    (out / "initramfs").write_bytes(cpio.archive({"bin/runsc": (cpio.EXECUTABLE, program)}))


def _runsc() -> str:
    return programs.need("runsc", "runsc")


GVISOR = cache.Artefact(
    "guest-gvisor",
    "gVisor inside a virtual machine",
    lambda: {"runsc": cache.sha256_of(_runsc())},
    _build_gvisor,
    disk_bytes=40_000_000,
)


@functools.cache
def probe() -> Capability:
    """Return whether gVisor can be put into a guest."""
    try:
        cache.checksum(GVISOR)
    except CaveatError as error:
        return Capability("gVisor in a guest", False, str(error), cache.PREPARE)
    return Capability("gVisor in a guest", True, "runsc found")


def _spec(*more, **settings) -> Spec:
    return Spec(
        needs=(partial(vm.probe, "inception"), partial(compiled.probe, TENANT), *more),
        better_with=(accel.probe,),
        open=lambda session: session.enter(_tenancy(**settings)),
    )


ALL_IN_ONE = ("".join(NAMES),)
PLACES = {
    "one-guest": _spec(guests=ALL_IN_ONE, memory_mib=256),
    "four-guests": _spec(guests=NAMES, memory_mib=144),
    "gvisor": _spec(probe, guests=ALL_IN_ONE, memory_mib=640, runtime="runsc"),
}
ARTEFACTS = (guest.KERNEL, guest.INITRAMFS, guest.INCEPTION, TENANT, GVISOR)
"""What must be prepared, each after what it is made of."""
