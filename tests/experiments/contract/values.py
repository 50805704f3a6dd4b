"""What facts, shares and counts must answer to: other values of all that they read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from experiments.contract.judging import judged

from caveatlib import claims, frames, stats
from caveatlib.claims import FAILS, HOLDS, MIXED


def _told(found: claims.Verdict) -> tuple[str, str, str]:
    return found.verdict, found.headline, found.because


def fact(experiment, rows: pd.DataFrame, decision: claims.Fact) -> Iterator[str]:
    """Other values of any reading are told, and change the word, if need be beside others."""
    before, words = judged(rows, decision), set()
    changed = [list(_other_values(experiment, rows, r)) for r in decision.readings]
    for number, reading in enumerate(decision.readings):
        after = [judged(other, decision) for other in changed[number]]
        words |= {found.verdict for found in after}
        name = f"{reading.column!r} of {dict(reading.where)}"
        if reading.optional:
            continue
        if all(_told(found) == _told(before) for found in after):
            yield f"whatever {name} is, it says the same"
        elif all(found.verdict == before.verdict for found in after):
            beside = [o for k, others in enumerate(changed) if k != number for o in others]
            if not any(len(_words(experiment, o, reading, decision)) > 1 for o in beside):
                yield f"whatever {name} is, the word is the same"
    opposite = {HOLDS: {FAILS, MIXED}, FAILS: {HOLDS, MIXED}}.get(before.verdict, {HOLDS, FAILS})
    pairs = ((o, r) for r in decision.readings for others in changed for o in others)
    if not words & opposite and not any(
        _words(experiment, other, reading, decision) & opposite for other, reading in pairs
    ):
        yield f"whatever is read, it is {before.verdict!r}"


def _words(experiment, rows: pd.DataFrame, reading, decision) -> set[str]:
    """Return the words of these trials, and of these with other values of a reading."""
    others = (rows, *_other_values(experiment, rows, reading))
    return {judged(each, decision).verdict for each in others}


def _other_values(experiment, rows: pd.DataFrame, reading) -> Iterator[pd.DataFrame]:
    """Yield the trials with other values of a reading in all of its trials."""
    chosen = stats.match(rows, reading.where) & rows["ok"] & rows[reading.column].notna()
    if not chosen.any():
        return
    values = rows.loc[chosen, reading.column]
    for other in _others(experiment, rows, reading.column, values):
        yield _with(rows, reading.column, other)
    if reading.failures:
        failed = rows.copy()
        failed.loc[chosen, frames.measures(experiment.Trials)] = np.nan
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
        yield values * 0 + 100 * max(rows[column].max(), 1) + 1
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
