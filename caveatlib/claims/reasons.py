"""Why something could not be compared or read: one wording, one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from caveatlib import stats
from caveatlib.frames import UNAVAILABLE


def why_not(
    trials: pd.DataFrame, needs: Sequence[Mapping[str, object]], *, unit: str = "block"
) -> str:
    """Return in a sentence why the trials of one machine do not hold what is needed.

    Parameters
    ----------
    trials : pandas.DataFrame
        Of one machine.
    needs : sequence of mapping
        Filters, each of which needs a success.
    unit : {"block", "session"}
        What had to be complete, for the case that each filter has its own.

    Returns
    -------
    str
        ``"No docker-runc: <its first error>."``, or that it was not measured.
    """
    ok = trials["ok"].to_numpy(dtype=bool)
    for where in needs:
        asked = stats.match(trials, where).to_numpy()
        if (asked & ok).any():
            continue
        told = trials[["place", "ok", "error"]]
        rows, name = told[asked], described(where)
        elsewhere = told["ok"] & (told["place"] == where.get("place"))
        if "design" in where and elsewhere.any():
            name += f" in the design {where['design']!r}"
        if not len(rows):
            place = where.get("place")
            rows = told[(told["place"] == place) & ~told["ok"]] if place else rows
            rows = rows[rows["error"].str.startswith(UNAVAILABLE)]
        if not len(rows):
            return f"No {name}: not asked for, or not reached within the time budget."
        error = rows["error"].iloc[0].removeprefix(UNAVAILABLE).rstrip(".")
        return f"No {name}: {error}."
    return f"No {unit} in which everything that is compared succeeded."


def described(where: Mapping[str, object]) -> str:
    """Return what a filter is of, in a few words: its place, or else its conditions."""
    if "place" in where:
        return str(where["place"])
    return ", ".join(str(value) for name, value in where.items() if name != "replicate")
