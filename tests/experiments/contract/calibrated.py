"""What the calibration must answer to: a reading that is off does not pass."""

from __future__ import annotations

import pandas as pd
from experiments.contract.judging import derived, scaled, with_table

from caveatlib.claims.calibration import Control, Known, calibrate

_READ: dict[tuple[int, int], tuple] = {}
"""What trials and cases read that nobody changes, with both: they are kept, so that no other has
their ids."""


def miscalibrated(rows: pd.DataFrame, case: Known | Control) -> list[str]:
    """Return in which ways a case of the calibration does not see a reading that is off.

    A known value by a factor of two; an A/A control by 1.2, or by as much more as its
    interval is wide.
    """
    before = _as_it_is(rows, case)
    if before["passes"] == "not measured":
        return []
    far = 2.0
    if isinstance(case, Control):
        far = max(1.2, 1.05 / before["low"], 1.05 * before["high"])
    wrong = []
    for factor in (far, 1 / far):
        off = derived(case, scaled(case.contrast.arm, case.contrast.measure, factor))
        if _calibration(rows, off)["passes"] != "no":
            wrong.append(f"{case.name}: with its arm {factor:.3g} times as large it passes")
    return wrong


def reading(rows: pd.DataFrame, case: Known | Control) -> tuple[str, str, int]:
    """Return what is kept of a case of the calibration: whether it passes, estimate and n."""
    row = _as_it_is(rows, case)
    return row["passes"], f"{row['estimate']:.6g}", row["n"]


def _as_it_is(rows: pd.DataFrame, case: Known | Control) -> dict:
    key = id(rows), id(case)
    if key not in _READ:
        _READ[key] = rows, case, _calibration(rows, case)
    return _READ[key][2]


def _calibration(rows: pd.DataFrame, case: Known | Control) -> dict:
    case = with_table(case)
    known = isinstance(case, Known)
    (row,) = calibrate(rows, [case] if known else [], [] if known else [case]).to_dict("records")
    return row


def calibrated(rows: pd.DataFrame, case: Known | Control) -> bool:
    """Whether these trials hold what the case needs."""
    return _as_it_is(rows, case)["passes"] != "not measured"
