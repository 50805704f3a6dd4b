"""Tables and figures by machine, none of which can pool two; what judged effects look like.

A table or figure function is given the trials of one machine; the wrappers here apply
it machine by machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps

import pandas as pd

from caveatlib import claims, plots, stats
from caveatlib.errors import UsageError


def per_machine(table: Callable[..., pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    """Apply a table function to each machine's trials; several get an index level `machine`."""

    @wraps(table)
    def whole(trials: pd.DataFrame, *args, **options) -> pd.DataFrame:
        parts = {m: table(rows, *args, **options) for m, rows in stats.by_machine(trials)}
        if len(parts) < 2:
            return next(iter(parts.values())) if parts else table(trials, *args, **options)
        return pd.concat(parts, names=["machine"])

    return whole


def judged_effects(
    verdicts: Iterable[claims.Verdict], rows: Mapping[str, claims.Claim]
) -> pd.DataFrame:
    """Return ratios that claims are about, as they were judged, for `plots.effects` to draw.

    Parameters
    ----------
    verdicts : iterable of claims.Verdict
        Of one machine.
    rows : mapping
        What a claim is called in the figure -> the claim.

    Returns
    -------
    pandas.DataFrame
        Indexed by name, without those of which nothing was measured: `estimate`, its adjusted
        interval `low` to `high`, and that of the A/A control around 1, `band_low` to `band_high`.
    """
    judged = {v.claim: v for v in verdicts}
    found = {name: judged.get(claim.id) for name, claim in rows.items()}
    table = {
        name: (v.effect, v.low, v.high, v.band_low / v.threshold, v.band_high / v.threshold)
        for name, v in found.items()
        if v and v.n
    }
    columns = ["estimate", "low", "high", "band_low", "band_high"]
    return pd.DataFrame.from_dict(table, orient="index", columns=columns)


def figure_per_machine(draw: Callable) -> Callable:
    """Apply a figure function to each machine's trials; several get axes and a title each.

    The wrapped function is called as ``draw(rows, ax=axes, ...)``. What is returned are the
    axes, the last machine's if there are several; `plots.describe` tells of all of them.
    """

    @wraps(draw)
    def whole(trials: pd.DataFrame, ax=None, **options):
        parts = stats.by_machine(trials)
        if len(parts) < 2:
            return draw(trials, ax=ax, **options)
        if ax is not None:
            raise UsageError(
                f"Trials of {len(parts)} machines for one axes. Must be of one machine, or "
                "without `ax`."
            )
        axes = plots.new_axes(height=3.0 * len(parts), rows=len(parts))
        told = []
        for (machine, rows), part in zip(parts, axes, strict=True):
            part.figure.set_label("")
            draw(rows, ax=part, **options)
            plots.title_above(part, machine)
            told.append(f"{machine}: {plots.describe(part)}")
        axes[-1].figure.set_label(" ".join(told))
        return axes[-1]

    return whole
