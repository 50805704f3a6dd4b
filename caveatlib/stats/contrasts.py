"""Contrasts of arms: paired effects with plain and Holm-adjusted intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from caveatlib.errors import DataError, UsageError
from caveatlib.frames import UNAVAILABLE
from caveatlib.stats.ranks import hodges_lehmann, holm, holm_levels, signed_rank_p
from caveatlib.support.arguments import check_number
from caveatlib.support.quantities import percent

MIN_PAIRS = 6
"""Fewer pairs have no 95 % signed-rank interval: 2 / 2**5 > 0.05."""
LEVEL = 0.95
POWER = 0.8
"""Of the verdict: that the test finds the effect and the A/A control passes."""
NULL_TOLERANCE = 0.05
"""An A/A control that is known to 1 +- this is precise enough for every effect."""
BLUNT = 3.0
"""An A/A control whose interval is so many times as wide as the effect's vouches for none in it:
in simulation this costs no more than a point of power, of one as noisy as the effect."""

KEYS = ["run", "session", "design", "block", "machine", "source", "ok"]
"""Columns that say which trials belong together."""
_UNITS = {"session": ["run", "session"], "block": ["run", "session", "block"]}
_COLUMNS = [
    "machine",
    "source",
    "name",
    "measure",
    "kind",
    "pairing",
    "threshold",
    "n",
    "failed_arm",
    "failed_baseline",
    "estimate",
    "low",
    "high",
    "low_adjusted",
    "high_adjusted",
    "p",
    "p_adjusted",
    "detectable",
    "note",
]


@dataclass(frozen=True)
class Contrast:
    """One comparison: which trials against which, on what, paired how.

    Attributes
    ----------
    name : str
    measure : str
        Column that is compared.
    arm : mapping
        Filter of the arm's rows, ``{"place": "namespaces", "design": "starts"}``.
    baseline : mapping or None
        Filter of the baseline's rows; None compares the arm's own values with
        the threshold.
    threshold : float, optional
        Value of no effect; 1 for a ratio and 0 for a difference if not given.
    pairing : {"block", "session"}
        What is replicated. A session enters with its median per arm.
    kind : {"ratio", "difference"}
    """

    name: str
    measure: str
    arm: Mapping[str, object]
    baseline: Mapping[str, object] | None
    threshold: float = math.nan
    pairing: str = "block"
    kind: str = "ratio"

    def __post_init__(self):
        _one_of("pairing", self.pairing, ("block", "session"))
        _one_of("kind", self.kind, ("ratio", "difference"))
        if math.isnan(self.threshold):
            object.__setattr__(self, "threshold", 1.0 if self.kind == "ratio" else 0.0)
        above = 0 if self.kind == "ratio" else None
        check_number("threshold", self.threshold, above=above)


def pairs(trials: pd.DataFrame, contrast: Contrast) -> pd.DataFrame:
    """Return the pairs that a contrast compares, on one machine.

    Returns
    -------
    pandas.DataFrame
        One row per block or session in which both arms succeeded, with `arm`,
        `baseline` (NaN without one) and `effect`: the log ratio or the
        difference.

    Raises
    ------
    UsageError
        If a filter names an unknown column, several designs, or more than one
        trial of a block.
    DataError
        If a value that is not positive would enter a ratio.
    """
    keys, one, other = _compared(_columns(trials), contrast)
    units = _UNITS[contrast.pairing]
    index = pd.MultiIndex.from_arrays(
        list(zip(*keys, strict=True)) or [[]] * len(units), names=units
    )
    outer = np.exp if contrast.kind == "ratio" else np.asarray
    effect = one if contrast.baseline is None else one - other
    return pd.DataFrame({"arm": outer(one), "baseline": outer(other), "effect": effect}, index)


def contrasts(
    trials: pd.DataFrame, wanted: Sequence[Contrast], *, level: float = LEVEL
) -> pd.DataFrame:
    """Estimate contrasts, with plain and Holm-adjusted intervals.

    Machines are never pooled: each has its rows. The adjusted interval of a row
    is the plain one at the level at which Holm's step-down tests it, over the
    rows of its machine, so it leaves the threshold out exactly where
    ``p_adjusted < 1 - level``. Equal p-values have equal levels. Each interval
    covers by itself: all of them together miss more often than one.

    Parameters
    ----------
    trials : pandas.DataFrame
        Table of trials of one source.
    wanted : sequence of Contrast
    level : float
        Nominal coverage, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        One row per machine and contrast. `estimate`, `low`, `high` and their
        adjusted kin are ratios, or differences in the measure's unit; NaN where
        there are too few pairs. `n` counts pairs, `failed_arm` and
        `failed_baseline` failed trials. `detectable` is the smallest ratio (or
        difference) above the threshold of which a verdict is drawn with 80 % power
        at this spread and n, though an A/A control fails by chance in one run of
        twenty. `note` says in a sentence what limits the row.
    """
    _check(trials)
    rows = []
    for _, part in by_machine(trials):
        rows += jointly([(part, c) for c in wanted], level=level)
    return pd.DataFrame(rows, columns=_COLUMNS)


def jointly(
    comparisons: Sequence[tuple[pd.DataFrame, Contrast]], *, level: float = LEVEL
) -> list[dict]:
    """Estimate contrasts of several tables of one machine, adjusted over all of them.

    Parameters
    ----------
    comparisons : sequence of (pandas.DataFrame, Contrast)
        The table that each contrast is of.
    level : float
        Nominal coverage, in (0, 1).

    Returns
    -------
    list of dict
        A row as `contrasts` has it for each comparison, in order.
    """
    read: dict[int, _Columns] = {}
    columns = [read.setdefault(id(table), _columns(table)) for table, _ in comparisons]
    effects = [_effects(of, c) for of, (_, c) in zip(columns, comparisons, strict=True)]
    tests = [
        float(signed_rank_p(e, _inner(c, c.threshold))) if len(e) >= MIN_PAIRS else math.nan
        for (_, c), e in zip(comparisons, effects, strict=True)
    ]
    levels, adjusted = holm_levels(tests, level), holm(tests)
    rows = []
    for i, (table, contrast) in enumerate(comparisons):
        origin = {c: columns[i][c][0] if len(table) else "" for c in ("machine", "source")}
        tested = {"p": tests[i], "p_adjusted": adjusted[i]}
        rows.append(origin | tested | _row(columns[i], contrast, effects[i], level, levels[i]))
    return rows


def compare(
    trials: pd.DataFrame,
    measure: str,
    *,
    by: str = "place",
    baseline: str,
    pairing: str = "block",
    kind: str = "ratio",
    level: float = LEVEL,
) -> pd.DataFrame:
    """Compare every other value of `by` with the baseline.

    Returns
    -------
    pandas.DataFrame
        As `contrasts`, indexed by arm (by machine and arm if there are several
        machines), without the columns that repeat the question.

    Raises
    ------
    UsageError
        If the baseline is not a value of `by`.
    """
    _need(trials, [by])
    arms = sorted(trials[by].unique())
    _one_of("baseline", baseline, arms)
    wanted = [
        Contrast(str(a), measure, {by: a}, {by: baseline}, pairing=pairing, kind=kind)
        for a in arms
        if a != baseline
    ]
    table = contrasts(trials, wanted, level=level).rename(columns={"name": by})
    table = table.drop(columns=["source", "measure", "kind", "pairing", "threshold"])
    if trials["machine"].nunique() > 1:
        return table.set_index(["machine", by])
    return table.drop(columns="machine").set_index(by)


def aa_control(trials: pd.DataFrame, contrast: Contrast) -> pd.DataFrame:
    """Check the harness by a ratio that should be 1: the same arm twice.

    It passes if its plain 95 % interval holds 1. An estimate that is merely far from 1 is
    no fault where its own error explains it: at 8 % noise, one of 15 pairs strays by more
    than 5 % in one run of ten. What is too imprecise to vouch for an effect is decided
    where the effect is known, see `vouches`.

    Returns
    -------
    pandas.DataFrame
        Indexed by machine: `name` of the contrast, `n`, `pairing`, `estimate`, `low`, `high`;
        `passes`, False also where there is no interval; `note`, a sentence if it does not
        pass, or would miss a difference of more than 5 %.
    """
    if contrast.kind != "ratio":
        raise UsageError(f"Invalid kind {contrast.kind!r} of the A/A control. Must be 'ratio'.")
    _check(trials)
    rows = []
    for machine, part in by_machine(trials):
        (found,) = jointly([(part, contrast)])
        shown = ("name", "n", "pairing", "estimate", "low", "high", "note")
        kept = {name: found[name] for name in shown}
        kept["passes"] = bool(kept["low"] <= contrast.threshold <= kept["high"])
        rows.append(kept | {"machine": machine, "note": _noise(kept)})
    names = ["machine", "name", "n", "pairing", "estimate", "low", "high", "passes", "note"]
    return pd.DataFrame(rows, columns=names).set_index("machine")


def vouches(control: Mapping, low: float, high: float) -> bool:
    """Whether an A/A control that passes is precise enough for an effect.

    Parameters
    ----------
    control : mapping
        Row of `aa_control`.
    low, high : float
        Plain interval of the effect, a ratio.

    Returns
    -------
    bool
        True if the control is known to 5 %, or no more than `BLUNT` times as vaguely
        as the effect.
    """
    width = math.log(control["high"] / control["low"])
    known = math.log((1 + NULL_TOLERANCE) / (1 - NULL_TOLERANCE))
    most = max(known, BLUNT * math.log(high / low))
    return width <= most * (1 + 1e-9)  # a coarse clock makes widths whole multiples


def by_machine(trials: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return each machine with its trials; those of a single machine are not copied."""
    machines = trials["machine"].unique()
    if len(machines) == 1:
        return [(str(machines[0]), trials)]
    return [(str(machine), rows) for machine, rows in trials.groupby("machine", sort=True)]


def _noise(row: Mapping) -> str:
    low, high = row["low"], row["high"]
    if math.isnan(low):
        return f"The A/A control has no interval. {row['note']}"
    if not row["passes"]:
        return (
            f"The A/A control fails: {row['estimate']:.2f}x [{low:.3f}, {high:.3f}] where the "
            "same arm twice should give 1x."
        )
    far = max(high, 1 / low)
    if far <= 1 + NULL_TOLERANCE:
        return ""
    return f"Passes, but is no more precise than {far:.2f}x."


def _row(
    part: _Columns, contrast: Contrast, effect: np.ndarray, level: float, adjusted: float
) -> dict:
    n = len(effect)
    estimate, low, high = hodges_lehmann(effect, level)
    _, low_adjusted, high_adjusted = hodges_lehmann(effect, adjusted)
    if n < MIN_PAIRS:
        low = high = low_adjusted = high_adjusted = math.nan
    # An interval of half-width h has a standard error of about h / z: what is
    # found with this power lies z + z_power of those from the threshold.
    z = NormalDist().inv_cdf((1 + adjusted) / 2)
    reach = (high_adjusted - low_adjusted) / 2 * (1 + NormalDist().inv_cdf(POWER / LEVEL) / z)
    outer = np.exp if contrast.kind == "ratio" else float
    row = {
        "name": contrast.name,
        "measure": contrast.measure,
        "kind": contrast.kind,
        "pairing": contrast.pairing,
        "threshold": contrast.threshold,
        "n": n,
        "failed_arm": _failed(part, contrast.arm),
        "failed_baseline": _failed(part, contrast.baseline) if contrast.baseline else 0,
        "estimate": float(outer(estimate)),
        "low": float(outer(low)),
        "high": float(outer(high)),
        "low_adjusted": float(outer(low_adjusted)),
        "high_adjusted": float(outer(high_adjusted)),
        "detectable": float(outer(_inner(contrast, contrast.threshold) + reach)),
    }
    return row | {"note": _note(row, adjusted)}


def _note(row: dict, adjusted: float) -> str:
    n, units = row["n"], row["pairing"] + ("" if row["n"] == 1 else "s")
    said = []
    if n == 0:
        said.append(f"Nothing to compare: no {row['pairing']} that has all values.")
    elif n < MIN_PAIRS:
        said.append(f"{n} {units}; an interval needs {MIN_PAIRS}.")
    elif math.isnan(row["low_adjusted"]):
        needed = math.ceil(1 - math.log2(1 - adjusted))
        said.append(f"{n} {units}; an interval adjusted for so many comparisons needs {needed}.")
    elif (
        row["low_adjusted"] <= row["threshold"] <= row["high_adjusted"]
        and row["low_adjusted"] < row["high_adjusted"]  # readings that are equal tell no size
    ):
        size = f"{row['detectable']:.3g}" + ("x" if row["kind"] == "ratio" else "")
        said.append(f"Minimum detectable effect {size} at {percent(POWER)} power.")
    return " ".join(filter(None, (*said, failures(row))))


def failures(row: Mapping) -> str:
    """Say of a row of `contrasts` how many trials failed; empty if none did."""
    said = []
    for column, whose in (("failed_arm", "what is compared"), ("failed_baseline", "the baseline")):
        if failed := int(row[column]):
            said.append(f"{failed} trial{'s' * (failed > 1)} of {whose} failed.")
    return " ".join(said)


def _inner(contrast: Contrast, value: float) -> float:
    return math.log(value) if contrast.kind == "ratio" else value


class _Columns(dict[str, np.ndarray]):
    """The columns of a table, each taken out of it once: that costs more than what is compared."""

    def __init__(self, table: pd.DataFrame):
        super().__init__()
        self.table = table
        self._numbers: dict[str, np.ndarray] = {}
        self._equal: dict[tuple[str, object], np.ndarray] = {}

    def __missing__(self, name: str) -> np.ndarray:
        _need(self.table, [name])
        self[name] = self.table[name].to_numpy()
        return self[name]

    def numbers(self, name: str) -> np.ndarray:
        """Return a column as floats."""
        if name not in self._numbers:
            self._numbers[name] = self.table[name].to_numpy(dtype=float, na_value=math.nan)
        return self._numbers[name]

    def match(self, where: Mapping[str, object]) -> np.ndarray:
        """Return which rows a filter names; filters have many conditions in common."""
        keep = np.ones(len(self.table), dtype=bool)
        for column, value in where.items():
            if (column, value) not in self._equal:
                self._equal[column, value] = np.asarray(self[column] == value, dtype=bool)
            keep &= self._equal[column, value]
        return keep


_held: ContextVar[dict[int, _Columns] | None] = ContextVar("held", default=None)


@contextmanager
def unchanged() -> Iterator[None]:
    """Let the columns of each table be taken out once while this is held.

    Whoever judges asks the same trials hundreds of times. No table that was asked for may be
    changed in place meanwhile; outside of it, each question looks anew.
    """
    before = _held.set({})
    try:
        yield
    finally:
        _held.reset(before)


def _columns(table: pd.DataFrame) -> _Columns:
    held = _held.get()
    if held is None:
        return _Columns(table)
    if id(table) not in held:
        held[id(table)] = _Columns(table)  # which keeps the table, so that no other has its id
    return held[id(table)]


def _effects(trials: _Columns, contrast: Contrast) -> np.ndarray:
    """Return the log ratio, or the difference, of every pair."""
    _, one, other = _compared(trials, contrast)
    return one if contrast.baseline is None else one - other


def _compared(trials: _Columns, contrast: Contrast) -> tuple[list, np.ndarray, np.ndarray]:
    """Return which blocks or sessions have both arms, and their values, of a ratio the logs."""
    arm = _values(trials, contrast, contrast.arm)
    if contrast.baseline is None:
        return sorted(arm), np.array([arm[k] for k in sorted(arm)]), np.full(len(arm), math.nan)
    base = _values(trials, contrast, contrast.baseline)
    keys = sorted(arm.keys() & base.keys())
    return keys, np.array([arm[k] for k in keys]), np.array([base[k] for k in keys])


def _values(trials: _Columns, contrast: Contrast, where: Mapping) -> dict[tuple, float]:
    """Return one value per block, or one per session, of the rows that `where` names."""
    _need(trials.table, [*KEYS, contrast.measure])
    measured = trials.numbers(contrast.measure)
    keep = trials.match(where) & trials["ok"] & ~np.isnan(measured)
    values = measured[keep]
    if contrast.kind == "ratio":
        if (values <= 0).any():
            row = np.flatnonzero(keep)[values <= 0][0]
            raise DataError(
                f"Value {measured[row]:g} of {contrast.measure!r} in row {trials.table.index[row]} "
                "cannot enter a ratio. Must be > 0, or compared as a difference."
            )
        values = np.log(values)
    designs = sorted(set(trials["design"][keep]))
    if len(designs) > 1:
        raise UsageError(f"Arm {dict(where)} has trials of designs {designs}. Must name one.")
    units = _UNITS[contrast.pairing]
    keys = zip(*(trials[name][keep].tolist() for name in units), strict=True)
    found: dict[tuple, list[float]] = {}
    for key, value in zip(keys, values.tolist(), strict=True):
        found.setdefault(key, []).append(value)
        if contrast.pairing == "block" and len(found[key]) > 1:
            raise UsageError(
                f"Arm {dict(where)} has several trials in block {key[-1]}. Must name the "
                "conditions so that one is left."
            )
    return {key: statistics.median(of) for key, of in found.items()}


def match(trials: pd.DataFrame, where: Mapping[str, object]) -> pd.Series:
    """Return which rows a filter names, as a boolean series.

    Raises
    ------
    UsageError
        If the filter names an unknown column.
    """
    return pd.Series(_columns(trials).match(where), index=trials.index)


def _failed(trials: _Columns, where: Mapping) -> int:
    """Count the trials that failed; what this machine could not even try is none."""
    failed = trials.match(where) & ~trials["ok"]
    if "error" not in trials.table.columns:
        return int(failed.sum())
    return sum(not str(error).startswith(UNAVAILABLE) for error in trials["error"][failed])


def _check(trials: pd.DataFrame) -> None:
    _need(trials, KEYS)
    if trials["source"].nunique() > 1:
        sources = sorted(trials["source"].unique())
        raise UsageError(f"Trials of the sources {sources} in one table. Must be of one source.")


def _need(trials: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        _one_of("column", name, trials.columns)


def _one_of(what: str, value, allowed) -> None:
    if value not in allowed:
        known = ", ".join(repr(a) for a in allowed)
        raise UsageError(f"Unknown {what} {value!r}. Must be one of {known}.")
