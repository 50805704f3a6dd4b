"""What `claims.judge` says of simulated runs: of one run, and of thousands at once.

`word` asks the real function about one run. `words` is a shortcut in arrays, as thousands of
frames would take hours; a test lays the two side by side.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from noise_models import AGAIN, A, B

from caveatlib import claims, stats
from caveatlib.claims import FAILS, HOLDS, OPEN
from caveatlib.stats.ranks import holm_levels

ARMS = ("a", "b", "again")
CONTRAST = stats.Contrast("b over a", "took_s", {"arm": "b"}, {"arm": "a"}, pairing="session")
EFFECT = claims.Effect(
    claim=claims.Claim("slower", "b is slower", "ours", "ratio above 1", "simulated"),
    contrast=CONTRAST,
    direction="greater",
    words=("Slower", "Faster"),
    null=replace(CONTRAST, name="a again", arm={"arm": "again"}),
)


def frame(times) -> pd.DataFrame:
    """Return the trials of one run, times of shape (n, 3), as an experiment's table has them."""
    n = len(times)
    rows = {
        "run": "r", "source": "live", "machine": "m", "design": "d", "error": "",
        "session": np.repeat(np.arange(n), 3), "block": np.repeat(np.arange(n), 3),
        "arm": np.tile(ARMS, n), "took_s": np.ravel(times), "ok": ~np.isnan(np.ravel(times)),
    }  # fmt: skip
    return pd.DataFrame(rows)


def word(times, decision=EFFECT) -> claims.Verdict:
    """Return the verdict of one run."""
    (verdict,) = claims.judge(frame(times), [decision])
    return verdict


def intervals(effects, level=0.95) -> np.ndarray:
    """Return estimate, low and high, shape (3, runs), of effects with NaN where a trial failed."""
    n = (~np.isnan(effects)).sum(axis=1)
    found = np.full((3, len(effects)), np.nan)
    for size in np.unique(n[n >= stats.MIN_PAIRS]):
        rows = n == size
        kept = effects[rows]
        kept = kept[~np.isnan(kept)].reshape(-1, size)
        found[:, rows] = stats.hodges_lehmann(kept, level)
    return found


def logs(times) -> tuple[np.ndarray, np.ndarray]:
    """Return the log ratios of B, and of A again, over A, each (runs, n)."""
    log = np.log(times)
    return log[..., B] - log[..., A], log[..., AGAIN] - log[..., A]


def decided(adjusted, plain, control) -> np.ndarray:
    """Return the words of runs by their intervals of log ratios, each (3, runs)."""
    (_, least, most), (_, below, above) = plain, control
    known = np.log((1 + stats.NULL_TOLERANCE) / (1 - stats.NULL_TOLERANCE))
    precise = above - below <= np.maximum(known, stats.BLUNT * (most - least)) * (1 + 1e-9)
    # as `judge` does, by ratios: a bound that is a rounding error away from 0 is 1
    (_, low, high), (_, below, above) = np.exp(adjusted), np.exp(control)
    far = np.maximum(above, 1 / below)
    vouched = (below <= 1) & (above >= 1) & (precise | (low > far) | (high < 1 / far))
    return np.where(vouched & (low > 1), HOLDS, np.where(vouched & (high < 1), FAILS, OPEN))


def words(times) -> np.ndarray:
    """Return the word of each run, times of shape (runs, n, 3), each judged alone."""
    effect, control = logs(times)
    found = intervals(effect)
    return decided(found, found, intervals(control))


def families(times) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return words, lows and highs, each (effects, runs), of effects that are judged together.

    `times` has shape (effects, runs, n, 3), without failures.
    """
    effects, controls = zip(*(logs(each) for each in times), strict=True)
    p = np.stack([stats.signed_rank_p(effect) for effect in effects])
    levels = np.stack([holm_levels(run, 0.95) for run in p.T], axis=1)
    said, lows, highs = [], [], []
    for effect, control, level in zip(effects, controls, levels, strict=True):
        adjusted = np.empty((3, len(effect)))
        for each in np.unique(level):
            adjusted[:, level == each] = intervals(effect[level == each], each)
        said.append(decided(adjusted, intervals(effect), intervals(control)))
        lows.append(adjusted[1])
        highs.append(adjusted[2])
    return np.stack(said), np.stack(lows), np.stack(highs)
