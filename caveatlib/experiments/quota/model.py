"""The model beside the measurement: simulated trials, residuals, and what is not explained.

`simulate` runs `cfs` on the very arms that were measured and returns rows of the
same table; `residuals` lays the two side by side. Nothing is decided by them, and
what the model leaves out on purpose is named.
"""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pandas as pd

from caveatlib import frames
from caveatlib.errors import UsageError
from caveatlib.experiments.quota import cfs
from caveatlib.experiments.quota.designs import arm
from caveatlib.experiments.quota.load import SETTLE_S, Load
from caveatlib.experiments.quota.schema import CONDITIONS, UNLIMITED, Trials
from caveatlib.experiments.quota.tables import loads
from caveatlib.experiments.quota.workloads import COST_S, FULL_S, arrivals, measures_of
from caveatlib.places.cgroups.cgroup import Stat

COMPARED = ("used_ratio", "throttled_share", "throttled_s", "p50_s", "p90_s")
CLOSE = 0.1
"""Relative residual up to which the model explains a measure."""
SHARE_CLOSE = 0.05
"""The same for shares, as a difference."""

PHASES = 40
"""How many phases of the period `burst` tries."""
BURST = ("t_s", "usage_s", "throttled_s", "source")

NOT_MODELLED = {
    "wake-up": "time until a woken worker runs, and what reading and writing its pipe costs",
    "neighbours": "other work on the machine, the generator's included, that takes CPU time",
    "alternation": "how the scheduler alternates between threads on one core; here evenly",
    "placement": "which core a woken thread is put on, and when waiting ones are moved",
    "tick": "the kernel's tick rate, where it is not 250 Hz",
    "late throttling": "since Linux 6.18 a thread is throttled when it returns from the kernel",
}
"""What the model leaves out, by name."""


def simulate(trials: pd.DataFrame, *, repeats: int = 10) -> pd.DataFrame:
    """Simulate every arm of a load (`tables.loads`) that the trials have.

    Parameters
    ----------
    trials : pandas.DataFrame
        Of one machine or several.
    repeats : int, optional
        Simulated trials per arm, each with arrivals of its own.

    Returns
    -------
    pandas.DataFrame
        Rows of `quota.Trials` with source ``"simulated"``, place ``"model"``.
    """
    arms = loads(trials)[["machine", "cores", *CONDITIONS]].drop_duplicates(ignore_index=True)
    rows = []
    numbers = arms.groupby("machine").cumcount()
    for number, each in zip(numbers, arms.to_dict("records"), strict=True):
        conditions = dict(
            arm("model", **{k: v for k, v in each.items() if k != "machine"}).conditions
        )
        for block in range(repeats):
            measures = _simulated(conditions, seed=block)
            where = {"session": 0, "design": "model", "block": block, "position": number}
            row = {"run": "", "source": "simulated", "machine": each["machine"], "place": "model"}
            rows.append(
                row | where | {"started_at": "", "ok": True, "error": ""} | conditions | measures
            )
    return frames.from_rows(rows, Trials)


def _simulated(conditions: dict, *, seed: int) -> dict:
    """Simulate one trial and return its measures, by the code that makes the measured ones."""
    full = conditions["pattern"] == "full"
    due = np.array([]) if full else arrivals(conditions, seed=seed)
    settle_s = SETTLE_S if full else 0.0
    done = cfs.simulate(
        due,
        quota_cpus=math.inf if conditions["pattern"] == UNLIMITED else conditions["quota_cpus"],
        period_s=conditions["period_s"],
        cores=conditions["cores"],
        threads=0 if full else conditions["workers"],
        busy=conditions["workers"] if full else int(conditions["pattern"] == "beside-busy"),
        cost_s=COST_S,
        duration_s=settle_s + FULL_S if full else None,
        sample_every_s=settle_s,
        seed=seed,
    )
    counters = [field.name for field in fields(Stat)]
    used = Stat(*done.totals[counters])
    if full:
        used = used.since(Stat(*done.timeline[counters].iloc[1]))
    load = Load(
        *(done.requests[n].to_numpy() for n in ("scheduled_s", "started_s", "ended_s")),
        request_cpu_s=np.full(len(due), COST_S),
        used=used,
        window_s=done.totals["t_s"] - settle_s,
        samples=[],
        generator_cpu_s=math.nan,
        generator_lag_s=math.nan,
    )
    return measures_of(load, conditions)


def residuals(trials: pd.DataFrame, simulated: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return measurement and model side by side, and whether the one explains the other.

    Parameters
    ----------
    trials : pandas.DataFrame
        Measured trials.
    simulated : pandas.DataFrame, optional
        From `simulate`; default simulates now.

    Returns
    -------
    pandas.DataFrame
        One row per place, arm and measure: `measured` and `simulated` medians,
        `residual` = measured - simulated in the measure's unit, `relative` to
        the simulated one, and `explained`: within 10 %, or 0.05 for a share.
    """
    simulated = simulate(trials) if simulated is None else simulated
    measured = loads(trials)
    measured = measured[measured["ok"] & (measured["sampled_s"] == 0)]
    key = ["machine", *CONDITIONS]
    left = measured.groupby([*key, "place"])[list(COMPARED)].median()
    right = simulated.groupby(key)[list(COMPARED)].median()
    left = left.melt(ignore_index=False, var_name="measure", value_name="measured").reset_index()
    right = right.melt(ignore_index=False, var_name="measure", value_name="simulated").reset_index()
    table = left.merge(right, on=[*key, "measure"]).dropna(subset=["measured", "simulated"])
    table = table.assign(residual=table["measured"] - table["simulated"])
    relative = table["residual"] / table["simulated"].where(table["simulated"] > 0)
    share = table["measure"].isin(("throttled_share", "used_ratio"))
    near = np.where(share, table["residual"].abs() <= SHARE_CLOSE, relative.abs() <= CLOSE)
    same = table["residual"].abs() < 1e-3  # a millisecond, or a thousandth
    return table.assign(relative=relative, explained=near | same).reset_index(drop=True)


def unexplained(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `residuals` that the model does not explain, largest first."""
    rows = table[~table["explained"]].drop(columns="explained")
    order = rows["residual"].abs().sort_values(ascending=False).index
    return rows.loc[order].reset_index(drop=True)


def left_out() -> pd.DataFrame:
    """Return what the model leaves out on purpose, indexed by name."""
    return pd.DataFrame({"what": NOT_MODELLED}).rename_axis("left out")


def burst(
    timeline: pd.DataFrame,
    requests: pd.DataFrame,
    *,
    period_s: float = 0.1,
    number: int = 0,
) -> pd.DataFrame:
    """Return one burst of the first sampled trial of bursts, measured and simulated.

    Where in the kernel's period a burst begins cannot be seen from outside: of
    `PHASES` simulated phases the one nearest to the measurement is taken.

    Parameters
    ----------
    timeline, requests : pandas.DataFrame
        The tables ``timeline`` and ``requests``.
    period_s : float, optional
    number : int, optional
        Which burst, from 0.

    Returns
    -------
    pandas.DataFrame
        `t_s` since the burst was due, `usage_s` and `throttled_s` since then,
        `source`; no rows if no such trial was sampled.

    Raises
    ------
    UsageError
        If the trial has fewer bursts.
    """
    sampled = timeline[(timeline["pattern"] == "bursts") & (timeline["period_s"] == period_s)]
    if sampled.empty:
        return pd.DataFrame(columns=BURST, dtype=float)
    first = sampled.iloc[0]
    keys = ["run", "design", "block", "place", *CONDITIONS]
    timeline, requests = (t[(t[keys] == first[keys]).all(axis=1)] for t in (timeline, requests))
    starts = np.unique(requests["scheduled_s"])
    if not 0 <= number < len(starts):
        raise UsageError(f"Unknown burst {number}. Must be from 0 to {len(starts) - 1}.")
    begin = starts[number]
    mine = requests[requests["scheduled_s"] == begin]
    end = mine["ended_s"].max() + 0.03
    rows = timeline[timeline["t_s"].between(begin, end)]
    before = timeline[timeline["t_s"] <= begin].tail(1)
    counters = list(BURST[1:3])
    zero = before[counters].to_numpy()[0] if len(before) else np.zeros(2)
    measured = pd.DataFrame(rows[counters].to_numpy() - zero, columns=counters)
    measured.insert(0, "t_s", rows["t_s"].to_numpy() - begin)
    tried = [_phase(measured, len(mine), first, seed) for seed in range(PHASES)]
    nearest = min(tried, key=lambda each: float(((each - measured)["usage_s"] ** 2).sum()))
    return pd.concat(
        [measured.assign(source="measured"), nearest.assign(source="simulated")], ignore_index=True
    )


def _phase(measured: pd.DataFrame, count: int, arm_of: pd.Series, seed: int):
    """Simulate a burst in one phase, and read it at the times of the measurement."""
    times = measured["t_s"].to_numpy()
    done = cfs.simulate(
        np.zeros(count),
        quota_cpus=arm_of["quota_cpus"],
        period_s=arm_of["period_s"],
        cores=int(arm_of["cores"]),
        threads=int(arm_of["workers"]),
        cost_s=COST_S,
        duration_s=float(times[-1]) + 0.001,
        sample_every_s=0.002,
        seed=seed,
    ).timeline
    found = {n: np.interp(times, done["t_s"], done[n]) for n in ("usage_s", "throttled_s")}
    return pd.DataFrame({"t_s": times} | found)
