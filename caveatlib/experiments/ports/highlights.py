"""What `ports` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims
from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.experiments.ports.claims import PARTS, WHOLE
from caveatlib.experiments.ports.decisions import DECISIONS, LABELS
from caveatlib.experiments.ports.designs import (
    HAIRPIN,
    MEASURES,
    PAIRED,
    PROXY,
    PUBLISHED,
    where,
)
from caveatlib.support.quantities import format_quantity


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    judged = {v.claim: v for v in claims.judge(here, DECISIONS)}
    paths = [p for p in PAIRED if judged and judged[PARTS[p, "cpu"].id].verdict in claims.DECIDED]
    if not paths:
        return []
    path = paths[0]
    cpu = judged[PARTS[path, "cpu"].id]
    reach = [judged[PARTS[path, "reachable"].id].verdict for path in PUBLISHED]
    broken = reach.count(claims.FAILS)
    less = cpu.effect < 1
    size = 1 / cpu.effect if less else cpu.effect
    bars = []
    for place, words in ((PROXY, "with the proxy"), (HAIRPIN, "without")):
        value = claims.values_of(here, where(path, place), MEASURES["cpu"]).median()
        bars.append(Bar(words, value, f"{format_quantity(value, 's')}/GB", place == HAIRPIN))
    return [
        Highlight(
            WHOLE.id,
            f"{size:.1f}×",
            f"{'less' if less else 'more'} CPU per byte without docker-proxy ({LABELS[path]}). But "
            f"{broken} of {len(reach)} ways in no longer connect.",
            tuple(bars),
        )
    ]
