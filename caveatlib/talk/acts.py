"""What is measured on stage: a part of an experiment that is done within seconds."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import pandas as pd

from caveatlib import claims, trials
from caveatlib.errors import CaveatError
from caveatlib.experiments import quota, startup
from caveatlib.measuring import machine
from caveatlib.measuring.experiment import complete
from caveatlib.support.privacy import scrub


@dataclass(frozen=True)
class Act:
    """One session of one design, some of its arms only.

    Attributes
    ----------
    experiment : module
    design : str
    places : tuple of str
    only : mapping of str to collection
        Condition -> the values that are measured; default all.
    claim : str
        What the trials must decide to count as live; empty if nothing need be decided.
    """

    experiment: ModuleType
    design: str
    places: tuple[str, ...]
    only: Mapping[str, Collection] = field(default_factory=dict)
    claim: str = ""


ACTS = {
    "race": Act(startup, "start", ("process", "namespaces", "runc", "docker-runc")),
    "limit": Act(
        quota,
        "tools-docker",
        ("docker",),
        only={
            "tool": (
                "nproc",
                "python os.process_cpu_count",
                "node os.availableParallelism",
                "java availableProcessors",
            )
        },
        claim="C07",
    ),
}
"""Name -> what it measures: ``race`` is about starting, ``limit`` asks programs in a container
how many CPUs they have (Go is left out: it compiles first)."""


def part(act: Act) -> SimpleNamespace:
    """Return the experiment with that part of its designs alone."""
    full = complete(act.experiment)
    kept = []
    for design in full.designs(machine.cores()):
        arms = tuple(
            arm
            for arm in design.arms
            if arm.place in act.places
            and all(arm.conditions[name] in values for name, values in act.only.items())
        )
        if design.name == act.design and arms:
            kept.append(design.with_arms(arms))
    return SimpleNamespace(**vars(full) | {"DESIGNS": tuple(kept)})


def of(act: Act, measured: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of an act's arms."""
    kept = (measured["design"] == act.design) & measured["place"].isin(act.places)
    for name, values in act.only.items():
        kept &= measured[name].isin(values)
    return measured[kept]


def measure(act: Act, out: str | os.PathLike) -> None:
    """Measure an act once on this machine and write its run."""
    trials.measure(part(act), out=out, places=act.places, sessions=1, progress=False)


def lacks(act: Act, run: trials.Run) -> str:
    """Say what a run of an act lacks to be shown as live; nothing if it is whole."""
    measured = of(act, run.trials)
    failed = measured[~measured["ok"]]
    if len(failed):
        return f"{failed['place'].iloc[0]}: {failed['error'].iloc[0]}"
    if measured.empty:
        return "nothing was measured"
    if act.claim:
        found = [v for v in run.verdicts() if v.claim == act.claim]
        if not found or found[0].verdict not in claims.DECIDED:
            return f"{act.claim} was not decided"
    return ""


def main(name: str, out: str) -> int:
    """Measure an act; return the status of the process. What goes wrong is one line on stderr."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # may be ignored by inheritance
    try:
        measure(ACTS[name], out)
    except KeyboardInterrupt:
        return 130
    except CaveatError as error:
        print(scrub(error), file=sys.stderr)
        return 1
    return 0
