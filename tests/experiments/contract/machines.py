"""What a result over two machines says of one of them."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from caveatlib import plots


def text_of(result) -> str:
    """Return the sentences of a result: those of a figure, of verdicts, a sentence itself."""
    if isinstance(result, Axes):
        return plots.describe(result)
    if isinstance(result, list):
        return " ".join(getattr(v, "because", "") for v in result)
    return result if isinstance(result, str) else ""


def mixed(together, alone: dict[str, object]) -> str:
    """Return how a result over several machines differs from each machine's own, or ""."""
    for machine, result in alone.items():
        if isinstance(result, Axes):
            if plots.describe(result) not in plots.describe(together):
                return f"the figure's sentence lacks {plots.describe(result)!r}"
        elif isinstance(result, str):
            if result not in together:
                return f"{together!r} lacks {result!r}"
        elif isinstance(result, pd.DataFrame):
            if difference := _differ(_rows_of(together, machine), result):
                return f"rows of {machine!r} differ: {difference}"
        elif isinstance(result, list):
            if repr([v for v in together if v.machine == machine]) != repr(list(result)):
                return f"verdicts of {machine!r} differ"
        elif result is not None or together is not None:
            return f"a {type(result).__name__} cannot be told apart by machine"
    return ""


def _rows_of(table: pd.DataFrame, machine: str) -> pd.DataFrame:
    if "machine" in table.index.names:
        rows = table[table.index.get_level_values("machine") == machine]
        return rows.droplevel("machine")
    assert "machine" in table.columns, "no column or index level says the machine"
    return table[table["machine"] == machine].reset_index(drop=True)


def _differ(one: pd.DataFrame, other: pd.DataFrame) -> str:
    if isinstance(other.index, pd.RangeIndex) or "machine" in other.columns:
        one, other = one.reset_index(drop=True), other.reset_index(drop=True)
    one, other = (t.dropna(axis="columns", how="all") for t in (one, other))
    try:
        pd.testing.assert_frame_equal(one, other, check_dtype=False, check_index_type=False,
                                      check_column_type=False)  # fmt: skip
    except AssertionError as error:
        return str(error)
    return ""
