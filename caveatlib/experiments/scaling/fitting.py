"""Laws of scaling, fitted to what was measured and never drawn beyond it.

Amdahl's law (1967) has a serial share s of the work: X(n) = a n / (1 + s (n - 1)). The universal
scalability law (Gunther 1993) adds k for what replicas have to agree on: a n / (1 + s (n - 1) +
k n (n - 1)). A queue for one lock has neither: it grows as a n until the lock is always held, and
then no more: min(a n, c), the asymptotes of a closed queueing network (Denning and Buzen 1978).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from caveatlib import stats
from caveatlib.experiments.kit.sentences import per_machine as told_per_machine
from caveatlib.experiments.kit.tables import per_machine
from caveatlib.experiments.scaling.designs import CURVE, percent

AMDAHL, UNIVERSAL, QUEUE = LAWS = ("Amdahl's law", "universal law", "queue")
LEAST = 4
"""Numbers of replicas that a law is fitted to, at least: it has three parameters at most."""
RESAMPLES = 400
FALLS = 0.95
"""A law has a peak whatever is measured; it is told if throughput falls so far after its most."""
_WORKS = {"lock": "under a lock", "barrier": "at a barrier"}
_COLUMNS = [
    "work", "law", "serial", "serial_low", "serial_high", "crosstalk", "crosstalk_low",
    "crosstalk_high", "ceiling_per_s", "peak_replicas", "off_share", "blocks",
]  # fmt: skip


class Fit(NamedTuple):
    """A law with its parameters; NaN where it has none.

    Attributes
    ----------
    one_per_s : float
        Throughput of one replica.
    serial, crosstalk : float
    ceiling_per_s : float
    """

    one_per_s: float
    serial: float = math.nan
    crosstalk: float = math.nan
    ceiling_per_s: float = math.nan

    def at(self, replicas: np.ndarray) -> np.ndarray:
        """Return the throughput of so many replicas."""
        linear = self.one_per_s * replicas
        if not math.isnan(self.ceiling_per_s):
            return np.minimum(linear, self.ceiling_per_s)
        serial, crosstalk = np.nan_to_num([self.serial, self.crosstalk])
        return linear / (1 + serial * (replicas - 1) + crosstalk * replicas * (replicas - 1))


def fit(law: str, replicas: np.ndarray, per_s: np.ndarray) -> Fit:
    """Return a law fitted by least squares of relative deviations.

    Parameters
    ----------
    law : str
        One of `LAWS`.
    replicas, per_s : numpy.ndarray
        Numbers of replicas from the least up, and the throughput of each.
    """
    if law == QUEUE:
        return _queue(replicas, per_s)
    from scipy.optimize import nnls

    # Each law is linear in n / X(n), and no parameter is below zero.
    terms = [np.ones(len(replicas)), replicas - 1, replicas * (replicas - 1)]
    design = np.column_stack(terms if law == UNIVERSAL else terms[:2]).astype(float)
    found, _ = nnls(design * (per_s / replicas)[:, None], np.ones(len(replicas)))
    first = max(found[0], 1e-12)
    return Fit(1 / first, *(found[1:] / first))


def _queue(replicas: np.ndarray, per_s: np.ndarray) -> Fit:
    fits = [Fit(_middle(per_s / replicas))]
    for knee in range(1, len(replicas) - 1):  # one number alone is not a ceiling
        rising, flat = per_s[:knee] / replicas[:knee], per_s[knee:]
        fits.append(Fit(_middle(rising), ceiling_per_s=_middle(flat)))
    return min(fits, key=lambda one: np.sum(np.log(one.at(replicas) / per_s) ** 2))


def _middle(values: np.ndarray) -> float:
    return float(np.exp(np.mean(np.log(values))))


def curves(here: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the curves of one machine: work in words -> throughput by block and replicas.

    Only whole blocks are in it.
    """
    rows = here[(here["design"] == CURVE) & here["ok"] & here["throughput_per_s"].notna()]
    found = {}
    for (work, share), part in rows.groupby(["work", "serial_share"], sort=True):
        table = part.pivot_table(
            index=["run", "session", "block"], columns="replicas", values="throughput_per_s"
        ).dropna()
        if len(table) and table.shape[1] >= LEAST:
            found[named(str(work), float(share))] = table
    return found


def named(work: str, share: float) -> str:
    """Return the work of an arm in words, ``"20 % under a lock"``."""
    return f"{percent(share)} {_WORKS[work]}" if share else "nothing serial"


@per_machine
def laws(trials: pd.DataFrame) -> pd.DataFrame:
    """Return each law fitted to each curve, with intervals by resampling blocks.

    Returns
    -------
    pandas.DataFrame
        `work`, `law`; `serial` and `crosstalk` with their 95 % intervals (empty with fewer than
        six blocks); `ceiling_per_s`; `peak_replicas` if throughput was seen to fall;
        `off_share`, the largest relative deviation from a measured median; `blocks`.
    """
    rows = [
        _row(work, law, table)
        for work, table in curves(trials).items()
        for law in LAWS
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=_COLUMNS)


def _row(work: str, law: str, table: pd.DataFrame) -> dict:
    replicas = table.columns.to_numpy(dtype=float)
    values = table.to_numpy()
    medians = np.median(values, axis=0)
    best = fit(law, replicas, medians)
    row = {"work": work, "law": law, "serial": best.serial, "crosstalk": best.crosstalk}
    row |= {"ceiling_per_s": best.ceiling_per_s, "blocks": len(table)}
    row["off_share"] = float(np.max(np.abs(best.at(replicas) / medians - 1)))
    if best.crosstalk > 0 and best.serial < 1 and medians[-1] < FALLS * medians.max():
        row["peak_replicas"] = math.sqrt((1 - best.serial) / best.crosstalk)
    if len(table) >= stats.MIN_PAIRS and law != QUEUE:
        rng = np.random.default_rng(0)
        chosen = rng.integers(len(values), size=(RESAMPLES, len(values)))
        again = [fit(law, replicas, np.median(values[some], axis=0)) for some in chosen]
        for name in ("serial", "crosstalk"):
            ends = np.quantile([getattr(one, name) for one in again], [0.025, 0.975])
            row[f"{name}_low"], row[f"{name}_high"] = map(float, ends)
    return row


def barrier_shares(here: pd.DataFrame) -> pd.DataFrame:
    """Return the serial share that Amdahl's law finds in each block of the curve of the barrier.

    Returns
    -------
    pandas.DataFrame
        One row per block: `stats.KEYS`, `work`, and `share`.
    """
    rows = here[(here["design"] == CURVE) & (here["work"] == "barrier") & here["ok"]]
    rows = rows[rows["throughput_per_s"].notna()].sort_values("replicas")
    found = []
    for _, block in rows.groupby(["run", "session", "block"], sort=True):
        if len(block) >= LEAST:
            numbers = block["replicas"].to_numpy(dtype=float)
            best = fit(AMDAHL, numbers, block["throughput_per_s"].to_numpy())
            found.append(block.iloc[0][[*stats.KEYS, "work"]].to_dict() | {"share": best.serial})
    table = pd.DataFrame(found, columns=[*stats.KEYS, "work", "share"])
    return table.astype({"ok": bool, "share": float})


@told_per_machine
def explains(trials: pd.DataFrame) -> str:
    """Say of each curve which law comes nearest to it, and how far the others are off."""
    said = []
    for work, rows in laws(trials).groupby("work", sort=False):
        ordered = rows.sort_values("off_share", kind="stable")
        words = [f"{row.law} by {row.off_share * 100:.2g} %" for row in ordered.itertuples()]
        said.append(f"{str(work)[0].upper()}{str(work)[1:]}: off at most, {', '.join(words)}.")
    return " ".join(said)
