"""Contrasts and A/A controls of small tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from two_arms import B_OVER_A, noisy, only, trials

from caveatlib import stats
from caveatlib.errors import DataError, UsageError
from caveatlib.frames import UNAVAILABLE

pytestmark = pytest.mark.beside


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


def test_what_could_not_be_tried_is_no_failed_trial():
    """A run on a machine that lacks the place has a row that says so, beside one that has it."""
    frame = noisy(10)
    lacking = {"run": "s", "ok": False, "error": f"{UNAVAILABLE}no engine", "x_s": np.nan}
    row = only(pd.concat([frame, frame.iloc[[0]].assign(**lacking)], ignore_index=True))
    assert (row["n"], row["failed_arm"], row["failed_baseline"]) == (10, 0, 0)


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
    assert row["note"] == "", "how far other readings would lie is not known"


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


def test_what_is_unchanged_says_the_same():
    """Columns that are taken out once give what they give anew, of any table, to the last bit."""
    frames = [noisy(12, seed=seed) for seed in range(3)]
    wanted = [B_OVER_A, stats.Contrast("a", "x_s", {"place": "a", "design": "d"}, None)]
    asked = [(frame, contrast) for frame in frames for contrast in wanted]
    anew = [stats.jointly([each]) for each in asked]
    with stats.unchanged():
        assert [stats.jointly([each]) for each in asked] == anew
        assert [stats.jointly([each]) for each in reversed(asked)] == anew[::-1]
        assert stats.match(frames[0], {"place": "b"}).sum() == 12
        with pytest.raises(UsageError, match="Unknown column 'y'"):
            stats.match(frames[0], {"y": 1})


def test_what_was_asked_is_nobody_else_s():
    """A filter's answer may be changed, and a table when nothing is held any more."""
    frame = noisy(8)
    with stats.unchanged():
        mine = stats.match(frame, {"place": "b"})
        mine |= True
        assert stats.match(frame, {"place": "b"}).sum() == 8
        assert only(frame)["n"] == 8
        with stats.unchanged():
            assert only(frame)["n"] == 8
    frame.loc[frame["place"] == "b", "place"] = "c"
    assert only(frame)["n"] == 0
    with stats.unchanged():
        assert only(frame)["n"] == 0
