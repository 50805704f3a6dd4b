"""The table contract: names, units and bounds of columns.

A table is a pandera model; a field carries dtype, bounds and, as metadata, its
unit and meaning. `validate` checks a frame against its model and `check_values`
a few values of a row, `empty` makes a frame without rows, and `table_schema`
states the model in the terms of a data package.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaError, SchemaErrors
from pandera.typing.pandas import Series

from caveatlib.errors import DataError

SOURCES = ("live", "recorded", "simulated", "literature", "imported")

UNAVAILABLE = "unavailable: "
"""How the error of an arm begins that this machine could not even try."""


def field(meaning: str, unit: str = "", *, later: bool = False, paced: bool = False, **checks):
    """Describe one column.

    Parameters
    ----------
    meaning : str
        One phrase that describes the column; it is published with the data.
    unit : str, optional
        SI base unit, ``"B"`` for bytes, or empty for names and counts.
    later : bool, optional
        Whether recordings exist from before the column was added: there it is empty.
    paced : bool, optional
        Whether the workload sets the pace, so that readings of the same value are not copies.
    **checks
        Bounds and nullability, as `pandera.Field` takes them.

    Returns
    -------
    pandera field
    """
    metadata = {"unit": unit, "meaning": meaning, "later": later, "paced": paced}
    return pa.Field(metadata=metadata, **checks)


def measure(meaning: str, unit: str = "", **checks):
    """Describe a measured column: a float that is empty where the trial failed."""
    return field(meaning, unit, nullable=True, **({"ge": 0} | checks))


class Table(pa.DataFrameModel):
    """Base of every table: exactly the columns named, in their dtypes."""

    class Config:
        """How pandera reads a table."""

        strict = True
        coerce = True
        ordered = False


_RUN = "Run, named by its start in UTC"
_DESIGN = "Design within the experiment"
_BLOCK = "Number of the block within the design; a block has each arm once"
_PLACE = "Place in which the workload ran"


class Trials(Table):
    """The columns that every table of trials starts with, one row per trial."""

    run: Series[str] = field(_RUN)
    source: Series[str] = field("Origin of the row", isin=SOURCES)
    machine: Series[str] = field("Class of the machine: CPU, memory, kernel, cgroup version")
    session: Series[int] = field(
        "Session number; engines are restarted at the start of each session", ge=0
    )
    design: Series[str] = field(_DESIGN)
    block: Series[int] = field(_BLOCK, ge=0)
    position: Series[int] = field("Position of the trial in the random order of its block", ge=0)
    place: Series[str] = field(_PLACE)
    started_at: Series[str] = field("Start of the trial in UTC")
    ok: Series[bool] = field("Whether the trial succeeded")
    error: Series[str] = field("Reason of the failure; empty if the trial succeeded")
    busy_per_cpu: Series[float] = measure("Other running tasks per CPU just before the trial")
    stolen_share: Series[float] = measure(
        "Share of the CPU time that the hypervisor took during the trial", le=1
    )
    lasted_s: Series[float] = measure(
        "The whole trial, whether it succeeded or not; longer than what it measured",
        "s",
        later=True,
    )
    age_s: Series[float] = measure(
        "Since the session had opened its places, engines among them", "s", later=True
    )
    age_trials: Series[float] = measure(
        "Trials that the session had done before, those kept apart included", later=True
    )


class OfTrial(Table):
    """The columns that say which trial a row of a further table belongs to."""

    run: Series[str] = field(_RUN)
    design: Series[str] = field(_DESIGN)
    block: Series[int] = field(_BLOCK, ge=0)
    place: Series[str] = field(_PLACE)


@cache
def columns(model: type[Table]) -> Mapping[str, pa.Column]:
    """Return the model's columns by name, in order."""
    return MappingProxyType(model.to_schema().columns)


def measures(model: type[Table]) -> list[str]:
    """Return the names of the model's measured columns: nullable numbers."""
    return [
        name
        for name, column in columns(model).items()
        if column.nullable and str(column.dtype).startswith(("float", "Int"))
    ]


def came_later(model: type[OfTrial]) -> bool:
    """Return whether recordings may lack the whole table: all that is its own was added later."""
    own = columns(model).keys() - columns(OfTrial).keys()
    return own <= set(later(model))


def later(model: type[Table]) -> list[str]:
    """Return the names of the columns that recordings from before they were added lack."""
    return [n for n, c in columns(model).items() if (c.metadata or {}).get("later")]


def conditions(model: type[Trials]) -> list[str]:
    """Return the columns that tell arms of one place apart: the experiment's own, never empty."""
    common = columns(Trials)
    return [name for name, c in columns(model).items() if name not in common and not c.nullable]


def empty(model: type[Table]) -> pd.DataFrame:
    """Return a frame of the model's columns and dtypes without rows."""
    return pd.DataFrame({n: pd.Series(dtype=c.dtype.type) for n, c in columns(model).items()})


def from_rows(rows: list[dict], model: type[Table]) -> pd.DataFrame:
    """Build a validated frame from rows; a measure that a row lacks is empty.

    Parameters
    ----------
    rows : list of dict
        One mapping per row. A missing nullable column becomes NaN, a missing
        text column the empty string; any other missing column is an error.
    model : type of Table

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    DataError
        If a row breaks the model; the message names row, column, value and rule.
    """
    if not rows:
        return empty(model)
    frame = pd.DataFrame(rows)
    for name, column in columns(model).items():
        if name not in frame.columns and (column.nullable or _is_text(column)):
            frame[name] = float("nan") if column.nullable else ""
    return validate(frame, model)


def _is_text(column) -> bool:
    return str(column.dtype).startswith("str")


def validate(frame: pd.DataFrame, model: type[Table]) -> pd.DataFrame:
    """Return the frame in the model's column order and dtypes.

    Raises
    ------
    DataError
        If the frame breaks the model; the message names the first row that
        does, the column, the value and the rule.
    """
    expected = list(columns(model))
    missing = [c for c in expected if c not in frame.columns]
    extra = [c for c in frame.columns if c not in expected]
    if missing or extra:
        problem = [f"lacks {missing}"] if missing else []
        problem += [f"has {extra}"] if extra else []
        raise DataError(f"Table {model.__name__} {' and '.join(problem)}. Must have {expected}.")
    frame = frame[expected].reset_index(drop=True)
    found = _without_pandera(frame, model)
    return _by_pandera(frame, model) if found is None else found


def check_values(values: Mapping[str, object], model: type[Table]) -> None:
    """Validate a few values of one row against their columns.

    It takes microseconds where pandera takes milliseconds for a frame of one
    row, and so can be done between two trials; a value of another type than
    the column's is refused rather than cast.

    Parameters
    ----------
    values : mapping
        Column -> value. Columns that are not named are not looked at.
    model : type of Table

    Raises
    ------
    DataError
        If a column is not the model's, or a value breaks its rule.
    """
    rules = _rules(model)
    extra = [name for name in values if name not in rules]
    if extra:
        raise DataError(f"Table {model.__name__} has {extra}. Must have {list(columns(model))}.")
    for name, value in values.items():
        kind, nullable, checks = rules[name]
        if value is None or value is pd.NA or value != value:  # NaN is not equal to itself
            broken = "" if nullable else "not_nullable"
        elif not _is_a(value, kind):
            broken = f"dtype {columns(model)[name].dtype}"
        else:
            broken = next((rule for rule, holds in checks if not holds(value)), "")
        if broken:
            raise DataError(_refusal(value, name, "", model, broken))


@cache
def _rules(model: type[Table]) -> dict[str, tuple[str, bool, list[tuple[str, Callable]]]]:
    """Return each column's kind of value, whether it may be empty, and its checks by name."""
    return {
        name: (
            _schema_type(str(column.dtype)),
            column.nullable,
            [(check.error or check.name, _predicate(check)) for check in column.checks],
        )
        for name, column in columns(model).items()
    }


def _predicate(check: pa.Check) -> Callable[[object], bool]:
    """Return what a check of a column asks of one value."""
    bound = _bound(check)
    known = {
        "greater_than_or_equal_to": lambda value: value >= bound,
        "greater_than": lambda value: value > bound,
        "less_than_or_equal_to": lambda value: value <= bound,
        "less_than": lambda value: value < bound,
        "isin": lambda value: value in bound,
    }
    if check.name in known:
        return known[check.name]
    return lambda value: bool(check(pd.Series([value])).check_passed)


def _bound(check: pa.Check) -> Any:
    return next(iter(check.statistics.values()), None)


def _is_a(value: object, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "boolean":
        return isinstance(value, bool | np.bool_)
    if not isinstance(value, Real | np.bool_) or not math.isfinite(value):
        return False
    return kind == "number" or float(value).is_integer()


def _without_pandera(frame: pd.DataFrame, model: type[Table]) -> pd.DataFrame | None:
    """Return the frame in the model's dtypes if it surely fulfils it, else None.

    Pandera takes milliseconds for each column, and most frames are sound: what nearly all models
    state (dtypes, no gaps, `_BREAKS`) is looked at here. Anything else is for pandera, which
    also says what is wrong.
    """
    schema = model.to_schema()
    if schema.checks or schema.unique:
        return None
    found = {}
    for name, column in columns(model).items():
        values = _as_it_is(frame[name], column)
        if values is None or not (column.nullable or values.notna().all()):
            return None
        if column.unique and values.duplicated().any():
            return None
        for check in column.checks:
            breaks = _BREAKS.get(check.name)
            if breaks is None or breaks(values, **check.statistics).any():
                return None
        found[name] = values
    return pd.DataFrame(found)


def _as_it_is(values: pd.Series, column: pa.Column) -> pd.Series | None:
    """Return values in the dtype of their column; None where a cast could change or refuse one."""
    dtype = column.dtype.type
    if values.dtype == dtype:
        return values
    nothing = values.empty or (column.nullable and values.isna().all())
    whole = pd.api.types.is_integer_dtype(values.dtype) and str(dtype) in ("float64", "Int64")
    try:
        return values.astype(dtype) if nothing or whole else None
    except (TypeError, ValueError):  # of pandas' own NA, which is not a number
        return None


def _too_short_or_long(values, min_value=None, max_value=None, exact_value=None) -> pd.Series:
    length = values.str.len()
    least, most = (min_value, max_value) if exact_value is None else (exact_value, exact_value)
    return (length < (least or 0)) | (length > (math.inf if most is None else most))


_BREAKS: dict[str, Callable[..., pd.Series]] = {
    "greater_than_or_equal_to": lambda values, min_value: values < min_value,
    "greater_than": lambda values, min_value: values <= min_value,
    "less_than_or_equal_to": lambda values, max_value: values > max_value,
    "less_than": lambda values, max_value: values >= max_value,
    "isin": lambda values, allowed_values: values.notna() & ~values.isin(allowed_values),
    "str_matches": lambda values, pattern: ~values.str.match(pattern, na=True),
    "str_length": _too_short_or_long,
}
"""Name of a check -> which values break it; a missing one breaks none."""


def _by_pandera(frame: pd.DataFrame, model: type[Table]) -> pd.DataFrame:
    try:
        return model.to_schema().validate(frame, lazy=True, inplace=True)
    except (SchemaErrors, SchemaError) as error:
        raise DataError(_first_failure(error, model)) from None


def table_schema(model: type[Table], *, of: Iterable[str] | None = None) -> dict:
    """Return the model as a Table Schema (frictionlessdata.io, version 1).

    Parameters
    ----------
    model : type of Table
    of : iterable of str, optional
        Columns of a recording: those added to the model later are described only if
        they are among them. Default all.

    Returns
    -------
    dict
        ``{"fields": [{"name", "type", "unit", "description"}, ...],
        "missingValues": [""]}``
    """
    fields = []
    absent = () if of is None else set(later(model)) - set(of)
    for name, column in columns(model).items():
        if name in absent:
            continue
        meta = column.metadata or {}
        entry = {"name": name, "type": _schema_type(str(column.dtype))}
        if meta.get("unit"):
            entry["unit"] = meta["unit"]
        entry["description"] = meta.get("meaning", "")
        fields.append(entry)
    return {"fields": fields, "missingValues": [""]}


def _schema_type(dtype: str) -> str:
    if dtype.startswith("bool"):
        return "boolean"
    if dtype.lower().startswith("int"):
        return "integer"
    if dtype.startswith("float"):
        return "number"
    return "string"


def _first_failure(error, model: type[Table]) -> str:
    cases = getattr(error, "failure_cases", None)
    if isinstance(cases, pd.DataFrame) and len(cases):
        case = cases.iloc[0]
        row = "" if pd.isna(case["index"]) else f" in row {case['index']}"
        value = case["failure_case"]
        value = value.item() if isinstance(value, np.generic) else value
        return _refusal(value, case["column"], row, model, case["check"])
    return f"Table {model.__name__} is not valid: {error}"


def _refusal(value: object, column: str, row: str, model: type[Table], rule: str) -> str:
    return (
        f"Value {value!r} of column {column!r}{row} of table {model.__name__} is not allowed. "
        f"Must fulfil {rule}."
    )
