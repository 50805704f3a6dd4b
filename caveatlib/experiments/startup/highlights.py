"""What `startup` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib import stats
from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.experiments.startup.claims import KERNEL
from caveatlib.experiments.startup.decisions import DECISIONS
from caveatlib.experiments.startup.tables import phases
from caveatlib.support.quantities import format_quantity

NAMES = {
    "namespaces": "namespaces",
    "runc": "runc",
    "docker-runc": "Docker",
    "docker-runsc": "Docker, gVisor",
}


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    (namespaces,) = (d for d in DECISIONS if d.claim is KERNEL)
    (row,) = stats.jointly([(here, namespaces.contrast)])
    if not row["n"]:
        return []
    first = phases(here)["first_output_s"]
    bars = [
        Bar(words, first[place], format_quantity(first[place], "s"), place == "namespaces")
        for place, words in NAMES.items()
        if place in first.index
    ]
    return [
        Highlight(
            KERNEL.id,
            f"{row['estimate'] * 100:.2g} %",
            "of a start through Docker is what a start in new pid, mount, UTS and IPC namespaces "
            "alone takes.",
            tuple(bars),
        )
    ]
