"""What decides each claim, as data, and `judge`, which applies it machine by machine.

An experiment lists its `Decision` objects; nothing else decides. So tests can read what
a verdict depends on, and disturb it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from caveatlib import stats
from caveatlib.claims import rules
from caveatlib.claims.model import (
    FAILS,
    HOLDS,
    LONGEST_HEADLINE,
    MIXED,
    NOT_MEASURED,
    OPEN,
    Claim,
    Verdict,
    Verdicts,
    first_sentence,
)
from caveatlib.claims.reasons import why_not
from caveatlib.frames import UNAVAILABLE
from caveatlib.support.text import shorten

Rows = pd.DataFrame
"""The trials of one machine."""


class Reading(NamedTuple):
    """The values that a fact is read from.

    Attributes
    ----------
    where : mapping
        Filter of the trials.
    column : str
    optional : bool
        The fact can be decided without it.
    failures : bool
        Trials that were tried and failed count as well; they have no value.
    """

    where: Mapping[str, object]
    column: str
    optional: bool = False
    failures: bool = False


class Finding(NamedTuple):
    """What a fact comes to: a word of `claims.VERDICTS`, one line, all sentences, how many.

    An empty line stands for the first of the sentences.
    """

    verdict: str
    headline: str
    because: str
    n: int = 1


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What every kind of decision has.

    Attributes
    ----------
    claim : Claim
    unfair : callable, optional
        Given one machine's trials, returns why nothing fair can be compared there, or "".
        The effect that was measured is shown all the same, and decides nothing.
    qualify : callable, optional
        Given one machine's trials and the verdict, returns a sentence to add, or "".
    say : callable, optional
        Given one machine's trials and the verdict, returns the answer as one would say it
        aloud, or "" for the headline.
    label : str
        What is compared, in a few words: begins the card of an effect, names a figure's row.
    """

    claim: Claim
    unfair: Callable[[Rows], str] | None = None
    qualify: Callable[[Rows, Verdict], str] | None = None
    say: Callable[[Rows, Verdict], str] | None = None
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Effect(Decision):
    """An effect with its interval against the contrast's threshold.

    Attributes
    ----------
    contrast : stats.Contrast
    direction : {"greater", "less"}
        Side of the threshold on which the claim holds.
    words : tuple of two str
        What an effect above and below no effect is called, ``("Slower", "Faster")``.
    null : stats.Contrast, optional
        The A/A control: the same arm twice. Nothing is judged where it does not pass.
    at_most : float, optional
        Margin up to which an effect counts as none: it takes the threshold's place,
        and an interval that lies short of it reads "No more than ...".
    unit : str
        Of a difference; a ratio has ``"x"``.
    table : callable, optional
        Given one machine's trials, returns the table that the contrasts are of;
        default the trials themselves.
    needs : sequence of mapping
        Filters of the trials, each of which must have a success, for the reason
        to be named where there is nothing to compare; default both arms.
    entitle : callable, optional
        Given one machine's trials, returns what the card begins with where a number of theirs
        is in it, or "" for the label.
    """

    contrast: stats.Contrast
    direction: str
    words: tuple[str, str]
    null: stats.Contrast | None = None
    at_most: float | None = None
    unit: str = ""
    table: Callable[[Rows], pd.DataFrame] | None = None
    needs: Sequence[Mapping[str, object]] = ()
    entitle: Callable[[Rows], str] | None = None

    def tested(self) -> stats.Contrast:
        """Return the contrast against the threshold that decides."""
        if self.at_most is None:
            return self.contrast
        return replace(self.contrast, threshold=self.at_most)


@dataclass(frozen=True, kw_only=True)
class Equality(Decision):
    """A ratio that should equal the contrast's threshold within a relative tolerance.

    `what` names the ratio, ``"Used of the allowed CPU time"``; the rest is as for `Effect`.
    """

    contrast: stats.Contrast
    tolerance: float
    what: str
    table: Callable[[Rows], pd.DataFrame] | None = None
    needs: Sequence[Mapping[str, object]] = ()

    def tested(self) -> stats.Contrast:
        """Return the contrast against the threshold that decides."""
        return self.contrast


@dataclass(frozen=True, kw_only=True)
class Share(Decision):
    """The share of trials in which `column` is true (1), against a least share.

    Attributes
    ----------
    where : mapping
        Filter of the trials.
    column : str
        A measure that is 0 or 1.
    at_least : float
        In [0, 1]: holds if the exact interval lies at or above it.
    what : str
        What was counted, ``"Neighbours that survived"``.
    """

    where: Mapping[str, object]
    column: str
    at_least: float
    what: str

    def reads(self) -> tuple[Reading, ...]:
        """Return the values that decide."""
        return (Reading(self.where, self.column),)


@dataclass(frozen=True, kw_only=True)
class Count(Decision):
    """A count that must lie within bounds in every trial.

    It holds if every trial's does, does not hold if none does, and is inconclusive
    otherwise. `least` and `most` are inclusive; `what` names the count.
    """

    where: Mapping[str, object]
    column: str
    what: str
    least: float = -math.inf
    most: float = math.inf

    def reads(self) -> tuple[Reading, ...]:
        """Return the values that decide."""
        return (Reading(self.where, self.column),)


@dataclass(frozen=True, kw_only=True)
class Fact(Decision):
    """A yes or no with its evidence.

    Attributes
    ----------
    readings : tuple of Reading
        All that `find` reads. Where one that is not optional has no value, the fact
        is "not measured here", with the reason.
    find : callable
        Given one machine's trials, returns a `Finding`.
    """

    readings: tuple[Reading, ...]
    find: Callable[[Rows], Finding]

    def reads(self) -> tuple[Reading, ...]:
        """Return the values that decide."""
        return self.readings


@dataclass(frozen=True, kw_only=True)
class Whole(Decision):
    """A claim that is decided part by part.

    Parts that could not be measured are named and decide nothing. It is mixed as soon
    as a part holds and another does not: however the open ones end, that stays so.

    Attributes
    ----------
    parts : tuple of str
        Ids of the claims that are its parts.
    tell : callable, optional
        Given one machine's trials and the parts' verdicts by id, returns the sentences,
        of which the first is the headline.
    sum_up : callable, optional
        As `say`, but given the parts' verdicts by id, its own among them.
    labels : mapping
        Part of an id, between its slashes -> words for it in a table.
    one_suffices : bool
        Whether it holds as soon as one part does, and fails only if no part can hold.
    """

    parts: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    tell: Callable[[Rows, dict[str, Verdict]], str] | None = None
    sum_up: Callable[[Rows, dict[str, Verdict]], str] | None = None
    one_suffices: bool = False


def judge(trials: pd.DataFrame, decisions: Sequence[Decision]) -> Verdicts:
    """Decide every claim on every machine.

    An effect holds if its whole interval lies beyond the threshold, does not hold if all of
    it lies short of it. Intervals are adjusted (Holm) over all effects of one machine that
    can fairly be compared; each covers by itself. An effect with an A/A control is judged
    if the control's plain 95 % interval holds 1 and is not much wider than its own
    (`stats.vouches`), or the effect lies beyond all that the control shows. So at most one
    decided effect in twenty is false, and the effect that a card calls detectable is found
    with 80 % power, whatever else could have kept it from a verdict in the account.

    Parameters
    ----------
    trials : pandas.DataFrame
        Table of trials of one source.
    decisions : sequence of Decision

    Returns
    -------
    Verdicts
        One per machine and decision, in the order of machines and of decisions.
    """
    found = Verdicts()
    for machine, rows in stats.by_machine(trials):
        found += _on_one_machine(rows, decisions, {"machine": machine})
    return found


def _on_one_machine(rows: Rows, decisions: Sequence[Decision], where: dict) -> list[Verdict]:
    tables: dict[Callable[[Rows], pd.DataFrame] | None, pd.DataFrame] = {None: rows}
    for decision in decisions:
        derive = getattr(decision, "table", None)
        if derive is not None and derive not in tables:
            tables[derive] = derive(rows)
    with stats.unchanged():
        return _decided(rows, decisions, tables, where | {"source": rows["source"].iloc[0]})


def _decided(rows: Rows, decisions: Sequence[Decision], tables: dict, where: dict) -> list[Verdict]:
    """Decide over trials and tables derived of them, none of which is changed meanwhile."""
    unfair = {d.claim.id: d.unfair(rows) if d.unfair else "" for d in decisions}
    effects = [d for d in decisions if isinstance(d, Effect | Equality)]
    fair = [d for d in effects if not unfair[d.claim.id]]
    estimates = stats.jointly([(tables[d.table], d.tested()) for d in fair])
    row_of = {d.claim.id: row for d, row in zip(fair, estimates, strict=True)}
    controls: dict[tuple, pd.DataFrame] = {}
    found: dict[str, Verdict] = {}
    wholes = [d for d in decisions if isinstance(d, Whole)]
    for decision in [*(d for d in decisions if not isinstance(d, Whole)), *wholes]:
        name = decision.claim.id
        if isinstance(decision, Whole):
            verdict = _whole(decision, rows, {p: found[p] for p in decision.parts}, where)
        elif unfair[name]:
            verdict = _shown(decision, tables, unfair[name], where)
        elif isinstance(decision, Effect | Equality):
            table = tables[decision.table]
            verdict = _measured(decision, rows, table, row_of[name], where, controls)
        else:
            verdict = _read(decision, rows, where)
        if decision.qualify and verdict.verdict != NOT_MEASURED:
            verdict = rules.qualified(verdict, decision.qualify(rows, verdict))
        if decision.say and (said := decision.say(rows, verdict)):
            verdict = replace(verdict, sentence=said)
        found[name] = verdict
        if isinstance(decision, Whole) and decision.sum_up:
            parts = {id: found[id] for id in (name, *decision.parts)}
            found[name] = _summed_up(decision, verdict, decision.sum_up(rows, parts))
    return [found[d.claim.id] for d in decisions]


def _summed_up(decision: Whole, verdict: Verdict, said: str) -> Verdict:
    """Return the verdict with its sentence; one line has that, too, instead of names of parts."""
    if not said:
        return verdict
    told = decision.tell is not None or verdict.verdict == NOT_MEASURED
    line = verdict.headline if told else shorten(first_sentence(said), LONGEST_HEADLINE)
    return replace(verdict, sentence=said, headline=line)


def evidence(
    trials: pd.DataFrame, decision: Decision, derived: dict[Callable, pd.DataFrame] | None = None
) -> pd.DataFrame:
    """Return the rows that a decision reads, with no more columns than it needs.

    Parameters
    ----------
    trials : pandas.DataFrame
    decision : Decision
    derived : dict, optional
        Tables that were derived of these trials before, and then this decision's.

    Returns
    -------
    pandas.DataFrame
        For an effect, both arms and its A/A control of the table that is compared; for a
        fact, a share or a count, all of its readings; without rows for a whole.
    """
    table, wheres, columns = trials, [], []
    if isinstance(decision, Effect | Equality):
        if derive := decision.table:
            derived = {} if derived is None else derived
            if derive not in derived:
                parts = [derive(rows) for _, rows in trials.groupby("machine", sort=True)]
                derived[derive] = pd.concat(parts, ignore_index=True) if parts else derive(trials)
            table = derived[derive]
        null = getattr(decision, "null", None)
        compared = [decision.contrast, *([null] if null else [])]
        wheres = [w for c in compared for w in (c.arm, c.baseline) if w is not None]
        columns = [decision.contrast.measure]
    elif isinstance(decision, Share | Count | Fact):
        wheres = [reading.where for reading in decision.reads()]
        columns = [reading.column for reading in decision.reads()]
    keep = pd.Series(False, index=table.index)
    for where in wheres:
        keep |= stats.match(table, where)
    names = [*stats.KEYS, *(n for w in wheres for n in w), "error", *columns]
    names = [n for n in dict.fromkeys(names) if n in table.columns]
    return table.loc[keep, names].reset_index(drop=True)


def _measured(
    decision,
    rows: Rows,
    table: pd.DataFrame,
    row: dict,
    where: dict,
    controls: dict[tuple, pd.DataFrame],
) -> Verdict:
    """Decide an effect or an equality; an A/A control that several share is read once."""
    contrast = decision.contrast
    if not row["n"]:
        needs = decision.needs or [w for w in (contrast.arm, contrast.baseline) if w is not None]
        reason = why_not(rows, needs, unit=contrast.pairing)
        return rules.not_measured(decision.claim, reason, **where)
    if isinstance(decision, Equality):
        return rules.by_equality(
            decision.claim, row, tolerance=decision.tolerance, what=decision.what
        )
    shared = decision.table, id(decision.null)
    if decision.null and shared not in controls:
        controls[shared] = stats.aa_control(table, decision.null)
    return rules.by_effect(
        decision.claim,
        row,
        direction=decision.direction,
        words=decision.words,
        null=controls.get(shared),
        label=(decision.entitle(rows) if decision.entitle else "") or decision.label,
        unit=decision.unit,
        margin=decision.at_most is not None,
    )


def _shown(decision: Decision, tables: dict, reason: str, where: dict) -> Verdict:
    """Show an effect that may not decide, if there is one."""
    if not isinstance(decision, Effect | Equality):
        return rules.not_measured(decision.claim, reason, **where)
    (row,) = stats.jointly([(tables[decision.table], decision.contrast)])
    if not row["n"]:
        return rules.not_measured(decision.claim, reason, **where)
    unit = "x" if row["kind"] == "ratio" else getattr(decision, "unit", "")
    seen = {"effect": row["estimate"], "unit": unit, "n": row["n"]}
    return rules.not_measured(decision.claim, reason, **where, **seen)


def _read(decision, rows: Rows, where: dict) -> Verdict:
    """Decide a fact, a share or a count, or say which of its values are missing."""
    missing = [
        reading for reading in decision.reads() if not reading.optional and _empty(rows, reading)
    ]
    if missing:
        reason = why_not(rows, [missing[0].where], unit="session")
        return rules.not_measured(decision.claim, reason, **where)
    if isinstance(decision, Fact):
        found = decision.find(rows)
        return rules.by_finding(decision.claim, found, **where)
    values = values_of(rows, decision.where, decision.column)
    if isinstance(decision, Share):
        return rules.by_share(
            decision.claim,
            int(values.sum()),
            len(values),
            at_least=decision.at_least,
            what=decision.what,
            **where,
        )
    inside = values.between(decision.least, decision.most)
    word = HOLDS if inside.all() else OPEN if inside.any() else FAILS
    line = f"{decision.what}: {_from_to(values)} in {rules.counted(len(values), 'trial')}"
    return rules.by_finding(decision.claim, Finding(word, line, f"{line}.", len(values)), **where)


def _from_to(values: pd.Series) -> str:
    least, most = _digits(values.min()), _digits(values.max())
    return least if least == most else f"{least} to {most}"


def _digits(value: float) -> str:
    return f"{value:g}" if float(value).is_integer() else f"{value:.3g}"


def values_of(trials: pd.DataFrame, where: Mapping[str, object], column: str) -> pd.Series:
    """Return a column's values in the trials of a filter that succeeded, in their order."""
    values = trials[column]
    succeeded = stats.match(trials, where).to_numpy() & trials["ok"].to_numpy()
    return values[succeeded & values.notna().to_numpy()]


def _empty(rows: Rows, reading: Reading) -> bool:
    if reading.failures:
        tried = rows["error"][stats.match(rows, reading.where)]
        return not (~tried.str.startswith(UNAVAILABLE)).any()
    values = values_of(rows, reading.where, reading.column)
    return not len(values[values != ""])


def _whole(decision: Whole, rows: Rows, parts: dict[str, Verdict], where: dict) -> Verdict:
    """Return a claim's verdict over those of its parts that were measured."""
    measured = {name: v for name, v in parts.items() if v.verdict != NOT_MEASURED}
    if not measured:
        first = next(iter(parts.values()))
        return rules.not_measured(decision.claim, first.because, **where)
    words = {v.verdict for v in measured.values()}
    if decision.one_suffices and HOLDS in words:
        word = HOLDS
    elif MIXED in words or (not decision.one_suffices and {HOLDS, FAILS} <= words):
        word = MIXED
    elif decision.one_suffices and len(measured) < len(parts):  # it may hold for one of the others
        word = OPEN
    else:
        word = OPEN if OPEN in words else words.pop()
    sides = rules.sides(decision.claim.id, parts)
    n = int(np.max([v.n for v in measured.values()]))
    finding = Finding(word, sides.short, f"{sides.long}.", n)
    if decision.tell and (told := decision.tell(rows, parts)):
        finding = Finding(word, "", told, n)
    return rules.by_finding(decision.claim, finding, **where)
