"""What could mislead about each verdict, in sentences: counted over all of its arms, and folded.

The one place that makes them. The card of a claim, the scorecard in a terminal and the table of
a notebook show what `about` returns. It reads what the decisions declare and the trials, so an
experiment declares nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from numbers import Real

import numpy as np
import pandas as pd

from caveatlib import frames, stats
from caveatlib.claims.calibration import HOLDS_ONE
from caveatlib.claims.judging import Count, Decision, Effect, Equality, Fact, Rows, Share, Whole
from caveatlib.claims.model import NOT_MEASURED, Verdict
from caveatlib.claims.rules import counted
from caveatlib.frames import UNAVAILABLE
from caveatlib.support.quantities import format_quantity

COLUMNS = ["machine", "claim", "doubt"]
NAMED = 3
"""So many arms are named in a sentence; of the others it tells the number."""
KINDS = {
    "spread": "values are spread out",
    "clock": "the clock is coarse",
    "first": "the first sample lies far out",
    "far": "values lie far out",
}
ONE_RUN = "One run: by how much another would differ is not known, and in no interval."
ONE_RUN_EACH = f"Each arm was measured in {ONE_RUN[0].lower()}{ONE_RUN[1:]}"
UNITS = {"_bit_per_s": "bit/s", "_bytes": "B", "_s": "s"}
"""Ending of a column's name -> its unit."""
_ORDER = ["run", "session", "block", "position"]
_LEAN = [*_ORDER, "design", "ok", "error", "busy_per_cpu", "stolen_share", "lasted_s"]


@dataclass(frozen=True)
class _Read:
    """What a verdict reads: its effects, the filters of its trials, and its own A/A controls."""

    effects: tuple[Effect | Equality, ...] = ()
    filters: tuple[Mapping[str, object], ...] = ()
    nulls: frozenset[str] = field(default_factory=frozenset)

    def __add__(self, other: _Read) -> _Read:
        return _Read(
            self.effects + other.effects, self.filters + other.filters, self.nulls | other.nulls
        )


def about(
    trials: pd.DataFrame,
    decisions: Sequence[Decision],
    verdicts: Sequence[Verdict],
    *,
    conditions: Sequence[str],
    calibration: pd.DataFrame | None = None,
    facts: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return what could mislead about each verdict.

    Looked for: controls that do not pass, failed trials and whether slow ones are missing, a
    busy machine, carry-over and ageing (over the whole design, on what was timed), drift, a
    coarse clock, spread and outliers of each arm, runs that differ or are only one, and a run
    that ended before its plan.

    Parameters
    ----------
    trials : pandas.DataFrame
        Table of trials of one source.
    decisions : sequence of Decision
    verdicts : sequence of Verdict
        What `judge` made of both. What was not measured has no doubts.
    conditions : sequence of str
        Columns that tell arms of one place apart.
    calibration : pandas.DataFrame, optional
        As `calibration.calibrate` returns it, with the `measure` that each case is of.
    facts : pandas.DataFrame, optional
        Facts of runs and machines, table ``conditions``: what was planned, and whether a run
        is complete.

    Returns
    -------
    pandas.DataFrame
        `machine`, `claim` and `doubt`, a sentence each, in the order of the verdicts.
    """
    reads, complete = _reads(decisions), _complete(facts)
    rows: list[tuple[str, str, str]] = []
    for machine, here in stats.by_machine(trials):
        drawn = [v.claim for v in verdicts if v.machine == machine and v.verdict != NOT_MEASURED]
        if not drawn:
            continue
        told = _OnOneMachine(here, decisions, conditions, _off(calibration, machine), complete)
        rows += [(machine, claim, doubt) for claim in drawn for doubt in told.about(reads[claim])]
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)


def _reads(decisions: Sequence[Decision]) -> dict[str, _Read]:
    """Return what each claim's verdict reads; a whole reads what its parts do."""
    found: dict[str, _Read] = {}
    for decision in sorted(decisions, key=lambda d: isinstance(d, Whole)):
        read = _Read()
        if isinstance(decision, Whole):
            for part in decision.parts:
                read += found[part]
        elif isinstance(decision, Effect | Equality):
            null = getattr(decision, "null", None)
            read = _Read((decision,), _filters(decision), frozenset([null.name] if null else ()))
        elif isinstance(decision, Share | Count | Fact):
            read = _Read(filters=tuple(reading.where for reading in decision.reads()))
        found[decision.claim.id] = read
    return found


def _filters(effect: Effect | Equality) -> tuple[Mapping[str, object], ...]:
    null = getattr(effect, "null", None)
    compared = [effect.contrast, *([null] if null else [])]
    return tuple(w for c in compared for w in (c.arm, c.baseline) if w is not None)


class _Filtered:
    """Which trials filters name; a column is compared with a value once."""

    def __init__(self, trials: Rows):
        self._trials = trials
        self._equal: dict[tuple[str, object], np.ndarray] = {}

    def by(self, filters: Sequence[Mapping[str, object]]) -> np.ndarray:
        """Return which trials any of them names, by those of its columns that trials have."""
        found = np.zeros(len(self._trials), dtype=bool)
        for where in filters:
            here = [self._where(*item) for item in where.items() if item[0] in self._trials]
            if here:
                found |= np.logical_and.reduce(here)
        return found

    def _where(self, column: str, value: object) -> np.ndarray:
        if (column, value) not in self._equal:
            self._equal[column, value] = stats.match(self._trials, {column: value}).to_numpy()
        return self._equal[column, value]


class _OnOneMachine:
    """The trials of one machine with names of their arms, and what was computed of them.

    Verdicts share arms, so what is said of the same trials is made once; arrays stand beside the
    table, since most of what is asked is asked of each arm of each verdict.
    """

    def __init__(
        self,
        here: Rows,
        decisions: Sequence[Decision],
        conditions: Sequence[str],
        off: Sequence[Mapping],
        complete: Mapping[str, str] | None,
    ):
        self.whole, self.off, self.complete = here, off, complete
        tried = here[here["ok"] | ~here["error"].str.startswith(UNAVAILABLE)]
        self.arm = ["place", *(name for name in conditions if name in tried)]
        self.once = _same_arm_once(tried, decisions)
        once = _named(self.once, self.arm)
        self.tried = tried.assign(_arm=_named(tried, self.arm), _once=once)
        self.lean = self.tried[[*(name for name in _LEAN if name in tried), "_arm", "_once"]]
        self.names, self.names_once = _Filtered(self.tried), _Filtered(self.once)
        self.ok = tried["ok"].to_numpy(dtype=bool)
        self.design = tried["design"].to_numpy(dtype=object)
        self.session = tried.groupby(["run", "session"]).ngroup().to_numpy()
        self.arms = self.tried["_arm"].to_numpy(dtype=object)
        self.group = self.tried.groupby(["design", "_arm"], sort=True).ngroup().to_numpy()
        self.order = tried[_ORDER].reset_index(drop=True).sort_values(_ORDER).index.to_numpy()
        self._known: dict[object, list[str]] = {}
        self._tables: dict[tuple, pd.DataFrame] = {}
        self._columns: dict[str, np.ndarray] = {}
        self._doubted: dict[tuple[str, bytes], list] = {}

    def about(self, read: _Read) -> list[str]:
        """Return the sentences about one verdict, those that weigh most first."""
        mask = self.names.by(read.filters)
        if not mask.any():
            return []
        rows, these = self.lean[mask], mask.tobytes()
        measures = dict.fromkeys(m for effect in read.effects for m in self._timed(effect))
        stated = {effect.contrast.measure for effect in read.effects} | set(measures)
        said = _controls(self.off, stated, read.nulls)
        said += self._once_only(("failed", these), lambda: _failures(rows))
        for measure in measures:
            said += self._missing(rows, measure)
        make = partial(stats.machine_doubts, rows, "The machine")
        said += self._once_only(("machine", these), make)
        for measure in measures:
            said += self._order(rows, measure, read.filters)
            make = partial(self._measured, mask, measure)
            said += self._once_only(("measured", measure, these), make)
        for effect in read.effects:
            said += self._once_only(("runs", id(effect)), partial(self._runs, effect))
        said += self._once_only(("run", these), lambda: [*_one_run(rows), *self._plans(rows)])
        return list(dict.fromkeys(said))

    def _once_only(self, key: tuple, make: Callable[[], list[str]]) -> list[str]:
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def _timed(self, effect: Effect | Equality) -> list[str]:
        """Return the measures of the trials that an effect is made of."""
        if effect.table is None:
            return [effect.contrast.measure]
        key = ("timed", effect.table, effect.contrast.measure)
        return self._once_only(key, lambda: self._made_of(effect))

    def _made_of(self, effect: Effect | Equality) -> list[str]:
        """Change each measure a little and see whether what is compared changes."""
        assert effect.table is not None
        here, compared = self.whole, effect.contrast.measure
        known = here[_Filtered(here).by(_filters(effect)) & here["ok"]].notna().any()
        passed_over = {*frames.columns(frames.Trials), *self.arm}
        before, found = self._derived(effect.table)[compared], []
        for name in map(str, here.select_dtypes("number").columns):
            if name in passed_over or not known[name]:
                continue
            if not self._derived(effect.table, name)[compared].equals(before):
                found.append(name)
        return found

    def _derived(self, derive: Callable[[Rows], pd.DataFrame], changed: str = "") -> pd.DataFrame:
        """Return a derived table; with a measure of the trials changed a little, if it is named."""
        if (derive, changed) not in self._tables:
            here = self.whole
            if changed:
                nudge = np.random.default_rng(0).uniform(1, 1.5, len(here))
                here = here.assign(**{changed: here[changed] * nudge})
            self._tables[derive, changed] = derive(here)
        return self._tables[derive, changed]

    def _column(self, measure: str) -> np.ndarray:
        """Return a measure of all trials that were tried."""
        if measure not in self._columns:
            column = self.tried[measure].to_numpy(dtype=float, na_value=np.nan)
            self._columns[measure] = column
        return self._columns[measure]

    def _missing(self, rows: Rows, measure: str) -> list[str]:
        """Say whether failures hang on slowness, of the arms of a verdict."""
        if rows["ok"].all():
            return []
        said: list[str] = []
        for design, part in rows[~rows["ok"]].groupby("design", sort=True):
            make = partial(self._made, stats.failure_doubts, str(design), measure, "_arm")
            every = self._once_only(("missing", design, measure), make)
            own = tuple(f"{name}: " for name in part["_arm"].unique())
            said += [doubt for doubt in every if doubt.startswith(own)]
        return said

    def _order(self, rows: Rows, measure: str, filters: Sequence[Mapping]) -> list[str]:
        """Say what the order did: carry-over over the whole design, ageing of what is compared."""
        said: list[str] = []
        for design in sorted(rows["design"].unique()):
            make = partial(self._made, stats.carry_over_doubts, design, measure, "_once")
            said += self._once_only(("carry-over", design, measure), make)
            for where in filters:
                if where.get("design", design) == design:
                    make = partial(self._ageing, design, measure, where)
                    said += self._once_only(("ageing", design, measure, *where.items()), make)
        return said

    def _made(self, doubts: Callable, design: str, measure: str, arm: str) -> list[str]:
        return doubts(self._lean(self.design == design, measure), measure, arm)

    def _lean(self, mask: np.ndarray, measure: str) -> Rows:
        """Return trials with what the order, failures and a measure of them are read from."""
        return self.lean.assign(**{measure: self.tried[measure]})[mask]

    def _ageing(self, design: str, measure: str, where: Mapping[str, object]) -> list[str]:
        group = (self.design == design) & self.names_once.by([where])
        # as `stats.ageing` would find, without a table: few sessions have an arm so often
        if (np.bincount(self.session[group]) >= stats.order.FEWEST).sum() < stats.MIN_PAIRS:
            return []
        name = _name_of(self.once[group], [*where])
        return stats.ageing_doubts(self._lean(group, measure), measure, "_once", name)

    def _measured(self, mask: np.ndarray, measure: str) -> list[str]:
        """Say what is doubtful about the values of trials: drift, and each arm by itself."""
        good = mask & self.ok & ~np.isnan(self._column(measure))
        said = stats.drift(self._lean(good, measure), "The machine", measure, "_arm")
        return said + self._values(good, measure)

    def _values(self, good: np.ndarray, measure: str) -> list[str]:
        """Say what is doubtful about the values of each arm, each kind once, by the worst arm."""
        at = self.order[good[self.order]]
        at = at[np.argsort(self.group[at], kind="stable")]
        arms = np.split(at, np.flatnonzero(np.diff(self.group[at])) + 1) if len(at) else []
        found: dict[str, list] = {}
        for rows in arms:
            arm = self.arms[rows[0]]
            for doubt in self._value_doubts(self._column(measure)[rows], measure):
                found.setdefault(doubt.kind, []).append((doubt.size, arm, doubt.text))
        said = []
        for kind, each in found.items():
            _, arm, text = max(each)
            most = "" if len(each) == 1 else "most "
            lead = f"In {len(each)} of {counted(len(arms), 'arm')} {KINDS[kind]}, {most}in "
            said.append(f"{lead if len(arms) > 1 else ''}{arm}: {text}")
        return said

    def _value_doubts(self, values: np.ndarray, measure: str) -> list:
        key = measure, values.tobytes()
        if key not in self._doubted:
            self._doubted[key] = stats.value_doubts(values, measure)
        return self._doubted[key]

    def _plans(self, rows: Rows) -> list[str]:
        """Say which runs ended before their plan, or do not tell what it was."""
        complete = self.complete
        if complete is None:
            return []
        runs = sorted(rows["run"].unique())
        said = [
            f"Run {run} ended before its plan: {complete[run].removeprefix('no: ')}."
            for run in runs
            if complete.get(run, "yes") != "yes"
        ]
        if any(run not in complete for run in runs):
            said.append("How many sessions were planned was not recorded.")
        return said

    def _runs(self, effect: Effect | Equality) -> list[str]:
        """Say if runs disagree: no interval holds what differs between them."""
        if self.whole["run"].nunique() < 2:
            return []
        table = self._derived(effect.table) if effect.table else self.whole
        found = {
            str(run): stats.jointly([(rows, effect.contrast)])[0]
            for run, rows in table.groupby("run", sort=True)
        }
        known = {run: row for run, row in found.items() if not np.isnan(row["low"])}
        if len(known) < 2:
            return []
        lowest = min(known, key=lambda run: known[run]["high"])
        highest = max(known, key=lambda run: known[run]["low"])
        if known[lowest]["high"] >= known[highest]["low"]:
            return []
        each = [
            f"{known[run]['estimate']:.3g} [{known[run]['low']:.3g}, {known[run]['high']:.3g}] in "
            f"that of {run}"
            for run in (lowest, highest)
        ]
        return [
            f"Runs differ in {effect.contrast.measure}: {' and '.join(each)}. What differs from "
            "run to run is in no interval."
        ]


def _same_arm_once(trials: Rows, decisions: Sequence[Decision]) -> Rows:
    """Return the trials with the second of each A/A control named as the first."""
    nulls = (d.null for d in decisions if isinstance(d, Effect) and d.null is not None)
    for null in {id(null): null for null in nulls}.values():  # effects share them
        again = {k: v for k, v in null.arm.items() if k in trials}
        first = {k: v for k, v in (null.baseline or {}).items() if k in trials}
        rows = stats.match(trials, again) if again else pd.Series(False, index=trials.index)
        trials = trials.assign(
            **{k: trials[k].mask(rows, v) for k, v in first.items() if again.get(k) != v}
        )
    return trials


def _named(trials: Rows, arm: Sequence[str]) -> pd.Series:
    """Return the name of each trial's arm, of those columns in which arms of a design differ."""
    names: dict[object, str] = {}
    for _, rows in trials.groupby("design", sort=False):
        differ = [c for c in arm if rows[c].nunique(dropna=False) > 1] or list(arm[:1])
        parts = [rows[column].map(cache(partial(_told, column))) for column in differ]
        told = (", ".join(filter(None, of)) for of in zip(*parts, strict=True))
        names |= zip(rows.index, told, strict=True)
    return pd.Series([names[i] for i in trials.index], index=trials.index, dtype=object)


def _name_of(rows: Rows, columns: Sequence[str]) -> str:
    """Return the name of trials that agree in these columns; empty if there are none."""
    here = [c for c in columns if c in rows and c != "design"]
    first = rows[here].head(1).to_dict("records")
    return ", ".join(filter(None, (_told(str(c), v) for row in first for c, v in row.items())))


def _told(column: str, value: object) -> str:
    """Return a condition as it is read: ``"content 40 MiB"``, ``"again"`` for the A/A control."""
    if column == "replicate":
        return "again" if value else ""
    if isinstance(value, str) or not isinstance(value, Real):
        return str(value)
    for ending, unit in UNITS.items():
        if column.endswith(ending):
            if unit == "bit/s" and not value:
                return f"{column.removesuffix(ending)} without limit"
            return f"{column.removesuffix(ending)} {format_quantity(float(value), unit)}"
    return f"{column} {float(value):g}"


def _off(calibration: pd.DataFrame | None, machine: str) -> list[dict]:
    """Return the cases of the calibration that do not pass on a machine."""
    if calibration is None:
        return []
    off = calibration["passes"].isin(["no", "undecided"]) & (calibration["machine"] == machine)
    return [{str(k): v for k, v in row.items()} for row in calibration[off].to_dict("records")]


def _controls(off: Sequence[Mapping], measures: set[str], own: frozenset[str]) -> list[str]:
    """Say which controls of the same measures do not pass; a verdict's own A/A stands with it."""
    said = []
    for row in off:
        if row["measure"] not in measures or row["check"] in own:
            continue
        tolerance = row["tolerance"].removeprefix("exactly ")
        true = "1" if tolerance == HOLDS_ONE else tolerance
        size = f"{row['estimate']:.4g}"
        if not np.isnan(row["low"]):
            size += f" [{row['low']:.4g}, {row['high']:.4g}]"
        word = "fails" if row["passes"] == "no" else "is undecided"
        said.append(f"Calibration: {row['check']} reads {size} where {true} is true; it {word}.")
    return said


def _failures(rows: Rows) -> list[str]:
    """Count the failed trials of all arms in a sentence."""
    failed = rows[~rows["ok"]]
    if failed.empty:
        return []
    of, arms = rows["_arm"].value_counts().to_dict(), failed["_arm"].value_counts()
    named = [f"{n} of {of[arm]} of {arm}" for arm, n in arms.head(NAMED).items()]
    named += [f"others of {counted(len(arms) - NAMED, 'arm')}"] if len(arms) > NAMED else []
    return [f"{len(failed)} of {len(rows)} trials of what is compared failed: {'; '.join(named)}."]


def _one_run(rows: Rows) -> list[str]:
    """Say that nothing was measured in a second run; different arms may lie in different runs."""
    read = rows[rows["ok"]]
    runs = read.groupby(["design", "_arm"], sort=False)["run"].nunique()
    if runs.empty or runs.max() > 1:
        return []
    return [ONE_RUN if read["run"].nunique() == 1 else ONE_RUN_EACH]


def _complete(facts: pd.DataFrame | None) -> dict[str, str] | None:
    """Return of each run whether it was measured as planned, or why not; None without facts."""
    if facts is None:
        return None
    told = facts[(facts["place"] == "") & (facts["name"] == "complete")]
    return dict(zip(told["run"], told["value"], strict=True))
