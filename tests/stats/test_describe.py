"""Summaries of small tables whose answer is known, and the doubts that they raise."""

import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from two_arms import noisy, trials

from caveatlib import stats
from caveatlib.errors import UsageError
from caveatlib.stats import describe

pytestmark = pytest.mark.beside


def test_summary_counts_and_quantiles():
    """One row per group: n, failed, median with order statistics, quantiles."""
    values = np.r_[np.arange(1.0, 20.0), np.nan]
    table = stats.summarize(trials({"a": values, "b": values * 2}), "x_s")
    row = table.loc["a"]
    assert (row["n"], row["failed"]) == (20, 1)
    assert row["x_s_median"] == 10
    assert (row["x_s_low"], row["x_s_high"]) == (5, 15)  # 5th and 15th of 19, as tables have it
    assert (row["x_s_p10"], row["x_s_p90"]) == pytest.approx((2.8, 17.2))
    assert "x_s_p99" not in table.columns
    assert table.loc["b", "x_s_median"] == 20


@pytest.mark.parametrize("n", [6, 17, 60, 999, 1500])
def test_interval_of_the_median_is_exact(n):
    """The order statistics cover with at least 95 %, and the next inner pair would not."""
    values = np.arange(1.0, n + 1)
    row = stats.summarize(trials({"a": values}), "x_s").loc["a"]
    k = row["x_s_low"]
    assert row["x_s_high"] == n + 1 - k
    outside = scipy.stats.binom.cdf([k - 1, k], n, 0.5)
    assert outside[0] <= 0.0253
    assert outside[1] > 0.0247


def test_medians_and_quantiles_are_those_of_numpy():
    """To the last bit, of few values and many, with ties, and of the medians of sessions."""
    rng = np.random.default_rng(4)
    for n in (1, 2, 9, 10, 11, 40, 41, 1000, 1003):
        values = rng.lognormal(0, 1, n).round(int(rng.integers(1, 16)))
        found = stats.summarize(trials({"a": values}), "x_s").loc["a"]
        assert found["x_s_median"] == np.median(values)
        for name, (q, enough) in describe.QUANTILES.items():
            if n >= enough:
                assert found[f"x_s_{name}"] == np.quantile(values, q)
        session = rng.integers(0, 7, n)
        medians = [np.median(values[session == s]) for s in np.unique(session)]
        by_session = stats.summarize(trials({"a": values}, session=session), "x_s", unit="session")
        assert by_session.loc["a", "x_s_median"] == np.median(medians)


def test_summary_of_few_values_has_no_interval():
    """Five values have a median and no interval; p99 needs a thousand."""
    small = stats.summarize(trials({"a": np.arange(1.0, 6.0)}), "x_s").loc["a"]
    assert small["x_s_median"] == 3
    assert np.isnan([small["x_s_low"], small["x_s_p10"]]).all()
    large = stats.summarize(trials({"a": np.arange(1.0, 1001.0)}), "x_s").loc["a"]
    assert large["x_s_p99"] == pytest.approx(990.01)


def test_summary_of_failures_only():
    """A group in which every trial failed stays in the table, with empty measures."""
    row = stats.summarize(trials({"a": [np.nan] * 7, "b": [1.0] * 7}), "x_s").loc["a"]
    assert (row["n"], row["failed"]) == (7, 7)
    assert np.isnan(row["x_s_median"])


def test_summary_by_session_is_wider():
    """With unit session the interval is that of the sessions' medians."""
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(10, 2, 8), 10) + rng.normal(0, 0.1, 80)
    frame = trials({"a": values}, session=np.repeat(range(8), 10))
    pooled = stats.summarize(frame, "x_s").loc["a"]
    honest = stats.summarize(frame, "x_s", unit="session").loc["a"]
    medians = np.sort(np.median(values.reshape(8, 10), axis=1))
    assert (honest["x_s_low"], honest["x_s_high"]) == (medians[0], medians[-1])
    assert honest["x_s_high"] - honest["x_s_low"] > pooled["x_s_high"] - pooled["x_s_low"]


def test_summary_keeps_machines_apart():
    """Several machines become part of the group; bad names are refused; no rows, no groups."""
    frame = pd.concat([noisy(8), noisy(8).assign(machine="n")], ignore_index=True)
    assert stats.summarize(frame, "x_s").index.names == ["machine", "place"]
    assert stats.summarize(frame.iloc[:0], "x_s").empty
    with pytest.raises(UsageError, match="Unknown column 'y'"):
        stats.summarize(frame, "y")
    with pytest.raises(UsageError, match="Unknown unit 'block'"):
        stats.summarize(frame, "x_s", unit="block")


CALM = [1.00, 1.01, 0.99, 1.02, 0.98, 1.00, 1.01, 0.99]


def test_calm_values_are_not_doubted():
    """Quiet values on a quiet machine give no sentence."""
    calm = trials({"a": CALM}).assign(stolen_share=0.0, busy_per_cpu=0.2)
    assert stats.quality(calm, "x_s", overhead_s=0.01) == []


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ([1, 2, 3, 1, 2, 3, 1, 2], {}, "a: x_s is spread out"),
        ([*CALM, 3.0], {}, "a: 1 of 9 values of x_s are far outliers; all are kept"),
        ([*CALM, 0.1], {}, "far outliers"),
        ([3.0, *CALM], {}, "a: the first sample of x_s was slow, 3 s against a median of 1 s"),
        (CALM, {"overhead_s": 0.2}, "a: x_s is short"),
    ],
)
def test_each_doubt_is_said(values, options, words):
    """Each quality rule has a sentence; the values that it is about stay in the summary."""
    frame = trials({"a": values})
    assert any(words in sentence for sentence in stats.quality(frame, "x_s", **options))
    assert stats.summarize(frame, "x_s").loc["a", "n"] == len(values)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ([1.0, 1.0, 1.0, 1.0, 1.001, 1.0], {"tick_s": 0.001}),
        (CALM, {"overhead_s": 0.1}),
        ([1.0], {}),
    ],
)
def test_just_inside_is_not_doubted(values, options):
    """One tick beside equal readings, ten overheads, less than 1 % stolen: no sentence."""
    assert stats.quality(trials({"a": values}), "x_s", **options) == []


def _far(mads, *, first=False):
    """Ten values whose median is 1, one of them so many median absolute deviations away."""
    below = 5 if mads > 0 else 4
    usual = [0.999] * below + [1.001] * (9 - below)
    return [1 + mads / 1000, *usual] if first else [*usual, 1 + mads / 1000]


def _counted(share):
    """Ten counts alike to a hundred-thousandth, but for one."""
    return [2e9, 2e9 + 2e4, 2e9 - 2e4] * 3 + [2e9 * (1 + share)]


def _spread(share):
    """Ten values whose standard deviation is this share of their mean."""
    return 1 + share * np.sqrt(9 / 10) * np.array([-1, 1] * 5)


@pytest.mark.parametrize(
    ("inside", "outside", "words"),
    [
        ((_spread(0.099), {}), (_spread(0.101), {}), "a: x_s is spread out"),
        ((_far(14.7), {}), (_far(14.9), {}), "far outliers"),
        ((_far(-14.7), {}), (_far(-14.9), {}), "far outliers"),
        ((_far(14.7, first=True), {}), (_far(14.9, first=True), {}), "the first sample"),
        ((CALM, {"overhead_s": 1 / 10.1}), (CALM, {"overhead_s": 1 / 9.9}), "a: x_s is short"),
        ((_counted(0.0147), {}), (_counted(0.0149), {}), "far outliers"),
        (
            ([1.0] * 9 + [1.147], {"tick_s": 0.01}),
            ([1.0] * 9 + [1.149], {"tick_s": 0.01}),
            "far outliers",
        ),
    ],
)
def test_the_figures_of_the_doubts(inside, outside, words):
    """CV 10 %, 14.8 MADs (or ticks), 10 overheads: silent just before, said just beyond."""
    for (values, options), said in ((inside, False), (outside, True)):
        doubts = stats.quality(trials({"a": values}), "x_s", **options)
        assert any(words in doubt for doubt in doubts) is said, doubts


def _sessions(factors, seed=3, sd=0.03):
    """Two arms, three blocks a session, all of a session slower by its factor."""
    rng = np.random.default_rng(seed)
    session = np.repeat(range(len(factors)), 3)
    noise = {p: rng.lognormal(0, sd, len(session)) for p in "ab"}
    by_block = np.repeat(factors, 3)
    return trials(
        {"a": by_block * noise["a"], "b": 20 * by_block * noise["b"]}, session=list(session)
    )


def test_drift_between_sessions_is_said():
    """Later sessions that are slower than earlier ones, in every arm, make one sentence."""
    (said,) = stats.quality(_sessions(np.linspace(1, 1.25, 10)), "x_s")
    assert re.fullmatch(
        r"The machine: x_s drifted over 10 sessions, the later half reads 1\d % more than the "
        r"earlier half\.",
        said,
    )
    (turned,) = stats.quality(_sessions(np.linspace(1.25, 1, 10)), "x_s")
    assert re.search(r"the later half reads \d+ % less than", turned)


@pytest.mark.parametrize(
    "factors",
    [
        np.ones(10),
        np.linspace(1, 1.06, 10),  # in order, but small
        [1, 1.2] * 5,  # large, but in no order
        np.linspace(1, 1.5, 5),  # too few sessions
    ],
)
def test_no_drift_is_no_sentence(factors):
    """Neither order alone nor distance alone is a drift."""
    assert not any("drifted" in said for said in stats.quality(_sessions(factors), "x_s"))


def test_a_design_that_takes_part_in_some_sessions_is_no_drift():
    """The same place takes three times as long in it, and it begins when half of them are over."""
    steady = _sessions(np.ones(10))
    other = steady[steady["session"] >= 5].assign(design="e")
    both = pd.concat([steady, other.assign(x_s=3 * other["x_s"])], ignore_index=True)
    assert not any("drifted" in said for said in stats.quality(both, "x_s"))
    slower = both.assign(x_s=both["x_s"] * (1 + 0.03 * both["session"]))
    assert any("drifted over 10 sessions" in said for said in stats.quality(slower, "x_s"))


def test_medians_of_groups_are_those_of_pandas():
    """To the last bit, of odd and even groups, with ties, in whatever order they stand."""
    rng = np.random.default_rng(12)
    for _ in range(50):
        values = rng.lognormal(0, 1, 40).round(int(rng.integers(1, 16)))
        group = pd.factorize(rng.integers(0, 9, 40))[0]
        expected = pd.Series(values).groupby(group).median()
        assert list(describe._medians(values, group)) == list(expected)


def test_drift_is_rarely_seen_where_there_is_none():
    """Of 300 runs without drift, at 10 % noise per session, at most 1 % are said to drift."""
    rng = np.random.default_rng(11)
    runs = (_sessions(rng.lognormal(0, 0.1, 9), seed=i) for i in range(300))
    flagged = sum(bool(stats.drift(rows, "The machine", "x_s", "place")) for rows in runs)
    assert flagged <= 3


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"stolen_share": 0.009}, []),
        ({"stolen_share": 0.011}, ["The machine: the hypervisor stole 1.1 % of the CPU time"]),
        ({"stolen_share": 0.01}, ["The machine: the hypervisor stole 1.0 % of the CPU time"]),
        ({"busy_per_cpu": 1.0}, ["The machine was busy: 1.0 other running tasks per CPU"]),
        ({"stolen_share": 0.0099, "busy_per_cpu": 0.95}, []),
        ({"stolen_share": np.nan, "busy_per_cpu": np.nan}, []),
    ],
)
def test_a_busy_machine_is_said(conditions, words):
    """Stolen time and other tasks are judged by what was recorded beside the trials."""
    said = stats.quality(trials({"a": CALM}).assign(**conditions), "x_s")
    assert len(said) == len(words)
    assert all(w in s for w, s in zip(words, said, strict=True))


def test_quality_follows_the_data():
    """The sentence names the place whose values are doubtful, also after a swap."""
    frame = trials({"a": CALM, "b": [1.013, 2.107, 3.031, 1.009, 2.201, 3.173, 1.027, 2.099]})
    (said,) = stats.quality(frame, "x_s")
    swapped = frame.assign(place=frame["place"].map({"a": "b", "b": "a"}))
    (turned,) = stats.quality(swapped, "x_s")
    assert said.startswith("b:")
    assert turned.startswith("a:")
