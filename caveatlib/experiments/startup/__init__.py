"""How long does a container take to start and stop, and what of that is the container?

The claim (11 April 2016): containers "can start and stop very quickly compared
to VMs". One definition of started holds for every place: the time from just
before asking until the first byte of a nonce that the workload itself writes
has reached us, read on one host clock. The same busybox workload runs
everywhere: as a bare process, in fresh namespaces, under an OCI runtime alone,
and under Docker with one runtime or another.

Every session opens a fresh engine, warms each place up once (kept apart), and
runs blocks of each design, each arm once per block in random order. Docker's
arms live in that engine; processes, namespaces, runc and virtual machines are
made anew for every trial. The engine is what is restarted least often, so the
session is the unit of replication for every comparison.

What would mislead you: taking what it costs to pack files into a disk that
nothing boots from for what it costs to build a virtual machine; comparing a
managed stack (Docker) with a bare virtual machine; taking Docker's answer to
the start call for the start (the first output is often there before it); taking
the first accepted connection for an answer (docker-proxy accepts before anybody
listens); knocking before the container is there, which by itself makes Docker's
first answer a second late; emulated machines, whose times say nothing about
virtualisation; and a process that is PID 1 and ignores SIGTERM, which makes a
stop look like ten seconds.
"""

from __future__ import annotations

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.experiments.startup import workloads as work
from caveatlib.experiments.startup.calibration import CONTROLS, KNOWN, calibrate
from caveatlib.experiments.startup.claims import CLAIMS
from caveatlib.experiments.startup.decisions import DECISIONS, answer, verdicts
from caveatlib.experiments.startup.figures import plot, plot_at_once, plot_phases
from caveatlib.experiments.startup.tables import (
    answers,
    builds,
    idle,
    like_with_like,
    phases,
    slowdown,
    stubborn,
    summarize,
)
from caveatlib.experiments.startup.workloads import SLEEP_S
from caveatlib.measuring.designs import Arm, Design
from caveatlib.places.base import Place, TrialResult
from caveatlib.stats import guards

__all__ = [
    "CLAIMS",
    "CONTROLS",
    "DECISIONS",
    "DESIGNS",
    "KNOWN",
    "Trials",
    "answer",
    "answers",
    "builds",
    "calibrate",
    "check",
    "idle",
    "like_with_like",
    "phases",
    "plot",
    "plot_at_once",
    "plot_phases",
    "slowdown",
    "stubborn",
    "summarize",
    "trial",
    "verdicts",
]

NAME = "startup"
QUESTION = "How fast do containers start and stop, and what of that is the container?"
SESSIONS = 20
VERDICT_S = 90
"""About how many seconds of measuring until its verdicts are possible."""
DISK_BYTES = 500 * 2**20
"""Room for an engine's empty data folder, its image, a disk that is built, and a journal."""

CONTAINERS = ("docker-runc", "docker-crun", "docker-runsc")
QUICK = ("process", "namespaces", "runc", *CONTAINERS)
MACHINES = ("microvm", "full-vm", "inception")
PLACES = (*QUICK, *MACHINES)
SWAP = ("place", "namespaces", "docker-runc")
"""Two places whose exchange in the data must change what is said (contract tests)."""

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
)
"""``http`` knocks from before the start, ``http-after`` once the start call has returned."""


class Trials(frames.Trials):
    """One workload started and stopped, or several at once."""

    workload: Series[str] = frames.field("what is done in the place", isin=WORKLOADS)
    at_once: Series[int] = frames.field("instances asked for at the same time", ge=1)
    sleep_s: Series[float] = frames.field("sleep before the first output", "s", ge=0)
    replicate: Series[int] = frames.field("1 for the null arm: the same thing again", isin=(0, 1))
    accel: Series[str] = frames.field("what runs a guest: kvm or tcg", nullable=True)
    created_s: Series[float] = frames.measure("t0 until the place had it prepared", "s")
    start_returned_s: Series[float] = frames.measure("t0 until the start call returned", "s")
    first_output_s: Series[float] = frames.measure("t0 until the workload's nonce was read", "s")
    last_output_s: Series[float] = frames.measure("t0 until the last instance's nonce", "s")
    container_output_s: Series[float] = frames.measure(
        "t0 until the container spoke: of inception the one inside", "s"
    )
    between_s: Series[float] = frames.measure(
        "between marks of one workload: a sleep over none", "s"
    )
    first_accept_s: Series[float] = frames.measure("t0 until a connection was accepted", "s")
    first_answer_s: Series[float] = frames.measure("t0 until the first HTTP status 200", "s")
    stop_s: Series[float] = frames.measure("SIGTERM until the workload was gone", "s")
    exited_s: Series[float] = frames.measure("t0 until the workload was gone", "s")
    removed_s: Series[float] = frames.measure("t0 until nothing of it was left", "s")
    build_s: Series[float] = frames.measure("image, or disk, made of the same files", "s")
    pss_bytes: Series[float] = frames.measure("PSS of its host processes, per instance", "B")
    cgroup_bytes: Series[float] = frames.measure("its memory cgroup, per instance", "B")
    available_bytes: Series[float] = frames.measure(
        "drop of the host's available memory, per instance", "B", ge=-(2**40)
    )
    integer_slowdown: Series[float] = frames.measure("integer loop, guest over host")
    memory_slowdown: Series[float] = frames.measure("copying memory, guest over host")
    syscall_slowdown: Series[float] = frames.measure("system calls, guest over host")
    fault_slowdown: Series[float] = frames.measure("forks and page faults, guest over host")


def _arms(places, **conditions) -> tuple[Arm, ...]:
    base = {"workload": "nonce", "at_once": 1, "sleep_s": 0.0, "replicate": 0}
    return tuple(Arm(place, base | conditions) for place in places)


SERVERS = ("process", "namespaces", "runc", "docker-runc", "docker-crun")

DESIGNS = (
    Design(
        "start",
        _arms(QUICK) + _arms(["docker-runc"], replicate=1),
        block_s=2,
        warmup=True,
    ),
    Design(
        "known-answer",
        _arms(["docker-runc"]) + _arms(["docker-runc"], sleep_s=SLEEP_S),
        block_s=1,
        blocks_per_session=3,
        optional=True,
    ),
    Design(
        "machine",
        _arms(["runc", "docker-runc", "microvm", "full-vm"])
        + _arms(["inception"], workload="nested"),
        block_s=18,
        optional=True,
    ),
    Design(
        "answer",
        _arms(SERVERS, workload="http-after") + _arms(SERVERS, workload="http"),
        block_s=4,
        every=2,
        optional=True,
    ),
    Design(
        "build",
        _arms(["docker-runc", "full-vm"], workload="build")
        + _arms(["docker-runc"], workload="build", replicate=1),
        block_s=7,
        optional=True,
    ),
    Design(
        "at-once",
        tuple(a for k in (1, 2, 4, 8) for a in _arms(QUICK, workload="idle", at_once=k))
        + tuple(a for k in (1, 2) for a in _arms(["microvm"], workload="idle", at_once=k)),
        block_s=25,
        every=3,
        optional=True,
    ),
    Design(
        "emulator",
        _arms(["microvm"], workload="slowdown") + _arms(["microvm"], workload="marks"),
        block_s=12,
        every=2,
        optional=True,
    ),
    Design(
        "stubborn",
        _arms(SERVERS, workload="stubborn"),
        block_s=42,
        sessions=1,
        optional=True,
    ),
)
"""``start`` is measured first; the others wait under a time budget.

In `SESSIONS` sessions every design but ``stubborn`` gets 7 blocks or more, of which
an interval needs 6.
"""


def trial(place: Place, conditions: dict, *, seed: int) -> TrialResult:
    """Start, watch and stop one workload, or several at once, in an opened place.

    Parameters
    ----------
    place : Place
    conditions : dict
        ``workload``, ``at_once``, ``sleep_s``, ``replicate``.
    seed : int
        Unused: nothing in a trial is random but the nonce, which must not repeat.

    Returns
    -------
    TrialResult
        Marks in seconds since just before the place was asked.

    Raises
    ------
    DeadlineExceeded
        If the first output or the end does not come in time.
    """
    measure = {
        "nonce": lambda: work.once(place, conditions["sleep_s"]),
        "idle": lambda: work.idle(place, conditions["at_once"]),
        "http": lambda: work.answered(place, early=True),
        "http-after": lambda: work.answered(place, early=False),
        "stubborn": lambda: work.stubborn(place),
        "marks": lambda: work.marked(place),
        "slowdown": lambda: work.slowdown(place),
        "build": lambda: work.built(place),
        "nested": lambda: work.nested(place),
    }[conditions["workload"]]
    return TrialResult(measure() | {"accel": getattr(place, "accel", None)})


def check(trials: pd.DataFrame) -> None:
    """Hold the causal chains: nothing is over before it began.

    Docker's start call is in none of them: it may return after the first output.

    Raises
    ------
    DataError
        Names the row and the two marks.
    """
    guards.increasing(trials, ["created_s", "start_returned_s"])
    guards.increasing(trials, ["created_s", "first_output_s", "exited_s", "removed_s"])
    guards.increasing(trials, ["first_output_s", "container_output_s"])
    guards.increasing(trials, ["first_accept_s", "first_answer_s"])
    patient = trials[trials["workload"] == "http-after"]
    guards.increasing(patient, ["start_returned_s", "first_accept_s"])
    guards.no_zeros(trials, ["first_output_s", "first_answer_s", "stop_s", "build_s"])
