"""A bad neighbour and its victim: two small programs, see `caveatlib.places.compiled`.

`HOG` takes tasks, memory, CPU or disk bandwidth. It must be run below an outer cap
(`caveatlib.places.cgroups.caps`) or in a guest. `BEAT` is a service beside it that forks for each
request at a fixed rate, whether or not it keeps up.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from caveatlib.places import compiled

HOG = compiled.program(Path(__file__).with_name("hog.c"))
BEAT = compiled.program(Path(__file__).with_name("beat.c"))


def beats(said: str) -> pd.DataFrame:
    """Return what `BEAT` told.

    Parameters
    ----------
    said : str
        Its output, whole or cut short.

    Returns
    -------
    pandas.DataFrame
        One row per request: `due_s` on the machine's monotonic clock, and `latency_s`
        from then until it was answered, NaN if it failed.
    """
    rows = re.findall(r"beat (\d+\.\d{6}) (-?\d+\.\d{9})", said)
    table = pd.DataFrame(rows, columns=["due_s", "latency_s"], dtype=float)
    return table.assign(latency_s=table["latency_s"].where(table["latency_s"] >= 0))
