"""Fakes of the places of `startup`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from places import fake
from places.fake import FakeMachine, FakePlace, spec

from caveatlib.experiments.startup import workloads
from caveatlib.experiments.startup.designs import MACHINES, QUICK
from caveatlib.places.machines import accel


def _small():
    """Let the fake guest, which does the emulator's work for real, do a tenth of it.

    A hundredth may end within one read of its output, and then took no time at all.
    """
    kinds = {kind: re.sub(r"(\d{3,})0\b", r"\1", script) for kind, script in REAL_KINDS.items()}
    return patch.object(accel, "KINDS", kinds)


def _without_memory():
    """Wait for no memory: fakes have none."""
    return patch.object(workloads, "ADDED_UP_S", 0)


REAL_KINDS = dict(accel.KINDS)
PLACES = {
    **{name: spec(FakePlace, name, _without_memory) for name in QUICK},
    **{kind: spec(FakeMachine, kind, _without_memory, _small) for kind in MACHINES},
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
            (accel, "slowdown", lambda place: ratios),
            (fake, "OTHER_S", 0.003),
        ):
            stack.enter_context(patch.object(module, name, stand_in))
        yield
