"""Cases of `kernel` whose true value is known, and the same fault twice."""

from __future__ import annotations

from caveatlib import stats
from caveatlib.claims.calibration import Control, Known
from caveatlib.experiments.kernel.designs import AGAIN, HARMLESS, arm
from caveatlib.experiments.kernel.schema import NEIGHBOURS
from caveatlib.experiments.kernel.tables import ARRANGEMENTS
from caveatlib.experiments.kernel.tenants import TASKS

COUNTED = {
    "survivors": "neighbours that survive when one exits",
    "culprit_ended": "the one that exits has ended",
}
BOMB = arm("one-guest", "tasks", limited=1).where()


def _exits(place: str, design: str, column: str, truth: float) -> Known:
    where = {**arm(place, "exit").where(), "design": design}
    name = f"{COUNTED[column]}, {ARRANGEMENTS[place, 0]}"
    contrast = stats.Contrast(name, column, where, None, kind="difference")
    return Known(name=name, contrast=contrast, truth=truth, within=0, relative=False)


KNOWN = (
    *(
        _exits(place, design, "survivors", NEIGHBOURS)
        for place, design in (("one-guest", "exit"), ("four-guests", "apart"), ("gvisor", "gvisor"))
    ),
    _exits("one-guest", "exit", "culprit_ended", 1),
    Known(
        name=f"tasks of a fork bomb under a limit of {TASKS}",
        contrast=stats.Contrast("tasks", "tasks", BOMB, None, kind="difference"),
        truth=TASKS,
        within=0,
        relative=False,
    ),
)
CONTROLS = (
    Control(
        name="neighbours' heartbeat when one exits, again",
        contrast=stats.Contrast(
            "heartbeat",
            "beat_s",
            {**AGAIN.where(), "design": "exit"},
            {**HARMLESS.where(), "design": "exit"},
        ),
    ),
)
