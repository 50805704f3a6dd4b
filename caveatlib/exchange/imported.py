"""What did other tools measure?

Not an experiment of ours: the model and name of runs that `exchange.adopt` makes of files of
hyperfine and pyperf. These tools finish one benchmark before the next begins, so no two trials
share a block or a session, and nothing here is compared in pairs: a machine that drifts would
look like a difference. Medians and their intervals can be read.
"""

from __future__ import annotations

import pandas as pd

from caveatlib import frames, plots
from caveatlib.errors import UsageError

NAME = "imported"
QUESTION = "What did other tools measure?"
PLACES: dict = {}
DESIGNS: tuple = ()


class Trials(frames.Trials):
    """One value that another tool wrote; its place is the name of the benchmark."""

    tool: frames.Series[str] = frames.field("Tool that measured", isin=("hyperfine", "pyperf"))
    took_s: frames.Series[float] = frames.measure("Time of the benchmark, per loop", "s")
    size_bytes: frames.Series[float] = frames.measure("Size that the benchmark measured", "B")


def trial(place, conditions: dict, *, seed: int):
    """Refuse: what another tool measured is not measured again here."""
    raise UsageError("Experiment 'imported' cannot be measured. Must be imported from a file.")


def plot(trials: pd.DataFrame, ax=None):
    """Draw every value in seconds, one row per benchmark."""
    return plots.dots(trials, "took_s", by="place", unit="s", label="Time", log=True, ax=ax)
