"""One decision judged alone, over trials as they are or changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import NOT_MEASURED

Change = Callable[[pd.DataFrame], pd.DataFrame]


def judged(rows: pd.DataFrame, decision: claims.Decision) -> claims.Verdict:
    """Return the verdict of one decision alone, whether that is fair or not."""
    (found,) = claims.judge(rows, [replace(decision, unfair=None)])
    return found


def measured_in(rows: pd.DataFrame, decision: claims.Decision) -> bool:
    """Whether these trials hold what the decision needs, and enough of it."""
    if isinstance(decision, claims.Whole):
        return True
    found = judged(rows, decision)
    interval = not isinstance(decision, claims.Effect | claims.Equality) or found.low == found.low
    return found.verdict != NOT_MEASURED and interval


def signature(rows: pd.DataFrame, decision: claims.Decision) -> tuple[str, str, int]:
    """Return what is kept of a decision: word, effect and n."""
    found = judged(rows, decision)
    return found.verdict, f"{found.effect:.6g}", found.n


def derived(decision, change: Change):
    """Return the decision over its table, or the trials, changed."""
    table = decision.table or (lambda rows: rows)
    return replace(decision, table=lambda rows: change(table(rows).copy()))


def scaled(where, column: str, factor: float) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[stats.match(table, where), column] *= factor
        return table

    return change


def shifted(where, column: str, by: float) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[stats.match(table, where), column] += by
        return table

    return change
