"""The table contract.

Seen to fail: the values of a row with each check left out in turn, and with NaN taken for a value.
"""

import math

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from caveatlib import frames
from caveatlib.errors import DataError

pytestmark = pytest.mark.beside


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


def test_a_missing_text_is_empty():
    """A row without one of its text columns has the empty string there."""
    frame = frames.from_rows([{k: v for k, v in ROW.items() if k != "name"}], Small)
    assert frame["name"].tolist() == [""]


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


class Usual(frames.Table):
    """A column for each kind of check that most models state."""

    least: frames.Series[float] = frames.field("ge", ge=1)
    above: frames.Series[float] = frames.field("gt", gt=1)
    most: frames.Series[float] = frames.field("le", le=1)
    below: frames.Series[float] = frames.field("lt", lt=1)
    both: frames.Series[float] = frames.measure("ge and le", le=1)
    count: frames.Series[int] = frames.field("whole", isin=(0, 1, 2))
    perhaps: frames.Series[pd.Int64Dtype] = frames.measure("whole or empty")
    word: frames.Series[str] = frames.field("one of two", isin=("a", "bb"))
    named: frames.Series[str] = frames.field("begins with a b", str_matches="b")
    filled: frames.Series[str] = frames.field(
        "one letter or two", str_length={"min_value": 1, "max_value": 2}
    )
    remark: frames.Series[str] = frames.field("text or empty", nullable=True)
    ok: frames.Series[bool] = frames.field("yes or no")


class Every(Usual):
    """And one with a check that is no comparison."""

    started: frames.Series[str] = frames.field("begins with a", str_startswith="a")


NUMBERS = st.sampled_from([0, 1, 2, 3, -1, 1.0, 0.5, 1.5, -1e300, True, np.float64(1), np.int64(2)])
NOTHING = st.sampled_from([None, math.nan, pd.NA, np.float64("nan")])
VALUES = NUMBERS | NOTHING | st.sampled_from(["", "a", "bb", "ab", "ba", "1", "nan"])


SOUND = {"least": 1.0, "above": 2.0, "most": 1.0, "below": 0.0, "both": 0.5, "count": 1,
         "perhaps": 1, "word": "a", "named": "bb", "filled": "a", "remark": "x",
         "ok": True}  # fmt: skip
CHANGES = st.dictionaries(st.sampled_from(list(SOUND)), VALUES, max_size=2)


@settings(max_examples=200, deadline=None)
@given(st.lists(CHANGES, max_size=3))
@example([{"both": None}, {"both": pd.NA}])
def test_what_passes_without_pandera_passes_with_it(changes):
    """And is the same frame, dtypes and gaps included; so does what has no rows."""
    frame = pd.DataFrame([SOUND | change for change in changes], columns=list(SOUND))
    found = frames._without_pandera(frame, Usual)
    if found is not None:
        pd.testing.assert_frame_equal(found, frames._by_pandera(frame.copy(), Usual))


@pytest.mark.parametrize("changes", [[], [{}], [{}, {"both": None}], [{"remark": None, "both": 1}]])
def test_what_is_sound_passes_without_pandera(changes):
    """Frames without rows, with gaps, and with whole numbers as measures."""
    frame = pd.DataFrame([SOUND | change for change in changes], columns=list(SOUND))
    assert frames._without_pandera(frame, Usual) is not None


class Own(frames.Table):
    """A column whose values are all different."""

    name: frames.Series[str] = frames.field("no two are the same", unique=True)


def test_what_must_be_different_passes_without_pandera_only_if_it_is():
    """One that is there twice is for pandera, which names it."""
    assert frames._without_pandera(pd.DataFrame({"name": ["a", "b"]}), Own) is not None
    twice = pd.DataFrame({"name": ["a", "b", "a"]})
    assert frames._without_pandera(twice, Own) is None
    with pytest.raises(DataError, match="'a' of column 'name'"):
        frames.validate(twice, Own)


def test_a_check_that_is_no_comparison_is_left_to_pandera():
    """It decides, and says so."""
    frame = pd.DataFrame([SOUND | {"started": "ba"}])
    assert frames._without_pandera(frame, Every) is None
    with pytest.raises(DataError, match="str_startswith"):
        frames.validate(frame, Every)


def by_pandera(name, value) -> str:
    """Return what pandera says of one value, empty if nothing."""
    value = None if value is pd.NA else value  # as the journal keeps it
    schema = Every.to_schema().select_columns([name])
    try:
        schema.validate(pd.DataFrame([{name: value}]), lazy=True)
    except (pa.errors.SchemaErrors, pa.errors.SchemaError) as error:
        return str(error)
    return ""


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(frames.columns(Every))), VALUES)
def test_a_value_is_held_as_in_a_table(name, value):
    """What pandera refuses in a frame of one row is refused; what it takes uncast is taken."""
    try:
        frames.check_values({name: value}, Every)
        refused = ""
    except DataError as error:
        refused = str(error)
        assert repr(name) in refused
        assert repr(value) in refused
    casts = {
        "string": not isinstance(value, str),
        "boolean": not isinstance(value, bool),
        "integer": isinstance(value, str | float),
        "number": isinstance(value, str),
    }
    (kind,) = (f["type"] for f in frames.table_schema(Every)["fields"] if f["name"] == name)
    if by_pandera(name, value):
        assert refused
    elif refused:
        assert casts[kind], "a value of the column's own type was refused without a reason"


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ({"least": 0.5}, "greater_than_or_equal_to(1)"),
        ({"above": 1}, "greater_than(1)"),
        ({"most": 1.5}, "less_than_or_equal_to(1)"),
        ({"below": 1}, "less_than(1)"),
        ({"both": 1.5}, "less_than_or_equal_to(1)"),
        ({"both": -1}, "greater_than_or_equal_to(0)"),
        ({"count": 3}, "isin((0, 1, 2))"),
        ({"count": 1.5}, "dtype int64"),
        ({"count": None}, "not_nullable"),
        ({"word": "c"}, "isin"),
        ({"word": 1}, "dtype str"),
        ({"named": "ab"}, "str_matches('b')"),
        ({"filled": ""}, "str_length(1, 2)"),
        ({"started": "ba"}, "str_startswith('a')"),
        ({"ok": "yes"}, "dtype bool"),
        ({"both": math.inf}, "dtype float64"),
        ({"both": "1"}, "dtype float64"),
    ],
)
def test_a_broken_value_is_named_with_its_rule(value, rule):
    """As in a table, without the row."""
    ((name, wrong),) = value.items()
    with pytest.raises(DataError, match=rf"^Value .* of column '{name}' of table Every") as caught:
        frames.check_values({"perhaps": None} | value, Every)
    assert repr(wrong) in str(caught.value)
    assert rule in str(caught.value)


def test_a_value_of_no_column_is_named():
    """A measure that the model does not know is no measure."""
    with pytest.raises(DataError, match=r"Table Every has \['x'\]"):
        frames.check_values({"x": 1}, Every)
