"""Cases of `layers` with a known true value, and its A/A controls."""

from __future__ import annotations

import numpy as np
import pandas as pd

from caveatlib.claims.calibration import Control, Known, aa_controls
from caveatlib.experiments.layers import generated
from caveatlib.experiments.layers.decisions import DECISIONS, DISK, contrast
from caveatlib.experiments.layers.designs import LINKS
from caveatlib.experiments.layers.tables import GB, moves, way
from caveatlib.instruments.registry import GOODPUT

SLOW = LINKS["100 Mbit/s"]


def disk_s_per_gb(here: pd.DataFrame) -> float:
    """Return what a disk takes of the slow link, by its size and what frame headers leave of it."""
    sizes = np.unique(here.loc[here["design"] == "moving", "content_bytes"])
    if len(sizes) < 2:
        return np.nan
    mib = sizes // generated.content_bytes(1)
    seconds = [(generated.disk_mib(size) << 20) * 8 / (SLOW * GOODPUT) for size in mib]
    return float(np.polyfit(sizes / GB, seconds, 1)[0])


KNOWN = (
    Known(
        name="seconds per GB of files, disk not packed, 100 Mbit/s",
        contrast=contrast("disk", "slope_s_per_gb", way("disk", SLOW), None, kind="difference"),
        truth=disk_s_per_gb,
        within=0.02,
        table=moves,
    ),
    Known(
        name="bytes moved with the base layer there, over all of them",
        contrast=contrast(
            "base layer there", "total_bytes", way("pull-base-there", SLOW), way("pull", SLOW)
        ),
        truth=generated.content_bytes(1, "rest") / generated.content_bytes(1),
        within=0.1,
        table=moves,
    ),
)
SAME_DISK = tuple(
    Control(
        name=f"the same disk twice, {link}",
        contrast=contrast(
            f"the same disk twice, {link}", "slope_s_per_gb", way(DISK, rate, 1), way(DISK, rate)
        ),
        table=moves,
    )
    for link, rate in LINKS.items()
)
CONTROLS = (*aa_controls(DECISIONS), *SAME_DISK)
