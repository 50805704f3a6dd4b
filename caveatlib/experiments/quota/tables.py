"""Tables of `quota`: what the trials of one machine show, frame in, frame out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from caveatlib import stats
from caveatlib.experiments.kit.tables import per_machine
from caveatlib.experiments.quota.schema import CONDITIONS, UNLIMITED
from caveatlib.support.quantities import percent


def loads(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of loads alone, with an `arm` that names their conditions.

    Without those that sweep the size of bursts.
    """
    shown = trials[~trials["pattern"].isin(("tool", "weights")) & (trials["burst"] == "")]
    told = shown[["place", "pattern", "load", "quota_cpus", "period_s", "workers"]]
    return shown.assign(arm=[_label(row) for row in told.to_dict("records")])


def _label(row: dict) -> str:
    load = "" if row["pattern"] == "full" else f" at {percent(row['load'])}"
    limit = f"{row['quota_cpus']:g} CPU per {row['period_s'] * 1e3:g} ms"
    if row["pattern"] == UNLIMITED:
        load, limit = f"{load} of {row['quota_cpus']:g} CPU", "no limit"
    return f"{row['place']} {row['pattern']}{load}: {limit}, {row['workers']} workers"


@per_machine
def summarize(trials: pd.DataFrame) -> pd.DataFrame:
    """Summarise every arm of a load: used and throttled share, latencies, failures."""
    names = ["used_ratio", "throttled_share", "throttled_s", "p50_s", "p90_s"]
    return stats.summarize(loads(trials), names, by=["place", *CONDITIONS])


@per_machine
def arms(trials: pd.DataFrame) -> pd.DataFrame:
    """Summarise the arms that decide claims, one row each, named in words; as `summarize`."""
    rows = loads(trials)
    rows = rows[rows["design"].isin(["claims", "limit"]) & (rows["replicate"] == 0)]
    return stats.summarize(rows, ["used_ratio", "throttled_share", "p50_s", "p90_s"], by="arm")


@per_machine
def tools(trials: pd.DataFrame) -> pd.DataFrame:
    """Return how many CPUs each tool reports: one row per place, tool and version.

    Returns
    -------
    pandas.DataFrame
        `place`, `tool`, `tool_version`, `cores`, `quota_cpus`, `cpus_seen` and
        `sees_it`: whether it reports no more than the quota, rounded up to whole CPUs.
    """
    asked = (trials["pattern"] == "tool") & trials["ok"]
    names = ["place", "tool", "tool_version", "cores", "quota_cpus", "cpus_seen"]
    table = trials.loc[asked, names].drop_duplicates().sort_values(names, ignore_index=True)
    return table.assign(sees_it=table["cpus_seen"] <= np.ceil(table["quota_cpus"]))
