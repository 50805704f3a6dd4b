"""Guards against numbers that cannot be: each raises with the first row that breaks it.

Every guard has the shape of a mistake that was published: a lost unit, an
interval of a rate that reaches below zero, a cold start faster than a warm one,
zeros that stand for "not measured", a clock that knows whole seconds only.
Failed trials (``ok`` false) and empty measures are not looked at.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from caveatlib.errors import DataError, UsageError
from caveatlib.stats import MIN_PAIRS, Contrast, contrasts


def rate_times_time(
    frame: pd.DataFrame,
    *,
    rate: str,
    seconds: str,
    amount: str,
    factor: float = 1.0,
    tolerance: float = 0.02,
) -> None:
    """Hold ``rate * seconds == factor * amount`` in every row, to a relative tolerance.

    Parameters
    ----------
    frame : pandas.DataFrame
    rate, seconds, amount : str
        Columns: per second, s, and what was moved in that time.
    factor : float
        8 where the rate counts bits and the amount bytes.
    tolerance : float

    Raises
    ------
    DataError
        A unit was lost on the way: GB/s read as MB/s, bits as bytes.
    """
    good = _good(frame, [rate, seconds, amount])
    ratio = good[rate] * good[seconds] / (factor * good[amount])
    for row in good.index[~((ratio - 1).abs() <= tolerance)][:1]:
        raise DataError(
            f"Value {good[rate][row]:g} of {rate!r} in row {row} is {ratio[row]:.4g} times what "
            f"{amount!r} over {seconds!r} makes. Must agree to {tolerance:.0%}; was a unit lost?"
        )


def inside(
    frame: pd.DataFrame, names: Sequence[str], *, least: float = 0.0, most: float = math.inf
) -> None:
    """Hold values, or the ends of intervals, inside their domain.

    Raises
    ------
    DataError
        The interval of a rate reaches below zero, that of a share above one.
    """
    for name in names:
        good = _good(frame, [name])
        outside = (good[name] < least) | (good[name] > most)
        for row in good.index[outside][:1]:
            raise DataError(
                f"Value {good[name][row]:g} of {name!r} in row {row} lies outside its domain. "
                f"Must be in [{least:g}, {most:g}]."
            )


def cold_not_faster(trials: pd.DataFrame, contrast: Contrast) -> None:
    """Hold that a cold arm (`arm`) takes no less time than the warm one (`baseline`).

    Noise may turn single pairs, so the guard breaks only where the whole
    interval lies below the threshold.

    Raises
    ------
    DataError
        The cold arm is faster: caches were not dropped, or labels exchanged.
    """
    table = contrasts(trials, [contrast])
    for row in table[table["high"] < table["threshold"]].itertuples():
        raise DataError(
            f"Cold {dict(contrast.arm)} takes {row.estimate:.3g} [{row.low:.3g}, {row.high:.3g}] "
            f"of warm in {contrast.measure!r}, row {row.Index}. Must be at least as long."
        )


def no_zeros(frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Hold measures above zero where nothing takes no time and no trial moves nothing.

    Raises
    ------
    DataError
        A zero stands for "not measured".
    """
    for name in names:
        good = _good(frame, [name])
        for row in good.index[good[name] == 0][:1]:
            raise DataError(
                f"Value 0 of {name!r} in row {row} is no measurement. Must be > 0, or empty."
            )


def finer_than(frame: pd.DataFrame, names: Sequence[str], *, tick: float = 1.0) -> None:
    """Hold that not all values of a measure are whole ticks, as of a clock of whole seconds.

    Raises
    ------
    DataError
        From 6 values on, if all of them are multiples of `tick`.
    """
    if tick <= 0:
        raise UsageError(f"Invalid tick {tick!r}. Must be > 0.")
    for name in names:
        good = _good(frame, [name])
        ticks = good[name].to_numpy(dtype=float) / tick
        if len(ticks) >= MIN_PAIRS and np.all(np.abs(ticks - np.round(ticks)) < 1e-9):
            row = good.index[0]
            raise DataError(
                f"Value {good[name][row]:g} of {name!r} in row {row}, and all {len(ticks)}, are "
                f"multiples of {tick:g}. Must come from a finer clock."
            )


def increasing(frame: pd.DataFrame, marks: Sequence[str]) -> None:
    """Hold the marks of a causal chain in order, within each trial.

    Parameters
    ----------
    frame : pandas.DataFrame
    marks : sequence of str
        Columns on one clock, each of which causes the next. What has no causal
        order (Docker's start call and the first output) is no chain.

    Raises
    ------
    DataError
        A later mark comes first.
    """
    for first, second in itertools.pairwise(marks):
        good = _good(frame, [first, second])
        for row in good.index[good[second] < good[first]][:1]:
            raise DataError(
                f"Value {good[second][row]:g} of {second!r} in row {row} comes before "
                f"{good[first][row]:g} of {first!r}. Must not: one causes the other."
            )


def _good(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    for name in names:
        if name not in frame.columns:
            known = ", ".join(repr(c) for c in frame.columns)
            raise UsageError(f"Unknown column {name!r}. Must be one of {known}.")
    # The columns first: guards run in every trial, and a copy of all would cost most of it.
    good = frame[list(names)].dropna()
    return good[frame["ok"].loc[good.index]] if "ok" in frame.columns else good
