"""This machine: what may be said of it, and what can be measured on it."""

from __future__ import annotations

import dataclasses

import pandas as pd

from caveatlib.experiments import ALL
from caveatlib.measuring.machine import cgroups, cores, describe
from caveatlib.measuring.machine import label as machine
from caveatlib.places.base import Capability
from caveatlib.places.cgroups import own_limits

__all__ = ["can_measure", "capabilities", "cgroups", "cores", "describe", "limits", "machine"]


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
    """Return `abilities` as a table: ability, available, reason, fix."""
    rows = [(a.name, a.available, a.reason, a.fix) for a in capabilities()]
    return pd.DataFrame(rows, columns=["ability", "available", "reason", "fix"])
