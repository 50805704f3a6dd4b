"""Statistics on small tables whose answer is known."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from caveatlib import stats
from caveatlib.errors import DataError, UsageError
from caveatlib.stats.ranks import _null_cdf, holm_levels

pytestmark = pytest.mark.beside


def trials(values, *, session=None, machine="m", source="live", design="d"):
    """Build a table of trials from ``{place: values by block}``; NaN is a failed trial."""
    rows = []
    for place, column in values.items():
        for block, value in enumerate(column):
            row = {"run": "r", "source": source, "machine": machine, "design": design}
            row |= {"session": block if session is None else session[block], "block": block}
            row |= {"position": len(rows) % 2, "place": place, "started_at": "t"}
            failed = np.isnan(value)
            row |= {"ok": not failed, "error": "boom" if failed else "", "x_s": value}
            row |= {"busy_per_cpu": 0.0, "stolen_share": 0.0}
            rows.append(row)
    return pd.DataFrame(rows)


def noisy(n, ratio=2.0, seed=0, sd=0.05):
    """Build two noisy arms, "a" and "b", the second `ratio` times the first."""
    rng = np.random.default_rng(seed)
    return trials({"a": np.exp(rng.normal(0, sd, n)), "b": ratio * np.exp(rng.normal(0, sd, n))})


B_OVER_A = stats.Contrast("b over a", "x_s", {"place": "b"}, {"place": "a"})


def only(frame, contrast=B_OVER_A, **options):
    """Return the one row of one contrast."""
    (row,) = stats.contrasts(frame, [contrast], **options).to_dict("records")
    return row


# ---- ranks -------------------------------------------------------------------


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


# ---- contrasts ---------------------------------------------------------------


def test_contrast_finds_the_ratio():
    """The estimate is the ratio, its interval holds it, order of rows does not matter."""
    frame = noisy(20)
    row = only(frame)
    assert row["low"] < 2.0 < row["high"]
    assert row["n"] == 20
    assert row["p"] < 1e-4
    assert only(frame.sample(frac=1, random_state=1)) == row


def test_contrast_equals_the_functions_on_arrays():
    """The table's numbers are those of the functions that the simulations test."""
    frame = noisy(15, ratio=1.05)
    a, b = (frame.loc[frame["place"] == p, "x_s"].to_numpy() for p in "ab")
    estimate, low, high = np.exp(stats.hodges_lehmann(np.log(b) - np.log(a)))
    row = only(frame)
    assert (row["estimate"], row["low"], row["high"]) == pytest.approx((estimate, low, high))
    assert row["p"] == pytest.approx(stats.signed_rank_p(np.log(b / a)))


def test_pairs_are_of_one_block():
    """A drift over the blocks, far larger than the effect, leaves the ratio exact."""
    drift = np.linspace(1, 100, 12)
    row = only(trials({"a": drift, "b": 1.5 * drift}))
    assert (row["low"], row["estimate"], row["high"]) == pytest.approx((1.5, 1.5, 1.5))


def test_failed_trials_are_counted_and_not_numbers():
    """A failed trial loses its pair, is counted, and is named in the note."""
    frame = noisy(10)
    frame.loc[[0, 1, 12], ["ok", "error", "x_s"]] = [False, "boom", np.nan]
    row = only(frame)
    assert (row["n"], row["failed_arm"], row["failed_baseline"]) == (7, 1, 2)
    assert "1 trial of what is compared failed. 2 trials of the baseline failed." in row["note"]


def test_what_a_failed_trial_read_is_not_used():
    """A number that a failed trial left behind enters neither pairs nor summary."""
    frame = noisy(12)
    frame.loc[3, ["ok", "x_s"]] = [False, 1e9]
    assert only(frame)["n"] == 11
    assert stats.summarize(frame, "x_s").loc["a", "x_s_p90"] < 2


def test_a_measure_that_does_not_apply_is_no_failure():
    """An empty measure of a good trial loses its pair and is not called a failure."""
    frame = noisy(10)
    frame.loc[3, "x_s"] = np.nan
    row = only(frame)
    assert (row["n"], row["failed_arm"], row["failed_baseline"]) == (9, 0, 0)


def test_too_few_pairs_have_no_interval():
    """Five pairs give an estimate, no interval, no p-value, and the words "too few"."""
    row = only(noisy(5))
    assert row["estimate"] == pytest.approx(2, rel=0.2)
    assert np.isnan([row[k] for k in ("low", "high", "low_adjusted", "p", "detectable")]).all()
    assert row["note"] == "5 blocks; an interval needs 6."
    assert not np.isnan(only(noisy(6))["low"])


def test_one_arm_missing():
    """Without a baseline there is nothing to compare, and the note says so."""
    frame = noisy(8)
    row = only(frame[frame["place"] == "b"])
    assert row["n"] == 0
    assert np.isnan(row["estimate"])
    assert row["note"].startswith("Nothing to compare")


def test_unequal_counts_pair_what_there_is():
    """More blocks of one arm than of the other do not shift the pairs."""
    frame = noisy(12)
    assert only(frame.drop(index=[0, 1, 2]))["n"] == 9


def test_constant_samples():
    """Equal readings give the interval [1, 1] and no finding."""
    row = only(trials({"a": np.full(10, 0.02), "b": np.full(10, 0.02)}))
    assert (row["low"], row["estimate"], row["high"], row["p"]) == (1, 1, 1, 1)


def test_ties_are_conservative():
    """Half of the pairs tied at zero lowers the evidence, it does not drop out."""
    tied = only(trials({"a": np.full(12, 1.0), "b": np.r_[np.full(6, 1.0), np.full(6, 1.1)]}))
    dropped = only(trials({"a": np.full(6, 1.0), "b": np.full(6, 1.1)}))
    assert tied["p"] > 0.05 > dropped["p"]


def test_machines_are_never_pooled():
    """Each machine has its own row and its own Holm family."""
    frame = pd.concat([noisy(8), noisy(8, ratio=0.5).assign(machine="n")], ignore_index=True)
    table = stats.contrasts(frame, [B_OVER_A])
    assert list(table["machine"]) == ["m", "n"]
    assert table["low"].iloc[0] > 1 > table["high"].iloc[1]
    assert list(table["n"]) == [8, 8]
    assert table["p"].equals(table["p_adjusted"].rename("p"))


def test_runs_are_paired_apart():
    """The same block number in two runs is two pairs."""
    frame = pd.concat([noisy(6), noisy(6, seed=1).assign(run="s")], ignore_index=True)
    assert only(frame)["n"] == 12


def test_sources_are_never_mixed():
    """Rows measured here and rows recorded there in one table are refused."""
    frame = pd.concat([noisy(8), noisy(8).assign(source="recorded")], ignore_index=True)
    with pytest.raises(UsageError, match=r"\['live', 'recorded'\]"):
        stats.contrasts(frame, [B_OVER_A])


def test_zero_cannot_enter_a_ratio():
    """A zero names its row; as a difference it is a number like any other."""
    frame = noisy(8)
    frame.loc[4, "x_s"] = 0.0
    with pytest.raises(DataError, match="Value 0 of 'x_s' in row 4"):
        only(frame)
    difference = stats.Contrast("d", "x_s", {"place": "b"}, {"place": "a"}, kind="difference")
    assert only(frame, difference)["n"] == 8


def test_a_difference_is_in_the_measures_unit():
    """A constant 0.1 s on top of a drifting baseline is found as 0.1 s, against zero."""
    drift = np.linspace(1, 2, 10)
    added = stats.Contrast("d", "x_s", {"place": "b"}, {"place": "a"}, kind="difference")
    row = only(trials({"a": drift, "b": drift + 0.1}), added)
    assert row["threshold"] == 0
    assert (row["low"], row["high"]) == pytest.approx((0.1, 0.1))


def test_several_trials_of_a_block_are_refused():
    """An arm that matches two trials of one block must be named more closely."""
    frame = pd.concat([noisy(8), noisy(8, seed=1)], ignore_index=True)
    with pytest.raises(UsageError, match="several trials in block 0"):
        only(frame)


def test_several_designs_are_refused():
    """Blocks of two designs are not one series."""
    frame = pd.concat([noisy(8), noisy(8).assign(design="e", session=9)], ignore_index=True)
    with pytest.raises(UsageError, match=r"designs \['d', 'e'\]"):
        only(frame)
    named = stats.Contrast("n", "x_s", {"place": "b", "design": "e"}, {"place": "a", "design": "e"})
    assert only(frame, named)["n"] == 8


def test_sessions_enter_with_their_median():
    """With unit session, 8 sessions of 5 blocks are 8 pairs of medians."""
    rng = np.random.default_rng(4)
    boot = np.repeat(rng.normal(0, 0.3, 8), 5)
    a, b = np.exp(rng.normal(0, 0.01, 40)), np.exp(boot + rng.normal(0, 0.01, 40))
    frame = trials({"a": a, "b": b}, session=np.repeat(range(8), 5))
    by_session = stats.Contrast("s", "x_s", {"place": "b"}, {"place": "a"}, pairing="session")
    row = only(frame, by_session)
    medians = np.median(np.log(b).reshape(8, 5), 1) - np.median(np.log(a).reshape(8, 5), 1)
    expected = np.exp(stats.hodges_lehmann(medians))
    assert row["n"] == 8
    assert (row["estimate"], row["low"], row["high"]) == pytest.approx(tuple(expected))
    pooled = only(frame)
    assert np.log(row["high"] / row["low"]) > 1.5 * np.log(pooled["high"] / pooled["low"])


def test_one_arm_against_its_threshold():
    """Without a baseline the arm's own values are held against the threshold."""
    frame = trials({"a": np.linspace(0.97, 1.05, 10)})
    alone = stats.Contrast("used over allowed", "x_s", {"place": "a"}, None)
    row = only(frame, alone)
    assert row["low"] < 1.01 < row["high"]
    assert row["failed_baseline"] == 0


def test_adjusted_intervals_are_wider_and_decide_as_p_does():
    """Over several claims the adjusted interval contains the plain one and is p's dual."""
    rng = np.random.default_rng(6)
    arms = {
        p: np.exp(rng.normal(e, 0.1, 15)) for p, e in zip("abcd", (0, 0.5, 0.08, 0), strict=True)
    }
    wanted = [stats.Contrast(p, "x_s", {"place": p}, {"place": "a"}) for p in "bcd"]
    table = stats.contrasts(trials(arms), wanted)
    assert (table["low_adjusted"] <= table["low"]).all()
    assert (table["high_adjusted"] >= table["high"]).all()
    assert (table["high_adjusted"] > table["high"]).any()
    outside = (table["low_adjusted"] > 1) | (table["high_adjusted"] < 1)
    assert list(outside) == list(table["p_adjusted"] < 0.05)
    assert list(table["p_adjusted"]) == pytest.approx(list(stats.holm(table["p"])))


def test_too_few_pairs_for_many_claims():
    """Six pairs carry one comparison, not four at once; the note says how many would."""
    rng = np.random.default_rng(6)
    arms = {p: np.exp(rng.normal(0, 0.1, 6)) for p in "abcde"}
    wanted = [stats.Contrast(p, "x_s", {"place": p}, {"place": "a"}) for p in "bcde"]
    table = stats.contrasts(trials(arms), wanted)
    assert table["low"].notna().all()
    assert table["low_adjusted"].isna().all()
    assert (
        table["note"]
        .str.contains("6 blocks; an interval adjusted for so many comparisons needs 8")
        .all()
    )


def test_a_null_result_says_what_would_have_been_found():
    """The note names the ratio of which 80 % is a verdict: 84 % found, with 95 % of controls."""
    row = only(noisy(15, ratio=1.0))
    half = np.log(row["high"] / row["low"]) / 2
    assert row["detectable"] == pytest.approx(np.exp(half * (1 + 1.0032 / 1.9600)), rel=1e-4)
    assert row["note"] == (f"Minimum detectable effect {row['detectable']:.3g}x at 80 % power.")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measure": "y_s"}, "Unknown column 'y_s'"),
        ({"arm": {"plac": "a"}}, "Unknown column 'plac'"),
    ],
)
def test_unknown_columns_are_named(change, message):
    """A column that the table lacks is named, with those that it has."""
    wanted = {"name": "n", "measure": "x_s", "arm": {"place": "b"}, "baseline": {"place": "a"}}
    with pytest.raises(UsageError, match=message):
        only(noisy(8), stats.Contrast(**(wanted | change)))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"pairing": "trial"}, "Unknown pairing 'trial'"),
        ({"kind": "log"}, "Unknown kind 'log'"),
        ({"threshold": 0.0}, "Invalid threshold 0.0"),
    ],
)
def test_contrast_refuses_what_it_cannot_mean(option, message):
    """A contrast with an unknown unit or kind, or a ratio against zero, is refused."""
    with pytest.raises(UsageError, match=message):
        stats.Contrast("n", "x_s", {}, {}, **option)


def test_compare_sets_every_arm_against_the_baseline():
    """The convenient form is indexed by arm and equals the contrasts."""
    frame = trials({p: np.exp(np.random.default_rng(ord(p)).normal(0, 0.1, 9)) for p in "abc"})
    table = stats.compare(frame, "x_s", by="place", baseline="a")
    assert list(table.index) == ["b", "c"]
    assert table.index.name == "place"
    assert table.loc["b", "estimate"] == only(frame)["estimate"]
    assert (table["low_adjusted"] <= table["low"]).all()
    with pytest.raises(UsageError, match=r"Unknown baseline 'z'\. Must be one of 'a', 'b', 'c'"):
        stats.compare(frame, "x_s", baseline="z")


def test_swapped_arms_turn_the_comparison_round():
    """Exchanging two arms in the data gives the reciprocal interval."""
    frame = noisy(12)
    swapped = frame.assign(place=frame["place"].map({"a": "b", "b": "a"}))
    row, turned = only(frame), only(swapped)
    assert turned["estimate"] == pytest.approx(1 / row["estimate"])
    assert (turned["low"], turned["high"]) == pytest.approx((1 / row["high"], 1 / row["low"]))


# ---- the harness itself --------------------------------------------------------


def test_a_quiet_null_arm_says_nothing():
    """It passes, and is known to 5 %."""
    control = stats.aa_control(noisy(20, ratio=1.0, sd=0.02), B_OVER_A).loc["m"]
    assert control["passes"]
    assert (control["note"], control["n"], control["pairing"]) == ("", 20, "block")
    assert control["low"] <= 1 <= control["high"]


@pytest.mark.parametrize("ratio", [1.03, 0.97])
def test_a_null_arm_whose_interval_leaves_1_out_fails(ratio):
    """However near to 1 it is: what is known so well is a difference of the harness."""
    control = stats.aa_control(noisy(20, ratio=ratio, sd=0.01), B_OVER_A).loc["m"]
    assert not control["passes"]
    assert control["note"].startswith(f"The A/A control fails: {control['estimate']:.2f}x [")


def test_a_noisy_null_arm_passes_and_says_how_precise_it_is():
    """Far from 1 by its own error is no fault, but it vouches for no small effect."""
    frame = noisy(20, ratio=1.05, sd=0.3)
    control = stats.aa_control(frame, B_OVER_A).loc["m"]
    assert control["passes"]
    assert abs(control["estimate"] - 1) > stats.NULL_TOLERANCE
    far = max(control["high"], 1 / control["low"])
    assert control["note"] == f"Passes, but is no more precise than {far:.2f}x."


@pytest.mark.parametrize(
    ("width", "effect", "vouched"),
    [(1.10, 1.001, True), (1.11, 1.02, False), (1.11, 1.04, True), (1.25, 1.07, False)],
)
def test_a_control_vouches_for_what_it_is_precise_enough_for(width, effect, vouched):
    """Widths of 1 +- 5 % always do, wider ones up to three times the effect's."""
    control = {"low": 1 / width**0.5, "high": width**0.5}
    assert stats.vouches(control, 2.0, 2.0 * effect) == vouched


def test_an_aa_control_without_an_interval_does_not_pass():
    """Too few null pairs say nothing of the harness."""
    control = stats.aa_control(noisy(4, ratio=1.0), B_OVER_A).loc["m"]
    assert not control["passes"]
    assert control["note"].startswith("The A/A control has no interval.")
    with pytest.raises(UsageError, match="Must be 'ratio'"):
        stats.aa_control(
            noisy(8), stats.Contrast("d", "x_s", {"place": "b"}, {"place": "a"}, kind="difference")
        )


# ---- summaries -----------------------------------------------------------------


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


# ---- quality -------------------------------------------------------------------

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
        ([3.0, *CALM], {}, "a: the first sample of x_s was slow, 3 against a median of 1"),
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
        r"The machine: x_s drifted over 10 sessions, the later half reads 1\d% more than the "
        r"earlier half\.",
        said,
    )
    (turned,) = stats.quality(_sessions(np.linspace(1.25, 1, 10)), "x_s")
    assert re.search(r"the later half reads \d+% less than", turned)


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


def test_drift_is_rarely_seen_where_there_is_none():
    """Of 300 runs without drift, at 10 % noise per session, at most 1 % are said to drift."""
    rng = np.random.default_rng(11)
    flagged = sum(
        any(
            "drifted" in s
            for s in stats.quality(_sessions(rng.lognormal(0, 0.1, 9), seed=i), "x_s")
        )
        for i in range(300)
    )
    assert flagged <= 3


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"stolen_share": 0.009}, []),
        ({"stolen_share": 0.011}, ["The machine: the hypervisor stole 1.1% of the CPU time"]),
        ({"stolen_share": 0.01}, ["The machine: the hypervisor stole 1.0% of the CPU time"]),
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
