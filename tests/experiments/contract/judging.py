"""One decision judged alone, over trials as they are or changed.

What nobody changes is judged once, and its table derived once, however many tests ask: so no
test may change these trials in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import NOT_MEASURED

Change = Callable[[pd.DataFrame], pd.DataFrame]
_JUDGED: dict[tuple[int, int], tuple] = {}
_DERIVED: dict[tuple[Change, int], tuple] = {}
"""Verdicts and tables, each with what it is of: that is kept, so that no other has its id."""


@dataclass(frozen=True)
class Table:
    """The table of a decision, or of a case of the calibration: derived once, then changed."""

    derive: Change | None = None
    changes: tuple[Change, ...] = ()

    def __call__(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return what is derived of trials, or a changed copy of it."""
        table = rows if self.derive is None else _derived(self.derive, rows)
        if self.changes:
            table = table.copy(deep=False)  # what is changed of it is copied when it is
        for change in self.changes:
            table = change(table)
        return table


def _derived(derive: Change, rows: pd.DataFrame) -> pd.DataFrame:
    key = derive, id(rows)
    if key not in _DERIVED:
        _DERIVED[key] = rows, derive(rows)
    return _DERIVED[key][1]


def with_table(decided):
    """Return a decision, or a case of the calibration, whose table is derived once."""
    if decided.table is None or isinstance(decided.table, Table):
        return decided
    return replace(decided, table=Table(decided.table))


def judged(rows: pd.DataFrame, decision: claims.Decision) -> claims.Verdict:
    """Return the verdict of one decision alone, whether that is fair or not.

    Without sentences that the contract does not read: what is said aloud, what qualifies an effect.
    """
    decision = replace(decision, unfair=None, say=None)
    if isinstance(decision, claims.Effect | claims.Equality):
        decision = with_table(replace(decision, qualify=None))
    (found,) = claims.judge(rows, [decision])
    return found


def judged_as_it_is(rows: pd.DataFrame, decision: claims.Decision) -> claims.Verdict:
    """Return the same of trials that nobody changes, judged once."""
    key = id(rows), id(decision)
    if key not in _JUDGED:
        _JUDGED[key] = rows, decision, judged(rows, decision)
    return _JUDGED[key][2]


def measured_in(rows: pd.DataFrame, decision: claims.Decision) -> bool:
    """Whether these trials hold what the decision needs, and enough of it."""
    if isinstance(decision, claims.Whole):
        return True
    found = judged_as_it_is(rows, decision)
    interval = not isinstance(decision, claims.Effect | claims.Equality) or found.low == found.low
    return found.verdict != NOT_MEASURED and interval


def signature(rows: pd.DataFrame, decision: claims.Decision) -> tuple[str, str, int]:
    """Return what is kept of a decision: word, effect and n."""
    found = judged_as_it_is(rows, decision)
    return found.verdict, f"{found.effect:.6g}", found.n


def derived(decided, change: Change):
    """Return the decision, or the case, over its table, or the trials, changed."""
    table = with_table(decided).table or Table()
    return replace(decided, table=replace(table, changes=(*table.changes, change)))


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
