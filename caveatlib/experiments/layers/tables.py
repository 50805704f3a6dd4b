"""What the trials of `layers` show: tables and figures."""

from __future__ import annotations

import numpy as np
import pandas as pd

from caveatlib import plots, stats

FULL, MINIMAL, SCRATCH, REGISTRY = "app-full", "app-minimal", "app-scratch", "registry"
IMAGES = {FULL: "full Debian", MINIMAL: "minimal Debian", SCRATCH: "scratch"}
LINKS = {"unshaped": 0.0, "1 Gbit/s": 1e9, "100 Mbit/s": 1e8}
MOVES = {
    "pull": "image, most in one layer",
    "pull-even": "image, eight even layers",
    "pull-base-there": "image, base layer there",
    "disk": "disk as it is",
    "disk-gzip": "disk, gzipped",
}
GB = 1e9

_KEYS = ["machine", "source", "run", "session", "design", "block", "place"]
_ARM = ["work", "link_bit_per_s", "replicate"]
_MEASURED = ["slope_s_per_gb", "byte_share", "total_s", "total_bytes"]


def moves(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what moving took, one row per session, way and link.

    Returns
    -------
    pandas.DataFrame
        `slope_s_per_gb`: seconds per 1e9 bytes of files, least squares over
        the sizes, so that what each move costs whatever its size (a request, a
        disk's journal) is not in it; `byte_share`: share of the time of the
        largest that grows with its bytes, by the same line; `total_s` and
        `total_bytes`: over all sizes together; `ok` if every size was moved,
        else the four are empty.
    """
    rows = trials[trials["design"] == "moving"]
    sizes = rows["content_bytes"].nunique()
    found = []
    for key, group in rows.groupby([*_KEYS, *_ARM], sort=True):
        row = dict(zip([*_KEYS, *_ARM], key, strict=True))
        whole = bool(group["ok"].all()) and len(group) == sizes and sizes > 1
        row |= {"ok": whole} | dict.fromkeys(_MEASURED, np.nan)
        if whole:
            gb = group["content_bytes"] / GB
            slope, fixed = np.polyfit(gb, group["moved_s"], 1)
            grows = slope * gb.max()
            row |= {"slope_s_per_gb": slope, "byte_share": min(1.0, grows / (fixed + grows))}
            row |= {"total_s": group["moved_s"].sum(), "total_bytes": group["moved_bytes"].sum()}
        found.append(row)
    return pd.DataFrame(found, columns=["ok", *_KEYS, *_ARM, *_MEASURED])


def summarize(trials: pd.DataFrame) -> pd.DataFrame:
    """Summarise what moving took, one row per way and link, sessions replicated.

    Returns
    -------
    pandas.DataFrame
        n sessions, failed; medians with intervals of what `moves` returns.
    """
    rows = moves(trials)
    rows = rows[rows["replicate"] == 0]
    named = rows.assign(
        link=rows["link_bit_per_s"].map({rate: name for name, rate in LINKS.items()}),
        moved=rows["work"].map(MOVES),
    )
    table = stats.summarize(named, _MEASURED, by=["moved", "link"], unit="session")
    order = {name: number for number, name in enumerate((*MOVES.values(), *LINKS))}
    table = table.drop(columns=[c for c in table if c.endswith(("_p10", "_p90", "_p99"))])
    return table.sort_index(key=lambda level: level.map(lambda x: order.get(x, x)))


def contents(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each image holds: counts, bytes and shares, one column per image."""
    rows = trials[(trials["work"] == "contents") & trials["ok"]]
    columns = ["size_bytes", "files", "executables", "setuid_files", "shells"]
    columns += ["package_managers", "interpreters", "packages", "owned_share"]
    columns += ["extras_share", "olives"]
    table = rows.groupby("place")[columns].median()
    return table.reindex([p for p in IMAGES if p in table.index]).rename(IMAGES).T


def opened(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each image's application opened, medians of the sessions, per image."""
    rows = trials[(trials["work"] == "opened") & trials["ok"]]
    columns = ["opened_files", "opened_bytes", "opened_file_share", "opened_byte_share"]
    columns += ["opened_others", "served"]
    table = rows.groupby("place")[columns].median()
    return table.reindex([p for p in IMAGES if p in table.index]).rename(IMAGES)


def plot(trials: pd.DataFrame, ax=None):
    """Draw the seconds of a pull over the size of the files, one line per link and start."""
    shown = trials[(trials["design"] == "moving") & (trials["replicate"] == 0) & trials["ok"]]
    shown = shown[shown["work"].isin(["pull", "pull-base-there"])]
    link = shown["link_bit_per_s"].map({rate: name for name, rate in LINKS.items()})
    shown = shown.assign(
        size_mb=shown["content_bytes"] / 1e6, way=link + ", " + shown["work"].map(_SHORT)
    )
    order = [f"{name}, {way}" for name in reversed(LINKS) for way in _SHORT.values()]
    shown = shown.sort_values("way", key=lambda c: c.map(order.index), kind="stable")
    return plots.lines(
        shown,
        "size_mb",
        "moved_s",
        by="way",
        unit="s",
        xlabel="files in the image (MB)",
        ylabel="time to pull",
        ax=ax,
    )


_SHORT = {"pull": "nothing there", "pull-base-there": "base there"}


def plot_opened(trials: pd.DataFrame, ax=None):
    """Draw each image's bytes: in files that were opened, and in those never opened."""
    rows = trials[(trials["work"] == "opened") & trials["ok"]]
    table = rows.groupby("place")[["opened_bytes", "opened_byte_share"]].median()
    table = table.reindex([p for p in IMAGES if p in table.index]).rename(IMAGES)
    never = table["opened_bytes"] * (1 / table["opened_byte_share"] - 1)
    parts = pd.DataFrame({"opened": table["opened_bytes"], "never opened": never})
    return plots.stacked(parts, unit="B", label="bytes in the files of the image", ax=ax)
