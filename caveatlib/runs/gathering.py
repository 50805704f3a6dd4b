"""All runs that ship with caveatlib, pooled experiment by experiment."""

from __future__ import annotations

from collections.abc import Iterable

from caveatlib import experiments, store, trials
from caveatlib.runs.contributions import COMMUNITY, OURS, checked
from caveatlib.runs.pooling import Pool, pool
from caveatlib.support import datapackage, shipped
from caveatlib.trials import Run


def everything() -> list[Pool]:
    """Return a pool of each experiment, of what was recorded and of what was contributed.

    An older version of recorded data adds the machines that no newer one has.

    Returns
    -------
    list of Pool
        In the order of `experiments.ALL`.

    Raises
    ------
    DataError
        If a table is damaged, or a contribution does not pass, see `contributions.check`.
    Unavailable
        If there are enough machines for a line and statsmodels is not installed.
    """
    theirs = {found[0][0].experiment.NAME: found for found in contributed()}
    given = []
    for experiment in experiments.ALL:
        newest = reversed(store.versions(experiment.NAME))
        opened = (trials.open(experiment, source="recorded", version=n) for n in newest)
        ours = [(run, OURS) for run in of_other_machines(opened)]
        given.append([*ours, *theirs.get(experiment.NAME, [])])
    return [pool(found) for found in given if found]


def of_other_machines(runs: Iterable[Run]) -> list[Run]:
    """Return the runs whose machines are in none before them.

    A version is recorded anew because its designs were mended, so an older one says nothing
    more of the same machine.
    """
    kept, known = [], set()
    for run in runs:
        machines = set(run.trials["machine"])
        if not machines & known:
            kept.append(run)
        known |= machines
    return kept


def contributed() -> list[list[tuple[Run, str]]]:
    """Return the runs that others contributed, those of an experiment together; see `checked`."""
    folder = shipped.folder("data") / COMMUNITY
    return checked([folder]) if any(folder.rglob(datapackage.FILE)) else []
