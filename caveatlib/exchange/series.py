"""The values of one arm, session by session: what every format of others is made of."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from caveatlib import frames
from caveatlib.errors import DataError, UsageError
from caveatlib.trials import Run


class Series(NamedTuple):
    """The values of a measure in one arm.

    Attributes
    ----------
    name : str
        Design, place, and the conditions that tell it from other arms.
    conditions : dict
        Condition -> value, of those that differ within the design.
    sessions : list of list of float
        Values of the trials that succeeded, in their order.
    warmups : list of list of float
        Values of the warm-ups of the same sessions; an empty list where there was none.
    """

    name: str
    conditions: dict[str, object]
    sessions: list[list[float]]
    warmups: list[list[float]]

    @property
    def values(self) -> list[float]:
        """All values, in order."""
        return [value for session in self.sessions for value in session]


def of_run(run: Run, measure: str) -> tuple[list[Series], str]:
    """Return the values of a measure in every arm that has some, and the measure's unit.

    Parameters
    ----------
    run : trials.Run
        Of one machine.
    measure : str
        Column of the trials.

    Raises
    ------
    UsageError
        If the run is of several machines, or has no such measure.
    DataError
        If no trial has a value of it.
    """
    model, trials = run.experiment.Trials, run.trials
    known = [name for name in frames.measures(model) if name not in frames.columns(frames.Trials)]
    if measure not in known:
        raise UsageError(f"Unknown measure {measure!r}. Must be one of {', '.join(known)}.")
    machines = sorted(trials["machine"].unique())
    if len(machines) > 1:
        raise UsageError(
            f"Run of {len(machines)} machines: {'; '.join(machines)}. Must be of one: seconds of "
            "two machines do not belong in one file."
        )
    conditions = frames.conditions(model)
    warmups = run.table("warmups")
    found = []
    for key, rows in trials.groupby(["design", "place", *conditions], sort=False):
        arm = dict(zip(["design", "place", *conditions], key, strict=True))
        sessions = _sessions(rows, measure)
        if not sessions:
            continue
        design = trials[trials["design"] == arm["design"]]
        told = {name: arm[name] for name in conditions if design[name].nunique() > 1}
        again = warmups[(warmups[list(arm)] == pd.Series(arm)).all(axis=1)]
        name = _name(run, arm["design"], arm["place"], told)
        warm = _sessions(again, measure)
        values, before = list(sessions.values()), [warm.get(key, []) for key in sessions]
        found.append(Series(name, told, values, before))
    if not found:
        raise DataError(f"No trial has a value of {measure!r}. Must be measured in one at least.")
    return found, (frames.columns(model)[measure].metadata or {}).get("unit", "")


def _name(run: Run, design: str, place: str, told: dict) -> str:
    """Return ``start: docker-runc, replicate 1``; of an imported run its own name."""
    words = [
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in told.items()
    ]
    alone = design == place or run.trials["design"].nunique() == 1
    return ", ".join([place if alone else f"{design}: {place}", *words])


def _sessions(rows: pd.DataFrame, measure: str) -> dict[tuple, list[float]]:
    """Return the values of each session that has some, by run and session."""
    good = rows[rows["ok"] & rows[measure].notna()].sort_values(["run", "session", "block"])
    return {
        key: of[measure].astype(float).tolist()
        for key, of in good.groupby(["run", "session"], sort=False)
    }
