"""The table contract."""

import pandas as pd
import pytest

from caveatlib import frames
from caveatlib.errors import DataError


class Small(frames.Table):
    """A table with one column of each kind."""

    name: frames.Series[str] = frames.field("what it is called")
    count: frames.Series[int] = frames.field("how many", ge=1)
    took_s: frames.Series[float] = frames.measure("how long", "s", le=5)
    ok: frames.Series[bool] = frames.field("whether it went well")


ROW = {"name": "a", "count": 2, "took_s": 1.5, "ok": True}


def test_a_missing_measure_is_empty():
    """A row without its measure has NaN there."""
    frame = frames.from_rows([ROW, {k: v for k, v in ROW.items() if k != "took_s"}], Small)
    assert frame["took_s"].isna().tolist() == [False, True]


def test_a_table_without_rows_has_its_columns():
    """Columns and dtypes are those of a table with rows."""
    assert frames.from_rows([], Small).dtypes.equals(frames.from_rows([ROW], Small).dtypes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"took_s": -1.0}, ["-1.0", "took_s", "row 1", "greater_than_or_equal_to(0)"]),
        ({"took_s": 6.0}, ["6.0", "took_s", "less_than_or_equal_to(5)"]),
        ({"count": 0}, ["0", "count"]),
        ({"count": "many"}, ["many", "count"]),
    ],
)
def test_a_broken_row_is_named(change, words):
    """The error names value, column, row and rule."""
    with pytest.raises(DataError) as caught:
        frames.from_rows([ROW, ROW | change], Small)
    assert all(word in str(caught.value) for word in words)


def test_columns_are_exactly_those_of_the_model():
    """One more or one fewer is an error that names it."""
    with pytest.raises(DataError, match="extra"):
        frames.from_rows([ROW | {"extra": 1}], Small)
    with pytest.raises(DataError, match="lacks"):
        frames.validate(pd.DataFrame([{"name": "a"}]), Small)


def test_the_schema_says_unit_and_meaning():
    """A data package can tell a reader what a column is."""
    fields = {f["name"]: f for f in frames.table_schema(Small)["fields"]}
    assert fields["took_s"] == {
        "name": "took_s",
        "type": "number",
        "unit": "s",
        "description": "how long",
    }
    assert [fields[n]["type"] for n in ("name", "count", "ok")] == ["string", "integer", "boolean"]


def test_measures_are_the_nullable_numbers():
    """Conditions are not among them."""
    assert frames.measures(Small) == ["took_s"]
