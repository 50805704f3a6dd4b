"""What `platform` lays side by side."""

from __future__ import annotations

from caveatlib.experiments.platform.places import PROGRAMS
from caveatlib.measuring.designs import Arm, Design


def _arm(place: str, task: str, *, program: str = "", replicate: int = 0) -> Arm:
    return Arm(place, {"task": task, "program": program, "replicate": replicate})


NATIVE, LAYER = _arm("runc", "sweep"), _arm("docker-runsc", "sweep")
RIGHTS = _arm("docker-runsc-rights", "rights")
"""The sweep under gVisor once more, by a program that keeps its rights: never under Linux."""
TRACES = {program: _arm("host", "trace", program=program) for program in PROGRAMS}
PLAIN, AGAIN = (_arm("docker-runc", "cost", replicate=n) for n in (0, 1))
SLOW = _arm("docker-runsc", "cost")
DESIGNS = (
    Design("sweep", (NATIVE, LAYER), block_s=18.0),
    Design("rights", (RIGHTS,), block_s=18.0, every=2),
    Design("programs", tuple(TRACES.values()), block_s=4.0),
    Design("cost", (PLAIN, AGAIN, SLOW), block_s=3.0, blocks_per_session=3),
)
