"""CPU time of the CPUs that this process may use, whoever works on them."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")
_IDLE = (3, 4)
"""Fields idle and iowait of a line of ``/proc/stat``."""


def busy_s(*, stolen: bool = False) -> float:
    """Return the CPU seconds that the CPUs which this process may use have worked since boot.

    What it starts may use the same ones and no others; on the rest of the
    machine only strangers work.

    Parameters
    ----------
    stolen : bool
        Whether what the hypervisor took of them counts as well.
    """
    # cpu1  user nice system idle iowait irq softirq steal guest guest_nice, in ticks
    rows = {}
    for line in (PROC / "stat").read_text().splitlines():
        name, *values = line.split()
        if name.startswith("cpu"):
            rows[name] = [int(value) for value in values[: 8 if stolen else 7]]
    ours = [f"cpu{number}" for number in os.sched_getaffinity(0)]
    if not rows.keys() >= set(ours):  # a container that is shown its own CPUs only, numbered anew
        ours = ["cpu"]
    ticks = sum(sum(rows[name]) - sum(rows[name][i] for i in _IDLE) for name in ours)
    return ticks / os.sysconf("SC_CLK_TCK")
