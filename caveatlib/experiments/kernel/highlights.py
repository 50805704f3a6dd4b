"""What `kernel` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.kernel.claims import RELIABILITY
from caveatlib.experiments.kernel.tables import FATES, FAULTS, crossed
from caveatlib.experiments.kit.highlights import Bar, Highlight

SHOWN = ("one kernel", "gVisor sandboxes", "a kernel each")


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    table = crossed(here)
    rows = {a: table.loc[key] for a in SHOWN if (key := (FAULTS["panic"], a)) in table.index}
    lived = {
        a: (row["unharmed"] + row["harmed"], row[list(FATES)].sum()) for a, row in rows.items()
    }
    if SHOWN[0] not in lived:
        return []
    bars = [Bar(a, n / count, f"{n} of {count}", a == SHOWN[0]) for a, (n, count) in lived.items()]
    sentence = "neighbours on the same kernel survive when one container panics it."
    return [Highlight(RELIABILITY.id, bars[0].text, sentence, tuple(bars))]
