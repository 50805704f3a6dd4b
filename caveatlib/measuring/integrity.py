"""Guards over the trials of any experiment: what the measuring loop makes cannot look otherwise.

Blocks are whole and numbered without gaps, sessions follow each other, orders differ, and no
two trials agree to the last digit of a clock. A package that was put together, cut or copied by
other means breaks one of these, whatever its checksums say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from caveatlib import frames
from caveatlib.errors import DataError
from caveatlib.frames import UNAVAILABLE

CHANCE = 1e-9
"""How improbable an order must be by chance for its run to be refused."""
FINE = 1e-6
"""Times that are not a multiple of this come from a clock so fine that values do not repeat."""
LEAST = 1e-3
"""Values below this have too few nanoseconds not to."""
REPEATED = 0.1
"""Share of the values of a measure that may repeat: of thousands of a short time a few do."""
OF_A_RUN = (
    "caveatlib",
    "seed",
    "sessions",
    "budget_s",
    "complete",
    "python",
    "kernel",
    "memory_bytes",
    "load_1min",
)
"""Facts of the machine that may differ between runs of its class; all others are its class, too."""
BLOCK = ["run", "design", "block"]


def check_tables(tables: Mapping[str, pd.DataFrame], model: type[frames.Trials]) -> None:
    """Require that the tables of a package can be what the measuring loop wrote.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        ``"trials"``; if there are, ``"conditions"``, and ``"warmups"`` and ``"interrupted"``,
        of which the numbers of sessions are read.
    model : type of frames.Trials
        Of the trials.

    Raises
    ------
    DataError
        Names run, design, block or session, and what cannot be.
    """
    if "conditions" in tables:
        _same_conditions(tables["conditions"])
    trials = tables["trials"]
    _of_one_source(trials)
    _finite(trials, model)
    tried = trials[~trials["error"].str.startswith(UNAVAILABLE)]
    arm = ["place", *frames.conditions(model)]
    _once(tried, arm)
    _blocks_without_gaps(tried)
    _whole_blocks(tried, arm)
    also = [tables[name] for name in ("warmups", "interrupted") if name in tables]
    _sessions_without_gaps(tried, also)
    _sessions_apart(tried)
    _sessions_warmed_up(tried, also[0] if also else tried.iloc[:0])
    _orders_differ(tried, arm)
    _no_copies(tried, model)


def _same_conditions(conditions: pd.DataFrame) -> None:
    """Refuse runs of one class of machine on other hardware or software: they would be pooled."""
    of_run = (conditions["place"] == "") & conditions["name"].isin(OF_A_RUN)
    for (machine, place, name), rows in conditions[~of_run].groupby(["machine", "place", "name"]):
        if rows["value"].nunique() > 1:
            one, other = list(rows.drop_duplicates("value").itertuples(index=False))[:2]
            raise DataError(
                f"Fact {name!r} of {place or 'the machine'!r} is {other.value!r} in run "
                f"{other.run!r}, and {one.value!r} in run {one.run!r}, both of {machine!r}. Must "
                "be the same, or the runs be recorded as versions of their own."
            )


def _of_one_source(trials: pd.DataFrame) -> None:
    """Refuse trials of several sources: a verdict names one."""
    sources = sorted(trials["source"].unique())
    if len(sources) > 1:
        raise DataError(
            f"Trials of the sources {sources} in one package. Must be of one: what was simulated "
            "or imported is not judged with what was measured."
        )


def _finite(trials: pd.DataFrame, model: type[frames.Trials]) -> None:
    """Refuse infinite measures, which the loop does not write: most bounds have no upper end."""
    for name in frames.measures(model):
        values = trials[name].to_numpy(dtype=float, na_value=math.nan)
        if (odd := np.flatnonzero(np.isinf(values))).size:
            raise DataError(
                f"Value {values[odd[0]]} of {name!r} in row {trials.index[odd[0]]} is infinite. "
                "Must be finite, or empty."
            )


def _began(trials: pd.DataFrame) -> pd.Series:
    """Return when each trial began, which guards need; files of other tools do not tell."""
    began = pd.to_datetime(trials["started_at"], errors="coerce", utc=True)
    untold = began.isna() & (trials["source"] != "imported")
    if untold.any():
        raise DataError(
            f"Value {trials['started_at'][untold].iloc[0]!r} of 'started_at' in row "
            f"{untold.idxmax()} is not a time. Must say when the trial began, in UTC."
        )
    return began


def _once(trials: pd.DataFrame, arm: Sequence[str]) -> None:
    """Refuse an arm that is twice in a block, also a run that is there twice."""
    twice = trials.duplicated([*BLOCK, *arm])
    if twice.any():
        row = trials[twice].iloc[0]
        where = ", ".join(f"{name} {row[name]}" for name in arm)
        raise DataError(
            f"Row {twice.idxmax()} repeats {_block(row)}: {where}. A block has each arm once."
        )


def _blocks_without_gaps(trials: pd.DataFrame) -> None:
    for (run, design), rows in trials.groupby(["run", "design"], sort=False):
        numbers = np.unique(rows["block"])
        if (gone := _first_gap(numbers)) is not None:
            raise DataError(
                f"Block {gone} of design {design!r} of run {run!r} is missing, block "
                f"{numbers.max()} is there. Blocks are numbered without gaps: some were left out."
            )


def _first_gap(numbers: np.ndarray) -> int | None:
    """Return the first number from 0 on that is not there; None if all are."""
    away = np.flatnonzero(numbers != np.arange(len(numbers)))
    return int(away[0]) if len(away) else None


def _whole_blocks(trials: pd.DataFrame, arm: Sequence[str]) -> None:
    """Refuse a block that lacks an arm whose place its session had."""
    number = trials.groupby(list(arm), sort=False, dropna=False).ngroup()
    place_of = dict(zip(number, trials["place"], strict=True))
    had = trials.groupby(["run", "session"])["place"].agg(set).to_dict()
    for (run, design), rows in trials.groupby(["run", "design"], sort=False):
        arms = set(number[rows.index])
        for block, part in rows.groupby("block", sort=False):
            places = had[run, part["session"].iloc[0]]
            expected = {n for n in arms if place_of[n] in places}
            count, highest = len(part), part["position"].max()
            if len(expected) > count or highest >= len(arms):
                raise DataError(
                    f"Block {block} of design {design!r} of run {run!r} has {count} trials, the "
                    f"last at position {highest}. Must have one of each of {len(expected)} arms: "
                    "an interrupted block does not count."
                )


def _sessions_without_gaps(trials: pd.DataFrame, also: Sequence[pd.DataFrame]) -> None:
    for run, rows in trials.groupby("run", sort=False):
        others = [part.loc[part["run"] == run, "session"] for part in also]
        numbers = np.unique(pd.concat([rows["session"], *others]))
        if (gone := _first_gap(numbers)) is not None:
            raise DataError(
                f"Session {gone} of run {run!r} is missing, session {numbers.max()} is there. "
                "Sessions are numbered without gaps: some were left out."
            )


def _sessions_apart(trials: pd.DataFrame) -> None:
    """Refuse sessions that overlap in time: samples of one that are called sessions."""
    started = trials.assign(at=_began(trials))
    for run, rows in started.dropna(subset="at").groupby("run", sort=False):
        spans = rows.groupby("session")["at"].agg(["min", "max"])
        late = spans["max"].cummax().shift() > spans["min"]
        if late.any():
            at = int(late.to_numpy().argmax())
            session, began = spans.index[at], _clock(spans["min"].iloc[at])
            raise DataError(
                f"Session {session} of run {run!r} begins at {began}, "
                "before the trials of an earlier one had all begun. Sessions follow each other: "
                "samples of one session are not sessions."
            )


def _sessions_warmed_up(trials: pd.DataFrame, warmups: pd.DataFrame) -> None:
    """Refuse sessions of a design that has warm-ups without any: they were part of another."""
    for (run, design), warm in warmups.groupby(["run", "design"], sort=False):
        rows = trials[(trials["run"] == run) & (trials["design"] == design)]
        if cold := sorted(set(rows["session"]) - set(warm["session"])):
            raise DataError(
                f"Session {cold[0]} of design {design!r} of run {run!r} has no warm-up, others "
                "have. Each session begins with it: samples of one session are not sessions."
            )


def _orders_differ(trials: pd.DataFrame, arm: Sequence[str]) -> None:
    """Refuse a run whose blocks all have one order, where chance makes that next to impossible."""
    number = trials.groupby(list(arm), sort=False, dropna=False).ngroup()
    ordered = trials.assign(arm=number).sort_values([*BLOCK, "position"])
    for (run, design), rows in ordered.groupby(["run", "design"], sort=False):
        orders = rows.groupby("block")["arm"].agg(tuple)
        arms, blocks = min(map(len, orders)), len(orders)
        if orders.nunique() == 1 and (blocks - 1) * math.lgamma(arms + 1) > -math.log(CHANCE):
            raise DataError(
                f"All {blocks} blocks of design {design!r} of run {run!r} have the same order of "
                f"{arms} arms. The order of each block must be random: time and arm cannot be "
                "told apart."
            )


def _no_copies(trials: pd.DataFrame, model: type[frames.Trials]) -> None:
    """Refuse trials that agree to the last digit of a clock: one is a copy of the other."""
    timed = [name for name, column in frames.columns(model).items() if _is_timed(name, column)]
    good = trials[trials["ok"]]
    values = good[[name for name in timed if name in frames.measures(model)]].astype(float)
    ticks = values / FINE
    fine = values.where((values >= LEAST) & ((ticks - ticks.round()).abs() > 1e-3))
    for name in fine:
        known = fine[name].dropna()
        again = known[known.duplicated(keep=False)]
        if len(again) > max(2, REPEATED * len(known)):
            first, second = again.index[again == again.iloc[0]][:2]
            value = float(again.iloc[0])
            raise DataError(
                f"Value {value!r} of {name!r} is in the rows {first} and {second}, and "
                f"{len(again)} of {len(known)} values are there more than once. A clock does not "
                "repeat itself: trials were copied."
            )
    _no_equal_rows(fine)


def _no_equal_rows(fine: pd.DataFrame) -> None:
    """Refuse two rows that agree in two different times: by chance one value repeats, not two."""
    rows = fine[fine.nunique(axis=1) >= 2]
    twice = rows.duplicated(keep=False)
    if twice.any():
        first, second = rows.index[(rows == rows[twice].iloc[0]).sum(axis=1) >= 2][:2]
        raise DataError(
            f"Rows {first} and {second} have equal times to the last digit, "
            f"{', '.join(f'{n} {float(v)!r}' for n, v in rows.loc[first].dropna().items())}. "
            "A clock does not repeat itself: one is a copy."
        )


def _is_timed(name: str, column) -> bool:
    about = column.metadata or {}
    return "s" in about.get("unit", "").split("/") and not about.get("paced")


def _block(row: pd.Series) -> str:
    return f"block {row['block']} of design {row['design']!r} of run {row['run']!r}"


def _clock(moment: pd.Timestamp) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
