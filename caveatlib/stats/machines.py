"""Ratios of many machines: how one machine's differs from another's, and a random-effects line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist

import numpy as np
import pandas as pd

from caveatlib.errors import Unavailable, UsageError
from caveatlib.support.arguments import check_number

MIN_MACHINES = 5
"""Fewer machines say too little of how machines differ for a line over all of them."""
LEAST_ERROR = 1e-4
"""Standard error of a log ratio that is taken for a smaller one: a count that is the same in
every session has an interval without width, and no weight may be infinite."""
LINE = ["k", "estimate", "low", "high", "predict_low", "predict_high", "tau", "i2"]


def standard_error(row: Mapping, *, level: float = 0.95) -> float:
    """Return the standard error of the log of a ratio from its interval; NaN without one.

    The signed-rank interval is wider than the normal one by its exactness, so this errs
    towards more uncertainty.

    Parameters
    ----------
    row : mapping
        With the ends `low` and `high` of the ratio's plain interval.
    level : float
        Nominal coverage of the interval, in (0, 1).
    """
    check_number("level", level, above=0, below=1)
    if not row["low"] > 0:
        return math.nan
    width = math.log(row["high"]) - math.log(row["low"])
    return max(LEAST_ERROR, width / 2 / NormalDist().inv_cdf((1 + level) / 2))


def change(before: Mapping, after: Mapping, *, level: float = 0.95) -> tuple[float, float, float]:
    """Return by what factor a ratio differs between two runs, with its interval.

    The runs are independent, so the variances of the log ratios add. The interval holds what
    varies within each of the runs, and nothing of what varies from run to run.

    Parameters
    ----------
    before, after : mapping
        `estimate`, `low` and `high` of the ratio in each run.
    level : float
        Nominal coverage of the given intervals and of the result's, in (0, 1).

    Returns
    -------
    estimate, low, high : float
        ``after / before``; the ends are NaN where one of the ratios has no interval.
    """
    centre = math.log(after["estimate"]) - math.log(before["estimate"])
    error = math.hypot(*(standard_error(row, level=level) for row in (before, after)))
    reach = error * NormalDist().inv_cdf((1 + level) / 2)
    return math.exp(centre), math.exp(centre - reach), math.exp(centre + reach)


def random_effects(ratios: pd.DataFrame, *, level: float = 0.95) -> dict[str, float]:
    """Combine the ratios of several machines, each with an interval, on a random-effects model.

    Between-machine variance by Paule and Mandel (1982), the interval of the centre with
    Student's t of k - 1 degrees of freedom, the prediction interval, in which the ratio of
    another such machine is expected, with k - 2 (Higgins, Thompson and Spiegelhalter 2009).
    Simulated with 5 to 15 machines, a nominal 95 % covers 89 to 99.9 % of either: least where
    the machines' own errors differ a hundredfold and lie around `tau`.

    Parameters
    ----------
    ratios : pandas.DataFrame
        One row per machine, with `estimate`, `low` and `high` of a ratio.
    level : float
        Nominal coverage, in (0, 1), of the ratios' intervals and of those returned.

    Returns
    -------
    dict
        `k` machines; `estimate`, `low`, `high`, `predict_low`, `predict_high` as ratios;
        `tau`, the standard deviation between machines of the log ratio; `i2`, the share of
        the variance that lies between machines.

    Raises
    ------
    UsageError
        If there are fewer than `MIN_MACHINES`, or a ratio has no interval.
    Unavailable
        If statsmodels is not installed.
    """
    errors = np.array([standard_error(row, level=level) for row in ratios.to_dict("records")])
    k = len(errors)
    if k < MIN_MACHINES:
        raise UsageError(f"{k} machines. A pooled estimate needs at least {MIN_MACHINES}.")
    if np.isnan(errors).any():
        first = ratios.index[np.isnan(errors)][0]
        raise UsageError(f"Row {first} has no interval. Pooling needs one of each machine.")
    found = _combined(np.log(ratios["estimate"].to_numpy(dtype=float)), errors**2)
    tails = 1 - level
    from scipy.stats import t

    centre, error = found.mean_effect_re, found.sd_eff_w_re
    reach = t.isf(tails / 2, k - 1) * error
    spread = t.isf(tails / 2, k - 2) * math.sqrt(found.tau2 + error**2)
    logs = [centre, centre - reach, centre + reach, centre - spread, centre + spread]
    heterogeneity = max(0.0, float(found.i2)) if found.q > 0 else 0.0
    values = [k, *map(math.exp, logs), math.sqrt(found.tau2), heterogeneity]
    return dict(zip(LINE, values, strict=True))


def _combined(effects: np.ndarray, variances: np.ndarray):
    try:
        from statsmodels.stats.meta_analysis import combine_effects
    except ImportError:
        raise Unavailable(
            "A pooled estimate needs statsmodels. Install it: pip install 'caveatlib[pool]'"
        ) from None
    with np.errstate(divide="ignore", invalid="ignore"):  # i2 of ratios that are all the same
        return combine_effects(effects, variances, method_re="pm", maxiter=200)
