"""Tables of `storage`: drivers beside overlay2 on ext4, and which is best at what."""

from __future__ import annotations

import math
from itertools import chain

import numpy as np
import pandas as pd

from caveatlib import stats
from caveatlib.experiments.kit.tables import per_machine
from caveatlib.experiments.storage import designs
from caveatlib.experiments.storage.schema import LARGE

NAMES = {
    designs.EXT4: "overlay2 on ext4",
    designs.XFS: "overlay2 on XFS with reflinks",
    designs.COPYING: "overlay2 on XFS without reflinks",
    designs.BTRFS: "btrfs",
    designs.FUSE: "fuse-overlayfs",
    designs.VFS: "vfs",
    designs.VOLUME: "a volume",
}
AGAIN = f"{NAMES[designs.EXT4]}, again"
BASE = NAMES[designs.EXT4]
OPERATIONS = {
    "first_output_s": "first start",
    "first_write_1_s": "first write, 1 MB",
    "first_write_10_s": "first write, 10 MB",
    LARGE: "first write, 100 MB",
    "create_files_s": "5,000 creates",
    "stat_files_s": "5,000 stats",
    "unlink_files_s": "5,000 removals",
    "files_s": "small files in all",
    "write_s": "new file, 100 MB",
    "read_s": "read it, cold",
    "space_bytes": "room of ten",
}
LEVEL = 0.95
_BLOCK = ["run", "design", "block"]


def named(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that succeeded with their driver in words."""
    rows = trials[trials["ok"]]
    return rows.assign(driver=rows["place"].map(NAMES).where(rows["replicate"] == 0, AGAIN))


def _over_ext4(here: pd.DataFrame) -> pd.DataFrame:
    """Return the operations of each trial over those of overlay2 on ext4 in its block."""
    columns = list(OPERATIONS)
    rows = named(here).set_index(_BLOCK)
    base = rows.loc[rows["driver"] == BASE, columns]
    over = rows[columns].astype(float) / base.reindex(rows.index).to_numpy(dtype=float)
    return over.assign(driver=rows["driver"])


def ratios(here: pd.DataFrame) -> pd.DataFrame:
    """Return, of one machine, each driver's median ratio to overlay2 on ext4 in the same block.

    Returns
    -------
    pandas.DataFrame
        Indexed by driver in the order of `NAMES`, a column per operation; empty where it was
        not measured.
    """
    table = _over_ext4(here).groupby("driver").median()
    order = [name for name in (BASE, AGAIN, *list(NAMES.values())[1:]) if name in table.index]
    return table.loc[order].rename(columns=OPERATIONS).rename_axis(columns=None)


@per_machine
def relative(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each operation takes of overlay2 on ext4, a row per driver; see `ratios`."""
    return ratios(trials)


@per_machine
def extremes(trials: pd.DataFrame) -> pd.DataFrame:
    """Return for each operation the driver that takes least, and the one that takes most.

    By their ratios to overlay2 on ext4; volumes, what is measured twice and drivers with too few
    blocks for an interval are left out.

    Returns
    -------
    pandas.DataFrame
        Columns `column`, `operation`, `base` (the median of overlay2 on ext4, in s or B), `least`
        and `most` (drivers, with those whose intervals hold their estimates), `least_ratio` and
        `most_ratio` (to overlay2 on ext4), the `ratio` of the one to the other, and `differ`:
        whether their intervals are farther apart than that of overlay2 on ext4 against itself
        reaches.
    """
    medians = trials[stats.match(trials, designs.where(designs.EXT4))].median(numeric_only=True)
    drivers = dict(iter(_over_ext4(trials).groupby("driver")))
    found = []
    for column, words in OPERATIONS.items():
        effects = {name: _effect(rows[column]) for name, rows in drivers.items()}
        control = effects.pop(AGAIN, None)
        compared = {name: e for name, e in effects.items() if e and name != NAMES[designs.VOLUME]}
        if control and len(compared) > 1:
            least, most = (
                pick(compared, key=lambda name: compared[name][0]) for pick in (min, max)
            )
            (lower, _, high), (upper, low, _) = compared[least], compared[most]
            differ = low - high > max(control[2], -control[1])
            alike = (_alike(compared, driver) for driver in (least, most))
            ends = chain(*zip(alike, (math.exp(lower), math.exp(upper)), strict=True))
            size = math.exp(upper - lower)
            found.append((column, words, medians[column], *ends, size, differ))
    names = ["least", "least_ratio", "most", "most_ratio", "ratio", "differ"]
    return pd.DataFrame(found, columns=["column", "operation", "base", *names])


def _alike(effects: dict[str, tuple[float, float, float]], driver: str) -> str:
    """Return a driver, and those whose intervals hold its estimate, joined."""
    estimate, _, _ = effects[driver]
    others = [d for d, (_, low, high) in effects.items() if low <= estimate <= high]
    return " or ".join(dict.fromkeys([driver, *others]))


def _effect(ratios: pd.Series) -> tuple[float, float, float] | None:
    """Return the log of a ratio with its interval; None for too few, or one that is none."""
    values = ratios.dropna().to_numpy(dtype=float)
    if len(values) < stats.MIN_PAIRS or not (np.isfinite(values) & (values > 0)).all():
        return None
    estimate, low, high = stats.hodges_lehmann(np.log(values), LEVEL)
    return float(estimate), float(low), float(high)


def steps(first_writes: pd.DataFrame) -> pd.DataFrame:
    """Return medians of opening, writing and fsync of first writes, by driver and file."""
    rows = first_writes[first_writes["replicate"] == 0]
    rows = rows.assign(driver=rows["place"].map(NAMES))
    return rows.groupby(["driver", "file_bytes"])[["open_s", "write_s", "fsync_s"]].median()
