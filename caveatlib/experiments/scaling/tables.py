"""Tables of `scaling`: what so many replicas serve, and how soon clients know."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.kit.tables import per_machine
from caveatlib.experiments.scaling.designs import CURVE, DNS, ETCD, LIST
from caveatlib.experiments.scaling.fitting import named

WAYS = {LIST: "on a list", ETCD: "etcd, lease of", DNS: "DNS, asked every"}
SEEN = (
    "served_s", "lost_joining", "lost_s", "lost_leaving", "kept", "others_lost", "expiry_s",
    "dns_ttl_s",
)  # fmt: skip


def loaded(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of curves, with their work in words as `arm`."""
    rows = trials[trials["design"] == CURVE]
    return _with_arm(rows, map(named, rows["work"], rows["serial_share"]))


def found(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of newcomers, with the way in which they are found as `arm`.

    What the A/A control repeats is left out.
    Where requests were sent to one to the end of the watch, `lost_s` is empty: it was longer.
    """
    rows = trials[trials["found_by"].isin(list(WAYS)) & (trials["replicate"] == 0)]
    rows = rows.assign(lost_s=rows["lost_s"].where(rows["kept"] != 1))
    return _with_arm(rows, map(_way, rows["found_by"], rows["ttl_s"]))


def _way(found_by: str, ttl_s: int) -> str:
    return f"{WAYS[found_by]} {ttl_s} s" if ttl_s else WAYS[found_by]


def _with_arm(rows: pd.DataFrame, words) -> pd.DataFrame:
    return rows.assign(arm=pd.Series(list(words), index=rows.index, dtype=object))


@per_machine
def throughput(trials: pd.DataFrame) -> pd.DataFrame:
    """Return medians of throughput, latency and CPU time by work and number of replicas."""
    columns = ["throughput_per_s", "p50_s", "p99_s", "cpu_share"]
    rows = loaded(trials).drop(columns="work").rename(columns={"arm": "work"})
    return rows.groupby(["work", "replicas"])[columns].median()


@per_machine
def known(trials: pd.DataFrame) -> pd.DataFrame:
    """Return medians of what was seen of newcomers, by the way in which clients know of them."""
    return found(trials).groupby("arm")[list(SEEN)].median().rename_axis("found")
