"""What a group of trials looks like: medians, quantiles, and doubts in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pandas as pd

from caveatlib.errors import UsageError
from caveatlib.stats.contrasts import MIN_PAIRS
from caveatlib.stats.missing import failure_doubts
from caveatlib.stats.order import order_doubts
from caveatlib.support.arguments import check_number
from caveatlib.support.quantities import format_quantity, percent

SPREAD = 0.10
"""Coefficient of variation from which a group is called spread out."""
FAR = 14.8
"""Far outlier: |x - median| / MAD above this, 10 standard deviations if normal
(the bound of hyperfine's warning)."""
NEAR = 0.001
"""Share of the median below which a median absolute deviation counts as this share: of counts
that differ in the fifth digit none is an outlier."""
STOLEN = 0.01
"""Share of the CPU time that the hypervisor stole from which it is said."""
COARSE = 0.02
"""Step of a clock, over the median of what it timed, from which it is said."""
OVERHEADS = 10
"""Multiple of the harness's overhead below which a sample counts as short."""
DRIFT, DRIFT_P = 0.05, 0.01
"""How far the later half of the sessions must lie from the earlier one, and how rare such an
order of the sessions must be by chance (Kendall's rank correlation), to be called a drift."""
QUANTILES = {"p10": (0.10, 10), "p90": (0.90, 10), "p99": (0.99, 1000)}
"""Quantile and the number of values below which it is not shown."""


def summarize(
    trials: pd.DataFrame,
    measures: str | Sequence[str],
    by: str | Sequence[str] = "place",
    *,
    unit: str = "trial",
    level: float = 0.95,
) -> pd.DataFrame:
    """Summarise measures per group; failed trials are counted, never averaged.

    Parameters
    ----------
    trials : pandas.DataFrame
    measures : str or sequence of str
    by : str or sequence of str
        Columns that make a group; the machine joins them if there are several.
    unit : {"trial", "session"}
        What is replicated: with ``"session"`` the median and its interval are
        of the medians of sessions, the quantiles still of all trials.
    level : float
        Nominal coverage of the interval of the median (order statistics, no
        distribution assumed).

    Returns
    -------
    pandas.DataFrame
        Indexed by group: `n` trials, `failed` of them, and per measure
        ``<measure>_median``, ``_low``, ``_high``, ``_p10``, ``_p90`` and, from
        1000 values on, ``_p99``, all in the measure's unit. NaN where there are
        too few values: 6 for the interval, 10 for p10 and p90.
    """
    measures = [measures] if isinstance(measures, str) else list(measures)
    by = [by] if isinstance(by, str) else list(by)
    _require(trials, [*measures, *by, "machine", "session", "run", "ok"])
    if unit not in ("trial", "session"):
        raise UsageError(f"Unknown unit {unit!r}. Must be one of 'trial', 'session'.")
    if trials["machine"].nunique() > 1 and "machine" not in by:
        by = ["machine", *by]
    sessions = None
    if unit == "session":
        sessions = trials.groupby(["run", "session"]).ngroup().to_numpy()
    # Groups are numbers of rows: one that is taken out of the table has all of its columns.
    rows = []
    values = {n: trials[n].to_numpy(dtype=float, na_value=np.nan) for n in measures}
    ok, at = trials["ok"].to_numpy(), pd.Series(np.arange(len(trials)), index=trials.index)
    for key, numbers in at.groupby([trials[name] for name in by], sort=True):
        group = numbers.to_numpy()
        good = group[ok[group]]
        row = dict(zip(by, key, strict=True)) | {"n": len(group), "failed": len(group) - len(good)}
        for name in measures:
            known = good[~np.isnan(values[name][good])]
            of = None if sessions is None else sessions[known]
            found = _describe(values[name][known], of, level)
            row |= {f"{name}_{k}": v for k, v in found.items()}
        rows.append(row)
    described = [f"{name}_{k}" for name in measures for k in ("median", "low", "high", *QUANTILES)]
    table = pd.DataFrame(rows, columns=[*by, "n", "failed", *described]).set_index(by)
    unknown = [c for c in described if c.endswith("_p99") and table[c].isna().all()]
    return table.drop(columns=unknown)


_QUALITY = ["machine", "run", "session", "design", "block", "position", "ok", "error"]
_QUALITY += ["busy_per_cpu", "stolen_share"]


def quality(
    trials: pd.DataFrame,
    measure: str,
    by: str = "place",
    *,
    tick_s: float = 1e-9,
    overhead_s: float = 0.0,
) -> list[str]:
    """Say in sentences what makes the values of a measure doubtful; delete nothing.

    Parameters
    ----------
    trials : pandas.DataFrame
        What ran before a trial is looked for among them: give whole designs.
    measure : str
    by : str
        Column that makes a group; machines are kept apart.
    tick_s : float
        Resolution of the clock (of the measure, in its unit): a median absolute
        deviation below it is taken as it, so that equal readings are not outliers.
    overhead_s : float
        What the harness itself adds to a sample.

    Returns
    -------
    list of str
        Empty if nothing is to be said.
    """
    check_number("tick_s", tick_s, above=0)
    check_number("overhead_s", overhead_s, least=0)
    _require(trials, [measure, by, *_QUALITY])
    good = trials[trials["ok"] & trials[measure].notna()]
    said = [doubt for rows in _by_machine(good) for doubt in machine_doubts(*rows)]
    said += [doubt for rows in _by_machine(good) for doubt in drift(*rows, measure, by)]
    for rows, machine in _by_machine(trials):
        of = "" if machine == "The machine" else f"{machine}: "
        said += [of + doubt for doubt in order_doubts(rows, measure, by)]
        said += [of + doubt for doubt in failure_doubts(rows, measure, by)]
    order = ["run", "session", "block", "position"]
    for (on, group), rows in good.sort_values(order).groupby(["machine", by], sort=True):
        named = str(group) if trials["machine"].nunique() == 1 else f"{group} on {on}"
        values = rows[measure].to_numpy(dtype=float)
        said += [
            f"{named}: {doubt.text}" for doubt in value_doubts(values, measure, tick_s, overhead_s)
        ]
    return said


def _by_machine(trials: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, str]]:
    """Yield each machine's trials, and how to name the machine in a sentence."""
    for machine, rows in trials.groupby("machine", sort=True):
        yield rows, "The machine" if trials["machine"].nunique() == 1 else str(machine)


class Doubt(NamedTuple):
    """What makes the values of one arm doubtful.

    Attributes
    ----------
    kind : {"spread", "clock", "first", "far", "short"}
    size : float
        How much of it there is, to tell the worst of several arms.
    text : str
        A sentence that begins after the arm's name.
    """

    kind: str
    size: float
    text: str


def machine_doubts(rows: pd.DataFrame, machine: str) -> list[str]:
    """Say what else the machine did while the trials ran."""
    said = []
    if (stolen := rows["stolen_share"].mean()) >= STOLEN:
        said.append(
            f"{machine}: the hypervisor stole {percent(stolen, 1)} of the CPU time meanwhile."
        )
    if (busy := rows["busy_per_cpu"].mean()) >= 1:
        said.append(f"{machine} was busy: {busy:.1f} other running tasks per CPU.")
    return said


def drift(rows: pd.DataFrame, machine: str, measure: str, by: str) -> list[str]:
    """Say if later sessions read more, or less, than earlier ones, whatever the group.

    Designs are kept apart: one that takes part in few sessions only would look like a drift.
    """
    groups = rows.groupby([*dict.fromkeys(("design", by))], sort=False, dropna=False)
    apart = rows.assign(_group=groups.ngroup())
    sessions, change, p = trend(apart, measure, "_group", least=DRIFT)
    if abs(change) < DRIFT or not p < DRIFT_P:
        return []
    return [
        f"{machine}: {measure} drifted over {sessions} sessions, the later half reads "
        f"{percent(abs(change))} {'more' if change > 0 else 'less'} than the earlier half."
    ]


class Trend(NamedTuple):
    """How values change from session to session.

    Attributes
    ----------
    sessions : int
    change : float
        By how much the later half of the sessions reads more than the earlier, a share.
    p : float
        Of Kendall's tau of session and value; NaN of too few sessions, of values of which one
        is not above zero, or where it was not tested.
    """

    sessions: int
    change: float
    p: float


def trend(rows: pd.DataFrame, measure: str, by: str, *, least: float = 0.0) -> Trend:
    """Return how one machine's values change from session to session.

    Each value is taken over its group's median, and each session by the median of these.
    Pairs within a session are not touched by it; medians over all sessions are. A change below
    `least` is not tested.
    """
    values = rows[measure].to_numpy(dtype=float, na_value=np.nan)
    of = rows.groupby(["run", "session"]).ngroup().to_numpy()
    count = len(np.unique(of))
    if count < MIN_PAIRS or not (values > 0).all():
        return Trend(count, 0.0, math.nan)
    arms, _ = pd.factorize(rows[by], use_na_sentinel=False)
    sessions = _medians(values / _medians(values, arms)[arms], of)
    half = count // 2
    change = float(np.median(sessions[-half:]) / np.median(sessions[:half]) - 1)
    if abs(change) < least:
        return Trend(count, change, math.nan)
    from scipy.stats import kendalltau  # which takes long

    return Trend(count, change, float(kendalltau(range(count), sessions).pvalue))


def _medians(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return the median of each group; groups are numbered from 0 on, and none is empty."""
    order = np.lexsort((values, group))
    ordered, starts = values[order], np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.diff(starts, append=len(values))
    return (ordered[starts + (sizes - 1) // 2] + ordered[starts + sizes // 2]) / 2


def value_doubts(
    values: np.ndarray, measure: str, tick: float = 1e-9, overhead: float = 0.0
) -> list[Doubt]:
    """Return what makes the values of one arm doubtful, in the order in which they were measured.

    Parameters are those of `quality`.
    """
    said: list[Doubt] = []
    if len(values) < 2:
        return said
    mean, median = values.mean(), np.median(values)
    if mean != 0 and (cv := values.std(ddof=1) / abs(mean)) >= SPREAD:
        text = f"{measure} is spread out, its standard deviation is {percent(cv)} of the mean."
        said.append(Doubt("spread", cv, text))
    if measure.endswith("_s") and (step := clock_step(values)) >= COARSE * abs(median) > 0:
        text = (
            f"the clock of {measure} has steps of {step * 1e3:g} ms, {percent(step / median)} of "
            "its median: ratios are pulled towards 1, and a finer clock is needed."
        )
        said.append(Doubt("clock", step / median, text))
        tick = max(tick, step)
    usual = max(np.median(np.abs(values - median)), tick, NEAR * abs(median))
    far = (values - median) / usual
    if far[0] > FAR:
        text = (
            f"the first sample of {measure} was {'slow' if measure.endswith('_s') else 'large'}, "
            f"{_told(values[0], measure)} against a median of {_told(median, measure)}; it is kept."
        )
        said.append(Doubt("first", far[0], text))
        far = far[1:]
    if count := int((np.abs(far) > FAR).sum()):
        text = f"{count} of {len(values)} values of {measure} are far outliers; all are kept."
        said.append(Doubt("far", count / len(values), text))
    if overhead > 0 and median < OVERHEADS * overhead:
        text = (
            f"{measure} is short, a median of {_told(median, measure)} against "
            f"{_told(overhead, measure)} of harness overhead; below {OVERHEADS}x the overhead "
            "counts."
        )
        said.append(Doubt("short", overhead / median if median else math.inf, text))
    return said


def _told(value: float, measure: str) -> str:
    return format_quantity(float(value), "s") if measure.endswith("_s") else f"{value:.3g}"


def clock_step(values: np.ndarray) -> float:
    """Return the step of which all values of a time are multiples, in seconds.

    Steps of 1, 2, 4 and 5 times a power of ten are tried, down to 0.1 ms: whole and tenth
    seconds, ticks of kernels (10, 4 and 1 ms). 0 if it is none of them, or cannot be told:
    fewer than 6 values, or all the same.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < MIN_PAIRS or np.ptp(values) == 0:
        return 0.0
    counts = values / _STEPS[:, None]
    whole = np.round(counts)
    fits = whole.any(axis=1) & (np.abs(counts - whole) < 1e-6).all(axis=1)
    return float(_STEPS[fits.argmax()]) if fits.any() else 0.0


_STEPS = np.array(sorted((k * 10.0**-e for e in range(5) for k in (1, 2, 4, 5)), reverse=True))


def _describe(values: np.ndarray, sessions: np.ndarray | None, level: float) -> dict[str, float]:
    centre = values
    if sessions is not None and len(values):
        _, number = np.unique(sessions, return_inverse=True)
        centre = _medians(values, number)
    low, high = _median_interval(np.sort(centre), level)
    median = float(np.median(centre)) if len(centre) else math.nan
    told = {key: q for key, (q, enough) in QUANTILES.items() if len(values) >= enough}
    quantiles = np.quantile(values, list(told.values())) if told else ()
    found = dict.fromkeys(QUANTILES, math.nan) | dict(zip(told, map(float, quantiles), strict=True))
    return {"median": median, "low": low, "high": high} | found


def _median_interval(ordered: np.ndarray, level: float) -> tuple[float, float]:
    """Return the narrowest symmetric pair of order statistics that covers the median.

    P(x_(k) > median) = P(Bin(n, 1/2) <= k - 1), exact up to 1000 values, then
    by the normal approximation.
    """
    check_number("level", level, above=0, below=1)
    n, tail = len(ordered), (1 - level) / 2
    if n > 1000:
        k = math.floor((n - NormalDist().inv_cdf(1 - tail) * math.sqrt(n)) / 2)
    else:
        below, k = 0.5**n, 0
        mass = below
        while below <= tail:
            k += 1
            mass *= (n - k + 1) / k
            below += mass
    if k == 0:
        return math.nan, math.nan
    return float(ordered[k - 1]), float(ordered[n - k])


def _require(trials: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        if name not in trials.columns:
            known = ", ".join(repr(c) for c in trials.columns)
            raise UsageError(f"Unknown column {name!r}. Must be one of {known}.")
