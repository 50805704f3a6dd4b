"""One machine of one run: what is laid beside another, and what each claim reads of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from caveatlib import frames, stats
from caveatlib.claims import Decision, Effect, Equality, Whole
from caveatlib.trials import Run

EFFECTS = [
    "claim",
    "label",
    "verdict",
    "estimate",
    "low",
    "high",
    "n",
    "pairing",
    "headline",
    "note",
]
SEVERAL = " / "
"""Joins the values of a fact that differed between the runs of one machine."""


@dataclass(frozen=True, eq=False)
class Side:
    """The trials of one machine in one run, with what is known of that machine.

    Attributes
    ----------
    name : str
        Where they come from, as it may be shown: ``"recorded version 1"``, ``"runs/a"``.
    run : trials.Run
    machine : str
        Its class.
    trials : pandas.DataFrame
    facts : mapping
        Place (empty: the machine) and name -> value.
    """

    name: str
    run: Run
    machine: str
    trials: pd.DataFrame
    facts: Mapping[tuple[str, str], str]

    @property
    def experiment(self):
        """The experiment, with defaults for what it leaves out."""
        return self.run.experiment

    @property
    def versions(self) -> tuple[str, ...]:
        """Versions of caveatlib that measured; none where they were not recorded."""
        return tuple(filter(None, self.facts.get(("", "caveatlib"), "").split(SEVERAL)))

    def __repr__(self):
        return f"{self.name} on {self.machine}"


def sides(run: Run) -> list[Side]:
    """Return each machine of a run by itself."""
    facts = run.conditions()
    name = f"recorded version {run.version}" if run.folder is None else run.source
    return [
        Side(
            name, run, machine, rows, facts[machine].dropna().to_dict() if machine in facts else {}
        )
        for machine, rows in stats.by_machine(run.trials)
    ]


def effects(side: Side) -> pd.DataFrame:
    """Return what each claim came to on one machine, with the ratio behind it if there is one.

    Returns
    -------
    pandas.DataFrame
        One row per claim in the order of the experiment's decisions: `claim`, `label`,
        `verdict`, `headline` as on its card; `estimate` with its plain interval `low` to
        `high`, `n` and `pairing` of a ratio, NaN and 0 where the claim has none; `note`
        says why a ratio that was measured decides nothing.
    """
    judged = {v.claim: v for v in side.experiment.verdicts(side.trials)}
    rows = []
    for decision in side.experiment.DECISIONS:
        name = decision.claim.id
        if name not in judged:  # no trial at all
            continue
        row = {"claim": name, "label": decision.label or name, "verdict": judged[name].verdict}
        row |= {"headline": judged[name].headline, "note": ""}
        row |= dict.fromkeys(("estimate", "low", "high"), math.nan) | {"n": 0, "pairing": ""}
        if is_ratio(decision):
            (found,) = stats.jointly([(table_of(side, decision), decision.contrast)])
            row |= {name: found[name] for name in ("estimate", "low", "high", "n", "pairing")}
            row["note"] = decision.unfair(side.trials) if decision.unfair else ""
        rows.append(row)
    return pd.DataFrame(rows, columns=EFFECTS)


def is_ratio(decision: Decision) -> bool:
    """Whether a decision rests on a ratio, which has no unit and may leave its machine."""
    return isinstance(decision, Effect | Equality) and decision.contrast.kind == "ratio"


def table_of(side: Side, decision) -> pd.DataFrame:
    """Return the table that a decision's contrast is of."""
    return decision.table(side.trials) if decision.table else side.trials


def arms_of(decision: Decision) -> list[Mapping[str, object]]:
    """Return the filters of what a decision compares or reads; empty for a whole."""
    if isinstance(decision, Effect | Equality):
        both = (decision.contrast.arm, decision.contrast.baseline)
        return [where for where in both if where is not None]
    return [] if isinstance(decision, Whole) else [r.where for r in decision.reads()]


def places_of(decision: Decision, decisions: Mapping[str, Decision]) -> set[str] | None:
    """Return the places that a claim depends on; None if its filters name none.

    Parameters
    ----------
    decision : Decision
    decisions : mapping
        Claim's id -> decision, to find the parts of a whole.
    """
    if isinstance(decision, Whole):
        parts = [places_of(decisions[name], decisions) for name in decision.parts]
    else:
        parts = [{str(w["place"])} if "place" in w else None for w in arms_of(decision)]
    return None if None in parts else set().union(*(p for p in parts if p))


def measured_with(side: Side, decision: Decision) -> dict[int, dict[str, tuple]]:
    """Return the conditions under which a claim's arms were measured, beyond what names them.

    Returns
    -------
    dict
        Number of the arm -> column -> its values in the trials that succeeded, ascending.
        An arm without such a trial is left out.
    """
    with_table = isinstance(decision, Effect | Equality)
    table = table_of(side, decision) if with_table else side.trials
    columns = [c for c in frames.conditions(side.experiment.Trials) if c in table.columns]
    found = {}
    for number, where in enumerate(arms_of(decision)):
        rows = table[stats.match(table, where) & table["ok"]]
        if len(rows):
            of = (column for column in columns if column not in where)
            found[number] = {column: tuple(sorted(rows[column].unique().tolist())) for column in of}
    return found
