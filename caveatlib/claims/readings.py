"""Readings as data, the sentences and facts made of them.

A reading is a number with the filter of the trials that it is read from. `Sentence` puts
readings into a template, `fact` decides by conditions on them. Where a reading has no value
on a machine its sentence is left out and its fact is not measured: nobody else asks.
"""

from __future__ import annotations

import math
import operator
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import pandas as pd

from caveatlib.claims.judging import Fact, Finding, Reading, Rows, values_of
from caveatlib.claims.model import FAILS, HOLDS, NOT_MEASURED, Claim, Verdict
from caveatlib.support.quantities import format_quantity

UNITS = {"_bit_per_s": "bit/s", "_bytes": "B", "_s": "s"}
"""How a column's name ends -> its unit."""


class Condition(NamedTuple):
    """A comparison of a reading with a number; both may be told apart by tests."""

    value: Value
    compare: Callable[[float, float], bool]
    limit: float

    def holds(self, rows: Rows) -> bool:
        """Whether it is so on one machine; a reading that is missing is not."""
        value = self.value.of(rows)
        return value is not None and bool(self.compare(value, self.limit))


@dataclass(frozen=True, kw_only=True)
class Value:
    """A reading: columns of the trials of a filter, reduced to one number.

    Attributes
    ----------
    columns : tuple of str
    where : mapping
        Filter of the trials, as for `stats.match`.
    reduce : callable
        Given one series for each column, without what is missing, returns a number.
    unit : str
        In which the number is formatted.
    """

    columns: tuple[str, ...]
    where: Mapping[str, object]
    reduce: Callable[..., float]
    unit: str = ""

    def of(self, rows: Rows) -> float | None:
        """Return the number for one machine's trials, None where it is missing."""
        series = [values_of(rows, self.where, column) for column in self.columns]
        if any(one.empty for one in series):
            return None
        value = float(self.reduce(*series))
        return value if math.isfinite(value) else None

    def __gt__(self, limit: float) -> Condition:
        return Condition(self, operator.gt, limit)

    def __ge__(self, limit: float) -> Condition:
        return Condition(self, operator.ge, limit)

    def __lt__(self, limit: float) -> Condition:
        return Condition(self, operator.lt, limit)

    def __le__(self, limit: float) -> Condition:
        return Condition(self, operator.le, limit)

    def equals(self, limit: float) -> Condition:
        """Return the condition that it is exactly this number."""
        return Condition(self, operator.eq, limit)


def _reading(reduce: Callable[..., float], column: str, where, *, unit: str | None = None) -> Value:
    if unit is None:
        unit = next((name for end, name in UNITS.items() if column.endswith(end)), "")
    return Value(columns=(column,), where=_filter(where), reduce=reduce, unit=unit)


def _filter(where) -> Mapping[str, object]:
    """Return the filter of an arm (`measuring.designs.Arm`), or the mapping itself."""
    return where if isinstance(where, Mapping) else where.where()


def median(column: str, where) -> Value:
    """Return the reading: the median over the trials of an arm or filter."""
    return _reading(pd.Series.median, column, where)


def least(column: str, where) -> Value:
    """Return the reading: the least over the trials of an arm or filter."""
    return _reading(pd.Series.min, column, where)


def most(column: str, where) -> Value:
    """Return the reading: the greatest over the trials of an arm or filter."""
    return _reading(pd.Series.max, column, where)


def total(column: str, where) -> Value:
    """Return the reading: the sum over the trials of an arm or filter."""
    return _reading(pd.Series.sum, column, where)


def count(column: str, where) -> Value:
    """Return the reading: in how many trials the column is above 0."""
    return _reading(lambda values: (values > 0).sum(), column, where, unit="")


def number(column: str, where) -> Value:
    """Return the reading: how many trials have a value in the column."""
    return _reading(len, column, where, unit="")


def share(column: str, where, *, of: str) -> Value:
    """Return the reading: the sum of one column over that of another, ``"failed"`` of requests."""
    return replace(
        _reading(lambda part, whole: part.sum() / (whole.sum() or math.nan), column, where),
        columns=(column, of),
    )


class _Quantities(string.Formatter):
    """Formats numbers as they are read: see `Sentence`."""

    def format_field(self, value, spec: str) -> str:
        if not isinstance(value, tuple):
            return format(value, spec)
        number, unit = value
        if spec == "%":
            return f"{number * 100:.2g} %"
        if spec == "x":
            return f"{number:.2g}x"
        if spec:
            return format(number, spec)
        if unit:
            return format_quantity(number, unit)
        return f"{number:,.0f}" if float(number).is_integer() else f"{number:.3g}"


_QUANTITIES = _Quantities()


class Sentence:
    """A template with readings by name; missing readings leave it out.

    Called with one machine's trials it returns the sentence, or "". So it can stand wherever
    a decision takes text: `sentence`, `qualify`, `unfair`, `summary`.

    Parameters
    ----------
    template : str
        ``"Alone a call takes {alone}, beside neighbours {beside}."``. A reading is written in
        its unit ("42.1 ms"); ``{x:%}`` writes a share with two significant digits, ``{x:x}``
        a ratio ("1.7x"), any other format applies to the number. Fields of the verdict
        (``{headline}``, ``{n}``) may be used where there is one.
    given : Condition or sequence of Condition
        Where one does not hold, the sentence is left out.
    measured : bool
        Whether it is left out where the verdict is "not measured here".
    **readings : Value or number or str
    """

    def __init__(self, template: str, *, given=(), measured: bool = False, **readings):
        self.template = template
        self.given = (given,) if isinstance(given, Condition) else tuple(given)
        self.measured = measured
        self.readings = readings

    def __call__(self, rows: Rows, verdict: Verdict | Mapping | None = None) -> str:
        """Return the sentence for one machine's trials, or ""."""
        if not all(condition.holds(rows) for condition in self.given):
            return ""
        fields: dict[str, object] = {}
        if isinstance(verdict, Verdict):
            if self.measured and verdict.verdict == NOT_MEASURED:
                return ""
            fields |= vars(verdict)
        for name, reading in self.readings.items():
            if isinstance(reading, Value):
                value = reading.of(rows)
                if value is None:
                    return ""
                fields[name] = value, reading.unit
            elif isinstance(reading, int | float):
                fields[name] = reading, ""
            else:
                fields[name] = reading
        return _QUANTITIES.vformat(self.template, (), fields)


class Text:
    """Sentences one after the other, those that are left out apart; or the first of them only.

    Parameters
    ----------
    *sentences : callable
        As `Sentence`.
    first : bool
        Whether only the first that is there is given: cases that exclude each other.
    """

    def __init__(self, *sentences: Callable[..., str], first: bool = False):
        self.sentences, self.first = sentences, first

    def __call__(self, rows: Rows, verdict=None) -> str:
        """Return the text for one machine's trials, or ""."""
        texts = [text for one in self.sentences if (text := one(rows, verdict))]
        return " ".join(texts[:1] if self.first else texts)


def fact(
    claim: Claim,
    *conditions: Condition,
    line: Callable[..., str],
    beside: tuple[Value, ...] = (),
    **options,
) -> Fact:
    """Return a fact that holds where all conditions do.

    Parameters
    ----------
    claim : Claim
    *conditions : Condition
        Their readings must be there, or the fact is not measured.
    line : Sentence
        What was read: headline and account of the verdict.
    beside : tuple of Value
        What its sentences read and it can be decided without.
    **options
        As for `Fact`.
    """
    needed = [Reading(c.value.where, column) for c in conditions for column in c.value.columns]
    needed += [Reading(v.where, column, optional=True) for v in beside for column in v.columns]
    first = conditions[0].value
    n = replace(first, columns=first.columns[:1], reduce=len)

    def find(rows: Rows) -> Finding:
        word = HOLDS if all(condition.holds(rows) for condition in conditions) else FAILS
        return Finding(word, "", line(rows), int(n.of(rows) or 0))

    return Fact(claim=claim, readings=tuple(needed), find=find, **options)
