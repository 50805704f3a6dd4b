"""Cases of `startup` with a known true value, and its A/A controls."""

from __future__ import annotations

from caveatlib.claims.calibration import Control, Known, aa_controls
from caveatlib.experiments.startup.decisions import DECISIONS, arm, contrast
from caveatlib.experiments.startup.designs import STEPS
from caveatlib.experiments.startup.waterfall import AGAIN, SUM, added_up
from caveatlib.experiments.startup.workloads import SLEEP_S

WITHIN_S = 0.01
TIMED = (
    Known(
        name="0.1 s of sleep added to docker-runc",
        contrast=contrast(
            "sleep in docker-runc",
            "first_output_s",
            {"design": "known-answer", "sleep_s": SLEEP_S},
            {"design": "known-answer", "sleep_s": 0.0},
            kind="difference",
        ),
        truth=SLEEP_S,
        within=WITHIN_S,
        relative=False,
    ),
    Known(
        name="0.1 s of sleep between marks in a microVM",
        contrast=contrast(
            "sleep in a microVM",
            "between_s",
            {"design": "emulator", "workload": "marks"},
            None,
            kind="difference",
        ),
        truth=SLEEP_S,
        within=WITHIN_S,
        relative=False,
    ),
)
SAME_SEED = Known(
    name="a guest counted again with the same seed, to the digit",
    contrast=contrast(
        "the same seed again",
        "same_seed_ratio",
        {"design": "work-again", "workload": "count-again"},
        None,
    ),
    truth=1.0,
    within=0,
)
ADDED_UP = Known(
    name="steps from a process to docker run, added up, over the whole",
    contrast=contrast("steps added up", "seconds", {"what": SUM}, {"what": AGAIN}),
    truth=1.0,
    within=0.1,
    table=added_up,
)
KNOWN = (*TIMED, SAME_SEED, ADDED_UP)
AGAIN_BY_HAND = Control(
    name="docker run started again",
    contrast=contrast(
        "docker run started again",
        "first_output_s",
        arm("steps", STEPS["client"], 1),
        arm("steps", STEPS["client"]),
    ),
)
CONTROLS = (*aa_controls(DECISIONS), AGAIN_BY_HAND)
