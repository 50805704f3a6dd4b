"""Figure and first findings of `platform`."""

from __future__ import annotations

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.experiments.kit.tables import figure_per_machine
from caveatlib.experiments.platform.claims import COMMON
from caveatlib.experiments.platform.tables import OTHERS, coverage
from caveatlib.support.quantities import percent


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw how many of the kernel's system calls gVisor has, by who makes them."""
    table = coverage(trials).set_index("made_by")[["present", "lacking"]].astype(float)
    return plots.stacked(
        table, unit="", label="System calls that the kernel has", ax=ax,
        title="System calls of programs, and how many of them gVisor has",
    )  # fmt: skip


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the finding of one machine, if it has one."""
    table = coverage(here).set_index("made_by")
    if len(table) < 2:
        return []
    rest = table.loc[OTHERS]
    bars = [Bar(str(who), row["share"], percent(row["share"])) for who, row in table.iterrows()]
    bars[-1] = bars[-1]._replace(marked=True)
    number = f"{table.drop(OTHERS)['lacking'].max()}"
    sentence = (
        f"of the system calls that a program makes is the most that gVisor lacks; of the "
        f"{rest['calls']} that none of them made it lacks {rest['lacking']}."
    )
    return [Highlight(COMMON.id, number, sentence, tuple(bars))]
