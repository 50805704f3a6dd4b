"""Tables of `kernel`: what became of neighbours, frame in, frame out."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.kernel.claims import HAPPENS
from caveatlib.experiments.kernel.schema import NEIGHBOURS
from caveatlib.experiments.kit.tables import per_machine

ARRANGEMENTS = {
    ("one-guest", 0): "one kernel",
    ("one-guest", 1): "one kernel, limits",
    ("gvisor", 0): "gVisor sandboxes",
    ("four-guests", 0): "a kernel each",
}
"""Place and whether there are limits -> words, from the most shared to the least."""
FAULTS = {fault: f"one {words}" for fault, words in HAPPENS.items()}
FATES = ("unharmed", "harmed", "ended")


def fates(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each good trial's neighbours that were unharmed, were harmed, and ended.

    Returns
    -------
    pandas.DataFrame
        One row per trial: `fault` and `arrangement` in words, then counts as `FATES`.
    """
    good = rows[rows["ok"] & rows["survivors"].notna() & rows["harmed"].notna()]
    keys = zip(good["place"], good["limited"], strict=True)
    arrangement = [ARRANGEMENTS.get(key, "") for key in keys]
    return pd.DataFrame(
        {
            "fault": good["fault"].map(FAULTS),
            "arrangement": pd.Series(arrangement, index=good.index, dtype=object),
            "unharmed": good["survivors"] - good["harmed"],
            "harmed": good["harmed"],
            "ended": NEIGHBOURS - good["survivors"],
        }
    )


@per_machine
def crossed(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what became of all neighbours together, by fault and arrangement.

    Returns
    -------
    pandas.DataFrame
        Indexed by fault and arrangement, those that were measured: `trials`, then how many
        neighbours were unharmed, were harmed but went on, and ended.
    """
    groups = fates(trials).groupby(["fault", "arrangement"])
    table = groups[list(FATES)].sum().astype(int)
    table.insert(0, "trials", groups.size().astype(int))
    order = pd.MultiIndex.from_product([FAULTS.values(), ARRANGEMENTS.values()])
    return table.reindex([key for key in order if key in table.index])


DETAILS = (
    "last_beat_s",
    "longest_gap_s",
    "failed_forks",
    "failed_writes",
    "clock_step_s",
    "tasks",
    "ready_s",
    "host_gap_s",
)


@per_machine
def details(trials: pd.DataFrame) -> pd.DataFrame:
    """Return medians of what harm there was, and of the host's own longest gap, by arm."""
    good = trials[trials["ok"]]
    return good.groupby(["fault", "place", "limited"])[list(DETAILS)].median()
