"""Cases of `defaults` with a known true value, and the same arm twice."""

from __future__ import annotations

import pandas as pd

from caveatlib import stats
from caveatlib.claims.calibration import Derive, Known, aa_controls
from caveatlib.experiments.defaults import designs
from caveatlib.experiments.defaults.containers import FEW
from caveatlib.experiments.defaults.decisions import DECISIONS
from caveatlib.experiments.defaults.designs import CLOSE, FEW_FILES, LINES, LOG, NO_CONTAINER
from caveatlib.experiments.defaults.facts import EVERY, allowed, at
from caveatlib.experiments.defaults.operations import read

MAY = "may_share"


def freed(here: pd.DataFrame) -> pd.DataFrame:
    """Return the privileged containers with the share that they may do of what the kernel does."""
    can = allowed(here, at(designs.DOCKER, NO_CONTAINER))
    rows = here[stats.match(here, EVERY) & here["ok"] & here["refused"].notna()]
    rows = rows.iloc[: len(rows) if can else 0]
    may = [len(can - set(read(text))) / len(can) for text in rows["refused"]]
    return rows.assign(**{MAY: pd.Series(may, index=rows.index, dtype=float)})


def _known(name: str, measure: str, where: dict, truth: float, table: Derive | None = None):
    contrast = stats.Contrast(name, measure, where, None, kind="difference")
    return Known(name=name, contrast=contrast, truth=truth, within=0, table=table)


KNOWN = (
    _known("what the kernel does for root, a privileged container may do", MAY, EVERY, 1.0, freed),
    _known(
        f"lines in the log of {LINES:,} written",
        "kept_lines",
        designs.where(LOG, lines=LINES),
        LINES,
    ),
    _known(
        f"limit on open files set to {FEW}",
        "open_files",
        designs.where(CLOSE, FEW_FILES),
        FEW,
    ),
)
CONTROLS = aa_controls(DECISIONS)
