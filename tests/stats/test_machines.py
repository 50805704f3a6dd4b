"""Ratios of many machines: the change between two, and the line over at least five.

Seen to fail: with the prediction interval as narrow as the centre's, four machines let
through, and a standard error of the whole width of an interval.
"""

import math
import sys

import numpy as np
import pandas as pd
import pytest

from caveatlib.errors import Unavailable, UsageError
from caveatlib.stats import machines

pytestmark = pytest.mark.beside


def ratios(estimates, errors):
    """Return ratios with the normal intervals of their logs' standard errors."""
    logs, errors = np.log(estimates), np.broadcast_to(errors, np.shape(estimates))
    ends = {"estimate": logs, "low": logs - 1.959964 * errors, "high": logs + 1.959964 * errors}
    return pd.DataFrame({name: np.exp(values) for name, values in ends.items()})


def test_the_error_is_that_of_the_interval():
    """Half the width over z; none without an interval; never nothing."""
    row = ratios([3.0], 0.1).iloc[0]
    assert machines.standard_error(row) == pytest.approx(0.1, rel=1e-5)
    assert math.isnan(machines.standard_error({"low": math.nan, "high": math.nan}))
    assert machines.standard_error({"low": 2.0, "high": 2.0}) == machines.LEAST_ERROR


def test_a_change_adds_the_errors():
    """1.5 to 3 is 2, and 0.03 with 0.04 is 0.05."""
    one, other = ratios([1.5, 3.0], [0.03, 0.04]).to_dict("records")
    change, low, high = machines.change(one, other)
    assert change == pytest.approx(2)
    assert math.log(high / low) / 2 / 1.959964 == pytest.approx(0.05)
    lonely = {"estimate": 2.0, "low": math.nan, "high": math.nan}
    assert machines.change(one, lonely)[0] == pytest.approx(2 / 1.5)
    assert math.isnan(machines.change(one, lonely)[1])


def test_a_line_by_hand():
    """Of equal errors the centre is the mean, and both intervals follow from Student's t."""
    logs = np.log([1.0, 1.2, 1.5, 1.9, 2.6])
    line = machines.random_effects(ratios(np.exp(logs), 0.05))
    between = logs.var(ddof=1)  # tau2 + 0.05**2, by Paule and Mandel
    assert line["k"] == 5
    assert math.log(line["estimate"]) == pytest.approx(logs.mean())
    assert line["tau"] ** 2 == pytest.approx(between - 0.05**2, rel=1e-3)
    reach = 2.776445 * math.sqrt(between / 5)
    assert math.log(line["high"] / line["estimate"]) == pytest.approx(reach, rel=1e-3)
    spread = 3.182446 * math.sqrt(between - 0.05**2 + between / 5)
    assert math.log(line["estimate"] / line["predict_low"]) == pytest.approx(spread, rel=1e-3)
    assert 0.9 < line["i2"] < 1


def test_machines_that_agree():
    """The same ratio everywhere, even without any width, has no variance between machines."""
    line = machines.random_effects(ratios([0.126] * 5, 0.0))
    assert line["tau"] == line["i2"] == 0
    assert line["low"] < 0.126 < line["high"]
    assert all(map(math.isfinite, line.values()))


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        (ratios([1.1] * 4, 0.1), "4 machines"),
        (ratios([1.1] * 6, [0.1] * 5 + [math.nan]), "Row 5 has no interval"),
    ],
)
def test_too_few_or_without_an_interval(frame, named):
    """Four machines have no line, and a machine without an interval is not in one."""
    with pytest.raises(UsageError, match=named):
        machines.random_effects(frame)


def test_without_statsmodels(monkeypatch):
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "statsmodels.stats.meta_analysis", None)
    with pytest.raises(Unavailable, match=r"pip install 'caveatlib\[pool\]'"):
        machines.random_effects(ratios([1.1] * 5, 0.1))


@pytest.mark.slow
@pytest.mark.parametrize("between", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("k", [5, 10])
def test_line_and_prediction_cover(bars, k, between):
    """Over simulated machines, both intervals hold what they should."""
    rng, n = np.random.default_rng(3), 500
    centre = new = 0
    for _ in range(n):
        truths = rng.normal(math.log(3), between, k + 1)
        errors = np.exp(rng.uniform(math.log(0.02), math.log(0.1), k))
        line = machines.random_effects(ratios(np.exp(rng.normal(truths[:k], errors)), errors))
        centre += line["low"] <= 3 <= line["high"]
        new += line["predict_low"] <= math.exp(truths[k]) <= line["predict_high"]
    bars.append((f"line over {k} machines, tau {between:g}", f"{centre / n:.3f}", ">= 0.89"))
    bars.append((f"prediction from {k} machines, tau {between:g}", f"{new / n:.3f}", ">= 0.87"))
    assert centre / n >= 0.89
    assert new / n >= 0.87
