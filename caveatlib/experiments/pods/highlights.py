"""What `pods` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims
from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.experiments.pods.claims import COMPONENTS
from caveatlib.experiments.pods.designs import HELD, SEES_LITTLE

SHOWN = {"in the application's network": SEES_LITTLE, "in a third one's network": HELD}


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    bars = []
    for name, arm in SHOWN.items():
        lives = claims.values_of(here, arm.where(), "lives_restart")
        if lives.empty:
            return []
        count = int(lives.sum())
        bars.append(Bar(name, count / len(lives), f"{count} of {len(lives)}", arm is SEES_LITTLE))
    sentence = (
        "sidecars that share their application's network reach it again after a restart; of those "
        f"that share the network of a third container, {bars[1].text}."
    )
    return [Highlight(COMPONENTS.id, bars[0].text, sentence, tuple(bars))]
