"""`judge` as a whole keeps its promises over fifteen models of noise, or is known not to.

Promised of every effect with an A/A control: where there is none, at most one verdict in twenty;
of the effect that the card calls detectable, a verdict in four of five runs, within 5 points;
intervals that cover. `BREAKS` lists what no interval can mend, each with what mends or notices it.
"""

import re
from dataclasses import replace

import judged_runs as runs
import noise_models as noise
import numpy as np
import pytest
from judged_runs import EFFECT

from caveatlib import claims, stats
from caveatlib.claims import FAILS, HOLDS, OPEN

pytestmark = pytest.mark.beside

TRUE = 1.2
BREAKS = {
    noise.carried_10: "what B leaves behind slows half of A's trials, and more runs only add to it",
    noise.carried_30: "the same; a test of the trial before, and balanced orders, are for it",
    noise.ticks_35: "times of three or four ticks: rounding moves what is true",
    noise.slow_fail: "what is left of the slow trials is quicker than they are",
    noise.noisier_delays: "skewed by unequal amounts: a typical pair's ratio is not the medians'",
    noise.pareto_delays: "delays are not multiplied: what is true is a little under the ratio",
}
"""Models in which an estimate is off, and why."""
SOUND = [model for model in noise.MODELS if model not in BREAKS]
COARSE = {8: 0.60, 15: 0.60, 20: 0.45, 44: 0.60, 100: 0.25}
"""Least power at a clock of 10 ms that reads 105 ms, by n: widths are whole ticks, and so is what
a card calls detectable. A guard against coarse clocks is for it."""


def drawn(model, n, ratio=1.0, count=2000, seed=0):
    """Return the times of so many runs."""
    rng = np.random.default_rng([seed, n, noise.MODELS.index(model)])
    return noise.by_arm(rng, model, runs=count, n=n, ratio=ratio)


def name(model):
    return getattr(model, "__name__", None)


def few_and_many(sizes=(8, 15, 20), many=(44, 100)):
    """Return the sizes, the large ones among the slow tests."""
    return [*sizes, *(pytest.param(n, marks=pytest.mark.slow) for n in many)]


def count(n):
    return 2000 if n < 40 else 1000


# ---- the shortcut ------------------------------------------------------------------


@pytest.mark.parametrize("model", noise.MODELS, ids=name)
def test_the_shortcut_is_what_judge_says(model):
    """Word and interval of a run are those that the real function gives."""
    seen = set()
    for n, ratio in ((8, 1.0), (8, 1.3), (20, 1.06)):
        times = drawn(model, n, ratio, count=8, seed=1)
        low, high = np.exp(runs.intervals(runs.logs(times)[0])[1:])
        for i, short in enumerate(runs.words(times)):
            real = runs.word(times[i])
            assert real.verdict == short
            assert (real.low, real.high) == pytest.approx((low[i], high[i]), nan_ok=True)
            seen.add(short)
    assert len(seen) > 1


def test_the_shortcut_is_what_judge_says_of_controls():
    """Controls that fail, and such as are too vague, keep a word from being drawn in both."""
    rng = np.random.default_rng(3)
    times = drawn(noise.lognormal, 15, 1.15, count=60, seed=2)
    times[:20, :, noise.AGAIN] *= 1.1
    times[20:40, :, noise.AGAIN] *= np.exp(rng.normal(0, 0.6, (20, 15)))
    verdicts = [runs.word(each) for each in times]
    assert [v.verdict for v in verdicts] == list(runs.words(times))
    assert sum("differs from 1x" in v.because for v in verdicts[:20]) >= 10
    assert sum("too imprecise" in v.because for v in verdicts[20:40]) >= 10
    assert sum(v.verdict == HOLDS for v in verdicts[40:]) >= 15


def test_the_shortcut_is_what_judge_says_of_several_effects():
    """Six effects of one table are adjusted together; words and intervals are equal."""
    times = [drawn(noise.lognormal, 10, r, count=5, seed=4) for r in (1, 1, 1.1, 1.2, 1.3, 0.8)]
    said, lows, _ = runs.families(times)
    for run in range(5):
        tables = [runs.frame(each[run]) for each in times]
        decisions = [
            replace(
                EFFECT,
                claim=replace(EFFECT.claim, id=f"c{i}"),
                table=lambda rows, table=table: table,
            )
            for i, table in enumerate(tables)
        ]
        verdicts = claims.judge(tables[0], decisions)
        assert [v.verdict for v in verdicts] == list(said[:, run])
        assert [v.low for v in verdicts] == pytest.approx(list(np.exp(lows[:, run])))


# ---- what is promised --------------------------------------------------------------


@pytest.mark.parametrize("n", few_and_many())
@pytest.mark.parametrize("model", SOUND, ids=name)
def test_no_effect_is_rarely_found(model, n, bars):
    """With B equal to A, at most one verdict in twenty, by all that `judge` does."""
    false = (runs.words(drawn(model, n, count=count(n))) != OPEN).mean()
    bars.append((f"false verdicts, {model.__name__}, n={n}", f"{false:.1%}", "<= 5 % + 1.5 %"))
    assert false <= 0.05 + 0.015


@pytest.mark.parametrize("n", few_and_many())
@pytest.mark.parametrize("model", SOUND, ids=name)
def test_what_a_card_calls_detectable_is_found(model, n, bars):
    """In four of five runs, or five points fewer, its control's error and all."""
    ratio = detectable(drawn(model, n, count=count(n), seed=5))
    power = (runs.words(drawn(model, n, ratio, count=count(n), seed=6)) == HOLDS).mean()
    least = COARSE[n] if model is noise.ticks_105 else 0.75
    told = f"power for {ratio:.3f}x, {model.__name__}, n={n}"
    bars.append((told, f"{power:.1%}", f">= {least:.0%}"))
    assert least - 0.02 <= power <= 0.92


def detectable(times) -> float:
    """Return the median of what the cards of runs without an effect call detectable."""
    _, low, high = runs.intervals(runs.logs(times)[0])
    return float(np.exp(np.nanmedian(high - low) / 2 * REACH))


REACH = 1 + 1.0032 / 1.9600
"""Of half an interval's width: 84.2 % found, and 95 % of the controls pass."""


def test_reach_is_that_of_the_cards():
    """The shortcut's effect is what a card says."""
    times = drawn(noise.lognormal, 12, count=1, seed=7)
    said = runs.word(times[0]).because
    assert f"Minimum detectable effect {detectable(times):.3g}x at 80 % power" in said


@pytest.mark.parametrize("n", few_and_many())
@pytest.mark.parametrize("model", SOUND, ids=name)
def test_intervals_cover(model, n, bars):
    """A nominal 95 % covers a true 1.2x in 93 to 99 % of the runs (ticks: 90 %)."""
    _, low, high = runs.intervals(runs.logs(drawn(model, n, TRUE, count=count(n), seed=8))[0])
    cover = ((low <= np.log(TRUE)) & (np.log(TRUE) <= high)).mean()
    least = 0.885 if model is noise.ticks_105 else 0.925
    bars.append((f"coverage, {model.__name__}, n={n}", f"{cover:.1%}", f">= {least:.1%}"))
    assert least <= cover <= 0.99


def power_of(decision, ratio, *, n=15, count=200, seed=9):
    """Return the share of runs in which the real `judge` draws each word."""
    said = [runs.word(each, decision).verdict for each in drawn(noise.lognormal, n, ratio, count,
                                                                 seed)]  # fmt: skip
    return {w: np.mean([s == w for s in said]) for w in (HOLDS, FAILS, OPEN)}


def test_fifteen_sessions_find_what_the_docs_promise(bars):
    """1.10x at 8 % noise, by the real function; ten sessions do not."""
    found = power_of(EFFECT, 1.10)[HOLDS]
    bars.append(("power for 1.10x, n=15, 8 % noise, judge", f"{found:.1%}", ">= 75 %"))
    assert found >= 0.75 > power_of(EFFECT, 1.10, n=10)[HOLDS]


@pytest.mark.parametrize("direction", ["greater", "less"])
def test_power_against_a_threshold_other_than_1(direction, bars):
    """A claim of more, or less, than 2x: what its card calls detectable lies beyond 2x."""
    contrast = replace(EFFECT.contrast, threshold=2.0)
    decision = replace(EFFECT, contrast=contrast, direction=direction)
    at = typical(r"effect ([\d.]+)x at", decision, 2.0)
    assert at > 2 if direction == "greater" else at < 2
    power = power_of(decision, at)[HOLDS]
    bars.append((f"power for {at:.3g}x, {direction} than 2x", f"{power:.1%}", ">= 75 %"))
    assert 0.73 <= power <= 0.90


def test_power_of_an_equality(bars):
    """What its card says is found unequal is, above and below."""
    decision = claims.Equality(
        claim=EFFECT.claim, contrast=EFFECT.contrast, tolerance=0.05, what="B of A"
    )
    for pattern, centre in ((r"above ([\d.]+) ", 1.05), (r"below ([\d.]+) ", 0.95)):
        at = typical(pattern, decision, centre)
        power = power_of(decision, at)[FAILS]
        bars.append((f"power of an equality at {at:.3g}x", f"{power:.1%}", ">= 75 %"))
        assert 0.73 <= power <= 0.92


def test_power_of_a_difference_without_a_control(bars):
    """Its card's power is that of the test, which is a little more: nothing else can fail."""
    contrast = replace(EFFECT.contrast, kind="difference", threshold=0.0)
    decision = replace(EFFECT, contrast=contrast, null=None, unit="s")
    at = typical(r"effect ([\d.]+) ms at", decision, 1.0) / 1000
    power = power_of(decision, 1 + at)[HOLDS]
    bars.append((f"power for a difference of {at:.3g} s", f"{power:.1%}", ">= 75 %"))
    assert 0.75 <= power <= 0.92


def typical(pattern, decision, ratio):
    """Return the median of the numbers that the undecided cards at a ratio name."""
    cards = [runs.word(t, decision).because for t in drawn(noise.lognormal, 15, ratio, 60, 10)]
    told = [re.search(pattern, card) for card in cards]
    return float(np.median([float(m[1]) for m in told if m]))


# ---- several effects ----------------------------------------------------------------


def test_six_effects_judged_together(bars):
    """A false verdict among six in at most one run of twenty; 1.14x is found at n = 15."""
    null = [drawn(noise.lognormal, 15, count=1500, seed=20 + i) for i in range(6)]
    said, _, _ = runs.families(null)
    false = (said != OPEN).any(axis=0).mean()
    bars.append(("a false verdict among six, n=15", f"{false:.1%}", "<= 5 % + 1.5 %"))
    assert false <= 0.05 + 0.015
    one = [drawn(noise.lognormal, 15, 1.14, count=1500, seed=20), *null[1:]]
    power = (runs.families(one)[0][0] == HOLDS).mean()
    bars.append(("power for 1.14x beside five without effect", f"{power:.1%}", ">= 75 %"))
    assert power >= 0.75


def test_adjusted_intervals_cover_each_by_itself(bars):
    """Twelve true effects: each interval covers, and all of them at once not in 95 % of runs.

    So every text beside them says "each by itself".
    """
    times = [drawn(noise.lognormal, 15, TRUE, count=1000, seed=40 + i) for i in range(12)]
    _, lows, highs = runs.families(times)
    covers = (lows <= np.log(TRUE)) & (np.log(TRUE) <= highs)
    each, joint = covers.mean(axis=1), covers.all(axis=0).mean()
    bars.append(("coverage of 12 adjusted intervals, each", f"{each.min():.1%}", ">= 93 %"))
    bars.append(("coverage of 12 adjusted intervals, jointly", f"{joint:.1%}", "80 to 94 %"))
    assert each.min() >= 0.93
    assert 0.80 <= joint <= 0.94


# ---- the control -------------------------------------------------------------------


HARNESS = np.log([1, 1.05, 1.05])
"""A harness that makes whatever is not A 5 % slower."""


@pytest.mark.parametrize(("n", "sd", "least"), [(15, 0.03, 0.90), (44, 0.06, 0.90)])
def test_a_harness_that_differs_is_not_judged(n, sd, least, bars):
    """A again and B are 5 % slower by the harness alone: most runs draw no verdict."""
    rng = np.random.default_rng([11, n])
    log = rng.normal(0, sd, (2000, n, 3)) + HARNESS
    open_ = (runs.words(np.exp(log)) == OPEN).mean()
    bars.append((f"a harness 5 % off is not judged, n={n}", f"{open_:.1%}", f">= {least:.0%}"))
    assert open_ >= least


def test_a_harness_that_is_barely_off_can_slip_through(bars):
    """The most that a pass or fail can miss: off by so much that half of the controls see it."""
    worst = 0.0
    for off in (1.04, 1.06, 1.076):
        rng = np.random.default_rng(13)
        log = rng.normal(0, 0.08, (2000, 15, 3)) + np.log([1, off, off])
        worst = max(worst, (runs.words(np.exp(log)) != OPEN).mean())
    bars.append(("verdicts beside a harness 4 to 8 % off, n=15", f"{worst:.1%}", "10 to 20 %"))
    assert 0.10 <= worst <= 0.20


def test_a_blind_control_vouches_for_nothing(bars):
    """The same harness with a control too noisy to see it: by passing alone it would be judged."""
    rng = np.random.default_rng(12)
    log = rng.normal(0, 0.04, (2000, 15, 3)) + HARNESS
    log[..., noise.AGAIN] += rng.normal(0, 0.4, (2000, 15))
    effect, control = runs.logs(np.exp(log))
    _, low, high = runs.intervals(control)
    found = runs.intervals(effect)[1] > 0
    assert (found & (low <= 0) & (high >= 0)).mean() >= 0.6
    false = (runs.words(np.exp(log)) != OPEN).mean()
    bars.append(("verdicts beside a blind control", f"{false:.1%}", "<= 5 %"))
    assert false <= 0.05


def test_a_tolerance_on_the_estimate_would_cost_power(bars):
    """Why none is asked: by its own error alone the estimate of a control is beyond 5 %.

    At 8 % noise and n = 8 in one run of four, whereas its interval holds 1 in 95 %.
    """
    estimate, low, high = runs.intervals(runs.logs(drawn(noise.lognormal, 8, seed=13))[1])
    beyond = (np.abs(estimate) > np.log(1 + stats.NULL_TOLERANCE)).mean()
    passes = ((low <= 0) & (high >= 0)).mean()
    bars.append(("A/A estimates beyond 5 %, n=8, 8 % noise", f"{beyond:.1%}", ">= 20 %"))
    assert beyond >= 0.20
    assert passes >= 0.935


# ---- what breaks --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "least"),
    [(noise.carried_10, {8: 0.04, 20: 0.10}), (noise.carried_30, {8: 0.08, 20: 0.4})],
    ids=["10 %", "30 %"],
)
def test_carry_over_is_not_seen_by_the_control(model, least, bars):
    """B = A is found to differ, the more the more sessions; both As follow B alike.

    Not covered here: an order that is balanced, and a test of what ran before.
    """
    for n, rate in least.items():
        said = runs.words(drawn(model, n))
        _, low, high = runs.intervals(runs.logs(drawn(model, n))[1])
        bars.append((f"false verdicts, {model.__name__}, n={n}", f"{(said != OPEN).mean():.1%}",
                     f"> {rate:.0%} (breaks)"))  # fmt: skip
        assert (said == FAILS).mean() > rate
        assert ((low <= 0) & (high >= 0)).mean() >= 0.93


@pytest.mark.parametrize(
    ("model", "low", "high"),
    [
        (noise.carried_10, -0.040, -0.020),
        (noise.carried_30, -0.090, -0.065),
        (noise.ticks_35, -0.050, -0.025),
        (noise.slow_fail, -0.040, -0.015),
        (noise.noisier_delays, 0.010, 0.030),
        (noise.pareto_delays, -0.020, -0.003),
    ],
    ids=name,
)
def test_estimates_that_are_off(model, low, high, bars):
    """By how much a true 1.2x is missed; more sessions do not help."""
    for n in (8, 20):
        estimate = runs.intervals(runs.logs(drawn(model, n, TRUE, seed=14))[0])[0]
        off = np.exp(np.nanmedian(estimate)) / TRUE - 1
        bars.append((f"bias of 1.2x, {model.__name__}, n={n}", f"{off:+.1%}", "known to be off"))
        assert low <= off <= high


@pytest.mark.parametrize("n", few_and_many())
@pytest.mark.parametrize("model", [noise.ticks_35, noise.slow_fail, noise.pareto_delays], ids=name)
def test_what_is_off_finds_nothing_where_nothing_is(model, n, bars):
    """Coarse clocks, lost slow trials and added delays hide an effect and make up none."""
    false = (runs.words(drawn(model, n, count=count(n))) != OPEN).mean()
    bars.append((f"false verdicts, {model.__name__}, n={n}", f"{false:.1%}", "<= 5 % + 1.5 %"))
    assert false <= 0.05 + 0.015


@pytest.mark.slow
def test_unequal_skew_is_found_by_many_pairs(bars):
    """Arms of one median whose delays are unequal differ to a test of pairs, from n = 44 on."""
    false = (runs.words(drawn(noise.noisier_delays, 44, count=1000)) != OPEN).mean()
    bars.append(("false verdicts, noisier_delays, n=44", f"{false:.1%}", "> 7 % (breaks)"))
    assert false > 0.07
