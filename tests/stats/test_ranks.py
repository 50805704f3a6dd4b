"""Rank statistics: exact values, duality, and what other libraries say."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from caveatlib import stats
from caveatlib.errors import UsageError
from caveatlib.stats.ranks import _null_cdf, holm_levels

pytestmark = pytest.mark.beside


@pytest.mark.parametrize("n", [6, 9, 13])
def test_p_is_the_share_of_sign_patterns(n):
    """The p-value equals the enumeration of all signs."""
    d = np.random.default_rng(n).normal(0.4, 1, n)
    ranks = scipy.stats.rankdata(np.abs(d))
    observed = ranks[d > 0].sum()
    sums = np.array([np.dot(s, ranks) for s in itertools.product([0, 1], repeat=n)])
    tail = min(np.mean(sums <= observed), np.mean(sums >= observed))
    assert stats.signed_rank_p(d) == pytest.approx(min(1, 2 * tail))


@pytest.mark.parametrize("n", [6, 20, 50, 120])
def test_p_agrees_with_scipy(n):
    """The p-value equals scipy's exact one where there are no ties."""
    d = np.random.default_rng(n).normal(0.2, 1, n)
    assert stats.signed_rank_p(d) == pytest.approx(scipy.stats.wilcoxon(d, method="exact").pvalue)


def test_interval_has_the_nominal_null_probability():
    """The interval of n = 10 cuts 8 Walsh averages at each end, as in printed tables."""
    d = np.random.default_rng(1).normal(0, 1, 10)
    walsh = np.sort([(a + b) / 2 for a, b in itertools.combinations_with_replacement(d, 2)])
    estimate, low, high = stats.hodges_lehmann(d)
    assert (low, high) == (walsh[8], walsh[-9])
    assert estimate == np.median(walsh)


def test_a_level_that_is_just_reached_has_an_interval():
    """Six pairs carry an interval at 1 - 2 / 64 exactly, and none beyond."""
    d = np.arange(1.0, 7.0)
    assert stats.hodges_lehmann(d, 1 - 2 / 64)[1:] == (1, 6)
    assert np.isnan(stats.hodges_lehmann(d, 1 - 1.99 / 64)[1])


ROUNDED = st.lists(st.integers(-4, 4), min_size=6, max_size=30)


@given(ROUNDED, st.sampled_from([0.8, 0.95, 0.99]))
def test_p_and_interval_are_dual(values, level):
    """With ties and zeros too, p falls below 1 - level exactly where the interval leaves zero."""
    p = stats.signed_rank_p(values)
    _, low, high = stats.hodges_lehmann(values, level)
    assert (p < 1 - level) == bool(low > 0 or high < 0)


@given(ROUNDED)
def test_reversing_signs_mirrors_the_interval(values):
    """Exchanged arms give the mirrored interval and the same p-value."""
    d = np.array(values, dtype=float)
    estimate, low, high = stats.hodges_lehmann(d)
    mirrored = stats.hodges_lehmann(-d)
    assert mirrored == pytest.approx((-estimate, -high, -low))
    assert stats.signed_rank_p(d) == stats.signed_rank_p(-d)


def test_normal_approximation_takes_over_smoothly():
    """Above 300 pairs the approximation is within 3e-4 of the exact distribution."""
    n = 300
    exact = _null_cdf(n)
    z = (np.arange(len(exact)) + 0.5 - n * (n + 1) / 4) / np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    assert np.abs(exact - scipy.stats.norm.cdf(z)).max() < 3e-4
    p = stats.signed_rank_p(np.random.default_rng(2).normal(0.05, 1, 400))
    assert p == pytest.approx(
        scipy.stats.wilcoxon(np.random.default_rng(2).normal(0.05, 1, 400), method="exact").pvalue,
        abs=1e-3,
    )


def test_holm_steps_down():
    """Adjusted p-values are Holm's, monotone, and leave what was not tested alone."""
    adjusted = stats.holm([0.01, np.nan, 0.04, 0.03])
    assert adjusted == pytest.approx([0.03, np.nan, 0.06, 0.06], nan_ok=True)


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=6))
def test_holm_levels_agree_with_adjusted_p(p):
    """A row's own level rejects exactly where its adjusted p-value does."""
    levels = np.array(holm_levels(p, 0.95))
    assert list(np.array(p) <= 1 - levels + 1e-15) == list(stats.holm(p) <= 0.05 + 1e-12)


def test_equal_p_values_have_equal_levels():
    """The order in which they are listed decides nothing: each has the level of the first."""
    levels = holm_levels([0.002, 0.002, 0.4, 0.002], 0.95)
    assert levels[0] == levels[1] == levels[3] == pytest.approx(1 - 0.05 / 4)
    assert levels[2] == pytest.approx(0.95)
    kept = holm_levels([0.02, 0.02, 0.02], 0.95)  # none is rejected: 0.02 > 0.05 / 3
    assert kept == pytest.approx([1 - 0.05 / 3] * 3)


def test_a_p_of_zero_is_tested_like_any_other():
    """Thousands of pairs that agree have a p-value below the least that a number can be."""
    assert stats.signed_rank_p(np.ones(2200)) == 0
    levels = holm_levels([0.0, 0.3, 0.0], 0.95)
    assert levels == pytest.approx([1 - 0.05 / 3, 0.95, 1 - 0.05 / 3])


@pytest.mark.parametrize(("n", "least"), [(40, 0.9), (10, 0.5), (200, 0.99)])
def test_a_detectable_share_is_found_with_80_percent_power(n, least):
    """At that share 80 % of all outcomes have an interval that lies short of the least share."""
    at = stats.detectable_share(n, least)
    short = [k for k in range(n + 1) if stats.share(k, n)[2] < least]
    assert scipy.stats.binom.cdf(short[-1], n, at) == pytest.approx(0.8, abs=1e-6)
    assert np.isnan(stats.detectable_share(1, 0.01))


def test_share_is_exact():
    """The interval of a share is that of Clopper and Pearson, closed at 0 and 1."""
    assert stats.share(10, 10) == pytest.approx((1, 0.6915, 1), abs=1e-4)
    assert stats.share(0, 10)[1] == 0
    exact = scipy.stats.binomtest(7, 20).proportion_ci(method="exact")
    assert stats.share(7, 20)[1:] == pytest.approx((exact.low, exact.high))
    with pytest.raises(UsageError, match="Invalid share 11 of 10"):
        stats.share(11, 10)
