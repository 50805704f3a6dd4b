"""Carry-over, ageing, clocks and failures that hang on slowness: noticed, and rarely imagined.

Seen to fail: with gaps in `position` ignored, with trials in no order, without the deadline,
without the pace of the others, and with ticks that are called outliers.
"""

import re

import numpy as np
import pandas as pd
import pytest

from caveatlib import stats
from caveatlib.frames import UNAVAILABLE
from caveatlib.measuring.orders import order
from caveatlib.stats.order import AGEING_P, CARRY_P, _after_whom, _share
from caveatlib.support.quantities import percent

pytestmark = pytest.mark.beside

RUNS = 100
MONTE_CARLO = 0.02


def orders(rng, arms, blocks):
    """Return the orders of a run's blocks, as the loop draws them."""
    seed = int(rng.integers(2**31))
    draw = [order(arms, b, lambda square: np.random.default_rng([seed, square]))
            for b in range(blocks)]  # fmt: skip
    return np.array(draw)


def frame(ran, values, names, *, sessions=None):
    """Build the trials of blocks, in the order in which they ran; NaN failed."""
    blocks, arms = ran.shape
    block = np.repeat(range(blocks), arms)
    values = np.asarray(values, dtype=float).ravel()
    ok = ~np.isnan(values)
    return pd.DataFrame(
        {
            "machine": "m", "run": "r", "design": "d", "block": block,
            "session": block if sessions is None else np.asarray(sessions)[block],
            "position": np.tile(range(arms), blocks), "place": np.array(names)[ran.ravel()],
            "ok": ok, "error": np.where(ok, "", "boom"), "x_s": values,
            "busy_per_cpu": 0.0, "stolen_share": 0.0,
        }
    )  # fmt: skip


def carried(rng, blocks, over, names="aba", sd=0.08, ratio=1.2):
    """A run in which trials take longer by a factor right after arm b."""
    ran = orders(rng, len(names), blocks)
    slow = np.array(list(names))[ran] == "b"
    after = np.zeros(ran.shape, dtype=bool)
    after[:, 1:] = slow[:, :-1]
    log = rng.normal(0, sd, ran.shape) + np.log(ratio) * slow + np.log(over) * after
    return frame(ran, np.exp(log), list(names))


def test_carry_over_is_named_with_its_size():
    """The sentence has the arm, how much longer, how probable, and what does not help."""
    rows = carried(np.random.default_rng(1), 40, 1.3, names="abcd")
    found = stats.carry_over(rows, "x_s", "place")
    assert found.after == "b"
    assert found.ratio == pytest.approx(1.3, abs=0.06)
    assert found.p == pytest.approx(0.001)
    (said,) = (s for s in stats.quality(rows, "x_s") if "carry-over" in s)
    assert said.startswith("Trials after b: x_s is ")
    assert said.endswith("(permutation p = 0.001): carry-over; more sessions do not remove it.")
    assert f"{percent(found.ratio - 1)} more than after the others" in said


def test_carry_over_follows_the_data():
    """Names exchanged, the other arm is named; the arm that makes it faster is called less."""
    rows = carried(np.random.default_rng(1), 40, 1 / 1.3, names="abcd")
    assert re.search(r"x_s is 2\d % less than after the others", _carry(rows))
    swapped = rows.assign(place=rows["place"].map({"a": "b", "b": "a", "c": "c", "d": "d"}))
    assert _carry(rows).startswith("Trials after b:")
    assert _carry(swapped).startswith("Trials after a:")


def _carry(rows):
    return next((s for s in stats.order_doubts(rows, "x_s", "place") if "carry-over" in s), "")


@pytest.mark.parametrize(
    ("over", "blocks", "least"), [(1.1, 15, 0.5), (1.1, 20, 0.6), (1.3, 15, 0.98), (1.3, 20, 0.98)]
)
@pytest.mark.slow
def test_carry_over_is_noticed_in_most_runs(over, blocks, least, bars):
    """The audit's models, 10 and 30 % longer after B, 8 % noise, arms A, B and A again."""
    rng = np.random.default_rng([blocks, int(over * 10)])
    found = [stats.carry_over(carried(rng, blocks, over), "x_s", "place") for _ in range(RUNS)]
    noticed = np.mean([f.p <= CARRY_P for f in found])
    bars.append((f"carry-over of {over - 1:.0%} noticed, n={blocks}", f"{noticed:.0%}",
                 f">= {least:.0%}"))  # fmt: skip
    assert noticed >= least


@pytest.mark.parametrize(("names", "blocks"), [("aba", 8), ("abcd", 6), ("abcdefg", 15)])
@pytest.mark.slow
def test_carry_over_is_rarely_imagined(names, blocks, bars):
    """Without any, at most 5 % of runs are said to have it, however many arms are asked about."""
    rng = np.random.default_rng(len(names))
    runs = [carried(rng, blocks, 1.0, names) for _ in range(RUNS)]
    imagined = np.mean([stats.carry_over(rows, "x_s", "place").p <= CARRY_P for rows in runs])
    bars.append((f"carry-over imagined, {len(names)} arms, n={blocks}", f"{imagined:.1%}",
                 "<= 5 % + 2 %"))  # fmt: skip
    assert imagined <= 0.05 + MONTE_CARLO


def test_carry_over_is_said_exactly_where_all_permutations_find_it():
    """The sentence stops permuting once too many do as much; the rest would not have changed it."""
    rng, said = np.random.default_rng(5), []
    for over in (1.0, 1.05, 1.1, 1.3):
        for _ in range(30):
            rows = carried(rng, 15, over, names="abcd")
            p = stats.carry_over(rows, "x_s", "place").p
            found = stats.carry_over_doubts(rows, "x_s", "place")
            assert [f"(permutation p = {p:.3g})" in doubt for doubt in found] == [True] * (
                p <= CARRY_P
            )
            said += found
    assert 25 <= len(said) <= 90


def test_where_carry_over_cannot_be_told():
    """Two arms, few blocks, values without noise, no rows: nothing is said."""
    rng = np.random.default_rng(3)
    assert stats.carry_over(carried(rng, 20, 1.3, names="ab"), "x_s", "place") is None
    assert stats.carry_over(carried(rng, 5, 1.3), "x_s", "place") is None
    steady = carried(rng, 20, 1.0).assign(x_s=1.0)
    assert stats.carry_over(steady, "x_s", "place") is None
    assert stats.order_doubts(steady.iloc[:0], "x_s", "place") == []
    assert stats.carry_over(carried(rng, 20, 1.3, names="aa"), "x_s", "place") is None


def test_a_missing_predecessor_is_no_predecessor():
    """A failed trial is what ran before; of a trial that is not in the table nothing is known."""
    rows = carried(np.random.default_rng(1), 40, 1.3, names="abcd")
    b = rows["place"] == "b"
    failed = rows.assign(x_s=rows["x_s"].mask(b), ok=~b, error=np.where(b, "boom", ""))
    assert stats.carry_over(failed, "x_s", "place").after == "b"
    known = _after_whom(rows, "place")["_before"]
    unknown = _after_whom(rows[~b], "place")["_before"]
    assert set(known.dropna()) == set("abcd")
    assert known.isna().sum() == 40  # the first of each block
    assert (unknown.isna() == (known.isna() | (known == "b"))[unknown.index]).all()
    assert (unknown.dropna() == known[unknown.dropna().index]).all()


def test_rows_may_come_in_any_order():
    """The order is read from block and position, not from the rows."""
    rows = carried(np.random.default_rng(1), 40, 1.3, names="abcd")
    found = stats.carry_over(rows, "x_s", "place")
    shuffled = stats.carry_over(rows.sample(frac=1, random_state=0), "x_s", "place")
    assert shuffled.after == found.after
    assert shuffled.ratio == pytest.approx(found.ratio)
    assert shuffled.p == pytest.approx(found.p, abs=0.002)


# ---- ageing ------------------------------------------------------------------------------


def aged(rng, more, *, sessions=10, names="abcdefghijkl", sd=0.03):
    """Runs whose trials take more time the later in a session of one block they come."""
    ran = orders(rng, len(names), sessions)
    late = np.linspace(0, 1, len(names))
    log = rng.normal(0, sd, ran.shape) + 0.1 * ran + np.log(1 + more) * late
    return frame(ran, np.exp(log), list(names))


def test_ageing_is_said():
    """Later trials of a session that take longer make one sentence; younger ones another word."""
    rng = np.random.default_rng(4)
    (said,) = stats.order_doubts(aged(rng, 0.3), "x_s", "place")
    assert said.startswith("Within a session x_s changes: the last third of the trials reads ")
    assert "% more than the first third (10 sessions, p = 0.002)" in said
    (turned,) = stats.order_doubts(aged(rng, -0.2), "x_s", "place")
    assert "% less than" in turned


def test_groups_age_each_in_their_own_way():
    """What ages is named; what does not is not, though it ran in the same sessions."""
    rows = aged(np.random.default_rng(4), 0.3).assign(kind="pull")
    calm = aged(np.random.default_rng(5), 0.0).assign(kind="disk")
    calm = calm.assign(place=calm["place"].str.upper(), position=calm["position"] + 12)
    both = pd.concat([rows, calm], ignore_index=True)
    (said,) = stats.order_doubts(both, "x_s", "place", apart=["kind"])
    assert said.startswith("pull: within a session")


@pytest.mark.parametrize("more", [0.0, 0.03])
@pytest.mark.slow
def test_ageing_is_rarely_imagined(more):
    """Neither chance alone nor a small change makes the sentence."""
    rng = np.random.default_rng(6)
    said = [stats.order_doubts(aged(rng, more), "x_s", "place") for _ in range(100)]
    assert sum(any("Within a session" in s for s in each) for each in said) <= 2
    assert stats.ageing(aged(rng, 0.3, sessions=5), "x_s", "place") is None
    assert stats.ageing(aged(rng, 0.3), "x_s", "place").p < AGEING_P


# ---- clocks ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ms", "step", "said"), [(10, 0.01, "10 ms"), (4, 0.004, "4 ms"), (1, 0.001, "1 ms")]
)
def test_a_coarse_clock_is_named(ms, step, said):
    """Ticks of 10, 4 and 1 ms are named, and no value beside them is called a far outlier."""
    rng = np.random.default_rng(7)
    true = 35 * np.exp(rng.normal(0, 0.08, (15, 3)))
    rows = frame(orders(rng, 3, 15), np.round(true / ms) * ms / 1000, list("abc"))
    assert stats.clock_step(rows["x_s"]) == pytest.approx(step)
    doubts = stats.quality(rows, "x_s")
    clock = [d for d in doubts if f"the clock of x_s has steps of {said}" in d]
    assert [d[0] for d in clock] == ["a", "b", "c"]
    assert not any("far outliers" in d or "first sample" in d for d in doubts)


def test_a_fine_clock_is_not_doubted():
    """Readings to the nanosecond have no step; 1 ms in 105 ms is no matter; counts have none."""
    rng = np.random.default_rng(7)
    values = 0.105 * np.exp(rng.normal(0, 0.03, (15, 3)))
    ran = orders(rng, 3, 15)
    assert stats.clock_step(values.round(9).ravel()) == 0
    for rows in (frame(ran, values, list("abc")), frame(ran, values.round(3), list("abc"))):
        assert not any("clock" in d for d in stats.quality(rows, "x_s"))
    counts = frame(ran, rng.integers(3, 9, (15, 3)), list("abc")).rename(columns={"x_s": "tasks"})
    assert not any("clock" in d for d in stats.quality(counts, "tasks"))
    assert stats.clock_step([0.03] * 9) == 0
    assert stats.clock_step([0.01, 0.02, 0.03]) == 0
    assert stats.clock_step(np.arange(400, 412) * 1e-9) == 0  # far below any step


# ---- failures ----------------------------------------------------------------------------


def slow_fail(rng, blocks=15, ratio=1.2):
    """The audit's model: of trials above 1.2x, 60 % fail."""
    ran = orders(rng, 3, blocks)
    times = np.exp(rng.normal(0, 0.08, ran.shape) + np.log(ratio) * (ran == 1))
    failed = (times > 1.2) & (rng.random(ran.shape) < 0.6)
    return frame(ran, np.where(failed, np.nan, times), list("aba"))


@pytest.mark.slow
def test_slow_trials_that_fail_are_noticed(bars):
    """Most runs of the audit's model name the arm, and which way what is left of it is pulled."""
    rng = np.random.default_rng(8)
    said = [" ".join(stats.failure_doubts(slow_fail(rng, 20), "x_s", "place")) for _ in range(RUNS)]
    named = np.mean(["b: " in s and "reads too low, and its ratio to others is pulled down" in s
                     for s in said])  # fmt: skip
    bars.append(("slow trials fail, noticed, n=20", f"{named:.0%}", ">= 70 %"))
    assert named >= 0.7


@pytest.mark.slow
def test_failures_at_random_are_not_doubted(bars):
    """Every arm fails now and then, whichever its time: rarely a sentence."""
    rng = np.random.default_rng(9)
    said = 0
    for _ in range(RUNS):
        rows = carried(rng, 15, 1.0, sd=0.08)
        failed = pd.Series(rng.random(len(rows)) < 0.15)
        rows = rows.assign(ok=~failed, x_s=rows["x_s"].mask(failed),
                           error=np.where(failed, "boom", ""))  # fmt: skip
        rows["lasted_s"] = np.exp(rng.normal(0, 0.1, len(rows)))
        said += bool(stats.failure_doubts(rows, "x_s", "place"))
    bars.append(("failures at random doubted", f"{said / RUNS:.1%}", "<= 5 % + 2 %"))
    assert said / RUNS <= 0.05 + MONTE_CARLO


def test_one_failure_at_a_deadline_is_enough():
    """It lasted far longer than any that succeeded; one that broke at once says nothing."""
    rows = carried(np.random.default_rng(2), 15, 1.0, ratio=1.0).assign(lasted_s=1.0)
    one = rows.index == rows.index[rows["place"] == "b"][4]
    rows = rows.assign(ok=~one, x_s=rows["x_s"].mask(one), error=np.where(one, "boom", ""))
    assert stats.failure_doubts(rows.assign(lasted_s=np.where(one, 0.1, 1.0)), "x_s", "place") == []
    late = rows.assign(lasted_s=np.where(one, 30.0, 1 + np.arange(len(rows)) / 100))
    (said,) = stats.failure_doubts(late, "x_s", "place")
    assert said == (
        "b: 1 of 15 trials failed, those that failed lasted longer than those that succeeded. "
        "Slow ones may be missing: x_s of it reads too low, and its ratio to others is pulled down."
    )
    rate = late.rename(columns={"x_s": "x_bit_per_s"})
    assert (
        "reads too high, and its ratio to others is pulled up"
        in (stats.failure_doubts(rate, "x_bit_per_s", "place")[0])
    )


def test_failures_in_slow_blocks_are_noticed():
    """They fail where the others are slow: the arm's own slow values are those that are missing."""
    rng = np.random.default_rng(10)
    ran = orders(rng, 3, 20)
    slow = np.arange(20) % 4 == 0
    values = np.exp(rng.normal(0, 0.05, ran.shape)) * np.where(slow, 1.5, 1.0)[:, None]
    values[(ran == 1) & slow[:, None]] = np.nan
    said = stats.failure_doubts(frame(ran, values, list("abc")), "x_s", "place")
    assert len(said) == 1
    assert said[0].startswith("b: 5 of 20 trials failed, ")
    assert "in blocks in which the others were slow" in said[0]


def test_what_could_not_be_tried_is_no_failure():
    """A place that the machine lacks is not one that failed because it was slow."""
    rows = carried(np.random.default_rng(2), 15, 1.0)
    b = rows["place"] == "b"
    gone = rows.assign(ok=~b, x_s=rows["x_s"].mask(b), error=np.where(b, UNAVAILABLE + "x", ""))
    assert stats.failure_doubts(gone, "x_s", "place") == []
    broken = gone.assign(error=np.where(b, "boom", ""))
    assert stats.failure_doubts(broken, "x_s", "place") == []  # nothing of it is left to be pulled
    assert stats.failure_doubts(rows.iloc[:0], "x_s", "place") == []


SLOWED = ("a", "b", "a", "b", "c", "c")
"""In each block of `one_slow` the arm that is slow: each in two, and twice it is the first."""


def one_slow():
    """A run of three arms in which nothing is uneven but one trial in each block, in turn."""
    names = ("abc", "bca", "cab", "abc", "abc", "bac")
    ran = np.array([["abc".index(name) for name in each] for each in names])
    slow = np.array(
        [[name == slowed for name in each] for each, slowed in zip(names, SLOWED, strict=True)]
    )
    return frame(ran, np.where(slow, 2.0, 1.0), list("abc"))


def test_a_permutation_that_arms_explain_wholly_counts_against_the_finding():
    """Where the slow trials fall on one arm nothing is left: no division by it, and no small p."""
    share = _share(np.array([0.2, 0.0, 1e-20]), np.array([0.5, 0.0, -1e-17]), 1.0)
    assert list(share) == [0.4, 1.0, 1.0]
    with np.errstate(divide="raise", invalid="raise"):
        found = stats.carry_over(one_slow(), "x_s", "place")
    assert found is not None
    assert found.p > CARRY_P
