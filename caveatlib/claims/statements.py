"""The statements of the post, and the cards of those that no measurement answers."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib.claims.model import Claim, Prediction, ThenAndNow
from caveatlib.errors import DataError, UsageError
from caveatlib.frames import Table, field, validate
from caveatlib.support import shipped


class Ledger(Table):
    """Every statement of the post that says something."""

    id: Series[str] = field("number of the statement", unique=True, str_matches=r"^C\d\d$")
    section: Series[str] = field("section of the post", str_length={"min_value": 1})
    quote: Series[str] = field("the statement, word for word", str_length={"min_value": 1})
    kind: Series[str] = field("kind", isin=("measurable", "derived", "advice", "then-now"))
    experiment: Series[str] = field("experiment that answers it; empty if none")
    tests: Series[str] = field("what is compared or shown", str_length={"min_value": 1})


class ThenNow(Table):
    """Statements that no measurement answers: the state then, and now."""

    id: Series[str] = field("number of the statement", unique=True, str_matches=r"^C\d\d$")
    then: Series[str] = field("state in April 2016", str_length={"min_value": 1})
    now: Series[str] = field("state today, with its date", str_length={"min_value": 1})
    source: Series[str] = field("where that can be read", str_length={"min_value": 1})


class Predictions(Table):
    """Intervals for effects, written down before any machine had measured them."""

    id: Series[str] = field("number of the statement", unique=True, str_matches=r"^C\d\d$")
    of: Series[str] = field("what the ratio is of", str_length={"min_value": 1})
    low: Series[float] = field("lower end", gt=0)
    high: Series[float] = field("upper end", gt=0)
    reasoning: Series[str] = field("what it rests on", str_length={"min_value": 1})
    made_on: Series[str] = field("day", str_matches=r"^\d{4}-\d\d-\d\d$")


QUOTED_ON = "2016-04-11"


def ledger() -> pd.DataFrame:
    """Return the ledger, one row per statement, as `Ledger`.

    Raises
    ------
    DataError
        If the file breaks the table's contract.
    """
    return _table("ledger.csv", Ledger).copy()


def from_ledger(number: str, *, decides: str) -> Claim:
    """Return a statement of the ledger as a claim.

    Raises
    ------
    UsageError
        If the ledger has no such statement.
    """
    row = _ledger_row(number)
    kind = "derived" if row["kind"] == "derived" else "quoted"
    return Claim(number, row["quote"], kind, decides, row["experiment"])


def then_and_now(number: str) -> ThenAndNow:
    """Return the card of a statement that no measurement answers.

    Raises
    ------
    UsageError
        If there is no such card.
    """
    cards = _table("then-now.csv", ThenNow).set_index("id")
    if number not in cards.index:
        raise UsageError(f"No card for {number!r}. Must be one of {list(cards.index)}.")
    return ThenAndNow(number, _ledger_row(number)["quote"], QUOTED_ON, **cards.loc[number])


def predicted(number: str) -> Prediction | None:
    """Return what was predicted of a statement, or None."""
    rows = _table("predictions.csv", Predictions, numbers=("low", "high")).set_index("id")
    return Prediction(number, **rows.loc[number]) if number in rows.index else None


def _ledger_row(number: str) -> dict:
    rows = _table("ledger.csv", Ledger).set_index("id")
    if number not in rows.index:
        raise UsageError(f"Unknown statement {number!r}. Must be one of C01 to {rows.index[-1]}.")
    return dict(rows.loc[number])


@lru_cache
def _table(name: str, model: type[Table], numbers: tuple[str, ...] = ()) -> pd.DataFrame:
    path = shipped.folder("data") / name
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        frame = frame.astype(dict.fromkeys(numbers, float))
    except (OSError, ValueError) as error:
        raise DataError(f"File {name!r} cannot be read: {error}") from None
    return validate(frame, model)
