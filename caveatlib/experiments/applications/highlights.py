"""What `applications` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib.claims import Reading
from caveatlib.experiments.applications.catalogue import TITLES
from caveatlib.experiments.applications.claims import NEVER_OPENED
from caveatlib.experiments.applications.designs import FULL, WORKLOAD, where
from caveatlib.experiments.applications.facts import by_application, percent
from caveatlib.experiments.kit.highlights import Bar, Highlight


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    shares = by_application(here, Reading(where(WORKLOAD, FULL), "opened_byte_share"))
    if shares.empty:
        return []
    ordered = shares.sort_values()
    ends = ordered.iloc[[0, -1]] if len(ordered) > 1 else ordered
    bars = tuple(
        Bar(TITLES[str(name)], share, percent(share), name == ends.index[0])
        for name, share in ends.items()
    )
    return [
        Highlight(
            NEVER_OPENED.id,
            percent(shares.median()),
            f"of the bytes of an image on a full Debian were opened by its application under a "
            f"workload, the median of {len(shares)}.",
            bars,
        )
    ]
