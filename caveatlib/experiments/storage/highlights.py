"""What `storage` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.experiments.storage.claims import SELECTING
from caveatlib.experiments.storage.schema import LARGE
from caveatlib.experiments.storage.tables import AGAIN, named
from caveatlib.support.quantities import format_quantity


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    rows = named(here)
    rows = rows[rows["driver"] != AGAIN]
    medians = rows.groupby("driver")[LARGE].median().dropna().sort_values()
    if len(medians) < 2:
        return []
    slowest = medians.index[-1]
    bars = [
        Bar(str(name), value, format_quantity(value, "s"), name == slowest)
        for name, value in medians.items()
    ]
    sentence = (
        f"as long takes the first write into a file of 100 MB of the image with {slowest} as with "
        f"{medians.index[0]}."
    )
    number = f"{medians.iloc[-1] / medians.iloc[0]:.3g}×"
    return [Highlight(SELECTING.id, number, sentence, tuple(bars))]
