"""What `defaults` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims
from caveatlib.experiments.defaults import facts
from caveatlib.experiments.defaults.claims import PERCENT, SECCOMP, STUDIED
from caveatlib.experiments.defaults.decisions import LABELS
from caveatlib.experiments.defaults.tables import costs, stops
from caveatlib.experiments.kit.highlights import Bar, Highlight

MOST, OFF_SCALE = 5, 10.0
"""Bars of a highlight; a ratio beyond which the others could not be told apart."""


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    return [found for found in (_dear(here), _stopped(here)) if found]


def _dear(here: pd.DataFrame) -> Highlight | None:
    table = costs(here)
    decided = table[table["verdict"].isin(claims.DECIDED)]
    if decided.empty:
        return None
    dear = decided[decided["verdict"] == claims.HOLDS]
    shown = decided[decided["estimate"] < OFF_SCALE].sort_values("estimate", ascending=False)
    bars = [
        Bar(LABELS[str(part)], row["estimate"], f"{row['estimate']:.2f}×", part in dear.index)
        for part, row in shown.head(MOST).iterrows()
    ]
    return Highlight(
        STUDIED.id,
        f"{len(dear)} of {len(table)}",
        f"costs of Docker's defaults are more than {PERCENT:.0f} % above what stands against them"
        f"{_open(len(table) - len(decided))}.",
        tuple(bars),
    )


def _open(count: int) -> str:
    """Say how many of them are not decided; empty if all are."""
    return f"; {count} {'is' if count == 1 else 'are'} not decided" if count else ""


def _stopped(here: pd.DataFrame) -> Highlight | None:
    table = stops(here)
    alone = "seccomp alone"
    if alone not in table.index:
        return None
    kept = table.drop(index=[i for i in ("nothing", facts.BY_KERNEL) if i in table.index])
    shown = kept.head(MOST)
    bars = [
        Bar(str(by), float(row["operations"]), f"{row['operations']}", by == alone)
        for by, row in shown.iterrows()
    ]
    return Highlight(
        SECCOMP.id.partition("/")[0],
        f"{table.loc[alone, 'operations']}",
        f"of {len(facts.possible(here))} things that the kernel does for root are kept from a "
        "container by the seccomp filter alone.",
        tuple(bars),
    )
