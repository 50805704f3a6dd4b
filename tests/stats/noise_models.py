"""Fifteen ways in which a machine makes arms of a comparison look different, in time order.

Each model is ``f(rng, arms, ratio)``: `arms`, shape (runs, n, 3), says which arm each trial of a
block of three is (`A`, `B`, or `AGAIN`, which is A once more, the A/A control), in the order in
which they ran. What comes back are the times in that order, of which B's are `ratio` times as
long; NaN is a trial that failed. A block is a session: what one trial leaves to the next ends
with it.
"""

import numpy as np

A, B, AGAIN = 0, 1, 2


def _normal(rng, arms, sd=0.08):
    return rng.normal(0, sd, arms.shape)


def _longer(arms, ratio):
    """Return the log of what B takes longer."""
    return np.where(arms == B, np.log(ratio), 0.0)


def lognormal(rng, arms, ratio):
    """Multiplicative noise of 8 %."""
    return np.exp(_normal(rng, arms) + _longer(arms, ratio))


def _neighbour(rng, arms, ratio, *, stay):
    """A neighbour that comes and goes makes trials 25 % longer; sessions differ in speed."""
    runs, n, each = arms.shape
    busy = np.empty((runs, n * each), dtype=bool)
    busy[:, 0] = rng.random(runs) < 0.5
    change = rng.random(busy.shape) < 1 / stay
    for i in range(1, n * each):
        busy[:, i] = busy[:, i - 1] ^ change[:, i]
    session = rng.normal(0, 0.05, (runs, n, 1))
    log = _normal(rng, arms, 0.06) + session + np.log(1.25) * busy.reshape(arms.shape)
    return np.exp(log + _longer(arms, ratio))


def neighbour(rng, arms, ratio):
    """A two-state Markov neighbour, busy and idle for three trials on average."""
    return _neighbour(rng, arms, ratio, stay=3)


def slow_neighbour(rng, arms, ratio):
    """The same, with states of 33 trials."""
    return _neighbour(rng, arms, ratio, stay=33)


def pareto(rng, arms, ratio):
    """Times from a Pareto distribution of index 2.2: the mean exists, hardly the variance."""
    return (1 + rng.pareto(2.2, arms.shape)) * np.exp(_longer(arms, ratio))


def pareto_delays(rng, arms, ratio):
    """Delays from the same distribution on top of a steady time."""
    delay = 0.12 * rng.pareto(2.2, arms.shape)
    return np.exp(_normal(rng, arms, 0.04) + _longer(arms, ratio)) + delay


def _spread(arms):
    return np.where(arms == B, 0.20, 0.04)


def noisier(rng, arms, ratio):
    """The slower arm is noisier, 20 against 4 %."""
    return np.exp(_spread(arms) * rng.normal(0, 1, arms.shape) + _longer(arms, ratio))


def noisier_delays(rng, arms, ratio):
    """The same, but noise only ever adds; each arm's median is what it would be without."""
    delay = rng.exponential(1, arms.shape) - np.log(2)
    return np.exp(_spread(arms) * delay + _longer(arms, ratio))


def _periodic(rng, arms, ratio, *, period):
    runs, n, each = arms.shape
    phase = rng.random((runs, 1)) * period
    slow = (np.arange(n * each) + phase) % period < 1
    log = _normal(rng, arms, 0.06) + np.log(1.3) * slow.reshape(arms.shape)
    return np.exp(log + _longer(arms, ratio))


def in_phase(rng, arms, ratio):
    """One trial in three takes 30 % longer: the period is a block's length."""
    return _periodic(rng, arms, ratio, period=3)


def out_of_phase(rng, arms, ratio):
    """The same with a period of 3.1 trials."""
    return _periodic(rng, arms, ratio, period=3.1)


def step(rng, arms, ratio):
    """In the middle of the run everything becomes 40 % slower."""
    n, each = arms.shape[1:]
    late = (np.arange(n * each) >= n * each // 2).reshape(1, n, each)
    return np.exp(_normal(rng, arms, 0.075) + np.log(1.4) * late + _longer(arms, ratio))


def _carried(rng, arms, ratio, *, over):
    after = np.zeros(arms.shape, dtype=bool)
    after[:, :, 1:] = arms[:, :, :-1] == B
    return np.exp(_normal(rng, arms) + np.log(1 + over) * after + _longer(arms, ratio))


def carried_10(rng, arms, ratio):
    """The trial after B takes 10 % longer."""
    return _carried(rng, arms, ratio, over=0.10)


def carried_30(rng, arms, ratio):
    """The trial after B takes 30 % longer."""
    return _carried(rng, arms, ratio, over=0.30)


def _ticking(rng, arms, ratio, *, ms):
    return np.round(ms * lognormal(rng, arms, ratio) / 10) / 100


def ticks_35(rng, arms, ratio):
    """A clock of 10 ms reads times of 35 ms."""
    return _ticking(rng, arms, ratio, ms=35)


def ticks_105(rng, arms, ratio):
    """A clock of 10 ms reads times of 105 ms."""
    return _ticking(rng, arms, ratio, ms=105)


def slow_fail(rng, arms, ratio):
    """Of the trials that would take longer than 1.2x, 60 % fail."""
    times = lognormal(rng, arms, ratio)
    return np.where((times > 1.2) & (rng.random(arms.shape) < 0.6), np.nan, times)


MODELS = (
    lognormal,
    neighbour,
    slow_neighbour,
    pareto,
    pareto_delays,
    noisier,
    noisier_delays,
    in_phase,
    out_of_phase,
    step,
    carried_10,
    carried_30,
    ticks_35,
    ticks_105,
    slow_fail,
)


def by_arm(rng, model, *, runs, n, ratio=1.0):
    """Run a model in randomised complete blocks.

    Returns
    -------
    ndarray, shape (runs, n, 3)
        Times of A, B and A again, block by block.
    """
    arms = rng.permuted(np.broadcast_to([A, B, AGAIN], (runs, n, 3)), axis=2)
    times = model(rng, arms, ratio)
    return np.take_along_axis(times, np.argsort(arms, axis=2), axis=2)
