"""What `scaling` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims
from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.experiments.scaling.claims import SERIAL
from caveatlib.experiments.scaling.decisions import doubled
from caveatlib.experiments.scaling.designs import FEW, MANY, MOST, percent


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    bars = []
    for share, words in ((0.0, "nothing serial"), (MOST, f"{percent(MOST)} under a lock")):
        for replicas in (FEW, MANY):
            values = claims.values_of(here, doubled(replicas, share), "throughput_per_s")
            if values.empty:
                return []
            rate = float(values.median())
            name = f"{replicas} replicas, {words}"
            bars.append(Bar(name, rate, f"{rate:.0f} a second", bool(share)))
    number = f"{bars[-1].value / bars[-2].value:.2f}×"
    sentence = (
        f"as many requests are served by {MANY} replicas as by {FEW} if {percent(MOST)} of each "
        f"waits for one lock; if nothing does, {bars[1].value / bars[0].value:.2f}×."
    )
    return [Highlight(SERIAL.id, number, sentence, tuple(bars))]
