"""Parts of an experiment's trials: whatever was not asked for, not reached, or failed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from itertools import zip_longest

import numpy as np
import pandas as pd
from experiments.contract.subjects import arm_columns, outcomes

from caveatlib import frames
from caveatlib.frames import UNAVAILABLE
from caveatlib.measuring.experiment import complete


def parts(
    experiment, rows: pd.DataFrame, *, apart: bool = False
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield parts of the trials of one machine, each with what is missing in it.

    Designs, places, arms and measures go missing by `halves`, each in one of them, and the first
    three by two at a time. With `apart` each goes missing without any other one, see `groups` (one
    by one they would take five times as long), and designs one by one.
    """
    yield "nothing at all", rows.iloc[:0]
    yield "a single trial", rows.iloc[:1]
    yield "one block of each design", rows[rows["block"] == 0]
    yield "nothing succeeded", failed(experiment, rows, rows["ok"])
    yield "nothing can run here", unavailable(experiment, rows, rows["ok"])
    first = {d.name for d in complete(experiment).designs(2) if not d.optional}
    yield "only what comes first under a budget", rows[rows["design"].isin(first)]
    designs, places = list(rows["design"].unique()), list(rows["place"].unique())
    arms = rows.groupby(["design", *arm_columns(experiment)]).ngroup()
    numbers, measures = list(range(arms.max() + 1)), outcomes(experiment)

    def gone(some):
        return rows["place"].isin(some)

    if not apart:
        for some, lost in zip_longest(halves(designs), halves(places), fillvalue=()):
            part = unavailable(experiment, rows, gone(lost))
            yield f"only {some}, {lost} unavailable", part[part["design"].isin(some)]
        for some, broken in zip_longest(halves(places), halves(numbers), fillvalue=()):
            part = failed(experiment, rows, arms.isin(broken))
            yield f"without {some}, arms {broken} failed", part[~gone(some)]
    else:
        for one in designs:
            yield f"only {one}", rows[rows["design"] == one]
            yield f"without {one}", rows[rows["design"] != one]
        for some in groups(places):
            yield f"without {some}", rows[~gone(some)]
            yield f"{some} unavailable", unavailable(experiment, rows, gone(some))
        for some in groups(numbers):
            yield f"arms {some} failed", failed(experiment, rows, arms.isin(some))
    for some in groups(measures) if apart else halves(measures):
        yield f"nothing read of {some}", rows.assign(**dict.fromkeys(some, np.nan))


def halves(members: list) -> list[list]:
    """Return every second of the members, and the others; of a single one only itself."""
    return [half for half in (members[::2], members[1::2]) if half]


def groups(members: list) -> list[list]:
    """Return few groups such that each member is in one that any other member is not in.

    Each member is given another half of the groups, and no half contains another (Sperner).
    """
    count = next(k for k in itertools.count(1) if math.comb(k, k // 2) >= len(members))
    halves = itertools.combinations(range(count), count // 2 or 1)
    of = dict(zip(range(len(members)), halves, strict=False))
    return [[members[i] for i, half in of.items() if group in half] for group in range(count)]


def failed(experiment, rows: pd.DataFrame, which: pd.Series, error="It broke.") -> pd.DataFrame:
    """Return the trials, of which some have failed."""
    rows = rows.copy()
    rows.loc[which, outcomes(experiment)] = np.nan
    rows.loc[which, ["ok", "error"]] = [False, error]
    return rows


def unavailable(experiment, rows: pd.DataFrame, which: pd.Series) -> pd.DataFrame:
    """Return the trials as if some arms could not be tried: one row each, with the reason."""
    gone = failed(experiment, rows[which], rows["ok"] | True, f"{UNAVAILABLE}no such thing here")
    gone = gone.drop_duplicates(["design", *arm_columns(experiment)])
    return pd.concat([rows[~which], gone.assign(session=0, block=0)], ignore_index=True)


def two_machines(experiment, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the trials as those of two machines: one without KVM, one with it, ten times slower.

    Their blocks have the same numbers, as those of two runs have.
    """
    rows = rows.assign(machine="A, without KVM")
    slow = rows.assign(machine="B, with KVM", run="another run")
    began = pd.to_datetime(rows["started_at"], utc=True)
    late = began.min() + 10 * (began - began.min())
    slow["started_at"] = late.dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ").astype(rows["started_at"].dtype)
    for name in frames.measures(experiment.Trials):
        if name.endswith("_s"):
            slow[name] *= 10
        if name.endswith("_per_s"):
            slow[name] /= 100  # times ten just before
    if "accel" in rows:
        guests = rows["accel"].notna()
        rows.loc[guests, "accel"], slow.loc[guests, "accel"] = "tcg", "kvm"
    return {"A, without KVM": rows, "B, with KVM": slow}
