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
    FULL,
    LINKS,
    MINIMAL,
    WORKLOAD,
    where,
)
from caveatlib.experiments.kit.tables import per_machine

_HELD = ["visible_bytes", "files", *COUNTED, "interpreters", "owned_share", "extras_share"]
_OPENED = ["opened_files", "opened_file_share", "opened_bytes", "opened_byte_share"]
_OPENED += ["opened_executables", "opened_executable_share", "answered"]
_SPREAD = ("visible_bytes", *OPENED, *COUNTED, "owned_share")
_OVER = {"median": pd.Series.median, "least": pd.Series.min, "most": pd.Series.max}
SHORT = {FULL: "full", MINIMAL: "minimal"}
"""Base -> its name in the head of a column."""


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
    """Return what each application opened under its workload: a row per application and base.

    Medians of the sessions; of the shares that claims are about, also the least and the most of
    them in ``..._low`` and ``..._high``.
    """
    table = _medians(trials, WORKLOAD, _OPENED)
    for column in OPENED:
        grouped = _grouped(trials, WORKLOAD)[column]
        ends = {"low": grouped.min(), "high": grouped.max()}
        table = table.assign(**{f"{column}_{end}": values for end, values in ends.items()})
    return table


@per_machine
def beside(trials: pd.DataFrame, *measures: str) -> pd.DataFrame:
    """Return measures of each application on the full Debian beside those on the minimal one.

    Parameters
    ----------
    trials : pandas.DataFrame
    *measures : str
        Of what an image holds or of what is opened of it; default those that claims are about.

    Returns
    -------
    pandas.DataFrame
        A row per application, a column for each measure and base, ``full: packages``, where
        something was measured: medians of the sessions.
    """
    columns = {}
    for measure in measures or _SPREAD:
        for base, short in SHORT.items():
            values = facts.by_application(trials, Reading(where(_work(measure), base), measure))
            if len(values):
                columns[f"{short}: {measure}"] = values.rename(index=TITLES)
    titles = [t for t in TITLES.values() if any(t in values.index for values in columns.values())]
    return pd.DataFrame(columns, index=pd.Index(titles, name="application"))


@per_machine
def deployed(trials: pd.DataFrame) -> pd.DataFrame:
    """Return how long each application takes to deploy over each link, and full over minimal."""
    rows = named(trials[(trials["work"] == DEPLOYMENT) & (trials["replicate"] == 0)])
    medians = rows.groupby(["application", "link", "base"])["deployed_s"].median()
    columns = {}
    for link in LINKS:
        took = {base: _at(medians, link, base) for base in BASES}
        took = {base: values for base, values in took.items() if len(values)}
        columns |= {f"{link}, {SHORT[base]}_s": values for base, values in took.items()}
        if len(took) == len(BASES):
            columns[f"{link}, ratio"] = took[FULL] / took[MINIMAL]
    titles = [title for title in TITLES.values() if title in set(rows["application"])]
    return pd.DataFrame(columns, index=pd.Index(titles, name="application"))


@per_machine
def spread(trials: pd.DataFrame) -> pd.DataFrame:
    """Return how each measure is spread over applications: three rows per base.

    Returns
    -------
    pandas.DataFrame
        Indexed by `base` and `applications`: of them the median, the least and the most.
    """
    rows = []
    for base in BASES:
        found = {
            measure: facts.by_application(trials, Reading(where(_work(measure), base), measure))
            for measure in _SPREAD
        }
        found = {measure: values for measure, values in found.items() if len(values)}
        for name, of in _OVER.items() if found else ():
            values = {measure: of(values) for measure, values in found.items()}
            rows.append({"base": base, "applications": name} | values)
    columns = ["base", "applications", *_SPREAD]
    return pd.DataFrame(rows, columns=columns).set_index(["base", "applications"])


def _work(measure: str) -> str:
    """Return the kind of work that a measure is of."""
    return WORKLOAD if measure.startswith("opened") or measure == "answered" else CONTENTS


def _at(medians: pd.Series, link: str, base: str) -> pd.Series:
    levels = medians.index.get_level_values
    return medians[(levels("link") == link) & (levels("base") == base)].droplevel(["link", "base"])


def _grouped(trials: pd.DataFrame, work: str):
    return named(trials[trials["work"] == work]).groupby(["application", "base"])


def _medians(trials: pd.DataFrame, work: str, columns: list[str]) -> pd.DataFrame:
    table = _grouped(trials, work)[columns].median()
    order = [(title, base) for title in TITLES.values() for base in BASES]
    wanted = pd.MultiIndex.from_tuples(order, names=["application", "base"])
    return table.reindex(wanted[wanted.isin(table.index)])
