"""Fakes of the places of `startup`."""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from places import fake
from places.fake import BUILD_S, CLOCK, FakeInstance, FakePlace, on_clock, spec

from caveatlib.experiments.startup import building, counting, parts, workloads
from caveatlib.experiments.startup.designs import MACHINES, PUBLISHED, QUICK
from caveatlib.places import output
from caveatlib.places.base import Workload
from caveatlib.places.machines import accel


def _on_clock(name: str) -> FakePlace:
    """Return a fake whose starts take made-up time."""
    return FakePlace(name, passes=CLOCK.passes)


def _without_memory():
    """Wait for no memory: fakes have none."""
    return patch.object(workloads, "ADDED_UP_S", 0)


class FakeMachine(FakePlace):
    """An emulated virtual machine that takes a little to boot, and then does what it is told."""

    accel = "tcg"

    def __init__(self, name: str):
        super().__init__(name)
        self.start_s = 0.0025

    def instance(self, workload: Workload) -> FakeInstance:
        """Return one that writes line after line."""
        return FakeGuest(self, workload)

    def build(self, folder: Path) -> float:
        """Return a time, as if a disk had been made of the folder."""
        return BUILD_S["disk"] * UNEVEN.uniform(0.999, 1)

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes", "accel": self.accel}


class FakeGuest(FakeInstance):
    """Runs of a script its sleeps, its lines, and ``container SCRIPT`` with a start of its own."""

    COMMANDS = re.compile(r"sleep ([0-9.]+);|(container )|echo (\w+(?: \d+)?)")

    def start(self) -> None:
        """Return at once, as a machine does whose boot goes on."""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        time.sleep(self._place.start_s)
        for slept, contained, line in self.COMMANDS.findall(self._script):
            time.sleep(float(slept or 0) + (fake.START_S["runc"] if contained else 0))
            if self._removed:
                return
            if line:
                os.write(self._write, f"{line}\n".encode())


class FakeCounted:
    """A guest that tells made-up counts: for one seed the same, for another a per cent off."""

    def __init__(self, name: str):
        self.name, self.shift = name, int(name == "counted-shift-1")

    def boot(self, script: str, seed: int) -> str:
        """Return what such a guest would have written."""
        rng = random.Random(seed)
        boots = {"counted-untested": 1.4e9, "counted-full-vm": 9e9}
        boots |= {"counted-alpine": 6e9}
        boot = boots.get(self.name, 2.05e9)
        settled = "count settled" in script
        runc = 0.74e8 if settled else 2.7e8
        start = runc if "runc run" in script else 2e7 if "unshare" in script else 1e7
        told = {"boot": boot, "boot_idle": 0, "boot_kernel": 0.7e9, "end": boot + 1e9}
        told |= {"end_kernel": 0.7e9}
        if settled:
            told |= {"alone": boot, "alone_idle": 0, "settled": boot + 2e9, "settled_idle": 1.8e9}
        if "count first" in script:
            told |= {"first_start": start, "first_start_idle": 4e6, "first_stop": start / 4}
            told |= {"first_stop_idle": 0, "later_start": start / 2, "later_start_idle": 0}
        off = rng.uniform(0.99, 1.01)
        lines = [f"counted {n}_ns {round(v * off) << self.shift}" for n, v in told.items()]
        down = told["end"] * off * 2**self.shift / 1e9
        lines += [f"[    {down:.6f}] reboot: Power down"]
        if "initcall" in script:
            step = "[ 1.2] initcall {0}+0x0/0x9 returned 0 after 9{0[5]}9 usecs"
            lines += [step.format(name) for name in STEPS]
        return "\r\n".join(lines)

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}


STEPS = ("init_1", "init_2")
UNEVEN = random.Random(1)


TAKES_S = {"image-classic": 0.095, "image-buildkit": 0.085, "disk-ext4": 0.05, "disk-qcow2": 0.03}
"""Less than a tenth of what the clock of a trial's start may be off, see `two_machines`."""


class FakeBuilder:
    """Says that it built in a made-up time, the more the less was there."""

    def __init__(self, name: str):
        self.takes_s = TAKES_S[name]

    def build(self, *, on_base: bool) -> dict:
        """Return seconds as if something had been built and started."""
        uneven = UNEVEN.uniform(0.999, 1.001)
        took = self.takes_s * (0.85 if on_base else 1) * uneven
        return {"build_s": took, "proof_s": 0.09 * uneven}

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}


class FakeStep(FakePlace):
    """A step from a process to `docker run`: each starts a little later than the one before."""

    def __init__(self, name: str):
        super().__init__(name, passes=CLOCK.passes)
        self.start_s = 0.0005 + 0.0002 * (1 + list(parts.PLACES).index(name))


SLEPT = ("start_returned_s", "first_output_s", "last_output_s", "container_output_s")
SLEPT += ("exited_s", "removed_s")
"""Marks that a sleep before the first output delays."""


def _steady(place, sleep_s: float, real=workloads.once) -> dict:
    """Start a workload that sleeps a hundredth of its time; the rest passes on `CLOCK` alone.

    A step says that it took its own time, whatever the machine is doing.
    """
    marks = real(place, sleep_s / 100)
    rest_s = 0.99 * sleep_s
    CLOCK.passes(rest_s)
    marks |= {name: marks[name] + rest_s for name in SLEPT if name in marks}
    if isinstance(place, FakeStep):
        took = place.start_s * UNEVEN.uniform(0.98, 0.99)
        outputs = ("first_output_s", "last_output_s", "container_output_s")
        marks |= dict.fromkeys(outputs, took) | {"created_s": took / 10}
    return marks


PLACES = {
    **{name: spec(_on_clock, name, _without_memory) for name in QUICK},
    **{kind: spec(FakeMachine, kind, _without_memory) for kind in (*MACHINES, *PUBLISHED)},
    **{name: spec(FakeBuilder, name) for name in building.PLACES},
    **{name: spec(FakeCounted, name) for name in counting.PLACES},
    **{name: spec(FakeStep, name) for name in parts.PLACES},
}


@contextmanager
def patched() -> Iterator[None]:
    """Have nothing read or computed for real (files, memory, a guest); let starts be short."""
    ratios = [{"kind": kind, "guest_s": 0.2, "host_s": 0.02} for kind in workloads.SLOWDOWNS]
    with ExitStack() as stack:
        empty = Path(stack.enter_context(TemporaryDirectory()))
        for module, name, stand_in in (
            (workloads.cache, "ensure", lambda artefact: empty),
            (workloads, "_pss_bytes", lambda pid: 150_000),
            (workloads, "once", _steady),
            (workloads, "time", CLOCK),
            (output, "time", CLOCK),
            (workloads, "SLEEP_S", 0.02),
            (accel, "slowdown", lambda place: ratios),
            (fake, "STUBBORN_S", 0.01),
        ):
            stack.enter_context(patch.object(module, name, stand_in))
        stack.enter_context(on_clock())
        yield
