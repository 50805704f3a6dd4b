"""Tables of `ports`: what the trials of one machine show, frame in, frame out."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from caveatlib import stats
from caveatlib.experiments.kit.tables import per_machine
from caveatlib.experiments.ports.designs import (
    AGAIN,
    HAIRPIN,
    HAIRPIN_AGAIN,
    PAIRED,
    PROXY,
    contrast,
)
from caveatlib.experiments.ports.site import PATHS

SETTINGS = {
    PROXY: "proxy",
    HAIRPIN: "no proxy",
    AGAIN: "proxy again",
    HAIRPIN_AGAIN: "no proxy again",
}
CLIENTS = {
    "host": "the host",
    "server": "the serving container itself",
    "neighbour": "a container on the same network",
    "stranger": "a container on another network",
    "outsider": "a machine outside",
}
TARGETS = {
    "127.0.0.1": "host's loopback, IPv4",
    "::1": "host's loopback, IPv6",
    "gateway": "host's, on the container's network",
    "outside": "host's, on its link to the outside",
    "container": "container's own",
}
_RATES = ["rate_bit_per_s", "rate_4_bit_per_s", "cpu_s_per_gb", "proxy_cpu_s_per_gb"]
_LATENCIES = ["round_trip_p50_s", "round_trip_p99_s", "connects_per_s"]
_FACTS = ["served_by", "source_class", "refusal"]
_PRICES = ["start_s", "stop_s", "processes", "pss_bytes", "rss_bytes"]


def paths() -> pd.DataFrame:
    """Return what each path is.

    Returns
    -------
    pandas.DataFrame
        Indexed by path, in the order of `site.PATHS`: ``client`` (who calls),
        ``address`` (which one is called), ``meaning``, ``published`` (whether its port is
        a published one), ``loaded`` (whether more is measured than whether it connects).
    """
    rows = {
        name: (CLIENTS[p.client], TARGETS[p.target], p.meaning, p.published, p.loaded)
        for name, p in PATHS.items()
    }
    columns = ["client", "address", "meaning", "published", "loaded"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("path")


@per_machine
def summarize(trials: pd.DataFrame) -> pd.DataFrame:
    """Summarise every path under every setting, sessions replicated.

    Returns
    -------
    pandas.DataFrame
        Indexed by path and place: n, failed; `served_by`, `source_class` and
        `refusal` (several are joined by "/"); per measure the median of the
        sessions' values with its interval, in the measure's unit. Round trips and
        connections are those of the design ``latency``, where it was measured.
    """
    rows = trials[trials["design"] == "paths"]
    table = _summed_up(rows, [*_RATES, *_LATENCIES])
    timed = _summed_up(trials[trials["design"] == "latency"], _LATENCIES)
    for column in timed.columns.drop(["n", "failed"]) if len(timed) else []:
        table[column] = timed[column].reindex(table.index)
    good = rows[rows["ok"]].groupby(["path", "place"])
    for column, fact in enumerate(_FACTS, start=2):
        found = good[fact].agg(joined).reindex(table.index)
        table.insert(column, fact, found.fillna("").astype(object))
    order = {name: number for number, name in enumerate((*PATHS, *SETTINGS))}
    return table.sort_index(key=lambda level: level.map(order))


def _summed_up(rows: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    table = stats.summarize(rows, measures, by=["path", "place"], unit="session")
    return table.drop(columns=[c for c in table if c.endswith(("_p10", "_p90", "_p99"))])


@per_machine
def reachability(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each path does under each setting, in words.

    Returns
    -------
    pandas.DataFrame
        Indexed by path, one column per setting: ``"proxy, sees gateway"``, or
        why it does not connect; empty where it was not tried.
    """
    rows = trials[(trials["design"] == "paths") & trials["ok"]]
    served = _text(rows["served_by"]) + ", sees " + _text(rows["source_class"])
    rows = rows.assign(words=served.where(rows["reachable"] == 1, _text(rows["refusal"])))
    found = rows.groupby(["path", "place"])["words"].agg(joined).to_dict()
    tried = [path for path in PATHS if path in set(rows["path"])]
    cells = {
        SETTINGS[place]: [found.get((path, place), "") for path in tried]
        for place in (PROXY, HAIRPIN)
    }
    return pd.DataFrame(cells, index=pd.Index(tried, name="path"), dtype=object)


def joined(values: Iterable[object], by: str = "/") -> str:
    """Return the different texts of a column, in order of the alphabet; empty ones left out."""
    return by.join(sorted({text for text in values if isinstance(text, str) and text}))


def _text(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), "")


@per_machine
def effects(trials: pd.DataFrame) -> pd.DataFrame:
    """Compare the CPU per byte path by path: without the proxy over with it.

    Returns
    -------
    pandas.DataFrame
        Indexed by path: sessions `n`, the ratio with its plain interval. Verdicts are
        drawn by adjusted ones, which are wider.
    """
    rows = stats.jointly([(trials, contrast(path, "cpu_s_per_gb")) for path in PAIRED])
    columns = ["n", "estimate", "low", "high"]
    return pd.DataFrame(rows).set_index("name")[columns].rename_axis("path")


@per_machine
def congestion(trials: pd.DataFrame, measure: str = "rate_bit_per_s") -> pd.DataFrame:
    """Return medians of a measure by path, algorithm and setting, where two algorithms were tried.

    The trials are those with one connection; where client, server and docker-proxy were pinned,
    a row says where.
    """
    rows = trials[trials["design"].isin(["paths", "congestion", "pinned"])]
    rows = rows[rows[measure].notna() & rows["place"].isin([PROXY, HAIRPIN])]
    rows = rows.assign(pinned=rows["placement"].where(rows["design"] == "pinned", ""))
    where = ["path", "pinned"]
    both = rows.groupby(where)["algorithm"].transform("nunique") > 1
    grouped = rows[both].groupby([*where, "algorithm", "place"])[measure].median()
    return grouped.unstack().reindex(columns=[PROXY, HAIRPIN]).rename(columns=SETTINGS)


@per_machine
def prices(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what published ports cost: medians by number of ports and setting."""
    rows = trials[(trials["design"] == "many-ports") & trials["ok"]]
    return rows.groupby(["published", "place"])[_PRICES].median()
