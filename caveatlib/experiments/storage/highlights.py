"""What `storage` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims
from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.experiments.storage import designs
from caveatlib.experiments.storage.claims import SELECTING
from caveatlib.experiments.storage.decisions import DECISIONS
from caveatlib.experiments.storage.schema import LARGE
from caveatlib.experiments.storage.tables import AGAIN, NAMES, named
from caveatlib.support.quantities import format_quantity

COMPARED = NAMES[designs.EXT4], NAMES[designs.XFS]
"""The two file systems that decide: the number is their verdict's, the first over the second."""


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    rows = named(here)
    rows = rows[rows["driver"] != AGAIN]
    medians = rows.groupby("driver")[LARGE].median().dropna().sort_values()
    found = {v.claim: v for v in claims.judge(here, DECISIONS)}.get(SELECTING.id)
    if found is None or not found.n:
        return []
    # Not the ratio of the bars: those are medians of unlike numbers of trials.
    slower, faster = COMPARED if found.effect >= 1 else COMPARED[::-1]
    ratio = max(found.effect, 1 / found.effect)
    bars = [
        Bar(str(name), value, format_quantity(value, "s"), name == slower)
        for name, value in medians.items()
    ]
    sentence = (
        f"the time of {faster} is what {slower} takes for the first write into a file of 100 MB "
        "of an image."
    )
    number = f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.2g}×"
    return [Highlight(SELECTING.id, number, sentence, tuple(bars))]
