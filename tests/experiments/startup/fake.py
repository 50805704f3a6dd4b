"""Fakes of the places of `startup`."""

from __future__ import annotations

import re
from unittest.mock import patch

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
