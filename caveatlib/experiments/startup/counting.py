"""Guests whose instructions are counted, and what is counted in them.

QEMU's emulator can let a guest's clock be the number of its instructions (``-icount``). Then a
boot, and a start within it, is a number that does not depend on how fast the host is or on what it
does besides, and is the same to the last digit where the seed is the same. It says how much a guest
executes. It does not say how long that takes, and nothing that the host does is in it: starting the
monitor, backing memory, every exit. A guest with a disk waits for the host, and what it does
meanwhile varies: there a seed is not all.

Each start is the first of its kind in a fresh guest, as its boot is: cold against cold. A kernel
puts off some work while it boots, and whatever starts next is counted with it. So a guest is left
alone before, and a container is counted both ways: then, and at once. What was put off is counted
with no boot; at once, a container has in its count what of it runs meanwhile.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from caveatlib.errors import CaveatError, DeadlineExceeded, MeasurementError
from caveatlib.places import cache, compiled
from caveatlib.places.base import Capability, Workload
from caveatlib.places.machines import guest, published, qemu, vm
from caveatlib.places.output import text_to_end
from caveatlib.places.spec import Spec
from caveatlib.stats import guards

COUNT = compiled.program(Path(__file__).with_name("count.c"))
COUNTED_S = 600.0
"""For a guest from start to end: the emulator counts about a hundred million instructions a
second, and Debian with systemd takes some billions."""
END_S = 10.0
_TESTS = ("init_kprobe_trace", "jent_mod_init", "load_system_certificate_list")
UNTESTED = f"cryptomgr.notests=1 initcall_blacklist={','.join(_TESTS)}"
"""Words that leave out what Debian's kernel does only to test itself, or for who may load modules:
self-tests of its ciphers (Kata Containers leaves them out, too) and of a random number generator,
reading its certificates, preparing kernel probes."""
LISTED = "initcall_debug log_buf_len=4M"
LEAST_INITCALL = 1_000_000
"""Instructions from which on an initcall is told."""
SETTLES_S = 2
"""Of a guest's own time, in which it is left alone before the first start. Where it idles its clock
skips, so this takes hardly any of ours."""
UP = "/run/up"
_WRITE_UP = f"""cat >{UP} <<'END'
trap 'kill $! 2>/dev/null; exit 0' TERM
echo up
sleep 1000 & wait
END"""
_RUNC = (
    f"mount -t cgroup2 cgroup2 /sys/fs/cgroup; cp {UP} /bundle/rootfs/script",
    "runc run --no-pivot --bundle /bundle counted",
)
UNSETTLED = "unsettled"
KINDS = {
    "process": ("", f"sh {UP}"),
    "namespaces": ("", f"unshare -m -u -i -p -f --mount-proc sh {UP}"),
    "runc": _RUNC,
    UNSETTLED: _RUNC,
    "system": (
        "mount -t cgroup2 cgroup2 /sys/fs/cgroup\n"
        "insmod /modules/virtio_mmio.ko; insmod /modules/virtio_blk.ko\n"
        f"mount -t ext4 /dev/vda /bundle/rootfs; cp {UP} /bundle/rootfs/script",
        "runc run --no-pivot --bundle /bundle counted",
    ),
}
"""What is started in the guest: what must be there before, and the command. What is ``unsettled``
is started at once. A ``system`` is a container of the root file system of a published machine,
which lies on a disk."""
_SETTLE = ("count alone", f"sleep {SETTLES_S}", "count settled")
_LIST = f"dmesg | awk '/initcall .* after/ && $(NF-1) >= {LEAST_INITCALL // 1000}'"

# "counted first_start_ns 263512345", among what firmware, kernel and systemd write
_COUNTED = re.compile(r"counted (\w+) (\d+)\r?$", re.MULTILINE)
_NEEDED = ("boot_ns", "boot_idle_ns", "boot_kernel_ns", "end_ns", "end_kernel_ns")
# "[    2.518214] reboot: Power down"
_DOWN = re.compile(r"\[ *(\d+)\.(\d{6})\] reboot: Power down")
# "[    1.104532] initcall init_kprobe_trace+0x0/0x260 returned 0 after 143214 usecs"
_INITCALL = re.compile(r"initcall (\w+)\S* returned -?\d+ after (\d+) usecs")


@dataclass(frozen=True)
class Counted:
    """A kind of guest whose instructions are counted.

    Attributes
    ----------
    vm : caveatlib.places.machines.vm.Vm
        What each guest is.
    shift : int
        Of `qemu.Counting`.
    """

    vm: vm.Vm
    shift: int = 0

    def boot(self, script: str, seed: int) -> str:
        """Boot a guest, run a script in it, and return all that it wrote until its end.

        Raises
        ------
        DeadlineExceeded
            If it has not ended after `COUNTED_S` seconds.
        MeasurementError
            If it ended early, as where QEMU cannot count.
        """
        counting = qemu.Counting(seed, self.shift)
        place = replace(self.vm, machine=replace(self.vm.machine, counting=counting))
        instance = place.create(Workload(script, programs=(COUNT,)))
        try:
            instance.start()
            said = text_to_end(instance.output, COUNTED_S)
            try:
                instance.wait(END_S)
            except DeadlineExceeded:
                raise DeadlineExceeded(f"A guest did not end within {COUNTED_S:g} s.") from None
            return said
        finally:
            instance.remove()

    def metadata(self) -> dict[str, str]:
        """Return what the guests are, the words they boot with, and how they are counted."""
        machine = self.vm.machine
        told = {"words": machine.words, "cpu": machine.cpu, "icount_shift": str(self.shift)}
        return self.vm.metadata() | {name: value for name, value in told.items() if value}


def counted(place, kind: str, seed: int) -> dict:
    """Count a boot, the first start of its kind once the guest has settled, a later one, the end.

    Parameters
    ----------
    place : Counted
    kind : str
        One of `KINDS`.
    seed : int

    Returns
    -------
    dict
        Measures as `schema.Trials` names them.

    Raises
    ------
    MeasurementError
        If the guest told less.
    """
    before, command = KINDS[kind]
    settle = () if kind == UNSETTLED else _SETTLE
    starts = (f"count first {command}", f"count later {command}")
    lines = ["count boot", _WRITE_UP, before, *settle, *starts, "count end"]
    said = place.boot("\n".join(filter(None, lines)), seed)
    return _measures(said, place.shift) | {"guest_seed": seed}


def again(place, kind: str, seed: int) -> dict:
    """Count twice with the same seed; tell the first, and what the second is of it.

    The share is 1 only if each number is the same.
    """
    first, second = (counted(place, kind, seed) for _ in range(2))
    unequal = [name for name in first if first[name] != second.get(name)]
    same = {name: guards.ratio(second.get(name, 0.0), first[name]) for name in unequal}
    return first | {"same_seed_ratio": next(iter(same.values()), 1.0)}


def initcalls(place, seed: int) -> tuple[dict, list[dict]]:
    """Count a boot, and return with it what its longest steps execute."""
    said = place.boot(f"count boot\n{_LIST}\ncount end", seed)
    found = [
        {"initcall": name, "instructions": float(micros) * 1000 / 2**place.shift}
        for name, micros in _INITCALL.findall(said)
    ]
    if not found:
        raise MeasurementError("The guest's kernel told no initcall. Must tell those of its boot.")
    return _measures(said, place.shift) | {"guest_seed": seed}, found


def _measures(said: str, shift: int) -> dict:
    """Return what a guest told, in instructions; its clock ticks ``2 ** shift`` for each."""
    told = {name: int(value) for name, value in _COUNTED.findall(said)}
    if missing := [name for name in _NEEDED if name not in told]:
        raise MeasurementError(f"The guest told no {missing[0]!r}. Must tell its clock.")
    if not told["boot_kernel_ns"]:
        raise MeasurementError("The guest's kernel took no mark into its log. Must take one.")
    step = 2**shift
    found = {
        "boot_instructions": (told["boot_ns"] - told["boot_idle_ns"]) / step,
        "unpacking_instructions": told["boot_kernel_ns"] / step,
        "boot_idle_s": told["boot_idle_ns"] / 1e9,
    }
    if "settled_ns" in told and "alone_ns" in told:
        done = {name: told[f"{name}_ns"] - told[f"{name}_idle_ns"] for name in ("alone", "settled")}
        found["settling_instructions"] = (done["settled"] - done["alone"]) / step
    for name in ("first_start", "first_stop", "later_start"):
        if f"{name}_ns" in told:
            busy = told[f"{name}_ns"] - told[f"{name}_idle_ns"]
            found[f"{name}_instructions"] = busy / step
    if down := _DOWN.search(said):
        at = told["end_kernel_ns"] + int(down[1]) * 10**9 + int(down[2]) * 1000
        found["end_instructions"] = (at - told["end_ns"]) / step
    return found


@contextmanager
def _opened(kind: str, *, shift: int = 0, **hardware) -> Iterator[Counted]:
    with vm.vm_place(kind) as place:
        if (artefact := hardware.pop("kernel_of", None)) is not None:
            hardware["kernel"] = cache.find(artefact) / "vmlinuz"
        if (release := hardware.pop("system_of", None)) is not None:
            hardware["more_disks"] = (published.checked(release) / published.BOOTED,)
        yield _fixed(place, shift, hardware)


@contextmanager
def _opened_published(release: published.Release) -> Iterator[Counted]:
    # What a network brings, and when, does not depend on the seed alone.
    with published.published_place(release, network=False) as place:
        yield _fixed(place)


def _fixed(place: vm.Vm, shift: int = 0, hardware: Mapping | None = None) -> Counted:
    """Give guests one processor, whose clock is the count; hardware would not count."""
    fixed = {"accel": "tcg", "vcpus": 1, "tsc_khz": qemu.COUNTED_TSC_KHZ}
    machine = replace(place.machine, **fixed, **(hardware or {}))
    return Counted(replace(place, machine=machine), shift)


@functools.cache
def probe() -> Capability:
    """Return whether there is a second kernel for guests."""
    try:
        version = (cache.find(guest.GENERIC_KERNEL) / "version").read_text().strip()
    except (CaveatError, OSError) as error:
        return Capability("second kernel", False, str(error).partition(". Run")[0], cache.PREPARE)
    return Capability("second kernel", True, version)


def _spec(kind: str, *more, **hardware) -> Spec:
    return Spec(
        needs=(partial(vm.probe, kind), partial(compiled.probe, COUNT), *more),
        open=lambda session: session.enter(_opened(kind, **hardware)),
    )


def _published(release: published.Release) -> dict[str, Spec]:
    """Return a published machine, and a microVM that runs its root file system in a container."""
    there = partial(published.probe, release.name)
    boots = Spec(
        needs=(there, partial(compiled.probe, COUNT)),
        open=lambda session: session.enter(_opened_published(release)),
    )
    return {
        f"counted-{release.name}": boots,
        f"counted-runc-{release.name}": _spec("inception", there, system_of=release),
    }


PLACES: Mapping[str, Spec] = {
    "counted": _spec("microvm"),
    "counted-runc": _spec("inception"),
    "counted-untested": _spec("microvm", words=UNTESTED),
    "counted-waiting": _spec("microvm", waiting=True),
    "counted-initcalls": _spec("microvm", words=LISTED),
    "counted-generic": _spec("inception", probe, kernel_of=guest.GENERIC_KERNEL),
    "counted-shift-1": _spec("inception", shift=1),
    "counted-no-erms": _spec("inception", cpu="-erms"),
    "counted-full-vm": _spec("full-vm"),
    **{name: spec for r in published.RELEASES.values() for name, spec in _published(r).items()},
}
"""A microVM; one with runc in it; each with one thing changed; Debian with systemd; machines that
others publish, and containers of the same."""
