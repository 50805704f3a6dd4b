"""The experiments that the contract is of, their fakes, and their public functions."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache, partial, wraps
from pathlib import Path

import pandas as pd
from experiments.sample import sample

from caveatlib import experiments, frames, trials
from caveatlib.experiments import ALL
from caveatlib.measuring.experiment import complete

EXPERIMENTS = (*ALL, sample)
RECORDED = (*experiments.recorded(), sample)
"""One that is measured and not yet recorded is tried on its fakes."""
TRIALS, HERE = "trials", "here"
"""First parameter of a function that reads trials of any machines, or those of one."""
MOST_MADE = 8
"""Of so many trials a table is kept: of two machines together and each by itself, twice."""


def fakes(experiment):
    """Return the module of an experiment's fakes, which lies beside its tests.

    It has `PLACES`, and may have `ARGUMENTS` (see `readers`), `UNDECIDED` (claims that no trials
    at hand decide, and why) and `patched`, which is held while it measures and is read.
    """
    return importlib.import_module(f"experiments.{experiment.NAME}.fake")


def patched(experiment):
    """Return the context in which an experiment's fakes work, and its functions are cheap."""
    return getattr(fakes(experiment), "patched", nullcontext)()


@cache
def recorded(experiment) -> pd.DataFrame:
    """Return the trials that an experiment ships with, of one machine."""
    source = "recorded" if experiment in ALL else Path(sample.__file__).parent / "data"
    rows = trials.get(experiment, source=source)
    return rows[rows["machine"] == rows["machine"].iloc[0]].reset_index(drop=True)


def arm_columns(experiment) -> list[str]:
    """Return the columns that tell arms of a design apart."""
    common = frames.columns(frames.Trials)
    own = frames.columns(experiment.Trials).items()
    return ["place", *(n for n, c in own if n not in common and not c.nullable)]


def outcomes(experiment) -> list[str]:
    """Return the columns that are empty where a trial failed."""
    common = frames.columns(frames.Trials)
    own = frames.columns(experiment.Trials).items()
    return [n for n, c in own if n not in common and c.nullable]


def readers(experiment) -> dict[str, Callable[[pd.DataFrame], object]]:
    """Return every public function that reads trials of any machines, by its name.

    What a function needs besides the trials stands in `ARGUMENTS` beside the fakes: name ->
    keyword arguments, a function that returns them for given trials, or None for a function that
    another one calls with all that it is given.
    """
    calibrate = {"calibrate": complete(experiment).calibrate}
    return _functions(experiment, _modules(experiment), TRIALS) | calibrate


def readers_here(experiment) -> dict[str, Callable[[pd.DataFrame], object]]:
    """Return what an experiment exports that reads the trials of one machine, by its name."""
    return _functions(experiment, [experiment], HERE)


def tables_once(experiment, monkeypatch) -> None:
    """Let each table of the same trials be made once, whichever functions ask for it.

    They must not change the trials in place; each has a table of its own to change.
    """
    once: dict[Callable, Callable] = {}
    for module, name, function in list(_own(experiment, _modules(experiment), TRIALS)):
        monkeypatch.setattr(module, name, once.setdefault(function, _once(function)))


def _once(function: Callable) -> Callable:
    made: dict[int, tuple] = {}

    @wraps(function)
    def shared(trials, *args, **options):
        if args or options:
            return function(trials, *args, **options)
        if id(trials) not in made:
            result = function(trials)
            if not isinstance(result, pd.DataFrame):
                return result
            if len(made) >= MOST_MADE:
                made.clear()
            made[id(trials)] = trials, result  # kept, so that no other has its id
        return made[id(trials)][1].copy(deep=False)

    return shared


def _own(experiment, modules: list, first: str) -> Iterator[tuple]:
    """Yield public functions of an experiment: where each is, by which name, and itself."""
    for module in modules:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("_") or not function.__module__.startswith(experiment.__name__):
                continue
            if next(iter(inspect.signature(function).parameters), None) == first:
                yield module, name, function


def _functions(experiment, modules: list, first: str) -> dict[str, Callable]:
    arguments = getattr(fakes(experiment), "ARGUMENTS", {})
    found: dict[str, Callable] = {}
    for _, name, function in _own(experiment, modules, first):
        options = arguments.get(name, {})
        if options is None:
            continue
        if callable(options):
            found[name] = partial(_with_arguments, function, options)
            continue
        lacking = [
            p.name
            for p in list(inspect.signature(function).parameters.values())[1:]
            if p.default is p.empty
            and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
            and p.name not in options
        ]
        assert not lacking, f"ARGUMENTS lack {lacking} of {name!r}"
        found[name] = partial(function, **options)
    return found


def _with_arguments(function: Callable, options: Callable, trials: pd.DataFrame):
    return function(trials, **options(trials))


def _modules(experiment) -> list:
    within = getattr(experiment, "__path__", ())
    names = [m.name for m in pkgutil.iter_modules(within, f"{experiment.__name__}.")]
    return [experiment, *map(importlib.import_module, names)]
