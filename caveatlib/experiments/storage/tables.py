"""Tables of `storage`: drivers beside overlay2 on ext4, and which is best at what."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.kit.tables import per_machine
from caveatlib.experiments.storage import designs
from caveatlib.experiments.storage.schema import LARGE

NAMES = {
    designs.EXT4: "overlay2 on ext4",
    designs.XFS: "overlay2 on XFS with reflinks",
    designs.COPYING: "overlay2 on XFS without",
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
    "write_s": "new file, 100 MB",
    "read_s": "read it, cold",
    "space_bytes": "room of ten",
}
_KEY = ["run", "design", "block"]


def named(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that succeeded with their driver in words."""
    rows = trials[trials["ok"]]
    return rows.assign(driver=rows["place"].map(NAMES).where(rows["replicate"] == 0, AGAIN))


def ratios(here: pd.DataFrame) -> pd.DataFrame:
    """Return, of one machine, each driver's median ratio to overlay2 on ext4 in the same block.

    Returns
    -------
    pandas.DataFrame
        Indexed by driver in the order of `NAMES`, a column per operation; empty where it was
        not measured.
    """
    columns = list(OPERATIONS)
    rows = named(here).set_index(_KEY)
    base = rows.loc[rows["driver"] == BASE, columns]
    over = rows[columns].astype(float) / base.reindex(rows.index).to_numpy(dtype=float)
    table = over.assign(driver=rows["driver"]).groupby("driver").median()
    order = [name for name in (BASE, AGAIN, *list(NAMES.values())[1:]) if name in table.index]
    return table.loc[order].rename(columns=OPERATIONS).rename_axis(columns=None)


@per_machine
def relative(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each operation takes of overlay2 on ext4, a row per driver; see `ratios`."""
    return ratios(trials)


@per_machine
def extremes(trials: pd.DataFrame) -> pd.DataFrame:
    """Return for each operation the driver that takes least, and the one that takes most.

    Volumes and what is measured twice are left out.

    Returns
    -------
    pandas.DataFrame
        Columns `operation`, `least` and `most` (drivers), `least_value` and `most_value` (medians
        in s or B), `ratio`.
    """
    rows = named(trials)
    rows = rows[~rows["driver"].isin([AGAIN, NAMES[designs.VOLUME]])]
    medians = rows.groupby("driver")[list(OPERATIONS)].median()
    found = []
    for column, words in OPERATIONS.items():
        values = medians[column].dropna()
        if len(values) > 1:
            least, most = values.idxmin(), values.idxmax()
            ratio = values[most] / values[least] if values[least] else float("inf")
            found.append((words, least, values[least], most, values[most], ratio))
    columns = ["operation", "least", "least_value", "most", "most_value", "ratio"]
    return pd.DataFrame(found, columns=columns)


def steps(first_writes: pd.DataFrame) -> pd.DataFrame:
    """Return medians of opening, writing and fsync of first writes, by driver and file."""
    rows = first_writes[first_writes["replicate"] == 0]
    rows = rows.assign(driver=rows["place"].map(NAMES))
    return rows.groupby(["driver", "file_bytes"])[["open_s", "write_s", "fsync_s"]].median()
