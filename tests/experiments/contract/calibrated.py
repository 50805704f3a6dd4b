"""What the calibration must answer to: a reading that is off does not pass."""

from __future__ import annotations

import pandas as pd
from experiments.contract.judging import derived, scaled

from caveatlib.experiments.kit.calibration import Control, Known, calibrate


def miscalibrated(rows: pd.DataFrame, case: Known | Control) -> list[str]:
    """Return in which ways a case of the calibration does not see a reading that is off."""
    before = _passes(rows, case)
    if before == "not measured":
        return []
    known = isinstance(case, Known)
    wrong = []
    for factor in (2.0, 0.5) if known else (1.2, 1 / 1.2):
        off = derived(case, scaled(case.contrast.arm, case.contrast.measure, factor))
        if _passes(rows, off) != "no":
            wrong.append(f"{case.name}: with its arm {factor:.3g} times as large it passes")
    return wrong


def reading(rows: pd.DataFrame, case: Known | Control) -> tuple[str, str, int]:
    """Return what is kept of a case of the calibration: whether it passes, estimate and n."""
    known = isinstance(case, Known)
    (row,) = calibrate(rows, [case] if known else [], [] if known else [case]).to_dict("records")
    return row["passes"], f"{row['estimate']:.6g}", row["n"]


def _passes(rows: pd.DataFrame, case: Known | Control) -> str:
    return reading(rows, case)[0]


def calibrated(rows: pd.DataFrame, case: Known | Control) -> bool:
    """Whether these trials hold what the case needs."""
    return _passes(rows, case) != "not measured"
