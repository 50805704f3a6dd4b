"""The statistics where the truth is known: simulated machines, the code that judges real ones.

Nothing here measures. A machine is a model of its noise; arms have a true ratio; what the
statistics say of it is counted over many simulated runs. The seeds are fixed, so every
figure repeats exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from caveatlib import claims, stats

RUNS = 2000
"""Simulated runs behind each share: one of 5 % is known to about a point."""
JUDGED = 60
"""Simulated runs that are judged in full, for each truth."""
PAIRS = 15
TRUTH = 1.2
TRUTHS = (0.8, 0.9, 1.0, 1.1, 1.2, 1.5)
SIZES = (8, 15, 30)
BASE_S = 0.02
TICK_S = 0.001
ALONE, IN_BLOCKS = "one after the other", "in randomised blocks"


class Noise(NamedTuple):
    """A machine's noise: factors on the true time, drawn for runs by trials in time order.

    Attributes
    ----------
    about : str
    draw : callable
        ``draw(rng, shape)`` -> factors of that shape.
    """

    about: str
    draw: Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def _steady(rng, shape):
    return np.exp(rng.normal(0, 0.08, shape))


def _drifting(rng, shape):
    return _steady(rng, shape) * np.exp(np.linspace(0, 0.2, shape[1]))


def _remembering(rng, shape):
    steps = rng.normal(0, 0.10 * np.sqrt(1 - 0.95**2), shape)
    log = np.empty(shape)
    log[:, 0] = rng.normal(0, 0.10, shape[0])
    for i in range(1, shape[1]):
        log[:, i] = 0.95 * log[:, i - 1] + steps[:, i]
    return np.exp(log + rng.normal(0, 0.03, shape))


def _two_paths(rng, shape):
    return np.exp(rng.normal(0, 0.05, shape)) * np.where(rng.random(shape) < 0.3, 1.5, 1.0)


def _outliers(rng, shape):
    far = np.where(rng.random(shape) < 0.05, rng.uniform(3, 10, shape), 1.0)
    return np.exp(rng.normal(0, 0.05, shape)) * far


NOISES = {
    "steady": Noise("8 % from trial to trial", _steady),
    "drifting": Noise("the same, and 22 % slower by the end, as if it warmed up", _drifting),
    "remembering": Noise("slow spells: each trial resembles the one before it", _remembering),
    "two paths": Noise("a slow path, 1.5 times as long, in 30 % of the trials", _two_paths),
    "outliers": Noise("5 % of the trials take 3 to 10 times as long", _outliers),
}


def noises() -> pd.DataFrame:
    """Return what each simulated machine is like, indexed by its name."""
    about = {name: noise.about for name, noise in NOISES.items()}
    return pd.DataFrame({"noise": about}).rename_axis("machine")


def measured(
    noise: str, order: str, *, ratio: float = 1.0, pairs: int = PAIRS, runs: int = 1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulate runs of two arms on a noisy machine.

    Parameters
    ----------
    noise : str
        One of `NOISES`.
    order : {ALONE, IN_BLOCKS}
        All trials of A and then all of B, or both in each block in random order.
    ratio : float
        True ratio of B to A.
    pairs, runs, seed : int

    Returns
    -------
    a, b : numpy.ndarray
        Seconds, shape (runs, pairs).
    first : numpy.ndarray of bool
        Whether A came first in the block, shape (runs, pairs); all true for `ALONE`.
    """
    rng = np.random.default_rng([seed, pairs, list(NOISES).index(noise)])
    factors = NOISES[noise].draw(rng, (runs, 2 * pairs)) * BASE_S
    if order == ALONE:
        return factors[:, :pairs], factors[:, pairs:] * ratio, np.ones((runs, pairs), dtype=bool)
    blocks = factors.reshape(runs, pairs, 2)
    first = rng.random((runs, pairs)) < 0.5
    a = np.where(first, blocks[..., 0], blocks[..., 1])
    b = np.where(first, blocks[..., 1], blocks[..., 0])
    return a, b * ratio, first


def trace(*, noise: str = "drifting", pairs: int = PAIRS, seed: int = 3) -> pd.DataFrame:
    """Return one run of two equal arms in either order, on the same machine at the same times.

    Returns
    -------
    pandas.DataFrame
        One row per trial: ``order``, ``at`` (its number in time), ``arm``, ``took_s``.
    """
    rows = []
    for order in (ALONE, IN_BLOCKS):
        a, b, first = (x[0] for x in measured(noise, order, pairs=pairs, seed=seed))
        number = np.arange(pairs)
        if order == ALONE:
            at = {"A": number, "B": pairs + number}
        else:
            at = {"A": 2 * number + ~first, "B": 2 * number + first}
        for arm, values in (("A", a), ("B", b)):
            rows.append(pd.DataFrame({"order": order, "at": at[arm], "arm": arm, "took_s": values}))
    return pd.concat(rows, ignore_index=True)


def ratio_of(rows: pd.DataFrame) -> tuple[float, float, float]:
    """Return the ratio of B to A of one order of a `trace`, with its 95 % interval."""
    arms = {arm: part.sort_values("at")["took_s"].to_numpy() for arm, part in rows.groupby("arm")}
    found = stats.hodges_lehmann(np.log(arms["B"]) - np.log(arms["A"]))
    return tuple(float(np.exp(value)) for value in found)  # type: ignore[return-value]


def false_findings(*, pairs: int = PAIRS, runs: int = RUNS) -> pd.DataFrame:
    """Return how often two equal arms are found to differ at 5 %, by machine and order.

    Returns
    -------
    pandas.DataFrame
        Indexed by machine, a column per order, as shares.
    """
    rows = {
        noise: {
            f"{order}_share": _found(noise, order, 1.0, pairs, runs).mean()
            for order in (ALONE, IN_BLOCKS)
        }
        for noise in NOISES
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("machine")


def coverage(*, sizes: Sequence[int] = SIZES, runs: int = RUNS) -> pd.DataFrame:
    """Return how often the 95 % interval holds the true ratio of 1.2, by machine and pairs."""
    rows = {}
    for noise in NOISES:
        rows[noise] = {}
        for pairs in sizes:
            _, low, high = stats.hodges_lehmann(_effects(noise, IN_BLOCKS, TRUTH, pairs, runs))
            inside = (low <= np.log(TRUTH)) & (np.log(TRUTH) <= high)
            rows[noise][f"{pairs} pairs_share"] = inside.mean()
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("machine")


def power(*, sizes: Sequence[int] = SIZES, runs: int = RUNS // 2) -> pd.DataFrame:
    """Return which share of the runs finds a true ratio, on the steady machine.

    Returns
    -------
    pandas.DataFrame
        One row per number of pairs (in words) and true ratio: ``pairs``, ``ratio``, ``share``.
    """
    ratios = np.round(np.arange(1.0, 1.151, 0.0125), 4)
    rows = [
        (f"{pairs} pairs", ratio, _found("steady", IN_BLOCKS, ratio, pairs, runs).mean())
        for pairs in sizes
        for ratio in ratios
    ]
    return pd.DataFrame(rows, columns=["pairs", "ratio", "share"])


def verdicts(*, noise: str = "drifting", runs: int = JUDGED, pairs: int = PAIRS) -> pd.DataFrame:
    """Return which verdicts `claims.judge` draws about "B takes longer than A", by the truth.

    Each simulated run has an A/A control, as the experiments have.

    Returns
    -------
    pandas.DataFrame
        Indexed by the true ratio of B to A: how many of the runs were judged what, and
        `wrong`, how many were judged the opposite of the truth, or anything but open
        where there is no difference.
    """
    rows = {}
    for number, ratio in enumerate(TRUTHS):
        words = [v.verdict for v in _judged(noise, ratio, runs, pairs, seed=number)]
        right = claims.HOLDS if ratio > 1 else claims.FAILS if ratio < 1 else claims.OPEN
        wrong = sum(word not in (right, claims.OPEN) for word in words)
        counted = {word: words.count(word) for word in (claims.HOLDS, claims.OPEN, claims.FAILS)}
        rows[ratio] = counted | {"wrong": wrong}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("true ratio")


def _effects(noise: str, order: str, ratio: float, pairs: int, runs: int) -> np.ndarray:
    a, b, _ = measured(noise, order, ratio=ratio, pairs=pairs, runs=runs)
    return np.log(b) - np.log(a)


def _found(noise: str, order: str, ratio: float, pairs: int, runs: int) -> np.ndarray:
    return stats.signed_rank_p(_effects(noise, order, ratio, pairs, runs)) < 0.05


_CLAIM = claims.Claim("simulated", "B takes longer than A", "ours", "ratio > 1", "noise")
_ARMS = {"A": {"arm": "A"}, "A again": {"arm": "A again"}, "B": {"arm": "B"}}
_DECISION = claims.Effect(
    claim=_CLAIM,
    contrast=stats.Contrast("B over A", "took_s", _ARMS["B"], _ARMS["A"]),
    null=stats.Contrast("A again over A", "took_s", _ARMS["A again"], _ARMS["A"]),
    direction="greater",
    words=("Slower", "Faster"),
)


def _judged(noise: str, ratio: float, runs: int, pairs: int, *, seed: int):
    """Yield the verdict on each of so many simulated runs of three arms in randomised blocks."""
    rng = np.random.default_rng([seed, list(NOISES).index(noise)])
    factors = NOISES[noise].draw(rng, (runs, 3 * pairs)).reshape(runs, pairs, 3) * BASE_S
    order = rng.permuted(np.broadcast_to(np.arange(3), factors.shape), axis=2)
    values = np.take_along_axis(factors, order, axis=2) * np.array([1.0, 1.0, ratio])
    frame = pd.DataFrame(
        {
            "run": "r",
            "session": 0,
            "design": "simulated",
            "block": np.repeat(np.arange(pairs), 3),
            "machine": "simulated",
            "source": "simulated",
            "ok": True,
            "arm": list(_ARMS) * pairs,
        }
    )
    for run in values:
        yield from claims.judge(frame.assign(took_s=run.ravel()), [_DECISION])
