"""What facts, shares and counts must answer to: other values of all that they read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from experiments.contract.judging import judged

from caveatlib import claims, frames, stats
from caveatlib.claims import FAILS, NOT_MEASURED


def _told(found: claims.Verdict) -> tuple[str, str, str]:
    return found.verdict, found.headline, found.because


def fact(experiment, rows: pd.DataFrame, decision: claims.Fact) -> Iterator[str]:
    """Other values of any reading are told; of one at least they change the word."""
    before = judged(rows, decision)
    words = set()
    for reading in decision.readings:
        after = [judged(other, decision) for other in _other_values(experiment, rows, reading)]
        words |= {found.verdict for found in after}
        if not reading.optional and all(_told(found) == _told(before) for found in after):
            yield f"whatever {reading.column!r} of {dict(reading.where)} is, it says the same"
    if words <= {before.verdict, NOT_MEASURED}:
        yield f"whatever is read, it is {before.verdict!r}"


def _other_values(experiment, rows: pd.DataFrame, reading) -> Iterator[pd.DataFrame]:
    """Yield the trials with other values of a reading, in all of its trials and in the first."""
    chosen = stats.match(rows, reading.where) & rows["ok"] & rows[reading.column].notna()
    if not chosen.any():
        return
    values = rows.loc[chosen, reading.column]
    first = chosen & (chosen.cumsum() == 1)
    for other in _others(experiment, rows, reading.column, values):
        yield _with(rows, reading.column, other)
        if chosen.sum() > 1:
            yield _with(rows, reading.column, other[first[chosen]])
    if reading.failures:
        tables = frames.measures(experiment.Trials)
        failed = rows.copy()
        failed.loc[chosen, tables] = np.nan
        failed.loc[chosen, ["ok", "error"]] = [False, "It broke."]
        yield failed


def _with(rows: pd.DataFrame, column: str, values: pd.Series) -> pd.DataFrame:
    rows = rows.copy()
    rows.loc[values.index, column] = values
    return rows


def _others(experiment, rows: pd.DataFrame, column: str, values: pd.Series) -> Iterator[pd.Series]:
    if pd.api.types.is_numeric_dtype(values):
        if values.between(0, 1).all():
            yield 1 - values
        yield values * 0
        yield values * 100 + 1
        return
    allowed = [
        check.statistics["allowed_values"]
        for check in frames.columns(experiment.Trials)[column].checks
        if "allowed_values" in (check.statistics or {})
    ]
    known = dict.fromkeys([*rows[column].dropna(), *(v for some in allowed for v in some)])
    for text in known:
        if (values != text).any():
            yield pd.Series(text, index=values.index)


def counted(rows: pd.DataFrame, decision) -> Iterator[str]:
    """A share of none is not one of all; a count beyond its bounds does not hold."""
    chosen = stats.match(rows, decision.where) & rows["ok"] & rows[decision.column].notna()

    def word(value: float) -> str:
        return judged(_with(rows, decision.column, rows.loc[chosen, decision.column] * 0 + value),
                      decision).verdict  # fmt: skip

    if isinstance(decision, claims.Share):
        if word(0) != FAILS:
            yield f"a share of none is {word(0)!r}"
        if word(decision.of) == FAILS:
            yield f"a share of all is {word(decision.of)!r}"
        return
    beyond = [v for v in (decision.least - 1, decision.most + 1) if np.isfinite(v)]
    if not beyond:
        yield "any count is within its bounds"
    for value in beyond:
        if word(value) != FAILS:
            yield f"a count of {value:g} is {word(value)!r}"


def whole(decision: claims.Whole, decisions) -> Iterator[str]:
    """Its parts are the decisions that are named after it, each once."""
    named = [d.claim.id for d in decisions if d.claim.id.startswith(f"{decision.claim.id}/")]
    if sorted(decision.parts) != sorted(named):
        yield f"its parts are {decision.parts}, not {named}"
