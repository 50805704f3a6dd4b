"""How long does a container take to start and stop, and what of that is the container?

The claim (11 April 2016): containers "can start and stop very quickly compared
to VMs". *Started* is defined once for every place: the time from just before
the place is asked until the first byte of a nonce that the workload itself
writes has been read, on one host clock. The same busybox workload runs
everywhere: as a bare process, in fresh namespaces, under an OCI runtime alone,
and under Docker with several runtimes.

Every session opens a fresh engine, warms each place up once (these trials are
kept apart), and runs blocks of each design, each arm once per block in random
order. Docker's arms share that engine; processes, namespaces, runc and virtual
machines are made anew for every trial. The engine is what is restarted least
often, so the session is the unit of replication for every comparison.

What would mislead you: taking the cost of packing files into a disk that
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

from caveatlib.experiments.startup import workloads as work
from caveatlib.experiments.startup.calibration import CONTROLS, KNOWN, calibrate
from caveatlib.experiments.startup.claims import CLAIMS
from caveatlib.experiments.startup.decisions import DECISIONS, answer, verdicts
from caveatlib.experiments.startup.designs import DESIGNS
from caveatlib.experiments.startup.figures import (
    plot,
    plot_at_once,
    plot_beside_others,
    plot_phases,
)
from caveatlib.experiments.startup.highlights import highlights
from caveatlib.experiments.startup.places import ARTEFACTS, PLACES
from caveatlib.experiments.startup.schema import Trials, check, check_row
from caveatlib.experiments.startup.tables import (
    answers,
    beside_others,
    builds,
    idle,
    like_with_like,
    phases,
    slowdown,
    stubborn,
    summarize,
)
from caveatlib.places.base import Place, TrialResult

__all__ = [
    "ARTEFACTS",
    "CLAIMS",
    "CONTROLS",
    "DECISIONS",
    "DESIGNS",
    "KNOWN",
    "PLACES",
    "Trials",
    "answer",
    "answers",
    "beside_others",
    "builds",
    "calibrate",
    "check",
    "check_row",
    "highlights",
    "idle",
    "like_with_like",
    "phases",
    "plot",
    "plot_at_once",
    "plot_beside_others",
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
VERDICT_S = 180
"""Seven sessions of what is compared first, and one block of each other design."""
DISK_BYTES = 500 * 2**20
"""An engine's empty data folder, its image, a disk that is built, and a journal."""


def trial(place: Place, conditions: dict, *, seed: int) -> TrialResult:
    """Run one workload, or several at once, in an opened place.

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
        Measures as `Trials` names them.

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
