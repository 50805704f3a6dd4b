"""Fill the user's cache once, so that nothing is downloaded while measuring.

``python -m caveatlib.prepare`` is the last step of ``make system``. What is
already there is left alone, so a second call needs no network and does nothing.
What is large, or others publish, is made on request: ``python -m caveatlib.prepare NAME...``,
an experiment with all that it has, or artefacts by how their names begin.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from caveatlib.errors import CaveatError, UsageError
from caveatlib.experiments import ALL
from caveatlib.measuring.experiment import complete
from caveatlib.places import cache, compiled
from caveatlib.places.machines import accel, guest
from caveatlib.support.privacy import scrub

ARTEFACTS = tuple(dict.fromkeys(a for e in ALL for a in complete(e).ARTEFACTS))
"""What the experiments name, each once. An experiment names what its artefacts are made of, too,
and before them; so these are in an order in which they can be made."""
ON_REQUEST = tuple(dict.fromkeys(a for e in ALL for a in complete(e).ON_REQUEST))
"""Likewise what they can do without, and `run` leaves out unless it is asked for."""


@dataclass(frozen=True)
class Step:
    """One thing to prepare, before it is done.

    Attributes
    ----------
    name, meaning : str
    ready : bool
        It is there already.
    problem : str
        Why it cannot be prepared here; empty if it can, or is there.
    download_bytes, disk_bytes : int
        About what it will take; 0 if it is ready or cannot be.
    source : str
        What downloads it.
    """

    name: str
    meaning: str
    ready: bool
    problem: str
    download_bytes: int
    disk_bytes: int
    source: str = ""


def plan(artefacts: Sequence[cache.Artefact] | None = None) -> list[Step]:
    """Return what `run` would do, without doing or downloading anything."""
    return [_step(artefact) for artefact in (ARTEFACTS if artefacts is None else artefacts)]


def missing(artefacts: Sequence[cache.Artefact]) -> list[cache.Artefact]:
    """Return which of these are not there and can be made here."""
    steps = zip(artefacts, plan(artefacts), strict=True)
    return [artefact for artefact, step in steps if not step.ready and not step.problem]


def named(names: Sequence[str]) -> tuple[cache.Artefact, ...]:
    """Return what is asked for, in an order in which it can be made.

    Parameters
    ----------
    names : sequence of str
        Each an experiment, for all that it names, or how the names of artefacts begin.

    Raises
    ------
    UsageError
        If there is nothing of a name.
    """
    known = (*ARTEFACTS, *ON_REQUEST)
    experiments = {experiment.NAME: experiment for experiment in map(complete, ALL)}
    wanted: set[cache.Artefact] = set()
    for name in names:
        found = {artefact for artefact in known if name and artefact.name.startswith(name)}
        if name in experiments:
            found |= {*experiments[name].ARTEFACTS, *experiments[name].ON_REQUEST}
        if not found:
            listed = ", ".join(artefact.name for artefact in known)
            raise UsageError(
                f"Nothing to prepare is called {name!r}. Must be an experiment, or be or begin "
                f"one of {listed}."
            )
        wanted |= found
    return tuple(artefact for artefact in known if artefact in wanted)


def programs(artefacts: Sequence[cache.Artefact]) -> list[cache.Artefact]:
    """Return which of these are compiled here, within a second each and without a download."""
    return [artefact for artefact in artefacts if compiled.is_program(artefact)]


def run(
    progress: Callable[[str], None] = print,
    artefacts: Sequence[cache.Artefact] | None = None,
) -> dict[str, str]:
    """Prepare what is missing, and say beforehand what that costs.

    Parameters
    ----------
    progress : callable
        Given one line at a time.
    artefacts : sequence of cache.Artefact, optional
        Only these, e.g. one experiment's; default all but those on request.

    Returns
    -------
    dict
        Name -> why, for each step that could not be done; the others are done.
    """
    wanted = ARTEFACTS if artefacts is None else artefacts
    steps = plan(wanted)
    todo = [s for s in steps if not s.ready and not s.problem]
    if todo:
        downloads: Counter[str] = Counter()
        for step in todo:
            downloads[step.source] += step.download_bytes
        costs = [f"about {n / 1e6:.0f} MB with {source}" for source, n in downloads.items() if n]
        disk_mb = sum(s.disk_bytes for s in todo) / 1e6
        source = " and ".join(costs) or "nothing"
        progress(f"Downloads {source} and takes up to {disk_mb:.0f} MB of disk.")
    failed = {}
    for artefact, step in zip(wanted, steps, strict=True):
        if step.ready:
            progress(f"{step.meaning}: ready")
            continue
        if step.problem:
            failed[step.name] = step.problem
            progress(f"{step.meaning}: {step.problem}")
            continue
        progress(f"{step.meaning}: being made")
        try:
            cache.ensure(artefact)
        except CaveatError as error:
            failed[step.name] = scrub(error)
            progress(f"{step.meaning}: {failed[step.name]}")
    if guest.KERNEL in wanted:
        _find_accelerator(progress, failed)
    return failed


def main(names: Sequence[str]) -> int:
    """Prepare what is named, or else what needs no request; return the status to exit with."""
    try:
        wanted = named(names) if names else None
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    return 1 if run(artefacts=wanted) else 0


def _find_accelerator(progress: Callable[[str], None], failed: dict[str, str]) -> None:
    """Boot the probing guests now rather than in front of an audience."""
    if failed.keys() & {guest.KERNEL.name, guest.INITRAMFS.name}:
        return
    try:
        by, _ = accel.accelerator()
        progress(f"Virtual machines run on {'hardware' if by == 'kvm' else 'an emulator'}")
    except CaveatError as error:
        failed["accelerator"] = scrub(error)
        progress(f"Virtual machines do not run: {failed['accelerator']}")


def _step(artefact: cache.Artefact) -> Step:
    problem, ready = "", False
    try:
        ready = cache.path(artefact).is_dir()
        if not ready and artefact.needs_root and os.geteuid() != 0:
            problem = f"needs root to make. Run `{artefact.fix}` once."
    except CaveatError as error:
        problem = scrub(error)
    costs = (0, 0) if ready or problem else (artefact.download_bytes, artefact.disk_bytes)
    return Step(artefact.name, artefact.meaning, ready, problem, *costs, artefact.source)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
