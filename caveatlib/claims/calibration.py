"""Calibration: cases with a known true value, and A/A controls (the same arm twice)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from caveatlib import stats
from caveatlib.claims.judging import Decision, Effect
from caveatlib.support.quantities import percent

COLUMNS = [
    "check",
    "machine",
    "truth",
    "estimate",
    "low",
    "high",
    "n",
    "tolerance",
    "passes",
    "note",
]

HOLDS_ONE = "interval holds 1"
"""What is asked of an A/A control, in the column `tolerance`."""
Derive = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True, kw_only=True)
class Known:
    """A positive control: a comparison whose true value is fixed beforehand.

    Attributes
    ----------
    name : str
    contrast : stats.Contrast
        Its threshold is not looked at.
    truth : float or callable
        The true value, or what gives it for one machine's trials (NaN: not there).
    within : float
        How far the reading may lie from it; with 0, each trial must read the truth.
    relative : bool
        Whether `within` is a share of the truth, else it is in the measure's unit.
    table : callable, optional
        Given one machine's trials, returns the table that the contrast is of.
    """

    name: str
    contrast: stats.Contrast
    truth: float | Callable[[pd.DataFrame], float]
    within: float
    relative: bool = True
    table: Derive | None = None


@dataclass(frozen=True, kw_only=True)
class Control:
    """An A/A control: the same arm twice, whose true ratio is 1."""

    name: str
    contrast: stats.Contrast
    table: Derive | None = None


def aa_controls(decisions: Sequence[Decision]) -> tuple[Control, ...]:
    """Return the A/A controls that decisions name, each once, under its contrast's name."""
    found: dict[str, Control] = {}
    for decision in decisions:
        if isinstance(decision, Effect) and decision.null is not None:
            name = decision.null.name
            control = Control(name=name, contrast=decision.null, table=decision.table)
            found.setdefault(name, control)
    return tuple(found.values())


def calibrate(
    trials: pd.DataFrame, known: Sequence[Known], controls: Sequence[Control]
) -> pd.DataFrame:
    """Lay what the harness reads beside what is true.

    Parameters
    ----------
    trials : pandas.DataFrame
        Table of trials of one source.
    known : sequence of Known
    controls : sequence of Control

    Returns
    -------
    pandas.DataFrame
        One row per case and machine: `check`, `machine`, `truth`, `estimate` with its
        interval `low` to `high`, `n`, `tolerance` in words, `passes` and `note`. A known
        value passes (``"yes"``) if its whole interval lies within the tolerance and fails
        (``"no"``) if all of it lies outside; else it is ``"undecided"``. Where the
        tolerance is 0 it passes if each trial reads the truth. An A/A control passes if
        its interval holds 1 (`stats.aa_control`). ``"not measured"`` is neither.
    """
    rows = []
    cases: list[Known | Control] = [*known, *controls]
    for _, here in stats.by_machine(trials):
        tables: dict[Derive | None, pd.DataFrame] = {None: here}
        for case in cases:
            if case.table is not None and case.table not in tables:
                tables[case.table] = case.table(here)
        with stats.unchanged():
            rows += [_known(here, tables[case.table], case) for case in known]
            rows += [_control(here, tables[case.table], case) for case in controls]
    return pd.DataFrame(rows, columns=COLUMNS)


def _known(here: pd.DataFrame, table: pd.DataFrame, case: Known) -> dict:
    arm = stats.match(table, case.contrast.arm).to_numpy() & table["ok"].to_numpy(dtype=bool)
    read = table.loc[arm, case.contrast.measure]
    (found,) = stats.jointly([(table, _readable(case.contrast, read))])
    truth = case.truth(here) if callable(case.truth) else case.truth
    reach = case.within * abs(truth) if case.relative else case.within
    if case.within == 0:
        word = "yes" if (read.dropna() == truth).all() else "no"
        return _row(here, case.name, found, truth, f"exactly {truth:g}", word, "")
    size = percent(case.within) if case.relative else f"{case.within:g}"
    note = found["note"] if found["n"] < stats.MIN_PAIRS else ""
    word = _within(found, truth, reach)
    return _row(here, case.name, found, truth, f"{truth:.3g} ± {size}", word, note)


def _readable(contrast: stats.Contrast, read: pd.Series) -> stats.Contrast:
    """Return a contrast that can read a control which failed so far that it reads zero.

    Of one arm alone a ratio is its own values on a scale of logs, which zero is not on.
    """
    if contrast.baseline is None and (read <= 0).any():
        return replace(contrast, kind="difference")
    return contrast


def _within(found: dict, truth: float, reach: float) -> str:
    """Judge by the whole interval; too few pairs for one can fail, but not pass."""
    low, high, estimate = (found[name] - truth for name in ("low", "high", "estimate"))
    if -reach <= low and high <= reach:
        return "yes"
    if pd.isna(low):
        return "no" if abs(estimate) > reach else "undecided"
    return "no" if low > reach or high < -reach else "undecided"


def _control(here: pd.DataFrame, table: pd.DataFrame, control: Control) -> dict:
    if table.empty:
        (found,) = stats.jointly([(table, control.contrast)])
    else:
        found = stats.aa_control(table, control.contrast).iloc[0].to_dict()
    word = "not measured" if pd.isna(found["low"]) else "yes" if found["passes"] else "no"
    return _row(here, control.name, found, 1.0, HOLDS_ONE, word, found["note"])


def _row(here, name, found, truth, tolerance, word, note) -> dict:
    return {
        "check": name,
        "machine": here["machine"].iloc[0],
        "truth": truth,
        "estimate": found["estimate"],
        "low": found["low"],
        "high": found["high"],
        "n": int(found["n"]),
        "tolerance": tolerance,
        "passes": "not measured" if pd.isna(found["estimate"]) or pd.isna(truth) else word,
        "note": note,
    }
