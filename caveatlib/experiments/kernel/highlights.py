"""What `kernel` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.kernel.claims import RELIABILITY
from caveatlib.experiments.kernel.decisions import lived
from caveatlib.experiments.kernel.designs import PANIC_APART, PANIC_SHARED
from caveatlib.experiments.kit.highlights import Bar, Highlight

SHOWN = {"one kernel": PANIC_SHARED, "a kernel each": PANIC_APART}
"""Not the sandboxes of gVisor: of them a process was ended, and no kernel panicked."""


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    bars = []
    for name, arm in SHOWN.items():
        found = lived(here, arm.where())
        if found.of:
            bars.append(Bar(name, found.n / found.of, str(found), arm is PANIC_SHARED))
    if not bars or not bars[0].marked:
        return []
    sentence = "neighbours on the same kernel survive when one container panics it."
    return [Highlight(RELIABILITY.id, bars[0].text, sentence, tuple(bars))]
