"""Guards against numbers that cannot be: each raises where one breaks it.

Every guard has the shape of a mistake that was published: a lost unit, an
interval of a rate that reaches below zero, a cold start faster than a warm one,
zeros that stand for "not measured", a clock that knows whole seconds only.

Those of a row take a mapping, and so little time that they run between two
trials; those of a table need its rows side by side. Empty measures are skipped.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from caveatlib.errors import DataError, UsageError
from caveatlib.stats.contrasts import MIN_PAIRS, Contrast, contrasts
from caveatlib.support.arguments import check_number
from caveatlib.support.quantities import percent

Row = Mapping[str, object]
CLOCK_S = 1.0
"""How far the clock of the day may be set between two trials; durations come from another one."""

# --- guards of a row -------------------------------------------------------


def number(row: Row, name: str) -> float:
    """Return a measure of a row, NaN where it is empty.

    Raises
    ------
    UsageError
        If the row has no such column.
    """
    try:
        value = row[name]
    except KeyError:
        known = ", ".join(map(repr, row))
        raise UsageError(f"Unknown column {name!r}. Must be one of {known}.") from None
    return math.nan if value is None or value is pd.NA else float(value)  # type: ignore[arg-type]


def ratio(value: float, by: float) -> float:
    """Return a quotient; by zero it is infinite, or NaN for zero by zero."""
    if by:
        return value / by
    return math.copysign(math.inf, value) if value and not math.isnan(value) else math.nan


def rate_times_time(
    row: Row,
    *,
    rate: str,
    seconds: str,
    amount: str,
    factor: float = 1.0,
    tolerance: float = 0.02,
) -> None:
    """Require ``rate * seconds == factor * amount``, to a relative tolerance.

    Parameters
    ----------
    row : mapping
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
    values = [number(row, name) for name in (rate, seconds, amount)]
    if any(map(math.isnan, values)):
        return
    found = ratio(values[0] * values[1], factor * values[2])
    if not abs(found - 1) <= tolerance:
        raise DataError(
            f"Value {values[0]:g} of {rate!r} is {found:.4g} times what {amount!r} over "
            f"{seconds!r} makes. Must agree to {percent(tolerance)}; was a unit lost?"
        )


def inside(row: Row, names: Sequence[str], *, least: float = 0.0, most: float = math.inf) -> None:
    """Require values, or the ends of intervals, inside their domain.

    Raises
    ------
    DataError
        The interval of a rate reaches below zero, that of a share above one.
    """
    for name in names:
        value = number(row, name)
        if value < least or value > most:
            raise DataError(
                f"Value {value:g} of {name!r} lies outside its domain. "
                f"Must be in [{least:g}, {most:g}]."
            )


def no_zeros(row: Row, names: Sequence[str]) -> None:
    """Require measures above zero where nothing takes no time and no trial moves nothing.

    Raises
    ------
    DataError
        A zero stands for "not measured".
    """
    for name in names:
        if number(row, name) == 0:
            raise DataError(f"Value 0 of {name!r} is not a measurement. Must be > 0, or empty.")


def needs(row: Row, names: Sequence[str]) -> None:
    """Require the measures that a trial is for: without one it has failed.

    Raises
    ------
    DataError
        A trial that counts as a success has no value.
    """
    for name in names:
        if math.isnan(number(row, name)):
            raise DataError(
                f"Value of {name!r} is missing from a trial that succeeded. Must be there, or the "
                "trial has failed."
            )


def increasing(row: Row, marks: Sequence[str]) -> None:
    """Require the marks of a causal chain in order.

    Parameters
    ----------
    row : mapping
    marks : sequence of str
        Columns on one clock, each of which causes the next. What has no causal
        order (Docker's start call and the first output) is not a chain.

    Raises
    ------
    DataError
        A later mark comes first.
    """
    for first, second in itertools.pairwise(marks):
        before, after = number(row, first), number(row, second)
        if after < before:
            raise DataError(
                f"Value {after:g} of {second!r} comes before {before:g} of {first!r}. "
                "Must not: one causes the other."
            )


# --- guards of a table -----------------------------------------------------


def fits(trials: pd.DataFrame, names: Sequence[str]) -> None:
    """Require that no trial took longer than until the next one of its run began.

    It needs no idea of how long anything should take, and so holds for every unit that was
    lost upwards: milliseconds or minutes that are called seconds.

    Parameters
    ----------
    trials : pandas.DataFrame
    names : sequence of str
        Columns in seconds, each of which is a part of the trial.

    Raises
    ------
    DataError
        A trial goes on after it was over.
    """
    began = pd.to_datetime(trials["started_at"], errors="coerce", utc=True)
    ordered = trials.assign(began=began).dropna(subset="began").sort_values(["run", "began"])
    room = (ordered.groupby("run")["began"].shift(-1) - ordered["began"]).dt.total_seconds()
    for name in names:
        over = ordered[name].astype(float) > room + CLOCK_S
        if over.any():
            at = int(over.to_numpy().argmax())
            raise DataError(
                f"Value {ordered[name].iloc[at]:g} of {name!r} in row {over.index[at]} is longer "
                f"than its trial: the next one began after {room.iloc[at]:.3g} s. "
                "Must be in seconds; was a unit lost?"
            )


def cold_not_faster(trials: pd.DataFrame, contrast: Contrast) -> None:
    """Require that a cold arm (`arm`) takes no less time than the warm one (`baseline`).

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


def finer_than(
    trials: pd.DataFrame, names: Sequence[str], *, tick: float = 1.0, by: str | None = None
) -> None:
    """Require that not all values of a measure are whole ticks, as of a clock of whole seconds.

    Failed trials (``ok`` false) are left out. With `by`, each group of that column has
    a clock of its own.

    Raises
    ------
    DataError
        From 6 values on, if all of them are multiples of `tick`.
    """
    check_number("tick", tick, above=0)
    good = trials[trials["ok"]] if "ok" in trials.columns else trials
    if by is not None:
        for _, group in good.groupby(by, sort=True):
            finer_than(group, names, tick=tick)
        return
    for name in names:
        if name not in trials.columns:
            known = ", ".join(repr(c) for c in trials.columns)
            raise UsageError(f"Unknown column {name!r}. Must be one of {known}.")
        values = good[name].dropna()
        ticks = values.to_numpy(dtype=float) / tick
        if len(ticks) >= MIN_PAIRS and np.all(np.abs(ticks - np.round(ticks)) < 1e-9):
            raise DataError(
                f"Value {values.iloc[0]:g} of {name!r} in row {values.index[0]}, and all "
                f"{len(ticks)}, are multiples of {tick:g}. Must come from a finer clock."
            )
