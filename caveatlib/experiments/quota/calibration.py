"""Cases of `quota` with a known true value, and its A/A controls."""

from __future__ import annotations

from caveatlib import stats
from caveatlib.claims.calibration import Known, aa_controls
from caveatlib.experiments.quota.decisions import DECISIONS
from caveatlib.experiments.quota.designs import FULL

USED_WITHIN = 0.05
KNOWN = (
    Known(
        name="share of the quota used under full load",
        contrast=stats.Contrast("full load", "used_ratio", FULL, None),
        truth=1.0,
        within=USED_WITHIN,
    ),
    Known(
        name="share of the quota used by steady requests at 50 %",
        contrast=stats.Contrast(
            "steady requests", "used_ratio", {"design": "weights", "pattern": "steady"}, None
        ),
        truth=0.5,
        within=USED_WITHIN,
    ),
)
CONTROLS = aa_controls(DECISIONS)
