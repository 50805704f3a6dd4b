"""What `entropy` measures, where, and what a trial does."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.errors import MeasurementError
from caveatlib.experiments.kit.workloads import created
from caveatlib.measuring.designs import Arm, Design
from caveatlib.places import cache, compiled, runc, standard
from caveatlib.places.base import TrialResult, Workload
from caveatlib.places.machines import guest, vm
from caveatlib.places.output import await_lines, text_before
from caveatlib.places.process import process_place
from caveatlib.places.spec import Spec
from caveatlib.stats import guards
from caveatlib.support import programs

DRAW = compiled.program(Path(__file__).with_name("draw.c"))
VIRTIO = guest.more_modules("virtio-rng", ("virtio-rng",))
ARTEFACTS = (guest.KERNEL, guest.INITRAMFS, VIRTIO, DRAW)
SCRIPTS = {"drain": "exec cat /dev/random >/dev/null", "compute": "while :; do :; done"}
"""What a neighbour does."""
DRAWING = (
    "for m in virtio_mmio virtio-rng; do insmod /modules/$m.ko 2>/dev/null; done; "
    "echo pool_bits $(cat /proc/sys/kernel/random/entropy_avail); draw 10000"
)
DRAWN_S, STARTED_S, SETTLED_S = 60, 20, 0.2
DRY_S = 2e-3
"""For how long the control of `draw` is dry."""


class Trials(frames.Trials):
    """One victim that takes 16 random bytes ten thousand times."""

    neighbours: Series[str] = frames.field("What they do", isin=("none", *SCRIPTS))
    count: Series[int] = frames.field("Number of neighbours", ge=0)
    haveged: Series[int] = frames.field("1 while haveged runs on the host, else 0", isin=(0, 1))
    replicate: Series[int] = frames.field("1 for the A/A control, else 0", isin=(0, 1))
    first_refused: Series[float] = frames.measure("1 if the first call would have waited, else 0")
    first_s: Series[float] = frames.measure("Duration of the first call", "s")
    call_p50_s: Series[float] = frames.measure("Median of getrandom(16)", "s")
    call_p99_s: Series[float] = frames.measure("99th percentile of getrandom(16)", "s")
    call_max_s: Series[float] = frames.measure("Longest getrandom(16)", "s")
    device_p99_s: Series[float] = frames.measure("99th percentile of reading /dev/random", "s")
    waits: Series[float] = frames.measure("Calls of either kind that slept")
    waited_s: Series[float] = frames.measure("Time in calls that slept", "s")
    dry_p50_s: Series[float] = frames.measure("Median of the control that is dry for 2 ms", "s")
    dry_waits: Series[float] = frames.measure("Of its 25 calls, those that slept")
    pool_bits: Series[float] = frames.measure("entropy_avail, bits")
    drained_bit_per_s: Series[float] = frames.measure("Taken by the neighbours together", "bit/s")


def check_row(row: guards.Row) -> None:
    """Require what a victim tells, quantiles in order, and that who drains has drained."""
    guards.needs(row, ["first_refused", "call_p50_s", "call_p99_s", "waits", "dry_p50_s"])
    if row["neighbours"] == "drain":
        guards.needs(row, ["drained_bit_per_s"])
        guards.no_zeros(row, ["drained_bit_per_s"])
    guards.increasing(row, ["call_p50_s", "call_p99_s", "call_max_s"])


def _guest(archives: tuple = (), **hardware) -> Spec:
    """Return a microVM of other hardware, with further archives."""

    def opened(session):
        place = session.enter(vm.vm_place("microvm"))
        more = tuple(cache.find(archive) / "initramfs" for archive in archives)
        hardware["archives"] = place.machine.archives + more
        return replace(place, machine=replace(place.machine, **hardware))

    return Spec(needs=(partial(vm.probe, "microvm"), partial(compiled.probe, DRAW)), open=opened)


NO_RDRAND = "-rdrand,-rdseed"
PLACES = {
    "runc": replace(standard.RUNC, needs=(runc.probe, partial(compiled.probe, DRAW))),
    "guest": _guest(),
    "guest-bare": _guest(cpu=NO_RDRAND),
    "guest-virtio": _guest((VIRTIO,), cpu=NO_RDRAND, devices=("virtio-rng-device",)),
}


def arm(place: str = "runc", **conditions) -> Arm:
    """Return an arm, without neighbours where none are given."""
    return Arm(place, {"neighbours": "none", "count": 0, "haveged": 0, "replicate": 0} | conditions)


QUIET, QUIET_AGAIN, HAVEGED = arm(), arm(replicate=1), arm(haveged=1)
ONE, DRAINED = (arm(neighbours="drain", count=n) for n in (1, 8))
COMPUTED, COMPUTED_AGAIN = (arm(neighbours="compute", count=8, replicate=r) for r in (0, 1))
GUESTS = tuple(arm(place) for place in ("guest", "guest-bare", "guest-virtio"))
DESIGNS = (
    Design(
        "neighbours",
        (QUIET, QUIET_AGAIN, HAVEGED, ONE, DRAINED, COMPUTED, COMPUTED_AGAIN),
        block_s=7,
    ),
    Design("boot", GUESTS, block_s=13, every=2, optional=True),
)


def trial(place, conditions: Mapping, *, seed: int) -> TrialResult:
    """Let neighbours run, then the victim, and read what it and the kernel tell."""
    with ExitStack() as stack:
        if conditions["haveged"]:
            _run_haveged(stack.enter_context(process_place()))
        script = f"echo on; {SCRIPTS.get(conditions['neighbours'], '')}"
        made = [created(stack, place, Workload(script)) for _ in range(conditions["count"])]
        for neighbour in made:
            neighbour.start()
            await_lines(neighbour.output, ["on"], STARTED_S)
        stack.callback(lambda: [neighbour.signal("KILL") for neighbour in made])
        time.sleep(SETTLED_S if made else 0)
        begun, before = time.monotonic(), _read_bytes(made)
        victim = created(stack, place, Workload(DRAWING, programs=(DRAW,)))
        victim.start()
        said = text_before(victim.output, "drawn", DRAWN_S)
        rate = 8 * (_read_bytes(made) - before) / (time.monotonic() - begun)
    # "call_p50_s 0.0000003810", among what a guest's firmware writes
    found = {n: float(value) for n, value in re.findall(r"^(\w+) ([\d.]+)\r?$", said, re.M)}
    found |= {n: found[f"call_{n}"] + found[f"device_{n}"] for n in ("waits", "waited_s")}
    found |= {"drained_bit_per_s": rate} if conditions["neighbours"] == "drain" else {}
    return TrialResult({n: v for n, v in found.items() if n in frames.measures(Trials)})


def _run_haveged(host) -> None:
    """Run haveged on the host until the place is closed; one that runs already ran beside all."""
    import psutil

    if any(process.info["name"] == "haveged" for process in psutil.process_iter(["name"])):
        raise MeasurementError("haveged runs on this machine. Must be stopped, to be compared.")
    daemon = host.create(Workload(f"exec {programs.need('haveged', 'haveged')} -F -v 1"))
    daemon.start()
    await_lines(daemon.output, ["haveged starting up"], STARTED_S)
    time.sleep(SETTLED_S)


def _read_bytes(instances: list) -> int:
    """Return what the processes of instances have read so far."""
    counters = (Path(f"/proc/{pid}/io").read_text() for one in instances for pid in one.pids())
    return sum(int(text.split()[1]) for text in counters)  # "rchar: 323934931"
