"""Rank statistics on arrays: Hodges-Lehmann, signed-rank intervals, Holm, exact shares."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from caveatlib.errors import UsageError
from caveatlib.support.arguments import check_number

EXACT_UP_TO = 300
"""Largest number of pairs with the exact null distribution; above it the normal
approximation with continuity correction, which then agrees to 3e-4."""


def hodges_lehmann(differences, level: float = 0.95):
    """Estimate the centre of symmetry with its exact signed-rank interval.

    The estimate is the median of the Walsh averages (Hodges and Lehmann 1963),
    the interval their k-th smallest and k-th largest, closed. Ties and zeros
    need no special care: nothing is dropped, and a closed interval then covers
    at least as often as for continuous data (Noether 1967).

    Parameters
    ----------
    differences : array_like, shape (..., n)
        No NaN. Leading axes are independent samples.
    level : float
        Nominal coverage, in (0, 1).

    Returns
    -------
    estimate, low, high : ndarray, shape (...)
        Low and high are NaN where n is too small for the level.
    """
    check_number("level", level, above=0, below=1)
    walsh = np.sort(_walsh(differences), axis=-1)
    if walsh.shape[-1] == 0:
        return (np.full(walsh.shape[:-1], np.nan),) * 3
    estimate = np.median(walsh, axis=-1)
    k = _cut(np.shape(differences)[-1], (1 - level) / 2)
    if k == 0:
        return estimate, np.full_like(estimate, np.nan), np.full_like(estimate, np.nan)
    return estimate, walsh[..., k - 1], walsh[..., -k]


def signed_rank_p(differences, null: float = 0.0):
    """Return the two-sided p-value of the signed-rank test of a centre at `null`.

    It is the interval's own dual: p < 1 - level exactly where the interval of
    `hodges_lehmann` leaves `null` out. Walsh averages equal to `null` count
    against a finding, so ties and zeros make it conservative, never liberal.

    Parameters
    ----------
    differences : array_like, shape (..., n)
    null : float

    Returns
    -------
    ndarray, shape (...)
        In (0, 1].
    """
    walsh = _walsh(differences)
    least = np.minimum((walsh <= null).sum(axis=-1), (walsh >= null).sum(axis=-1))
    return np.minimum(1.0, 2 * _null_cdf(np.shape(differences)[-1])[least])


def holm(p: Sequence[float]) -> np.ndarray:
    """Return Holm's step-down adjusted p-values; NaN is not a test and stays NaN."""
    values = np.asarray(p, dtype=float)
    adjusted = np.full(values.shape, np.nan)
    order = _tested(values)
    steps = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * steps))
    return adjusted


def share(found: int, n: int, *, level: float = 0.95) -> tuple[float, float, float]:
    """Return a share of trials with its exact interval (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv  # in microseconds; `stats.binomtest` takes milliseconds

    check_number("level", level, above=0, below=1)
    if not 0 <= found <= n or n < 1:
        raise UsageError(f"Invalid share {found} of {n}. Must be 0 <= found <= n and n >= 1.")
    tail = (1 - level) / 2
    low = betaincinv(found, n - found + 1, tail) if found else 0.0
    high = betaincinv(found + 1, n - found, 1 - tail) if found < n else 1.0
    return found / n, float(low), float(high)


def detectable_share(n: int, at_least: float, *, level: float = 0.95, power: float = 0.8) -> float:
    """Return the largest true share found to lie below `at_least` with this power.

    NaN where no outcome of so many trials would be.
    """
    from scipy.special import betaincinv

    # how many outcomes are found short of it: the interval of a larger one ends higher
    short = bisect(range(n), False, key=lambda k: share(k, n, level=level)[2] >= at_least)
    # P(K < short) = power, turned round: a quantile of the beta distribution
    return float(betaincinv(short, n - short + 1, 1 - power)) if short else math.nan


def _walsh(values) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    i, j = np.triu_indices(values.shape[-1])
    return (values[..., i] + values[..., j]) / 2


@lru_cache(maxsize=64)
def _null_cdf(n: int) -> np.ndarray:
    """Return P(T <= t), t = 0..n(n+1)/2, of the signed-rank statistic."""
    top = n * (n + 1) // 2
    if n > EXACT_UP_TO:
        z = (np.arange(top + 1) + 0.5 - top / 2) / math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        from scipy.special import ndtr

        return ndtr(z)
    mass = np.zeros(top + 1)
    mass[0] = 1.0
    for rank in range(1, n + 1):  # each rank joins the sum or not, with 1/2 each
        mass[rank:] = mass[rank:] + mass[:-rank]
        mass /= 2
    return np.cumsum(mass)


def _cut(n: int, tail: float) -> int:
    """Return the largest k with P(T <= k - 1) <= tail; 0 if there is none."""
    return int(np.searchsorted(_null_cdf(n), tail * (1 + 1e-12), side="right"))


def _tested(p: np.ndarray) -> np.ndarray:
    order = np.argsort(p, kind="stable")
    return order[np.isfinite(p[order])]


def holm_levels(p: Sequence[float], level: float) -> list[float]:
    """Return the level at which Holm's step-down tests each row; equal ones have the highest."""
    check_number("level", level, above=0, below=1)
    values = np.asarray(p, dtype=float)
    levels, order = np.full(values.shape, level), _tested(values)
    tail = 1 - level
    for step, i in enumerate(order):
        before = values[order[step - 1]] if step else -1.0  # p of thousands of pairs may be 0
        # None is tested more mildly after the first that is kept, nor for being listed
        # after its equal.
        if before <= tail and before != values[i]:
            tail = (1 - level) / (len(order) - step)
        levels[i] = 1 - tail
    return list(levels)
