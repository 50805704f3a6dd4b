"""The noise floor: how much two arms differ that are the same.

The same workload in the same place is measured as two arms of one design, in
randomised blocks through the one measuring loop. Every ten blocks are one
comparison whose true ratio is 1. How often such a comparison finds something
says whether the statistics keep their word on a real machine; how far its
ratios stray from 1 is the size below which no single comparison means much.

Not one of `caveatlib.experiments`: it checks the instrument, not a claim.
``python tools/record_noise.py`` measures it in full on a quiet machine.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import pandas as pd
from pandera.typing.pandas import Series
from scipy.stats import binom

from caveatlib import frames, stats, trials
from caveatlib.experiments.startup import workloads
from caveatlib.measuring.designs import Arm, Design
from caveatlib.places import standard
from caveatlib.places.base import Place, TrialResult

NAME = "noise"
QUESTION = "How much do two arms differ that are the same?"
SESSIONS = 20
"""Sessions, each with a fresh engine."""
DISK_BYTES = 200 * 2**20
PLACES = {"process": standard.PROCESS, "docker-runc": standard.docker("runc")}
PAIRS = 10
"""Pairs in a comparison."""
COMPARISONS = {"process": 10, "docker-runc": 1}
"""Comparisons in a session."""
LEVEL = 0.95
MEASURE = "first_output_s"


class Trials(frames.Trials):
    """One workload started and stopped."""

    replicate: Series[int] = frames.field("Which of the two equal arms", isin=(0, 1))
    first_output_s: Series[float] = frames.measure("t0 until the workload's nonce was read", "s")


DESIGNS = tuple(
    Design(
        place,
        tuple(Arm(place, {"replicate": k}) for k in (0, 1)),
        block_s={"process": 0.05, "docker-runc": 1.2}[place],
        blocks_per_session=PAIRS * COMPARISONS[place],
        warmup=True,
    )
    for place in PLACES
)


def trial(place: Place, conditions: dict, *, seed: int) -> TrialResult:
    """Start one workload and stop it, whichever of the two arms it is."""
    return TrialResult({MEASURE: workloads.once(place, 0)[MEASURE]})


def comparisons(measured: pd.DataFrame) -> pd.DataFrame:
    """Return one row per comparison of two equal arms.

    Parameters
    ----------
    measured : pandas.DataFrame
        Trials of this module.

    Returns
    -------
    pandas.DataFrame
        `machine`, `place`, `comparison` (counted within a machine's runs and
        place), and of the ratio of the arms `n` pairs, `estimate`, `low`,
        `high` and `p`. Comparisons with a failed pair are left out.
    """
    contrast = stats.Contrast("A/A", MEASURE, {"replicate": 1}, {"replicate": 0})
    keys = [measured["machine"], measured["run"], measured["place"], measured["block"] // PAIRS]
    rows = []
    for (machine, run, place, number), part in measured.groupby(keys):
        found = stats.contrasts(part, [contrast], level=LEVEL).iloc[0]
        if found["n"] == PAIRS:
            wanted = ["n", "estimate", "low", "high", "p"]
            where = {"machine": machine, "run": run, "place": place, "comparison": number}
            rows.append(where | {name: found[name] for name in wanted})
    names = ["machine", "run", "place", "comparison", "n", "estimate", "low", "high", "p"]
    return pd.DataFrame(rows, columns=names)


def summarize(measured: pd.DataFrame) -> pd.DataFrame:
    """Summarise the comparisons per place.

    Returns
    -------
    pandas.DataFrame
        Indexed by machine and place: `comparisons`, `pairs` in each, how many
        were `significant` at 5 %, the most that are `allowed` (the binomial
        97.5 % quantile), and the `floor`: nineteen of twenty ratios of two
        equal arms lie within 1 / floor .. floor.
    """
    rows = []
    for (machine, place), part in comparisons(measured).groupby(["machine", "place"]):
        stray = np.abs(np.log(part["estimate"]))
        rows.append(
            {
                "machine": machine,
                "place": place,
                "comparisons": len(part),
                "pairs": PAIRS,
                "significant": int((part["p"] < 1 - LEVEL).sum()),
                "allowed": allowed(len(part)),
                "floor": math.exp(stray.quantile(LEVEL)),
            }
        )
    names = ["comparisons", "pairs", "significant", "allowed", "floor"]
    table = pd.DataFrame(rows, columns=["machine", "place", *names])
    return table.set_index(["machine", "place"])


def allowed(count: int) -> int:
    """Return how many of so many comparisons may be significant: 16 of 200, 3 of 20.

    The 97.5 % quantile of the binomial distribution with a probability of 5 %.
    """
    return int(binom.ppf(0.975, count, 1 - LEVEL))


def floor(*, version: int | None = None) -> pd.DataFrame:
    """Return the recorded noise floor, see `summarize`.

    Parameters
    ----------
    version : int, optional
        Default the newest that is recorded.

    Raises
    ------
    UsageError
        If nothing is recorded.
    """
    return summarize(trials.get(sys.modules[__name__], source="recorded", version=version))
