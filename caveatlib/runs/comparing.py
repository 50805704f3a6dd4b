"""Runs laid side by side: what differs, which claims that touches, whether it is fair at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from caveatlib.claims import Decision
from caveatlib.errors import UsageError
from caveatlib.runs.sides import Side, effects, measured_with, places_of
from caveatlib.stats import machines
from caveatlib.support.quantities import percent

EVERY = "every claim"
UNTOLD = ("seed", "sessions", "budget_s", "complete", "load_1min", "memory_bytes")
"""Facts of a run, not of what it ran on. Load is told from the trials, memory by the class, how
much was measured by each claim's n."""
BETWEEN_RUNS = (
    "An interval of one run over another holds what varied within each of them, and nothing of "
    "what varies from run to run."
)
ALONE = "Measured on one machine so far: there is nothing to lay beside it."
CLAIMS = ["claim", "label", "side", "verdict", "estimate", "low", "high", "n", "pairing"]
CLAIMS += ["change", "change_low", "change_high", "headline", "note"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several sides of one experiment, each against the first.

    Attributes
    ----------
    sides : tuple of Side
    reason : str
        Why they may not be laid side by side at all; empty if they may.
    differences : pandas.DataFrame
        Indexed by the name of a fact and the places that it is of: its value on each side,
        by the side's letter, and `touches`, the claims that may depend on it.
    refused : mapping
        Claim -> why its numbers may not be laid side by side, though others may.
    doubts : tuple of str
        What is not known, in sentences.
    """

    sides: tuple[Side, ...]
    reason: str = ""
    differences: pd.DataFrame = field(default_factory=pd.DataFrame)
    refused: Mapping[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()

    @property
    def claims(self) -> pd.DataFrame:
        """What each claim came to on each side, with the ratio to that of the first side.

        Columns as `sides.effects`, and `side`, the letter; `change` with its interval
        `change_low` to `change_high` is the side's ratio over the first side's, NaN where
        there is none, it decides nothing, or the claim is refused.
        """
        tables = [effects(side).set_index("claim") for side in self.sides]
        rows = []
        for claim in tables[0].index if tables else ():
            for letter, table in zip(letters(self.sides), tables, strict=True):
                row = {"claim": claim, "side": letter} | table.loc[claim].to_dict()
                rows.append(row | self._change(claim, tables[0], table))
        return pd.DataFrame(rows, columns=CLAIMS)

    def _change(self, claim: str, first: pd.DataFrame, table: pd.DataFrame) -> dict[str, float]:
        names = ("change", "change_low", "change_high")
        judged = all(t.loc[claim, "n"] and not t.loc[claim, "note"] for t in (first, table))
        if table is first or not judged or claim in self.refused or self.reason:
            return dict.fromkeys(names, math.nan)
        return dict(zip(names, machines.change(first.loc[claim], table.loc[claim]), strict=True))


def letters(sides: Sequence[Side]) -> list[str]:
    """Return ``A``, ``B``, ... for the sides, after ``Z`` numbers."""
    return [chr(ord("A") + i) if i < 26 else str(i + 1) for i in range(len(sides))]


def comparable(a: Side, b: Side) -> Comparison:
    """Say what differs between two runs, and whether they may be laid side by side.

    They may if one experiment was measured in both, by releases of caveatlib that agree up to
    their last number, and at least one claim was measured under the same conditions.

    Parameters
    ----------
    a, b : Side
        From `sides`.

    Returns
    -------
    Comparison
        With a `reason` if they may not.
    """
    if reason := _why_never(a, b):
        return Comparison((a, b), reason)
    decisions = {d.claim.id: d for d in a.experiment.DECISIONS}
    refused, shared = {}, 0
    for name, decision in decisions.items():
        said = _other_conditions(a, b, decision)
        shared += said == ""
        if said:
            refused[name] = said
    reason = ""
    if not shared:
        told = "; ".join(f"{name}: {said}" for name, said in refused.items()) or (
            "no claim has trials in both"
        )
        reason = f"Runs {a.name!r} and {b.name!r} share no comparison. {told}."
    return Comparison((a, b), reason, differences((a, b)), refused, _doubts((a, b)))


def compare(sides: Sequence[Side]) -> Comparison:
    """Lay several runs side by side, each against the first.

    Parameters
    ----------
    sides : sequence of Side

    Returns
    -------
    Comparison

    Raises
    ------
    UsageError
        If there are fewer than two, or they may not be laid side by side; the message says why.
    """
    if len(sides) < 2:
        named = repr(sides[0].name) if sides else "no run"
        raise UsageError(f"Nothing to compare with {named}. Must be two runs, or two machines.")
    refused: dict[str, str] = {}
    for other in sides[1:]:
        found = comparable(sides[0], other)
        if found.reason:
            raise UsageError(found.reason)
        refused = dict(found.refused) | refused
    return Comparison(tuple(sides), "", differences(sides), refused, _doubts(sides))


def beside(sides: Sequence[Side]) -> Comparison:
    """Lay beside the first side whatever may be laid there, and say why the rest may not.

    As `compare`, for a reader who did not choose the runs: nothing is refused as a whole.

    Parameters
    ----------
    sides : sequence of Side
        At least one.

    Returns
    -------
    Comparison
        Of the first side alone, with a `reason`, if none may be laid beside it; what was left
        out is among the `doubts` otherwise.
    """
    first, *others = sides
    reasons = [comparable(first, other).reason for other in others]
    fair = [other for other, reason in zip(others, reasons, strict=True) if not reason]
    left = tuple(filter(None, reasons))
    if not fair:
        return Comparison((first,), " ".join(left) or ALONE)
    found = compare([first, *fair])
    return replace(found, doubts=(*found.doubts, *left))


def differences(sides: Sequence[Side]) -> pd.DataFrame:
    """Return the facts that are not the same on all sides; see `Comparison.differences`."""
    names = letters(sides)
    known = list(dict.fromkeys(key for side in sides for key in side.facts))
    rows: dict[tuple, set[str]] = {}
    for place, name in known:
        values = tuple(side.facts.get((place, name), "") for side in sides)
        # What is known of one side only is told as a doubt, not as a difference.
        if name not in UNTOLD and "" not in values and len(set(values)) > 1:
            rows.setdefault((name, values), set()).add(place)
    for name, values in _load(sides).items():
        if len(set(values)) > 1:
            rows.setdefault((name, values), set()).add("")
    decisions = {d.claim.id: d for d in sides[0].experiment.DECISIONS}
    table = [
        {"fact": name, "places": ", ".join(sorted(places - {""}))}
        | dict(zip(names, values, strict=True))
        | {"touches": _touched(places, decisions)}
        for (name, values), places in rows.items()
    ]
    columns = ["fact", "places", *names, "touches"]
    return pd.DataFrame(table, columns=columns).set_index(["fact", "places"])


def _load(sides: Sequence[Side]) -> dict[str, tuple[str, ...]]:
    """Return how busy each machine was while it was measured, in words that can be compared."""
    busy = tuple(f"{side.trials['busy_per_cpu'].mean():.1f}" for side in sides)
    stolen = tuple(percent(side.trials["stolen_share"].mean(), 1) for side in sides)
    return {"other running tasks per CPU": busy, "CPU time stolen": stolen}


def _touched(places: set[str], decisions: Mapping[str, Decision]) -> str:
    if "" in places:
        return EVERY
    of = {name: places_of(decision, decisions) for name, decision in decisions.items()}
    named = [name for name, found in of.items() if found is None or found & places]
    return ", ".join(named) or "no claim"


def _why_never(a: Side, b: Side) -> str:
    """Return why two runs may not be laid side by side, whatever was measured; or ""."""
    both = f"Runs {a.name!r} and {b.name!r}"
    if a.experiment.NAME != b.experiment.NAME:
        return (
            f"{both} are of {a.experiment.NAME!r} and {b.experiment.NAME!r}. "
            "Must be of one experiment."
        )
    kinds = [sorted(set(side.trials["source"]) - {"live", "recorded"}) for side in (a, b)]
    if kinds[0] != kinds[1]:
        told = " and ".join("measured" if not kind else kind[0] for kind in kinds)
        return f"{both} are {told}. Must be of one kind."
    if same := set(a.trials["run"]) & set(b.trials["run"]):
        return f"{both} both hold the run {min(same)!r}. Must be different runs."
    if a.versions and b.versions and _releases(a) != _releases(b):
        return (
            f"{both} were measured by caveatlib {' and '.join(a.versions)} and by caveatlib "
            f"{' and '.join(b.versions)}. Must agree up to the last number: other versions may "
            "measure something else."
        )
    return ""


def _releases(side: Side) -> set[str]:
    return {version.rpartition(".")[0] for version in side.versions}


def _other_conditions(a: Side, b: Side, decision: Decision) -> str | None:
    """Return which conditions of a claim's arms differ; None if it has no arm in both."""
    one, other = measured_with(a, decision), measured_with(b, decision)
    if not one.keys() & other.keys():
        return None
    for arm in sorted(one.keys() & other.keys()):
        for column, values in one[arm].items():
            if values != other[arm][column]:
                told = (", ".join(map(str, v)) for v in (values, other[arm][column]))
                return f"{column} {' against '.join(told)}"
    return ""


def _doubts(sides: Sequence[Side]) -> tuple[str, ...]:
    said = []
    unversioned = [side.name for side in sides if not side.versions]
    if unversioned:
        said.append(
            f"{', '.join(dict.fromkeys(unversioned))}: the version of caveatlib that measured was "
            "not recorded."
        )
    machine = [{name for place, name in side.facts if not place} for side in sides]
    partly = set.union(*machine) - set.intersection(*machine) - {"caveatlib", *UNTOLD}
    if partly:
        said.append(f"Not recorded on all sides: {', '.join(sorted(partly))}.")
    return tuple(said)
