"""The claims of `limits`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger
from caveatlib.experiments.limits.places import CAP, CPUS, MEMORY_BYTES, PIDS

NAME = "limits"
_MIB = f"{MEMORY_BYTES >> 20} MiB"


def _part(part: str, text: str, decides: str) -> Claim:
    return Claim(f"C09/{part}", text, "derived", decides, NAME)


FIX = from_ledger(
    "C09",
    decides="whether a fork bomb does harm without --pids-limit, is contained with it, and leaves "
    "its neighbour and a newcomer unharmed",
)
HARM = _part(
    "harm",
    "without a limit of its own a fork bomb takes all tasks that are left, and a neighbour's "
    "requests fail",
    f"the neighbour's requests that failed, at least 1, where only an outer cap of {CAP.tasks} "
    "tasks holds the bomb",
)
CONTAINED = _part(
    "contained",
    f"with --pids-limit {PIDS} a fork bomb gets that many tasks",
    f"tasks of the bomb, exactly {PIDS}",
)
SPARED = _part(
    "spared",
    f"beside a fork bomb with --pids-limit {PIDS} no request of a neighbour fails",
    "the neighbour's requests that failed, at most 0",
)
NEWCOMER = _part(
    "newcomer",
    f"beside a fork bomb with --pids-limit {PIDS} a new container starts",
    "whether it started, at least 1",
)
MEMORY_KILLED = Claim(
    "limits-memory",
    f"with --memory {_MIB} a neighbour that takes all memory is killed, and no request of the "
    "other fails",
    "ours",
    f"whether the neighbour was killed before it had more than {_MIB}, and the other's failures",
    NAME,
)
CPU_LATENCY = Claim(
    "limits-cpu",
    f"limiting a computing neighbour to {CPUS:g} CPUs lowers the latency of the other",
    "ours",
    f"p90 of latency beside a neighbour with --cpus {CPUS:g} over one without, ratio below 1",
    NAME,
)
