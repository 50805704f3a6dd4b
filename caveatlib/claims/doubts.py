"""What could mislead about each verdict, in sentences: counted over all of its arms, and folded.

The one place that makes them. The card of a claim, the scorecard in a terminal and the table of
a notebook show what `about` returns. It reads what the decisions declare and the trials, so an
experiment declares nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Real

import numpy as np
import pandas as pd

from caveatlib import frames, stats
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
    "first": "the first sample was slow",
    "far": "values lie far out",
}
ONE_RUN = "One run: by how much another would differ is not known, and in no interval."
UNITS = {"_bit_per_s": "bit/s", "_bytes": "B", "_s": "s"}
"""Ending of a column's name -> its unit."""
_ORDER = ["run", "session", "block", "position"]


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
    reads = _reads(decisions)
    rows: list[tuple[str, str, str]] = []
    for machine, here in stats.by_machine(trials):
        told = _OnOneMachine(here, decisions, conditions)
        for verdict in verdicts:
            if verdict.machine != machine or verdict.verdict == NOT_MEASURED:
                continue
            said = told.about(reads[verdict.claim], _of(calibration, machine), facts)
            rows += [(machine, verdict.claim, doubt) for doubt in said]
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)


def _of(table: pd.DataFrame | None, machine: str) -> pd.DataFrame | None:
    return None if table is None else table[table["machine"] == machine]


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


class _OnOneMachine:
    """The trials of one machine with names of their arms, and what was computed of them."""

    def __init__(self, here: Rows, decisions: Sequence[Decision], conditions: Sequence[str]):
        self.whole = here
        tried = here[here["ok"] | ~here["error"].str.startswith(UNAVAILABLE)]
        self.arm = ["place", *(name for name in conditions if name in tried)]
        self.once = _same_arm_once(tried, decisions)
        once = _named(self.once, self.arm)
        self.tried = tried.assign(_arm=_named(tried, self.arm), _once=once)
        self._known: dict[object, list[str]] = {}
        self._tables: dict[tuple, pd.DataFrame] = {}

    def about(
        self, read: _Read, calibration: pd.DataFrame | None, facts: pd.DataFrame | None
    ) -> list[str]:
        """Return the sentences about one verdict, those that weigh most first."""
        mask = _any_of(self.tried, read.filters)
        rows = self.tried[mask]
        if not len(rows):
            return []
        measures = dict.fromkeys(m for effect in read.effects for m in self._timed(effect))
        stated = {effect.contrast.measure for effect in read.effects} | set(measures)
        said = _controls(calibration, stated, read.nulls)
        said += _failures(rows)
        for measure in measures:
            said += self._missing(rows, measure)
        said += stats.machine_doubts(rows, "The machine")
        for measure in measures:
            said += self._order(rows, measure, read.filters)
            good = rows[rows["ok"] & rows[measure].notna()]
            said += stats.drift(good, "The machine", measure, "_arm")
            said += _values(good, measure)
        for effect in read.effects:
            said += self._runs(effect)
        return list(dict.fromkeys([*said, *_one_run(rows), *_plans(rows, facts)]))

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
        known = here[_any_of(here, _filters(effect)) & here["ok"]].notna().any()
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

    def _missing(self, rows: Rows, measure: str) -> list[str]:
        """Say whether failures hang on slowness, of the arms of a verdict."""
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
        return doubts(self.tried[self.tried["design"] == design], measure, arm)

    def _ageing(self, design: str, measure: str, where: Mapping[str, object]) -> list[str]:
        group = (self.tried["design"] == design) & _any_of(self.once, [where])
        if group.sum() < stats.order.FEWEST * stats.MIN_PAIRS:
            return []
        name = _name_of(self.once[group], [*where])
        return stats.ageing_doubts(self.tried[group], measure, "_once", name)

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
    nulls = [d.null for d in decisions if isinstance(d, Effect) and d.null is not None]
    for null in nulls:
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
        parts = [rows[column].map(partial(_told, column)) for column in differ]
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
            return f"{column.removesuffix(ending)} {format_quantity(float(value), unit)}"
    return f"{column} {float(value):g}"


def _any_of(trials: Rows, filters: Sequence[Mapping[str, object]]) -> pd.Series:
    """Return which trials any of the filters names, by those of its columns that trials have."""
    found = pd.Series(False, index=trials.index)
    for where in filters:
        here = {name: value for name, value in where.items() if name in trials}
        if here:
            found |= stats.match(trials, here)
    return found


def _controls(table: pd.DataFrame | None, measures: set[str], own: frozenset[str]) -> list[str]:
    """Say which controls of the same measures do not pass; a verdict's own A/A stands with it."""
    if table is None:
        return []
    off = table[table["measure"].isin(measures) & table["passes"].isin(["no", "undecided"])]
    said = []
    for row in off[~off["check"].isin(own)].to_dict("records"):
        true = row["tolerance"] if row["tolerance"][:1].isdigit() else "1"
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


def _values(good: Rows, measure: str) -> list[str]:
    """Say what is doubtful about the values of each arm, each kind once, by the worst arm."""
    found: dict[str, list] = {}
    arms = good.sort_values(_ORDER).groupby(["design", "_arm"], sort=True)
    for (_, arm), rows in arms:
        for doubt in stats.value_doubts(rows[measure].to_numpy(dtype=float), measure):
            found.setdefault(doubt.kind, []).append((doubt.size, arm, doubt.text))
    said = []
    for kind, each in found.items():
        _, arm, text = max(each)
        most = "" if len(each) == 1 else "most "
        lead = f"In {len(each)} of {counted(arms.ngroups, 'arm')} {KINDS[kind]}, {most}in "
        said.append(f"{lead if arms.ngroups > 1 else ''}{arm}: {text}")
    return said


def _one_run(rows: Rows) -> list[str]:
    return [ONE_RUN] if rows.loc[rows["ok"], "run"].nunique() == 1 else []


def _plans(rows: Rows, facts: pd.DataFrame | None) -> list[str]:
    """Say which runs ended before their plan, or do not tell what it was."""
    if facts is None:
        return []
    told = facts[(facts["place"] == "") & (facts["name"] == "complete")]
    complete = dict(zip(told["run"], told["value"], strict=True))
    runs = sorted(rows["run"].unique())
    said = [
        f"Run {run} ended before its plan: {complete[run].removeprefix('no: ')}."
        for run in runs
        if complete.get(run, "yes") != "yes"
    ]
    if any(run not in complete for run in runs):
        said.append("How many sessions were planned was not recorded.")
    return said
