"""What `recovery` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims
from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.experiments.recovery.claims import RELIABILITY
from caveatlib.experiments.recovery.designs import BARE, HEALED, NODE_KILLED, RESTARTED
from caveatlib.support.quantities import format_quantity

SHOWN = {
    "killed process, runsv": BARE,
    "killed process, restart policy": RESTARTED,
    "hung process, health check and loop": HEALED,
    "killed node, Swarm": NODE_KILLED,
}
POINT = "killed node, Swarm"


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    took = {
        name: claims.values_of(here, arm.where(), "answered_s").median()
        for name, arm in SHOWN.items()
    }
    known = {name: value for name, value in took.items() if pd.notna(value)}
    if POINT not in known:
        return []
    bars = [Bar(n, value, format_quantity(value, "s"), n == POINT) for n, value in known.items()]
    sentence = "pass until a service whose node was killed answers again under Swarm."
    number = format_quantity(known[POINT], "s")
    return [Highlight(RELIABILITY.id, number, sentence, tuple(bars))]
