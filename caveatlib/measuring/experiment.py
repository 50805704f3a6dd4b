"""What the framework asks of an experiment's module, and what it assumes of what that leaves out.

An experiment is a module (or any object) with these names. `complete` puts the
defaults in their places, once, where a module comes in through one of the
doors of `caveatlib.trials`; no other code asks whether an experiment has this or that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Protocol, cast

import pandas as pd

from caveatlib import claims, frames, stats
from caveatlib.claims import calibration
from caveatlib.errors import DataError, UsageError
from caveatlib.measuring import integrity
from caveatlib.measuring.designs import Design
from caveatlib.places.base import TrialResult
from caveatlib.places.cache import Artefact
from caveatlib.places.spec import Spec


class Experiment(Protocol):
    """An experiment with everything that may be left out filled in.

    Attributes
    ----------
    NAME, QUESTION : str
        ``"startup"``, and the question that it answers.
    PLACES : mapping of str to Spec
        The places that its designs use, and how each is opened.
    Trials : type of frames.Trials
        The model of its trials: common columns, conditions, measures.
    designs : callable
        Number of CPUs -> the designs. Stated by the module as `DESIGNS`: these, or a
        function of the number of CPUs that returns those that fit.
    trial : callable
        ``trial(place, conditions, *, seed)`` -> `TrialResult`: does one trial
        in an opened place. The only impure function.
    SESSIONS : int
        Sessions if nothing is said of sessions or time; default `SESSIONS`.
    VERDICT_S : float
        About how many seconds of measuring until verdicts are possible; default `VERDICT_S`.
    FIRST_S : float
        About how many until the first are, by designs that do not wait under a budget; default
        0: none comes before the others.
    DISK_BYTES : int
        Disk that a run needs; default `DISK_BYTES`.
    TABLES : mapping
        Further tables, name -> model; default none.
    ARTEFACTS : sequence of cache.Artefact
        What must be prepared once, each after what it is made of; default nothing.
    ON_REQUEST : sequence of cache.Artefact
        What is prepared only if it is asked for by name, since it is large; default nothing.
    DECISIONS : sequence of claims.Decision
        What decides each claim; default nothing.
    CLAIMS : sequence of claims.Claim
        What it decides; default the claims of its decisions.
    check_row : callable
        Guards over the row of one trial, run between trials; default none.
    check : callable
        Guards that lay rows of the whole table side by side; default none.
    check_tables : callable
        Guards that lay the trials beside the further tables, by name; default none.
    KNOWN, CONTROLS : sequence of `claims.calibration.Known`, of `Control`
        Cases with a known true value, and the same arm twice; default none.
    calibrate : callable
        Trials -> what these cases read; default `claims.calibration.calibrate` of them.
    summarize : callable
        Trials -> summary; default every measure by place and conditions.
    verdicts : callable
        Trials -> list of claims.Verdict; default its decisions, judged.
    answer : callable
        Trials -> the answer in a sentence; default none, "".
    highlights : callable
        Trials of one machine -> list of `experiments.kit.highlights.Highlight` for the
        first screen of the page; default none.
    """

    NAME: str
    QUESTION: str
    PLACES: Mapping[str, Spec]
    Trials: type[frames.Trials]
    designs: Callable[[int], Sequence[Design]]
    trial: Callable[..., TrialResult]
    SESSIONS: int
    VERDICT_S: float
    FIRST_S: float
    DISK_BYTES: int
    TABLES: Mapping[str, type[frames.Table]]
    ARTEFACTS: Sequence[Artefact]
    ON_REQUEST: Sequence[Artefact]
    DECISIONS: Sequence[claims.Decision]
    CLAIMS: Sequence[claims.Claim]
    check_row: Callable[[Mapping[str, object]], None]
    check: Callable[[pd.DataFrame], None]
    check_tables: Callable[[Mapping[str, pd.DataFrame]], None]
    KNOWN: Sequence
    CONTROLS: Sequence
    calibrate: Callable[[pd.DataFrame], pd.DataFrame]
    summarize: Callable[[pd.DataFrame], pd.DataFrame]
    verdicts: Callable[[pd.DataFrame], list[claims.Verdict]]
    answer: Callable[[pd.DataFrame], str]
    highlights: Callable[[pd.DataFrame], list]


SESSIONS = 15
"""As many pairs find a true 1.10x in four of five runs at 8 % noise, 1.14x one of six effects."""
VERDICT_S = 90
DISK_BYTES = 50 * 2**20
"""Room for a journal and its tables."""

_DEFAULTS = {
    "SESSIONS": SESSIONS,
    "VERDICT_S": VERDICT_S,
    "FIRST_S": 0.0,
    "DISK_BYTES": DISK_BYTES,
    "TABLES": {},
    "ARTEFACTS": (),
    "ON_REQUEST": (),
    "DECISIONS": (),
    "check_row": lambda row: None,
    "check": lambda trials: None,
    "check_tables": lambda tables: None,
    "KNOWN": (),
    "CONTROLS": (),
    "answer": lambda trials: "",
    "highlights": lambda trials: [],
}
_REQUIRED = ("NAME", "QUESTION", "PLACES", "Trials", "DESIGNS", "trial")


class Conditions(frames.Table):
    """Facts that are true of a whole run, one per row."""

    run: frames.Series[str] = frames.field("Run, named by its start in UTC")
    machine: frames.Series[str] = frames.field(
        "Class of the machine: CPU, memory, kernel, cgroup version"
    )
    place: frames.Series[str] = frames.field(
        "Place that the fact is of; empty for the machine itself"
    )
    name: frames.Series[str] = frames.field("Name of the fact")
    value: frames.Series[str] = frames.field("Value of the fact")


def complete(experiment: ModuleType | Experiment) -> Experiment:
    """Return an experiment with the defaults for what its module leaves out.

    Raises
    ------
    UsageError
        If it is not an experiment: the message names what is missing.
    """
    if isinstance(experiment, str):
        raise UsageError(
            f"Experiment {experiment!r} is text. Must be a module: "
            "from caveatlib.experiments import startup"
        )
    given = {name: getattr(experiment, name) for name in dir(experiment) if name[0] != "_"}
    if missing := [name for name in _REQUIRED if name not in given]:
        name = given.get("NAME") or getattr(experiment, "__name__", repr(experiment))
        raise UsageError(f"Experiment {name!r} lacks {', '.join(missing)}. See CONTRIBUTING.md.")
    stated = given["DESIGNS"]
    designs = stated if callable(stated) else lambda cores: stated
    decisions = given.get("DECISIONS", ())
    known, controls = given.get("KNOWN", ()), given.get("CONTROLS", ())
    defaults = _DEFAULTS | {
        "CLAIMS": tuple(decision.claim for decision in decisions),
        "summarize": partial(_summary, given["Trials"]),
        "verdicts": partial(claims.judge, decisions=decisions),
        "calibrate": partial(calibration.calibrate, known=known, controls=controls),
    }
    return cast(Experiment, SimpleNamespace(**defaults | given | {"designs": designs}))


def check_trials(experiment: Experiment, trials: pd.DataFrame) -> None:
    """Apply an experiment's guards to each of its trials, and to all together.

    Raises
    ------
    DataError
        If one is broken; the message names the row.
    """
    for index, row in zip(trials.index, trials.to_dict("records"), strict=True):
        if row["ok"]:
            try:
                experiment.check_row({str(name): value for name, value in row.items()})
            except DataError as error:
                raise DataError(f"Row {index}: {error}") from None
    if len(trials):
        experiment.check(trials)


def check_tables(experiment: Experiment, tables: Mapping[str, pd.DataFrame]) -> None:
    """Apply every guard to the tables of a package: the one gate through which data come in.

    Parameters
    ----------
    experiment : Experiment
    tables : mapping of str to pandas.DataFrame
        All that the package has.

    Raises
    ------
    DataError
        If one is broken.
    """
    if len(trials := tables["trials"]):
        integrity.check_tables(tables, experiment.Trials)
        _check_controls(experiment, trials)
    check_trials(experiment, trials)
    if len(trials):
        experiment.check_tables(tables)


def _check_controls(experiment: Experiment, trials: pd.DataFrame) -> None:
    """Refuse a second copy of an arm that no A/A control is of: labels were exchanged."""
    own = set(frames.conditions(experiment.Trials))
    contrasts = [control.contrast for control in experiment.CONTROLS]
    marks = [{k: v for k, v in c.arm.items() if k in own and c.baseline[k] != v} for c in contrasts]
    known, marked = (pd.Series(False, index=trials.index) for _ in range(2))
    for contrast, mark in zip(contrasts, marks, strict=True):
        if mark:
            known |= stats.match(trials, contrast.arm)
            marked |= stats.match(trials, mark)
    if (stray := marked & ~known).any():
        row = trials[stray].iloc[0]
        raise DataError(
            f"Row {row.name} is the A/A control of {row['place']!r} in design {row['design']!r}, "
            "which has none. Must be of an arm that is measured twice; were labels exchanged?"
        )


def doubts(
    experiment: Experiment,
    trials: pd.DataFrame,
    verdicts: Sequence[claims.Verdict] | None = None,
    facts: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return what could mislead about each verdict, see `claims.doubts.about`.

    Parameters
    ----------
    experiment : Experiment
    trials : pandas.DataFrame
    verdicts : sequence of claims.Verdict, optional
        Of these trials; default they are judged.
    facts : pandas.DataFrame, optional
        Table ``conditions`` of the run.
    """
    cases = {case.name: case.contrast.measure for case in (*experiment.KNOWN, *experiment.CONTROLS)}
    read = experiment.calibrate(trials)
    read = read.assign(measure=read["check"].map(cases))
    return claims.doubts.about(
        trials,
        experiment.DECISIONS,
        experiment.verdicts(trials) if verdicts is None else verdicts,
        conditions=frames.conditions(experiment.Trials),
        calibration=read,
        facts=facts,
    )


def tables_of(experiment: Experiment) -> dict[str, type[frames.Table]]:
    """Return all tables of the experiment's data package with their models."""
    return {
        "trials": experiment.Trials,
        "warmups": experiment.Trials,
        "interrupted": experiment.Trials,
        "conditions": Conditions,
        **experiment.TABLES,
    }


def model_of(experiment: Experiment, table: str) -> type[frames.Table]:
    """Return the model of one of the experiment's tables.

    Raises
    ------
    UsageError
        If the experiment has no such table.
    """
    models = tables_of(experiment)
    if table not in models:
        raise UsageError(f"Unknown table {table!r}. Must be one of {sorted(models)}.")
    return models[table]


def _summary(model: type[frames.Trials], trials: pd.DataFrame) -> pd.DataFrame:
    common = frames.columns(frames.Trials)
    measures = [name for name in frames.measures(model) if name not in common]
    return stats.summarize(trials, measures, by=["place", *frames.conditions(model)])
