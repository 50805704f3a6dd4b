"""Tables of `limits`: what became of victims and hogs."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.kit.tables import per_machine

NAMES = {
    "none": "alone",
    "idle": "idle neighbour",
    "fork": "fork bomb",
    "memory": "takes memory",
    "compute": "computes",
    "write": "writes",
}
BIN_S = 0.1


def named(trials: pd.DataFrame) -> pd.DataFrame:
    """Return trials, or beats, with their arm in words."""
    limit = trials["limited"].map({0: "", 1: ", limited"})
    return trials.assign(arm=trials["hog"].map(NAMES) + limit)


@per_machine
def harm(trials: pd.DataFrame) -> pd.DataFrame:
    """Return by arm what became of the victim's requests, and of the hog.

    Returns
    -------
    pandas.DataFrame
        Sums of `requests` and `failed`, the others medians.
    """
    shown = named(trials[trials["sampled"] == 0])
    arms = shown.groupby("arm")
    medians = ["p50_s", "p90_s", "tasks", "refused_s", "newcomer", "removed_s", "machine_gap_s"]
    return (
        arms[["requests", "failed"]]
        .sum()
        .astype(int)
        .join(arms[medians].median())
        .rename_axis("neighbour")
    )


def timeline(beats: pd.DataFrame) -> pd.DataFrame:
    """Return latency over time since the neighbour's start, in steps of 0.1 s.

    Returns
    -------
    pandas.DataFrame
        `arm`, `t_s`, `latency_s` (median of the answered requests), `failed_share`.
    """
    shown = named(beats)
    shown["t_s"] = (shown["t_s"] / BIN_S).apply(round) * BIN_S
    steps = shown.groupby(["arm", "t_s"])["latency_s"]
    failed = steps.agg(lambda latency: latency.isna().mean()).rename("failed_share")
    return steps.median().to_frame().join(failed).reset_index()
