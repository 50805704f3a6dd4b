"""What two cheap system calls cost where a program runs: a getppid, and opening a file.

Programs for workloads are C and static, see `caveatlib.places.compiled`. `APART` is the header
of those that try things which may end or hang the process that tries them.
"""

from __future__ import annotations

from pathlib import Path

from caveatlib.places import compiled, output

CALLS = compiled.program(Path(__file__).with_name("calls.c"))
"""``calls COUNT`` in a workload's script."""
APART = Path(__file__).with_name("apart.h")


def costs(text: str) -> dict[str, float]:
    """Return ``getppid_s`` and ``open_s`` (openat, fstat and close) of what `CALLS` wrote.

    Raises
    ------
    MeasurementError
        If it failed.
    """
    ((getppid_s, open_s),) = output.numbers(text, columns=2, of="calls")
    return {"getppid_s": getppid_s, "open_s": open_s}
