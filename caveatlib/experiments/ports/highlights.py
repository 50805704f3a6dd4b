"""What `ports` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims
from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.experiments.kit.sentences import ranged
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
from caveatlib.experiments.ports.sentences import less_cpu
from caveatlib.support.quantities import format_quantity


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out.

    The number is a range over all that the size hangs on, the bars are of one path.
    """
    judged = {v.claim: v for v in claims.judge(here, DECISIONS)}
    paths = [p for p in PAIRED if judged and judged[PARTS[p, "cpu"].id].verdict in claims.DECIDED]
    if not paths:
        return []
    less = less_cpu(here, judged)
    path = next((path for path in paths if path in less), paths[0])
    if less:
        size = ranged(less.values(), ".1f").replace(" to ", "–")
        hangs = ", by path, connections and congestion control" if len(less) > 1 else ""
        words = f"less CPU per byte without docker-proxy on the paths that it serves{hangs}"
    else:
        size = f"{judged[PARTS[path, 'cpu'].id].effect:.1f}"
        words = f"the CPU per byte without docker-proxy ({LABELS[path]})"
    reach = [judged[PARTS[path, "reachable"].id].verdict for path in PUBLISHED]
    broken = reach.count(claims.FAILS)
    bars = []
    for place, which in ((PROXY, "with the proxy"), (HAIRPIN, "without")):
        value = claims.values_of(here, where(path, place), MEASURES["cpu"]).median()
        text = f"{format_quantity(value, 's')}/GB"
        bars.append(Bar(f"{path}, {which}", value, text, place == HAIRPIN))
    return [
        Highlight(
            WHOLE.id,
            f"{size}×",
            f"{words}. But {broken} of {len(reach)} ways in no longer connect.",
            tuple(bars),
        )
    ]
