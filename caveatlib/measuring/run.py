"""A run from its plan to its data package: `measure`, and what it will `cost`."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pandas as pd

from caveatlib.errors import Unavailable, UsageError
from caveatlib.measuring import finish, machine
from caveatlib.measuring.designs import Design
from caveatlib.measuring.experiment import Experiment, complete
from caveatlib.measuring.journal import Journal
from caveatlib.measuring.loop import Loop, missing_rows
from caveatlib.measuring.plan import BY_DEFAULT, Plan, resumed, run_name
from caveatlib.measuring.progress import shown
from caveatlib.places import cache, spec
from caveatlib.places.engines import choice
from caveatlib.places.spec import Spec
from caveatlib.support.paths import display_path, exists, make_folder

WATCH_S = 10.0
"""Judging takes a while, and is done between two blocks."""


def arms_here(
    experiment: ModuleType | Experiment,
    *,
    places: Sequence[str] | None = None,
    engine: str | None = None,
    specs: Mapping[str, Spec] | None = None,
) -> tuple[tuple[Design, ...], dict[str, str]]:
    """Return the designs and which of their places this machine lacks.

    Parameters
    ----------
    experiment : module
    places : sequence of str, optional
        Only these; default all that the experiment knows.
    engine : {"own", "private"} or URL, optional
    specs : mapping of str to Spec, optional
        How each place is opened; default ``experiment.PLACES``.

    Returns
    -------
    designs : tuple of Design
        All designs, limited to the wanted places.
    missing : dict
        Place -> why it cannot run here.

    Raises
    ------
    UsageError
        If a place is none of the experiment's.
    """
    experiment, places = complete(experiment), Plan(places).places
    unknown = [p for p in places or () if p not in experiment.PLACES]
    if unknown:
        raise UsageError(
            f"Unknown place {unknown[0]!r}. Must be one of {', '.join(experiment.PLACES)}."
        )
    wanted = tuple(places or experiment.PLACES)
    kept = []
    for design in experiment.designs(machine.cores()):
        arms = tuple(a for a in design.arms if a.place in wanted)
        if arms:
            kept.append(design.with_arms(arms))
    specs = experiment.PLACES if specs is None else specs
    return tuple(kept), spec.missing({name: specs[name] for name in wanted}, engine=engine)


def cost(
    experiment: ModuleType | Experiment,
    *,
    places: Sequence[str] | None = None,
    sessions: int | None = None,
    budget_s: float | None = None,
    engine: str | None = None,
    ended: int = 0,
    spent_s: float = 0.0,
) -> tuple[float, int]:
    """Return about how many seconds and bytes of disk `measure` will need here.

    A first session is measured whole, whatever the budget.

    Parameters
    ----------
    experiment, places, sessions, budget_s, engine
        As `measure` takes them.
    ended : int, optional
        Sessions that an interrupted run had ended.
    spent_s : float, optional
        Seconds that it had spent.

    Raises
    ------
    UsageError, Unavailable
        As `measure` does of these settings.
    """
    experiment = complete(experiment)
    plan = Plan(places=places, sessions=sessions, budget_s=budget_s, engine=engine)
    designs, missing = arms_here(experiment, places=plan.places, engine=plan.engine)
    _check_runnable(experiment, designs, missing)
    due = range(ended, plan.sessions or experiment.SESSIONS)
    seconds = 0.0
    for design in designs:
        seconds += sum(design.due(s) for s in due) * _session_s(design, missing)
    if plan.budget_s:
        left_s = max(0.0, plan.budget_s - spent_s)
        within = min(seconds, left_s) if plan.sessions else left_s
        seconds = within if ended else max(within, first_session_s(designs, missing))
    return seconds, experiment.DISK_BYTES


def first_session_s(designs: Sequence[Design], missing: Collection[str]) -> float:
    """Return about how long a first session takes here: it is measured whatever the budget.

    Parameters
    ----------
    designs, missing
        As `arms_here` returns them.
    """
    first = (design for design in designs if design.due(0) and not design.optional)
    return sum((_session_s(design, missing) for design in first), 0.0)


def _session_s(design: Design, missing: Collection[str]) -> float:
    """Return about how long a design takes in a session in which it is due."""
    here = sum(arm.place not in missing for arm in design.arms) / len(design.arms)
    blocks_s = design.blocks_per_session * design.lasts_s()
    return here * (blocks_s + design.warmup * design.block_s)


def measure(
    experiment: ModuleType | Experiment,
    *,
    out: str | os.PathLike,
    places: Sequence[str] | None = None,
    sessions: int | None = None,
    budget_s: float | None = None,
    seed: int | None = None,
    engine: str | None = None,
    resume: bool = False,
    specs: Mapping[str, Spec] | None = None,
    progress: bool = True,
    watch: Callable[[pd.DataFrame], None] | None = None,
) -> Path:
    """Measure an experiment on this machine and write its data package.

    Parameters
    ----------
    experiment : module
    out : path
        Folder of the run; the experiment gets a folder of its name in it.
    places : sequence of str, optional
        Only these places.
    sessions : int, optional
        Number of sessions; default ``experiment.SESSIONS`` unless there is a budget.
    budget_s : float, optional
        Seconds after which no further block begins. At least one session runs.
    seed : int, optional
        Seed of every random order, from 0 to 2**32 - 1; default a fresh one,
        stored either way.
    engine : {"own", "private"} or URL, optional
        Which Docker engine; default a private one where possible.
    resume : bool, optional
        Go on with the interrupted run in `out` to what was planned, or begin an
        experiment of it that had not begun, see `plan.resumed`.
    specs : mapping of str to Spec, optional
        How each place is opened; default ``experiment.PLACES``. Tests hand in fakes.
    progress : bool, optional
        Whether to show a progress bar on stderr.
    watch : callable, optional
        Is given the trials so far after a block, at most every `WATCH_S` seconds, and at the end.

    Returns
    -------
    pathlib.Path
        The experiment's folder.

    Raises
    ------
    UsageError
        If a number is out of range, there is nothing to resume, or the run to
        resume was of another caveatlib, on another machine or engine.
    Unavailable
        If none of the places can run here.
    MeasurementError
        If a session could open no place at all.
    """
    experiment = complete(experiment)
    plan = Plan(places, sessions, budget_s, seed, engine)
    folder, header = Path(out) / experiment.NAME, None
    if resume:
        header, plan = resumed(experiment.NAME, out, plan)
    else:
        require_new(folder)
    kind = choice.checked(plan.engine)
    specs = experiment.PLACES if specs is None else specs
    designs, missing = arms_here(experiment, places=plan.places, engine=kind, specs=specs)
    _check_runnable(experiment, designs, missing)
    by_default = plan.sessions is None and plan.budget_s is None
    if by_default:
        plan = replace(plan, sessions=experiment.SESSIONS)
    made = _first_missing(folder)
    make_folder(folder)
    with _handed_back(made), Journal(folder / "journal.jsonl") as journal:
        if header is None:
            header = _header(experiment, replace(plan, engine=kind), designs, missing)
            header[BY_DEFAULT] = by_default
            journal.append("run", header)
        elif (asked := _asked(plan)) != {name: header[name] for name in asked}:
            if plan.sessions != header["sessions"]:
                asked[BY_DEFAULT] = False
            journal.append("plan", asked)
        here = {name: specs[name] for name in specs if name not in missing}
        loop = Loop(experiment, journal, header, designs, here, kind)
        if watch is not None:
            loop.on_block = _watching(experiment, journal.path, watch)
        try:
            with shown(loop, plan, show=progress):
                loop.run(plan.sessions, plan.budget_s)
            if watch is not None:
                watch(finish.from_journal(experiment, journal.path)["trials"])
        except BaseException:
            with contextlib.suppress(Exception):  # what ended the run says more
                finish.finish(experiment, out)
            raise
        return finish.finish(experiment, out)


def _asked(plan: Plan) -> dict:
    """Return how long a run is to last."""
    return {"sessions": plan.sessions, "budget_s": plan.budget_s}


def _watching(experiment: Experiment, path: Path, watch: Callable) -> Callable[[], None]:
    """Return what hands on the trials so far, and no more often than every `WATCH_S`."""
    last = time.monotonic()

    def step() -> None:
        nonlocal last
        if time.monotonic() - last >= WATCH_S:
            watch(finish.from_journal(experiment, path)["trials"])
            last = time.monotonic()

    return step


def _check_runnable(experiment: Experiment, designs, missing: dict[str, str]) -> None:
    if not {a.place for d in designs for a in d.arms} - set(missing):
        whys = {why: [p for p in missing if missing[p] == why] for why in missing.values()}
        reasons = "; ".join(f"{', '.join(places)}: {why}" for why, places in whys.items())
        raise Unavailable(f"Nothing of {experiment.NAME!r} can run here. {reasons}")


def _header(experiment: Experiment, plan: Plan, designs, missing: dict[str, str]) -> dict:
    """Return the first record of a run: what it is of, and all that decides how it goes on.

    Facts of the machine are from an allow-list and not scrubbed: a kernel
    5.15.167.4 would become an address.
    """
    from caveatlib import __version__

    seed = secrets.randbelow(2**31) if plan.seed is None else plan.seed
    header = {
        "run": run_name(),
        "experiment": experiment.NAME,
        "caveatlib": __version__,
        "machine": machine.label(),
        **plan.header(),
        "seed": seed,
    }
    # A package leaves its journal behind, and must say by itself how to repeat it.
    facts = {"caveatlib": __version__, "seed": str(seed)} | machine.describe()
    return header | {"facts": facts, "unavailable": missing_rows(header, designs, missing)}


def require_new(folder: str | os.PathLike) -> None:
    """Raise `UsageError` if an experiment's folder is there already.

    Raises
    ------
    UsageError, StorageError
        If it is there, or if that cannot be told.
    """
    if exists(folder):
        raise UsageError(f"Folder {display_path(folder)!r} exists. Choose another, or --resume it.")


def _first_missing(folder: Path) -> Path:
    """Return the topmost of a folder and its parents that is still to be made."""
    while not folder.parent.exists():
        folder = folder.parent
    return folder


@contextlib.contextmanager
def _handed_back(made: Path) -> Iterator[None]:
    """Give what is measured under sudo to whoever called it, however it ends."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # e.g. a file system without owners
            cache.hand_back(made)
