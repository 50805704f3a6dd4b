"""Tables of `applications`: what each image holds, what is opened of it, and how that is spread."""

from __future__ import annotations

import pandas as pd

from caveatlib.claims import Reading
from caveatlib.experiments.applications import facts
from caveatlib.experiments.applications.catalogue import TITLES
from caveatlib.experiments.applications.claims import COUNTED, OPENED
from caveatlib.experiments.applications.designs import (
    BASES,
    CONTENTS,
    DEPLOYMENT,
    LINKS,
    WORKLOAD,
    where,
)
from caveatlib.experiments.kit.tables import per_machine

_HELD = ["visible_bytes", "files", *COUNTED, "interpreters", "owned_share", "extras_share"]
_OPENED = ["opened_files", "opened_bytes", "opened_byte_share", "opened_executables"]
_OPENED += ["opened_executable_share", "answered"]
_SPREAD = {
    **dict.fromkeys(("opened_file_share", *OPENED), WORKLOAD),
    **dict.fromkeys(("visible_bytes", *COUNTED, "owned_share"), CONTENTS),
}
"""Measure -> the work that it is of."""


def named(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows that succeeded with the applications' titles, a column `application`."""
    rows = rows[rows["ok"]]
    return rows.assign(application=rows["place"].map(TITLES).astype(object))


@per_machine
def contents(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each image holds: counts, bytes and shares, a row per application and base."""
    return _medians(trials, CONTENTS, _HELD)


@per_machine
def opened(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each application opened under its workload, medians of the sessions."""
    return _medians(trials, WORKLOAD, _OPENED)


@per_machine
def deployed(trials: pd.DataFrame) -> pd.DataFrame:
    """Return seconds to deploy each application, a column for each link and base."""
    rows = named(trials[(trials["work"] == DEPLOYMENT) & (trials["replicate"] == 0)])
    rows = rows.assign(way=rows["link"] + ", " + rows["base"])
    wide = rows.groupby(["application", "way"])["deployed_s"].median().unstack()
    ways = [f"{link}, {base}" for link in LINKS for base in BASES]
    titles = [title for title in TITLES.values() if title in wide.index]
    wide = wide.reindex(index=titles, columns=[way for way in ways if way in wide.columns])
    return wide.rename_axis(index="application", columns=None)


@per_machine
def spread(trials: pd.DataFrame) -> pd.DataFrame:
    """Return how each measure is spread over applications, a row per measure and base.

    Returns
    -------
    pandas.DataFrame
        Indexed by `measure` and `base`: `n` applications, their `median`, `least` and `most`.
    """
    rows = []
    for measure, work in _SPREAD.items():
        for base in BASES:
            values = facts.by_application(trials, Reading(where(work, base), measure))
            if len(values):
                rows.append(
                    (measure, base, len(values), values.median(), values.min(), values.max())
                )
    columns = ["measure", "base", "n", "median", "least", "most"]
    return pd.DataFrame(rows, columns=columns).set_index(["measure", "base"])


def _medians(trials: pd.DataFrame, work: str, columns: list[str]) -> pd.DataFrame:
    rows = named(trials[trials["work"] == work])
    table = rows.groupby(["application", "base"])[columns].median()
    order = [(title, base) for title in TITLES.values() for base in BASES]
    wanted = pd.MultiIndex.from_tuples(order, names=["application", "base"])
    return table.reindex(wanted[wanted.isin(table.index)])
