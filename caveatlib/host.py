"""This machine: what may be said of it, and what can be measured on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from caveatlib import frames, trials
from caveatlib.claims import Decision, Effect, Equality, Whole
from caveatlib.experiments import ALL
from caveatlib.measuring.designs import Arm, Design
from caveatlib.measuring.experiment import Experiment, complete
from caveatlib.measuring.machine import cgroups, cores, describe
from caveatlib.measuring.machine import label as machine
from caveatlib.measuring.surroundings import surroundings
from caveatlib.places.base import Capability
from caveatlib.places.cgroups import own_limits

__all__ = [
    "Prospect",
    "can_decide",
    "can_measure",
    "capabilities",
    "cgroups",
    "cores",
    "describe",
    "limits",
    "machine",
    "prospects",
    "surroundings",
    "worthwhile",
]


class Prospect(NamedTuple):
    """Whether a claim can be decided on this machine.

    Attributes
    ----------
    claim, experiment : str
    lacks : str
        What is missing and why, ``"kvm: no /dev/kvm"``; empty if nothing is.
    places : frozenset of str
        Places that decide it and can be measured here.
    """

    claim: str
    experiment: str
    lacks: str
    places: frozenset[str]


def limits() -> pd.DataFrame:
    """Return the limits that the kernel puts on this very process, its container's included.

    Returns
    -------
    pandas.DataFrame
        One row per resource (cpu in CPUs, memory in bytes, cpuset in CPUs,
        pids): as `caveatlib.places.cgroups.own_limits.Limit`. Needs no right.
    """
    return pd.DataFrame([dataclasses.asdict(limit) for limit in own_limits.read()])


def capabilities() -> list[Capability]:
    """Return what can be measured on this machine, by the probes of all experiments' places.

    Each ability comes once, in the order of the experiments and their places.
    """
    specs = (spec for experiment in ALL for spec in experiment.PLACES.values())
    found = [probe() for spec in specs for probe in spec.probes()]
    return list({ability.name: ability for ability in found}.values())


def can_measure() -> pd.DataFrame:
    """Return `capabilities` as a table: ability, available, reason, fix."""
    rows = [(a.name, a.available, a.reason, a.fix) for a in capabilities()]
    return pd.DataFrame(rows, columns=["ability", "available", "reason", "fix"])


def can_decide() -> pd.DataFrame:
    """Return which claims can be decided on this machine, and what the others lack.

    Returns
    -------
    pandas.DataFrame
        One row for all that can be decided, then one per reason: claims (how many), why, which.
    """
    found: dict[str, list[str]] = {}
    for prospect in sorted(
        (p for experiment in ALL for p in prospects(experiment)), key=lambda p: bool(p.lacks)
    ):
        found.setdefault(prospect.lacks or "can be decided here", []).append(prospect.claim)
    rows = [(len(claims), why, ", ".join(claims)) for why, claims in found.items()]
    return pd.DataFrame(rows, columns=["claims", "why", "which"])


def prospects(experiment, *, engine: str | None = None, waiting: bool = True) -> list[Prospect]:
    """Return, for each claim of an experiment, whether it can be decided on this machine.

    A claim needs an arm for each filter that its decision reads. A place that can be
    measured at a price only, e.g. a virtual machine without KVM, decides nothing. Parts are
    not listed: their claim can be decided if one of them can. Without those `waiting`, designs
    that wait under a time budget decide nothing.
    """
    experiment = complete(experiment)
    designs, missing = trials.arms_here(experiment, engine=engine)
    designs = tuple(design for design in designs if waiting or not design.optional)
    fair = {name: _poor(spec) for name, spec in experiment.PLACES.items()} | missing
    decisions = {decision.claim.id: decision for decision in experiment.DECISIONS}
    found = {
        name: _prospect(experiment, decision, designs, fair if decision.unfair else missing)
        for name, decision in decisions.items()
    }
    for name, decision in decisions.items():
        if isinstance(decision, Whole):
            parts = [found[part] for part in decision.parts]
            lacks = [part.lacks for part in parts]
            places = frozenset().union(*(part.places for part in parts if not part.lacks))
            whole = "" if not all(lacks) else lacks[0]
            found[name] = Prospect(name, experiment.NAME, whole, places)
    return [prospect for name, prospect in found.items() if "/" not in name]


def worthwhile(experiment, *, engine: str | None = None) -> tuple[str, ...]:
    """Return the places of an experiment without those that decide nothing here.

    These are places that can be measured at a price only, as a virtual machine without KVM,
    and that no claim can do with.
    """
    needed = frozenset().union(
        *(prospect.places for prospect in prospects(experiment, engine=engine))
    )
    places = complete(experiment).PLACES
    return tuple(name for name, spec in places.items() if name in needed or not _poor(spec))


def _poor(spec) -> str:
    """Return what a place can do without at a price and lacks here, or ""."""
    lacking = next((a for probe in spec.better_with if not (a := probe()).available), None)
    return f"{lacking.name}: {lacking.reason}" if lacking else ""


def _prospect(
    experiment: Experiment,
    decision: Decision,
    designs: Sequence[Design],
    missing: Mapping[str, str],
) -> Prospect:
    places: set[str] = set()
    nothing = frames.from_rows([], experiment.Trials)
    if decision.unfair and (lacks := decision.unfair(nothing)):  # whatever is measured
        return Prospect(decision.claim.id, experiment.NAME, lacks, frozenset())
    for where in _wheres(decision):
        arms = [arm for design in designs for arm in _matching(design, where)]
        here = {arm.place for arm in arms if not missing.get(arm.place)}
        if not here:
            lacks = missing[arms[0].place] if arms else "nothing here measures it"
            return Prospect(decision.claim.id, experiment.NAME, lacks, frozenset())
        places |= here
    return Prospect(decision.claim.id, experiment.NAME, "", frozenset(places))


def _wheres(decision: Decision) -> list[Mapping[str, object]]:
    """Return the filters of the trials that a decision cannot do without."""
    if isinstance(decision, Effect | Equality):
        contrast, null = decision.contrast, getattr(decision, "null", None)
        compared = [contrast.arm, contrast.baseline, *([null.arm] if null else [])]
        return [*(decision.needs or ()), *(w for w in compared if w is not None)]
    if isinstance(decision, Whole):
        return []
    return [reading.where for reading in decision.reads() if not reading.optional]


def _matching(design: Design, where: Mapping[str, object]) -> Iterator[Arm]:
    """Yield the arms of a design that a filter names; columns that no arm has are not looked at."""
    if where.get("design", design.name) != design.name:
        return
    for arm in design.arms:
        stated = {"place": arm.place, **arm.conditions}
        if all(stated[name] == value for name, value in where.items() if name in stated):
            yield arm
