"""The statistics on data whose truth is known: coverage, false findings, order, stopping.

What verdicts as a whole promise, power above all, is in `test_power_as_promised`.
Each sample is a run of blocks in time order, so that a noise model may drift or
remember. Seeds are fixed: the figures repeat exactly.
"""

import numpy as np
import pytest

from caveatlib import stats

pytestmark = pytest.mark.beside

REPEATS = 5000
MONTE_CARLO = 0.015
SIZES = (8, 10, 20, 30)


def lognormal(rng, shape, sd=0.08):
    """Multiplicative noise."""
    return np.exp(rng.normal(0, sd, shape))


def bimodal(rng, shape):
    """A slow path, 1.5 times as long, in 30 % of the samples."""
    return np.exp(rng.normal(0, 0.05, shape)) * np.where(rng.random(shape) < 0.3, 1.5, 1.0)


def ticks(rng, shape):
    """Samples about 20 ms long; the clock's tick of 1 ms is applied in `observe`."""
    return np.exp(rng.normal(0, 0.10, shape))


def drifting(rng, shape):
    """AR(1) of 0.95 from sample to sample, on a drift of 30 % over the run."""
    steps = rng.normal(0, 0.10 * np.sqrt(1 - 0.95**2), shape)
    log = np.empty(shape)
    log[:, 0] = rng.normal(0, 0.10, shape[0])
    for i in range(1, shape[1]):
        log[:, i] = 0.95 * log[:, i - 1] + steps[:, i]
    return np.exp(log + np.linspace(0, 0.3, shape[1]) + rng.normal(0, 0.03, shape))


def outliers(rng, shape):
    """5 % of the samples take 3 to 10 times as long."""
    far = np.where(rng.random(shape) < 0.05, rng.uniform(3, 10, shape), 1.0)
    return np.exp(rng.normal(0, 0.05, shape)) * far


MODELS = (lognormal, bimodal, ticks, drifting, outliers)


def blocks(rng, model, n, ratio=1.0, repeats=REPEATS):
    """Return baseline and arm, each (repeats, n), run in randomised complete blocks."""
    noise = model(rng, (repeats, 2 * n)).reshape(repeats, n, 2)
    first = rng.integers(0, 2, (repeats, n, 1))
    baseline = np.take_along_axis(noise, first, axis=2)[..., 0]
    arm = np.take_along_axis(noise, 1 - first, axis=2)[..., 0] * ratio
    return observe(model, baseline), observe(model, arm)


def observe(model, values):
    """Read seconds off the model's clock."""
    return np.round(values * 20) / 1000 if model is ticks else values * 0.020


def effects(arms):
    """Return the log ratios of the pairs."""
    baseline, arm = arms
    return np.log(arm) - np.log(baseline)


def found(effect, level=0.95):
    """Return which repetitions find something."""
    return stats.signed_rank_p(effect) < 1 - level


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_coverage_and_false_findings(model, n, bars):
    """A nominal 95 % covers 93-99 %, and the same arm twice is rarely found to differ."""
    rng = np.random.default_rng([n, MODELS.index(model)])
    effect = effects(blocks(rng, model, n, ratio=1.2))
    _, low, high = stats.hodges_lehmann(effect)
    coverage = np.mean((low <= np.log(1.2)) & (np.log(1.2) <= high))
    false = found(effects(blocks(rng, model, n))).mean()
    bars.append((f"coverage, {model.__name__}, n={n}", f"{coverage:.1%}", "93-99 %"))
    bars.append((f"A/A findings, {model.__name__}, n={n}", f"{false:.1%}", "<= 5 % + 1.5 %"))
    assert 0.93 <= coverage <= 0.99
    assert false <= 0.05 + MONTE_CARLO


def test_the_session_is_the_unit(bars):
    """Medians of sessions are honest; pooling samples of few boots finds what is not there."""
    rng = np.random.default_rng(8)
    sessions, samples = 8, 20
    boot = rng.normal(0, 0.05, (REPEATS, sessions, 1, 2))
    noise = rng.normal(0, 0.08, (REPEATS, sessions, samples, 2))
    log = boot + noise
    by_session = np.median(log, axis=2)
    honest = found(by_session[..., 1] - by_session[..., 0]).mean()
    few = log[:500]
    pooled = found((few[..., 1] - few[..., 0]).reshape(500, -1)).mean()
    bars.append(("A/A findings, unit = session", f"{honest:.1%}", "<= 5 % + 1.5 %"))
    bars.append(("A/A findings, samples pooled (dishonest)", f"{pooled:.1%}", ">= 30 %"))
    assert honest <= 0.05 + MONTE_CARLO
    assert pooled >= 0.30


def test_order_on_a_drifting_machine(bars):
    """All of A, then all of B finds differences that are drift, the more the more samples."""
    rng = np.random.default_rng(7)
    rate = {}
    for n in (10, 30):
        # the same machine, watched three times as long: 1 % of drift per 2 samples
        noise = lognormal(rng, (REPEATS, 2 * n)) * np.exp(np.arange(2 * n) * 0.005)
        rate[n] = found(np.log(noise[:, n:]) - np.log(noise[:, :n])).mean()
        pair = noise.reshape(REPEATS, n, 2)
        first = rng.integers(0, 2, (REPEATS, n, 1))
        a, b = (np.take_along_axis(pair, i, axis=2)[..., 0] for i in (first, 1 - first))
        randomised = found(np.log(b) - np.log(a)).mean()
        bars.append((f"A/A findings, AA..BB under drift, n={n}", f"{rate[n]:.1%}", ">= 17 %"))
        bars.append((f"A/A findings, blocks under drift, n={n}", f"{randomised:.1%}", "<= 6.5 %"))
        assert randomised <= 0.05 + MONTE_CARLO
    assert rate[30] > rate[10] >= 0.17


def first_true(flags, otherwise):
    """Return the index of the first True per row."""
    return np.where(flags.any(axis=1), flags.argmax(axis=1), otherwise)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_stopping_rules(model, bars):
    """A budget that ends after a whole block and the width are honest; a look at p is not."""
    rng = np.random.default_rng([3, MODELS.index(model)])
    least, most, repeats = 8, 40, 4000
    baseline, arm = blocks(rng, model, most, repeats=repeats)
    effect, rows = effects((baseline, arm)), np.arange(repeats)
    looks = range(least, most + 1)
    p = np.stack([stats.signed_rank_p(effect[:, :n]) for n in looks], axis=1)
    ends = [stats.hodges_lehmann(effect[:, :n]) for n in looks]
    low, high = (np.stack([e[i] for e in ends], axis=1) for i in (1, 2))
    covers = (low <= 0) & (high >= 0)
    last = len(looks) - 1

    spent = np.cumsum(baseline + arm, axis=1)[:, least - 1 :]
    budget = first_true(spent >= np.median(spent[:, 12]), last)
    goal = np.median((high - low)[:, len(looks) // 2])
    narrow = (high - low < goal) & (np.array(looks) >= 15)  # never before the default number
    width = first_true(narrow, last)
    assert np.unique(budget).size > 1
    assert np.unique(width).size > 1
    for name, stop in (("fixed", np.full(repeats, last)), ("budget", budget), ("width", width)):
        false, cover = (p[rows, stop] < 0.05).mean(), covers[rows, stop].mean()
        bars.append(
            (f"A/A findings, stop by {name}, {model.__name__}", f"{false:.1%}", "<= 5 % + 1.5 %")
        )
        bars.append((f"coverage, stop by {name}, {model.__name__}", f"{cover:.1%}", ">= 93 %"))
        assert false <= 0.05 + MONTE_CARLO
        assert cover >= 0.93
    peeking = (p < 0.05).any(axis=1).mean()
    bars.append(
        (f"A/A findings, look at p, {model.__name__} (dishonest)", f"{peeking:.1%}", ">= 10 %")
    )
    assert peeking >= 0.10


def test_holm_keeps_the_familywise_error(bars):
    """Five arms against one baseline, three of them without effect: few runs with a false one."""
    rng = np.random.default_rng(5)
    log = rng.normal(0, 0.08, (REPEATS, 15, 6))
    log[..., 1] += np.log(1.3)
    log[..., 2] += np.log(1.1)
    p = np.stack([stats.signed_rank_p(log[..., i] - log[..., 0]) for i in range(1, 6)], axis=1)
    adjusted = np.array([stats.holm(row) for row in p])
    plain = (p[:, 2:] < 0.05).any(axis=1).mean()
    family = (adjusted[:, 2:] < 0.05).any(axis=1).mean()
    power = (adjusted[:, 0] < 0.05).mean()
    bars.append(("familywise error, 3 of 5 null, Holm", f"{family:.1%}", "<= 5 % + 1.5 %"))
    bars.append(("familywise error, 3 of 5 null, unadjusted", f"{plain:.1%}", "> 7 %"))
    bars.append(("power for 1.30x after Holm", f"{power:.1%}", ">= 95 %"))
    assert family <= 0.05 + MONTE_CARLO
    assert plain > 0.07
    assert power >= 0.95
