"""The claims of `kernel`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger
from caveatlib.experiments.kernel.designs import EXHAUSTED, OTHERS
from caveatlib.experiments.kernel.schema import FAULTS
from caveatlib.support.quantities import percent

NAME = "kernel"
LEAST = 0.5
"""Least share of trials. The trial is counted, not the neighbour: the three on one kernel share
its fate. Six of six trials are the fewest that can show it."""
HAPPENS = {
    "exit": "ends",
    "panic": "panics its kernel",
    "memory": "fills memory",
    "tmpfs": "fills memory with files",
    "tasks": "is a fork bomb",
    "disk": "fills the file system",
    "clock": "sets the clock (with CAP_SYS_TIME)",
}
"""What a tenant does, in words."""
assert set(HAPPENS) == set(FAULTS)


def _ours(name: str, text: str, counted: str, least: float = LEAST) -> Claim:
    share = f"share of trials in which {counted}, at least {percent(least)}"
    return Claim(name, text, "derived" if name.startswith("C") else "ours", share, NAME)


RELIABILITY = from_ledger(
    "C02",
    decides="whether the three neighbours of a tenant that panics its kernel survive: as "
    "containers in one guest, and in guests of their own",
)
TOGETHER = _ours(
    "C02/together",
    "a panic that one container sets off ends every other on its kernel",
    "no neighbour in the same guest survived a panic",
)
APART = _ours(
    "C02/apart",
    "a panic that one container sets off spares those on kernels of their own",
    "all neighbours in guests of their own survived a panic",
)
UNLIMITED = Claim(
    "kernel-unlimited",
    "without a limit, containers on one kernel are not harmed by what one of them does",
    "ours",
    "trials in which all neighbours survived unharmed, fault by fault",
    NAME,
)
WITHOUT = {
    fault: _ours(
        f"{UNLIMITED.id}/{fault}",
        f"neighbours of a container that {HAPPENS[fault]} are not harmed",
        "all neighbours survived unharmed",
    )
    for fault in OTHERS
}
LIMITED = Claim(
    "kernel-limited",
    "a limit on memory, tasks or space keeps a container that uses it up from harming others",
    "ours",
    "trials in which all neighbours survived unharmed, limit by limit",
    NAME,
)
WITH = {
    fault: _ours(
        f"{LIMITED.id}/{fault}",
        f"with a limit, neighbours of a container that {HAPPENS[fault]} are not harmed",
        "all neighbours survived unharmed",
    )
    for fault in EXHAUSTED
}
GUESTS = _ours(
    "kernel-guests",
    f"none of {len(FAULTS)} faults of one container in a guest of its own harms those in others",
    f"all neighbours in other guests survived unharmed, {len(FAULTS)} faults together, the control "
    "(an exit, which harms nobody) among them",
    0.8,
)
SENTRY = _ours(
    "kernel-gvisor",
    "the end of one gVisor sandbox's kernel leaves those beside it as they are",
    "all neighbours in other sandboxes survived unharmed",
)
CLAIMS = (
    RELIABILITY,
    TOGETHER,
    APART,
    UNLIMITED,
    *WITHOUT.values(),
    LIMITED,
    *WITH.values(),
    GUESTS,
    SENTRY,
)
