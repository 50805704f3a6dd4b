"""Tables of `layers`: what the trials of one machine show, frame in, frame out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from caveatlib import stats
from caveatlib.experiments.kit.tables import per_machine
from caveatlib.experiments.layers.designs import FULL, LINKS, MINIMAL, SCRATCH, SYSTEMS
from caveatlib.experiments.layers.workloads import PUBLISHED

IMAGES = {FULL: "full Debian", MINIMAL: "minimal Debian", SCRATCH: "scratch"}
MOVED = {
    "pull": "image, one big layer",
    "pull-even": "image, even layers",
    "pull-base-there": "image, base layer there",
    "disk": "disk, not packed",
    "disk-gzip": "disk, gzipped",
    "disk-base-there": "disk, base there",
}
GB = 1e9

_KEYS = ["machine", "source", "run", "session", "design", "block", "place"]
_WAY = ["work", "link_bit_per_s", "replicate"]
_MEASURED = ["slope_s_per_gb", "byte_share", "total_s", "total_bytes"]
_COUNTED = ["size_bytes", "files", "executables", "setuid_files", "shells", "package_managers"]
_COUNTED += ["interpreters", "packages", "owned_share", "extras_share", "olives"]
_OPENED = ["opened_files", "opened_bytes", "opened_file_share", "opened_byte_share"]
_OPENED += ["opened_others", "served"]


def way(work: str, rate_bit_per_s: float, replicate: int = 0) -> dict:
    """Return the filter of one way to move over one link, in the trials and in `moves`."""
    return {"work": work, "link_bit_per_s": rate_bit_per_s, "replicate": replicate}


def moves(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what moving took, one row per session, way and link, of any number of machines.

    Returns
    -------
    pandas.DataFrame
        `slope_s_per_gb`: seconds per 1e9 bytes of files, least squares over
        the sizes, so that fixed costs (a request, a disk's journal) are not in
        it; `byte_share`: share of the time of the largest size that grows with
        its bytes, by the same line; `total_s` and `total_bytes`: all sizes
        together; `ok` if every size was moved, and the slope is above 0, else the four are
        empty: a line that falls, as one slow small move can make it, has no price per byte.
    """
    rows = trials[trials["design"] == "moving"]
    gb, seconds = rows["content_bytes"] / GB, rows["moved_s"]
    sums = rows.assign(gb=gb, gb_gb=gb**2, gb_s=gb * seconds).groupby([*_KEYS, *_WAY])
    mean = sums[["gb", "moved_s", "gb_gb", "gb_s"]].mean()
    slope = (mean["gb_s"] - mean["gb"] * mean["moved_s"]) / (mean["gb_gb"] - mean["gb"] ** 2)
    fixed, grows = mean["moved_s"] - slope * mean["gb"], slope * sums["gb"].max()
    table = pd.DataFrame(
        {
            "slope_s_per_gb": slope,
            "byte_share": (grows / (fixed + grows)).clip(upper=1.0),
            "total_s": sums["moved_s"].sum(min_count=1),
            "total_bytes": sums["moved_bytes"].sum(min_count=1),
            "ok": sums["ok"].all().astype(bool),
            "sizes": sums["content_bytes"].nunique(),
        }
    ).reset_index()
    wanted = table["machine"].map(rows.groupby("machine")["content_bytes"].nunique())
    table["ok"] &= (table["sizes"] == wanted) & (wanted > 1) & (slope.to_numpy() > 0)
    table.loc[~table["ok"], _MEASURED] = np.nan
    return table[["ok", *_KEYS, *_WAY, *_MEASURED]]


@per_machine
def summarize(trials: pd.DataFrame) -> pd.DataFrame:
    """Summarise what moving took, one row per way and link.

    Returns
    -------
    pandas.DataFrame
        n sessions, failed; medians with intervals of what `moves` returns.
    """
    rows = moves(trials)
    rows = rows[rows["replicate"] == 0]
    named = rows.assign(link=named_links(rows), moved=rows["work"].map(MOVED))
    table = stats.summarize(named, _MEASURED, by=["moved", "link"], unit="session")
    order = {name: number for number, name in enumerate((*MOVED.values(), *LINKS))}
    table = table.drop(columns=[c for c in table if c.endswith(("_p10", "_p90", "_p99"))])
    return table.sort_index(key=lambda level: level.map(order.get))


@per_machine
def prices(trials: pd.DataFrame) -> pd.DataFrame:
    """Return median seconds per 1e9 bytes of files, a row per link, a column per way."""
    return slopes(moves(trials))


def slopes(rows: pd.DataFrame) -> pd.DataFrame:
    """Return `prices` from what `moves` returned for one machine."""
    rows = rows[rows["ok"] & (rows["replicate"] == 0)]
    medians = rows.groupby([named_links(rows), "work"])["slope_s_per_gb"].median().unstack()
    return medians.reindex([link for link in LINKS if link in medians.index])


@per_machine
def systems(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what it takes to move and to keep published machines, and images of the same.

    Returns
    -------
    pandas.DataFrame
        Indexed by distribution and what is moved: `n`, medians of `moved_bytes` and
        `stored_bytes`, and of the seconds over each link, a column for each.
    """
    rows = trials[(trials["design"] == "published") & trials["ok"]]
    rows = rows.assign(
        distribution=rows["place"].map(SYSTEMS), moved=rows["work"].map(PUBLISHED).astype(object)
    )
    keys = ["distribution", "moved"]
    table = rows.groupby(keys)[["moved_bytes", "stored_bytes"]].median()
    table.insert(0, "n", rows.groupby(keys).size())
    for link, rate in LINKS.items():
        seconds = rows[rows["link_bit_per_s"] == rate].groupby(keys)["moved_s"].median()
        table[f"moved_s, {link}"] = seconds.reindex(table.index)
    return table


@per_machine
def contents(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each image holds: counts, bytes and shares, one column per image."""
    return _by_image(trials, "contents", _COUNTED).T


@per_machine
def opened(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each image's application opened, medians of the sessions, per image."""
    return _by_image(trials, "opened", _OPENED)


def named_links(rows: pd.DataFrame) -> pd.Series:
    """Return the name of each row's link, a column `link`."""
    names = {rate: link for link, rate in LINKS.items()}
    return rows["link_bit_per_s"].map(names).astype(object).rename("link")


def _by_image(trials: pd.DataFrame, work: str, columns: list[str]) -> pd.DataFrame:
    """Return the medians of one kind of work, the largest image first."""
    rows = trials[(trials["work"] == work) & trials["ok"]]
    table = rows.groupby("place")[columns].median()
    return table.reindex([place for place in IMAGES if place in table.index]).rename(IMAGES)
