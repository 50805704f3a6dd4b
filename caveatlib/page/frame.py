"""Tables for reading: text to the left, units in the head, an interval in one cell."""

from __future__ import annotations

import re
from decimal import Decimal

import pandas as pd

from caveatlib.page.markup import text
from caveatlib.support.quantities import scale
from caveatlib.support.text import escape_control_characters

MOST_ROWS = 12
APART = 1000
"""A column whose values are further apart has a unit in each cell."""
UNITS = {"_bit_per_s": "bit/s", "_bytes": "B", "_s": "s", "_cpus": "CPUs", "_share": "%"}
"""Ending of a column's name -> unit in which its values are shown."""
UNBROKEN = 30
"""Letters of a word; a longer one may be broken over lines."""
_PER = re.compile(r"(.+)_(s|bytes)_per_(\w+)")
_QUANTILES = re.compile(r"_p(10|90|99)$")


class Shown:
    """A frame as it is shown: `repr` for a terminal, HTML for a notebook."""

    def __init__(self, head: list[str], rows: list[list[str]], most: int, title: str, empty: str):
        self.head, self.rows, self.more = head, rows[:most], rows[most:]
        self.title, self.empty = title, empty

    @property
    def left_out(self) -> int:
        """How many rows are folded away."""
        return len(self.more)

    def __repr__(self):
        title = f"{escape_control_characters(self.title)}\n" if self.title else ""
        if not self.rows:
            return title + self.empty
        safe = [[escape_control_characters(cell) for cell in row] for row in self.rows]
        head = list(map(escape_control_characters, self.head))
        table = pd.DataFrame(safe, columns=head).to_string(index=False, justify="left")
        more = f"\n({self.left_out} more rows)" if self.left_out else ""
        return title + table + more

    def _repr_html_(self):
        title = f"<p><b>{text(self.title)}</b></p>" if self.title else ""
        return title + self.inner_html()

    def inner_html(self) -> str:
        """Return the table without its title."""
        if not self.rows:
            return f"<p>{text(self.empty)}</p>"
        return _table(self.head, self.rows) + self._rest()

    def _rest(self) -> str:
        if not self.more:
            return ""
        told = "1 more row" if self.left_out == 1 else f"{self.left_out} more rows"
        return f"<details><summary>{told}</summary>{_table(self.head, self.more)}</details>"


def _cell(value: str) -> str:
    """Return a cell of a table; a word that no column has room for, a digest, may be broken."""
    long = max(map(len, value.split(" "))) > UNBROKEN
    return (
        f'<td style="text-align:left{";overflow-wrap:anywhere" if long else ""}">{text(value)}</td>'
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    heads = "".join(f'<th style="text-align:left">{text(name)}</th>' for name in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def show(
    frame: pd.DataFrame,
    *,
    rows: int = MOST_ROWS,
    digits: int = 3,
    title: str = "",
    empty: str = "Nothing to show.",
) -> Shown:
    """Return a frame as a table for reading.

    A column whose name ends in a unit is scaled to the unit in which it is best read,
    and that unit stands in its head. Columns ``x_median`` or ``x``, ``x_low`` and ``x_high``
    become one, ``155 [150, 160]``, as do ``estimate``, ``low`` and ``high``; quantiles of a
    summary are left out. Missing values are empty.

    Parameters
    ----------
    frame : pandas.DataFrame
        Its index levels come first, unless they only count.
    rows : int
        At most so many are shown; the rest is folded, in a terminal counted.
    digits : int
        Significant digits of a number.
    title : str
        Stands above the table.
    empty : str
        Stands in the place of a table without rows.

    Returns
    -------
    Shown
    """
    named = [name for name in frame.index.names if name is not None]
    table = frame.reset_index(level=named) if named else frame
    head, columns = [], []
    for column in _main(table):
        unit, words = _unit(str(column))
        factor, name = _best(table, column, unit)
        head.append(f"{words} ({name})" if name else words)
        columns.append(_cells(table, column, unit, factor, digits))
    return Shown(head, [list(row) for row in zip(*columns, strict=True)], rows, title, empty)


def _main(table: pd.DataFrame) -> list:
    """Return the columns that are shown by themselves.

    Not the ends of intervals, quantiles, what is empty throughout, and the one machine
    that all rows are of.
    """
    names = list(table.columns)
    ends = {end for name in names for end in _ends(table, name)}
    kept = [n for n in names if n not in ends and not _QUANTILES.search(str(n))]
    kept = [n for n in kept if not table[n].isin(["", None]).all() and table[n].notna().any()]
    one = len(table) > 0 and "machine" in table and table["machine"].nunique() == 1
    return [n for n in kept if not (one and n == "machine")]


def _ends(table: pd.DataFrame, column: object) -> tuple[str, ...]:
    """Return the columns with the ends of a column's interval, if it has one."""
    name = str(column)
    if name == "estimate":
        ends: tuple[str, str] = ("low", "high")
    else:
        plain = name.removesuffix("_median")
        ends = (f"{plain}_low", f"{plain}_high")
    return ends if set(ends) <= set(table.columns) else ()


def _unit(name: str) -> tuple[str, str]:
    """Return the unit of a column by its name, and the name in words."""
    plain = name.removesuffix("_median")
    if found := _PER.fullmatch(plain):
        unit = f"{UNITS['_' + found[2]]} per {found[3].replace('gb', 'GB')}"
        return "", f"{found[1]} ({unit})".replace("_", " ")
    if plain.endswith("_per_s") and not plain.endswith("_bit_per_s"):
        return "", plain.replace("_", " ")
    for ending, unit in UNITS.items():
        if plain.endswith(ending):
            kept = ending if unit == "%" else ""
            return unit, (plain.removesuffix(ending) + kept).replace("_", " ")
    return "", plain.replace("_", " ")


def _best(table: pd.DataFrame, column: object, unit: str) -> tuple[float, str]:
    """Return divisor and unit of a column; no unit where its values need one each."""
    if not unit or not pd.api.types.is_numeric_dtype(table[column]):
        return 1.0, ""
    if unit == "%":
        return 0.01, unit
    values = table[column].abs()
    values = values[values > 0]
    if not len(values):
        return scale(1.0, unit)
    if values.max() > APART * values.min():
        return 0.0, ""
    return scale(float(values.median()), unit)


def _cells(table: pd.DataFrame, column: object, unit: str, factor: float, digits: int) -> list[str]:
    values = table[column]
    if pd.api.types.is_bool_dtype(values):
        return ["yes" if value else "no" for value in values]
    whole = pd.api.types.is_integer_dtype(values)
    if whole and unit:
        values = values.astype("Float64")
    elif whole:
        return ["" if pd.isna(v) else f"{v:,}" for v in values]
    elif not pd.api.types.is_float_dtype(values):
        return ["" if missing else str(v) for v, missing in zip(values, values.isna(), strict=True)]
    ends = _ends(table, column)
    cells = []
    for i, value in enumerate(values):
        by, name = (factor, "") if factor else scale(value, unit)
        cell = "" if pd.isna(value) else _number(value / by, digits)
        inside = [table[end].iloc[i] for end in ends]
        if cell and inside and not any(map(pd.isna, inside)):
            cell += f" [{', '.join(_number(end / by, digits) for end in inside)}]"
        cells.append(f"{cell} {name}" if cell and name else cell)
    return cells


def _number(value: float, digits: int) -> str:
    """Return a number with so many significant digits and never an exponent."""
    shown = f"{value:.{digits}g}"
    if abs(float(shown)) >= 1000:
        return f"{float(shown):,.0f}"
    return f"{Decimal(shown):f}" if "e" in shown else shown
