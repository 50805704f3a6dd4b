"""What failed trials do to a comparison: whether it is the slow ones that are missing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from caveatlib.frames import UNAVAILABLE

FAILURE_P = 0.05 / 3
"""How rare each of three signs must be by chance to be called one."""
FAR_LONGER = 2.0
"""A deadline: each failed trial lasted this many times as long as the longest that succeeded."""
_BLOCK = ["run", "session", "design", "block"]


def failure_doubts(trials: pd.DataFrame, measure: str, arm: str) -> list[str]:
    """Say in sentences which failures may hang on slowness, and which way they pull.

    Three signs are looked for: a group fails more often than the others (Fisher's exact
    test), its failed trials lasted longer than those that succeeded, or they lie in blocks
    in which the others were slow (Mann-Whitney tests). Groups that could not be tried at
    all are left out. Where every failed trial lasted at least twice as long as the longest
    that succeeded, one is enough: it met a deadline.

    Parameters
    ----------
    trials : pandas.DataFrame
        Of one machine, failed ones included; designs are kept apart.
    measure : str
    arm : str
        Column that makes a group.

    Returns
    -------
    list of str
        Empty if nothing failed, or no sign is seen.
    """
    said = []
    tried = trials[trials["ok"] | ~trials["error"].str.startswith(UNAVAILABLE)]
    for _, design in tried.groupby("design", sort=True):
        measured = design.groupby(arm)[measure].transform("count") > 0
        design = design[measured]
        for name, rows in design[~design["ok"]].groupby(arm, sort=True):
            signs = _signs(design, design[arm] == name, measure, arm)
            if signs:
                of = int((design[arm] == name).sum())
                said.append(
                    f"{name}: {len(rows)} of {of} trials failed, {'; '.join(signs)}. "
                    f"{_pull(measure)}"
                )
    return said


def _signs(design: pd.DataFrame, own: pd.Series, measure: str, arm: str) -> list[str]:
    failed, tried = int((~design.loc[own, "ok"]).sum()), int(own.sum())
    others = design[~own]
    others_failed = int((~others["ok"]).sum())
    found = []
    if len(others) and _fisher(failed, tried, others_failed, len(others)) < FAILURE_P:
        found.append(f"of the others {others_failed} of {len(others)}")
    if _longer(design, own, "lasted_s", far=FAR_LONGER):
        found.append("those that failed lasted longer than those that succeeded")
    if _longer(design.assign(pace=_pace(design, own, measure, arm)), own, "pace"):
        found.append("in blocks in which the others were slow")
    return found


def _fisher(failed: int, tried: int, others_failed: int, others: int) -> float:
    from scipy.stats import fisher_exact

    table = [[failed, tried - failed], [others_failed, others - others_failed]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def _longer(design, own: pd.Series, column: str, *, far: float = np.inf) -> bool:
    """Return whether a column is larger in the group's failed trials than in its others.

    Either by a test, or because all are at least `far` times the largest of the others.
    """
    if column not in design:
        return False
    from scipy.stats import mannwhitneyu

    values, ok = design.loc[own, column].astype(float), design.loc[own, "ok"]
    failed, good = values[~ok].dropna(), values[ok].dropna()
    if not len(failed) or not len(good):
        return False
    if np.isfinite(far) and failed.min() >= far * good.max():
        return True
    return bool(mannwhitneyu(failed, good, alternative="greater").pvalue < FAILURE_P)


def _pace(design: pd.DataFrame, own: pd.Series, measure: str, arm: str) -> pd.Series:
    """Return how slow the other groups were in each trial's block.

    The median over them of the log of each value over its group's median.
    """
    values = design[measure].astype(float)
    off = values.where(design["ok"] & (values > 0)).transform(np.log)
    off = off - off.groupby(design[arm]).transform("median")
    sign = -1 if measure.endswith("_per_s") else 1
    block = design.groupby(_BLOCK).ngroup()
    pace = (sign * off[~own]).groupby(block[~own]).median()
    return block.map(pace)


def _pull(measure: str) -> str:
    """Return which way missing slow trials pull a measure and a ratio of it."""
    if measure.endswith("_per_s"):
        low, down = "high", "up"
    elif measure.endswith(("_s", "_s_per_gb")):
        low, down = "low", "down"
    else:
        return f"If the slow ones are missing, {measure} of it is not that of all its trials."
    return (
        f"Slow ones may be missing: {measure} of it reads too {low}, and its ratio to others is "
        f"pulled {down}."
    )
