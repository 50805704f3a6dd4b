"""Fakes of the places of `kernel`: tenants whose heartbeats are made up, and no guest."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from unittest.mock import patch

import numpy as np
from places.fake import CLOCK, on_clock, spec

from caveatlib.experiments.kernel import places, watching
from caveatlib.experiments.kernel.tenants import NAMES, TASKS
from caveatlib.experiments.kernel.watching import Beat, Watched

READY_S, BEFORE, AFTER = 8.0, 20, 160
"""When made-up tenants are ready, and how often they beat before and after the fault."""
BEAT_S = 0.06
SAID = {
    "tasks": (298, errno.EAGAIN),
    "disk": (15 << 20, errno.ENOSPC),
    "clock": (3600, 0),
}
"""What a culprit says of its fault; one that says nothing ends by it."""
_number = count()


class FakeTenancy:
    """Four tenants in one made-up guest, or in four."""

    accel = "tcg"

    def __init__(self, name: str):
        self.name = name

    def strike(self, fault: str, culprit: str, *, limited: bool) -> Watched:
        """Return what would have been read: nobody else is harmed but on one kernel."""
        rng = np.random.default_rng(next(_number))
        shared = self.name == "one-guest" and not limited
        shared |= self.name == "gvisor" and fault == "disk"
        found = Watched(0.0, ready_s=READY_S + rng.normal(0, 0.1))
        found.fault_s = found.ready_s + BEFORE * BEAT_S
        found.struck = said(fault, limited=limited, refused=self.name == "gvisor")
        found.struck_s = found.fault_s + 1
        found.ended_s = found.struck_s + watching.WATCHED * found.silent_s
        found.host_gap_s = 0.05 + rng.exponential(0.001)
        for name in NAMES:
            crosses = name == culprit or shared
            found.beats[name] = beats(found, rng, fault if crosses else "", name == culprit)
        CLOCK.passes(20 * found.ended_s)  # time enough on a machine that is ten times slower
        return found

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}


def said(fault: str, *, limited: bool, refused: bool) -> tuple[int, int] | None:
    """Return how far a made-up fault gets, and its error."""
    if fault == "clock" and refused:
        return 0, errno.EPERM
    if fault == "tasks" and limited:
        return TASKS, errno.EAGAIN
    return SAID.get(fault)


def beats(found: Watched, rng, fault: str, itself: bool) -> list[Beat]:
    """Return a tenant's heartbeats, before and after a fault that reaches it, "" for none."""
    ends = fault in ("panic", "tmpfs") or (itself and fault in ("exit", "memory"))
    steps = rng.normal(BEAT_S, BEAT_S / 50, BEFORE + (0 if ends else AFTER))
    steps *= (found.ended_s - found.ready_s) / (BEAT_S * (BEFORE + AFTER))
    made = []
    for number, at in enumerate(found.ready_s + np.cumsum(steps)):
        late = at > found.fault_s
        failed = int(late) * number
        made.append(
            Beat(
                at_s=float(at),
                clock_s=float(at) + 3600 * (late and fault == "clock"),
                failed_forks=failed if fault == "tasks" else 0,
                failed_writes=failed if fault == "disk" else 0,
            )
        )
    return made


PLACES = {name: spec(FakeTenancy, name) for name in places.PLACES}


@contextmanager
def patched() -> Iterator[None]:
    """Let made-up trials begin one after the other, the same whatever was made up before."""
    with on_clock(), patch.object(sys.modules[__name__], "_number", count()):
        yield
