"""What `trust` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.experiments.trust.claims import CONTENT
from caveatlib.experiments.trust.designs import FETCHERS
from caveatlib.experiments.trust.facts import TOOLS
from caveatlib.experiments.trust.tables import outcomes
from caveatlib.experiments.trust.tampering import DIGEST, TAG


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    table = outcomes(here)
    table = table[table["place"].isin(FETCHERS)]
    tag, digest = (table[table["form"] == form] for form in (TAG, DIGEST))
    if tag.empty or digest.empty:
        return []
    missed = int((tag["refused"] < 1).sum())
    bars = [
        Bar(
            f"{TOOLS[place]}, by {form}",
            float(rows["refused"].mean()),
            f"{int((rows['refused'] == 1).sum())} of {len(rows)} refused",
            form == TAG,
        )
        for form, of in ((TAG, tag), (DIGEST, digest))
        for place, rows in of.groupby("place", sort=False)
    ]
    by_digest = int((digest["refused"] < 1).sum())
    return [
        Highlight(
            CONTENT.id,
            f"{missed} of {len(tag)}",
            "attempts with a changed image went unnoticed where it was asked for by its tag; by "
            f"its digest {by_digest} of {len(digest)} did.",
            tuple(bars),
        )
    ]
