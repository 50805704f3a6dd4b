"""What facts, shares and counts must answer to: other values of all that they read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from experiments.contract.judging import judged, judged_as_it_is

from caveatlib import claims, frames, stats
from caveatlib.claims import FAILS, HOLDS, MIXED


def _told(found: claims.Verdict) -> tuple[str, str, str]:
    return found.verdict, found.headline, found.because


def fact(experiment, rows: pd.DataFrame, decision: claims.Fact) -> Iterator[str]:
    """Other values of any reading are told, and change the word, if need be beside others."""
    before, words = judged_as_it_is(rows, decision), set()
    changed = [list(_other_values(experiment, rows, r)) for r in decision.readings]
    found: dict[int, claims.Verdict] = {}

    def once(other: pd.DataFrame) -> claims.Verdict:
        if id(other) not in found:  # all of them are kept, so each has an id of its own
            found[id(other)] = judged(other, decision)
        return found[id(other)]

    for number, reading in enumerate(decision.readings):
        after = [once(other) for other in changed[number]]
        words |= {each.verdict for each in after}
        name = f"{reading.column!r} of {dict(reading.where)}"
        if reading.optional:
            continue
        if all(_told(each) == _told(before) for each in after):
            yield f"whatever {name} is, it says the same"
        elif all(each.verdict == before.verdict for each in after):
            beside = [o for k, others in enumerate(changed) if k != number for o in others]
            if not any(
                word != once(o).verdict
                for o in beside
                for word in _words(experiment, o, reading, decision)
            ):
                yield f"whatever {name} is, the word is the same"
    opposite = {HOLDS: {FAILS, MIXED}, FAILS: {HOLDS, MIXED}}.get(before.verdict, {HOLDS, FAILS})
    pairs = ((o, r) for r in decision.readings for others in changed for o in others)
    if not words & opposite and not any(
        word in opposite
        for other, reading in pairs
        for word in _words(experiment, other, reading, decision)
    ):
        yield f"whatever is read, it is {before.verdict!r}"


def _words(experiment, rows: pd.DataFrame, reading, decision) -> Iterator[str]:
    """Yield the words of these trials with other values of a reading."""
    for other in _other_values(experiment, rows, reading):
        yield judged(other, decision).verdict


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
    changed = rows[column].copy()
    changed.loc[values.index] = values
    return rows.assign(**{column: changed})


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
        if word(1) == FAILS:
            yield f"a share of all is {word(1)!r}"
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
