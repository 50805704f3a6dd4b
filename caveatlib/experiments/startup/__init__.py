"""How long does a container take to start and stop, and what of that is the container?

The claim (11 April 2016): containers "can start and stop very quickly compared
to VMs". *Started* is defined once for every place: the time from just before
the place is asked until the first byte of a nonce that the workload itself
writes has been read, on one host clock. The same busybox workload runs
everywhere: as a bare process, in fresh namespaces, under an OCI runtime alone,
and under Docker with several runtimes.

What lies between a process and `docker run` is measured step by step (`parts`): namespaces, control
groups, an overlay mount, a network, a runtime, the daemon, its client; each place has one thing
more than the one before, and their differences within a session are the steps.

Every session opens a fresh engine, starts each process and container once (these
trials are kept apart), and runs blocks of each design, each arm once per block in random
order. Docker's arms share that engine; processes, namespaces, runc and virtual
machines are made anew for every trial. The engine is what is restarted least
often, so the session is the unit of replication for every comparison.

Building is compared with disks that a virtual machine boots: of the same busybox
and application, by either builder and as either kind of disk, from nothing and
with the base there, and each is started or booted to prove it (`building`).

Where a machine has no KVM, times of its guests are the emulator's. So the work is
counted as well, in instructions (`counting`): of a boot, and of the first process,
namespaces and container in a guest that was left alone before, so that it has done what
its kernel put off; of the container also at once. That does not depend on how fast the host is.
The seed is what is varied and counts as a repetition: the same one gives the same count to the
digit, but for guests with a disk, which wait for the host. Where somebody has prepared them,
machines that others publish are booted and counted, too, each beside a container of its own root
file system (`caveatlib.places.machines.published`).

What would mislead you: one ratio of a boot's instructions to a container's, since the
choice of the pair moves it severalfold and the data by a few per cent (a container in a
guest that was left alone before or in one that was not, with the kernel's unpacking and
self-tests or without); taking
instructions for time, or a guest's for its host's; waits that a word on the kernel's
command line removes (``qemu.WAITLESS``); taking the cost of packing files into a disk that
nothing boots from for the cost of building a virtual machine; comparing a
managed stack (Docker) with a bare virtual machine; taking the return of Docker's
start call for the start (the first output often comes earlier); taking the first
accepted connection for an answer (docker-proxy accepts before anybody listens);
connecting before the container is there, which by itself makes Docker's first
answer a second late; emulated machines, whose times say nothing about
virtualisation; a process that is PID 1 and ignores SIGTERM, which makes a
stop take ten seconds; and waiting for a runtime's call by polling: the recorded
version 1 did so in steps that double, so creation under runc reads 32 or 64 ms
there, up to twice too long. Now the end of the call wakes us.
"""

from __future__ import annotations

from caveatlib.experiments.startup import counting, workloads
from caveatlib.experiments.startup.calibration import CONTROLS, KNOWN
from caveatlib.experiments.startup.claims import CLAIMS
from caveatlib.experiments.startup.decisions import DECISIONS, answer
from caveatlib.experiments.startup.designs import DESIGNS
from caveatlib.experiments.startup.figures import (
    plot,
    plot_at_once,
    plot_beside_others,
    plot_phases,
    plot_work,
)
from caveatlib.experiments.startup.highlights import highlights
from caveatlib.experiments.startup.places import ARTEFACTS, ON_REQUEST, PLACES
from caveatlib.experiments.startup.schema import TABLES, Trials, check, check_row
from caveatlib.experiments.startup.tables import (
    answers,
    beside_others,
    bootable,
    builds,
    idle,
    like_with_like,
    phases,
    slowdown,
    stubborn,
    summarize,
    waits,
    work,
    work_parts,
)
from caveatlib.experiments.startup.waterfall import plot_steps, steps
from caveatlib.places.base import Place, TrialResult

NAME = "startup"
QUESTION = "How fast do containers start and stop, and what of that is the container?"
SESSIONS = 20
VERDICT_S = 190
"""Seven sessions of what is compared first, and one block of each other design."""
DISK_BYTES = 1000 * 2**20
"""An engine's empty data folder, its image, what is built from, a disk that is built, a journal."""
FIRST_S = 60
"""Seven sessions of what is compared first, in one engine each."""


def trial(place: Place, conditions: dict, *, seed: int) -> TrialResult:
    """Run one workload, or several at once, in an opened place.

    Parameters
    ----------
    place : Place
    conditions : dict
        ``workload``, ``at_once``, ``sleep_s``, ``replicate``.
    seed : int
        Of a guest whose instructions are counted. Nothing else in a trial is random but the
        nonce, which must not repeat.

    Returns
    -------
    TrialResult
        Measures as `Trials` names them.

    Raises
    ------
    DeadlineExceeded
        If the first output or the end does not come in time.
    """
    if conditions["workload"] == "count-initcalls":
        measures, rows = counting.initcalls(place, seed)
        return TrialResult(measures, {"initcalls": rows})
    measure = {
        "nonce": lambda: workloads.once(place, conditions["sleep_s"]),
        "idle": lambda: workloads.idle(place, conditions["at_once"]),
        "http": lambda: workloads.answered(place, early=True),
        "http-after": lambda: workloads.answered(place, early=False),
        "stubborn": lambda: workloads.stubborn(place),
        "marks": lambda: workloads.marked(place),
        "slowdown": lambda: workloads.slowdown(place),
        "build": lambda: workloads.built(place),
        "nested": lambda: workloads.nested(place),
        "application": lambda: place.build(on_base=False),
        "application-on-base": lambda: place.build(on_base=True),
        "count-process": lambda: counting.counted(place, "process", seed),
        "count-namespaces": lambda: counting.counted(place, "namespaces", seed),
        "count-runc": lambda: counting.counted(place, "runc", seed),
        "count-unsettled": lambda: counting.counted(place, "unsettled", seed),
        "count-system": lambda: counting.counted(place, "system", seed),
        "count-again": lambda: counting.again(place, "runc", seed),
    }[conditions["workload"]]
    return TrialResult(measure() | {"accel": getattr(place, "accel", None)})
