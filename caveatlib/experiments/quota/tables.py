"""Tables of `quota`: what the trials of one machine show, frame in, frame out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from caveatlib import stats
from caveatlib.experiments.kit.tables import per_machine
from caveatlib.experiments.quota.schema import BURSTS, CONDITIONS, UNLIMITED

LIMITED = {"design": "limit", "place": "cgroup", "pattern": "bursts"}
FREE = {"design": "limit", "place": "cgroup", "pattern": UNLIMITED, "replicate": 0}
WITH_OVER_WITHOUT = stats.Contrast("bursts with the limit over without", "p90_s", LIMITED, FREE)
FREE_AGAIN = stats.Contrast(
    "the same bursts again, without a limit", "p90_s", FREE | {"replicate": 1}, FREE
)


def sized(size: str, pattern: str, **conditions: object) -> dict:
    """Return the filter of the trials with bursts of a size, with a limit or without."""
    return {"design": "sizes", "place": "cgroup", "pattern": pattern, "burst": size} | conditions


def size_effect(size: str, **options) -> stats.Contrast:
    """Return the comparison of such bursts with the limit and without."""
    arms = sized(size, "bursts"), sized(size, UNLIMITED, replicate=0)
    return stats.Contrast(f"bursts of {size} budgets", "p90_s", *arms, **options)


def loads(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of loads alone, with an `arm` that names their conditions.

    Without those that sweep the size of bursts, see `sizes`.
    """
    shown = trials[~trials["pattern"].isin(("tool", "weights")) & (trials["burst"] == "")]
    return shown.assign(arm=[_label(row) for row in shown.to_dict("records")])


def _label(row: dict) -> str:
    load = "" if row["pattern"] == "full" else f" at {row['load'] * 100:.0f} %"
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
def limit_effect(trials: pd.DataFrame) -> pd.DataFrame:
    """Compare the p90 of the same bursts with the limit and without, and without it twice.

    Returns
    -------
    pandas.DataFrame
        As `stats.contrasts`, indexed by what is compared.
    """
    return stats.contrasts(trials, [WITH_OVER_WITHOUT, FREE_AGAIN]).set_index("name")


@per_machine
def sizes(trials: pd.DataFrame) -> pd.DataFrame:
    """Compare bursts by size: p90 of latency with the limit over without.

    Returns
    -------
    pandas.DataFrame
        Indexed by `burst`, the CPU time of a burst over what the quota allows in a period: blocks
        `n`; `throttled_share`, the median with the limit; the ratio with its plain interval.
    """
    rows = stats.jointly([(trials, size_effect(size)) for size in BURSTS])
    table = pd.DataFrame(rows)[["n", "estimate", "low", "high"]]
    here = [trials[trials["ok"] & stats.match(trials, sized(size, "bursts"))] for size in BURSTS]
    table.insert(1, "throttled_share", [part["throttled_share"].median() for part in here])
    return table.set_index(pd.Index(BURSTS, name="burst"))


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
