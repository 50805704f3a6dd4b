"""The table of trials of `startup`, and what holds in each of its rows."""

from __future__ import annotations

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.experiments.startup.workloads import BUILD_BYTES
from caveatlib.stats import guards

WORKLOADS = (
    "nonce",
    "idle",
    "http",
    "http-after",
    "stubborn",
    "nested",
    "marks",
    "slowdown",
    "build",
    "application",
    "application-on-base",
    "count-process",
    "count-namespaces",
    "count-runc",
    "count-unsettled",
    "count-system",
    "count-again",
    "count-initcalls",
)
"""Applications are built into what starts or boots, from nothing or where the base is there; what
is counted are instructions of a guest that boots, is left alone for a while and then starts
something, "unsettled" a container at once; a "system" is a container of all that a published
machine has on its disk. The client of ``http`` connects from before the start, that of
``http-after`` from the return of the start call on."""


COUNTS = (
    "boot_instructions",
    "unpacking_instructions",
    "first_start_instructions",
    "first_stop_instructions",
    "guest_seed",
)
SETTLED = (*COUNTS, "settling_instructions")
NEEDS = {
    "nonce": ("first_output_s", "stop_s"),
    "idle": ("first_output_s", "last_output_s"),
    "http": ("first_answer_s", "stop_s"),
    "http-after": ("first_answer_s", "stop_s"),
    "stubborn": ("first_output_s", "stop_s"),
    "nested": ("first_output_s", "container_output_s"),
    "marks": ("between_s",),
    "slowdown": ("integer_slowdown", "memory_slowdown", "syscall_slowdown", "fault_slowdown"),
    "build": ("build_s",),
    "application": ("build_s", "proof_s"),
    "application-on-base": ("build_s", "proof_s"),
    "count-process": SETTLED,
    "count-namespaces": SETTLED,
    "count-runc": SETTLED,
    "count-unsettled": COUNTS,
    "count-system": SETTLED,
    "count-again": (*SETTLED, "same_seed_ratio"),
    "count-initcalls": ("boot_instructions", "unpacking_instructions"),
}
"""Workload -> the measures without which its trial has failed."""
PARTS = (
    "created_s",
    "start_returned_s",
    "last_output_s",
    "container_output_s",
    "first_output_s",
    "first_answer_s",
    "stop_s",
    "removed_s",
    "build_s",
    "proof_s",
)
"""What is a part of the trial, and so cannot take longer."""
LEAST_BUILD_S = {"image": BUILD_BYTES / 1e9, "disk": BUILD_BYTES / 1e10}
"""An image's bytes pass a socket, a hash and two file systems, none of which moves 1 GB/s for all
of it; a disk's are copied once, at 10 GB/s if nothing but memory is in the way."""


class Trials(frames.Trials):
    """One workload started and stopped, or several at once; t0 is just before asking the place."""

    workload: Series[str] = frames.field("What runs in the place", isin=WORKLOADS)
    at_once: Series[int] = frames.field("Instances started at the same time", ge=1)
    sleep_s: Series[float] = frames.field("Sleep before the first output", "s", ge=0)
    replicate: Series[int] = frames.field("1 for the A/A control, else 0", isin=(0, 1))
    accel: Series[str] = frames.field(
        "What runs the guest: kvm (hardware) or tcg (emulator)", nullable=True
    )
    created_s: Series[float] = frames.measure("t0 until the instance was created", "s")
    start_returned_s: Series[float] = frames.measure("t0 until the start call returned", "s")
    first_output_s: Series[float] = frames.measure("t0 until the first instance's nonce", "s")
    last_output_s: Series[float] = frames.measure("t0 until the last instance's nonce", "s")
    container_output_s: Series[float] = frames.measure(
        "t0 until the container's nonce; for inception, of the container inside the guest", "s"
    )
    between_s: Series[float] = frames.measure(
        "Sleep of 0.1 s between two marks of one workload, less a sleep of 0 s", "s"
    )
    first_accept_s: Series[float] = frames.measure("t0 until a connection was accepted", "s")
    first_answer_s: Series[float] = frames.measure("t0 until the first HTTP status 200", "s")
    stop_s: Series[float] = frames.measure("SIGTERM until the workload had ended", "s")
    exited_s: Series[float] = frames.measure("t0 until the workload had ended", "s")
    removed_s: Series[float] = frames.measure("t0 until the instance was removed", "s")
    build_s: Series[float] = frames.measure("Building an image, or a disk, of the same files", "s")
    proof_s: Series[float] = frames.measure(
        "Starting what was built until its application's output; a boot may be emulated",
        "s",
        later=True,
    )
    pss_bytes: Series[float] = frames.measure("PSS of the host processes per instance", "B")
    cgroup_bytes: Series[float] = frames.measure("Memory cgroup per instance", "B")
    available_bytes: Series[float] = frames.measure(
        "Drop of the host's available memory per instance", "B", ge=-(2**40)
    )
    integer_slowdown: Series[float] = frames.measure("Integer loop, guest over host")
    memory_slowdown: Series[float] = frames.measure("Copying memory, guest over host")
    syscall_slowdown: Series[float] = frames.measure("System calls, guest over host")
    fault_slowdown: Series[float] = frames.measure("Forks and page faults, guest over host")
    boot_instructions: Series[float] = frames.measure(
        "Instructions of a guest from power-on until its script began", later=True
    )
    unpacking_instructions: Series[float] = frames.measure(
        "Of these, before the kernel's own clock began: firmware and unpacking", later=True
    )
    boot_idle_s: Series[float] = frames.measure(
        "Time of the counted guest in which it waited until then; no instructions", "s", later=True
    )
    settling_instructions: Series[float] = frames.measure(
        "Instructions of a guest that is left alone after its boot: what its kernel had put off",
        later=True,
    )
    first_start_instructions: Series[float] = frames.measure(
        "Instructions from just before the first start in a guest until its output", later=True
    )
    first_stop_instructions: Series[float] = frames.measure(
        "Instructions from SIGTERM until that was gone", later=True
    )
    later_start_instructions: Series[float] = frames.measure(
        "Instructions of a second start in the same guest", later=True
    )
    end_instructions: Series[float] = frames.measure(
        "Instructions of a guest from the end of its script until it powers off, waiting included",
        later=True,
    )
    guest_seed: Series[float] = frames.measure("Seed of the counted guest", later=True)
    same_seed_ratio: Series[float] = frames.measure(
        "The same counts again with the same seed over the first; of the first that differ",
        later=True,
    )


class Initcalls(frames.OfTrial):
    """The longest steps of a guest's kernel while it boots; each may contain others."""

    initcall: Series[str] = frames.field("Name of the function in the kernel", later=True)
    instructions: Series[float] = frames.field(
        "Instructions of it, to a thousand", ge=0, later=True
    )


TABLES = {"initcalls": Initcalls}
FEWEST_BOOTED = 1e8
"""A kernel that boots in fewer instructions was not counted from its start on."""
TIMED = ("first_output_s", "first_answer_s", "stop_s", "build_s")


def check_row(row: guards.Row) -> None:
    """Validate that what was measured is there, and the order of the marks.

    The return of Docker's start call is not ordered: it may come after the first output.

    Raises
    ------
    DataError
        Names the two marks, the measure that is missing, or the time that no build takes.
    """
    guards.needs(row, NEEDS[str(row["workload"])])
    guards.increasing(row, ["created_s", "start_returned_s"])
    guards.increasing(row, ["created_s", "first_output_s", "exited_s", "removed_s"])
    guards.increasing(row, ["first_output_s", "container_output_s"])
    guards.increasing(row, ["first_accept_s", "first_answer_s"])
    if row["workload"] == "http-after":
        guards.increasing(row, ["start_returned_s", "first_accept_s"])
    guards.no_zeros(row, [*TIMED, "pss_bytes", "cgroup_bytes"])
    kind = "image" if str(row["place"]).startswith(("docker", "image")) else "disk"
    guards.inside(row, ["build_s"], least=LEAST_BUILD_S[kind])
    guards.inside(row, ["boot_instructions"], least=FEWEST_BOOTED)
    guards.increasing(row, ["unpacking_instructions", "boot_instructions"])


def check(trials: pd.DataFrame) -> None:
    """Validate that nothing took longer than its trial, and the clock of each place's times.

    Raises
    ------
    DataError
        A unit was lost: milliseconds are called seconds. Or, from 6 trials on, a clock of
        whole milliseconds, as ticks of 10 ms are.
    """
    guards.fits(trials, PARTS)
    guards.finer_than(trials, TIMED, tick=1e-3, by="place")
