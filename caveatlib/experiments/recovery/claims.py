"""The claims of `recovery`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger
from caveatlib.experiments.recovery.asking import RATE
from caveatlib.experiments.recovery.striking import WATCH_S
from caveatlib.support.quantities import percent

NAME = "recovery"
LEAST = 0.5
"""Least share of trials in which all is back. Six of six are the fewest that can show it."""
HALF, TENFOLD = 0.5, 10.0
"""Thresholds of ours: a restart policy saves at least half of the requests of eight seconds; an
engine takes at least so many times the memory of a supervisor."""


def _part(part: str, text: str, decides: str) -> Claim:
    return Claim(part, text, "derived", decides, NAME)


def _back(part: str, fault: str, text: str) -> Claim:
    decides = f"share of trials in which all replicas came back within {WATCH_S[fault]:g} s"
    return _part(part, text, f"{decides}, at least {percent(LEAST)}")


REDUNDANCY = from_ledger(
    "C03",
    decides="derived: it follows from C02 (containers end with the kernel that they share) and "
    f"from C04; decided by redundancy alone: after a node was killed, seconds' worth of requests "
    f"({RATE} are due in one) that a client without failover missed, which asks each replica in "
    "its turn, three replicas on three nodes minus one replica, both kept by Swarm, difference "
    "below 0",
)
RELIABILITY = from_ledger(
    "C04",
    decides="whether requests are saved and replicas come back, fault by fault, by the simplest "
    "keeper that is made for it; whether the shared volume has one writer at a time",
)
REQUESTS = _part(
    "C04/requests",
    "a restart policy saves most requests of a service whose process is killed",
    f"requests lost within {WATCH_S['crash']:g} s, restart policy over no keeper, which loses all "
    f"of them, ratio below {HALF:g} (ours); the longer the watch, the smaller the ratio",
)
HANG = _back(
    "C04/hang", "hang", "a health check and a loop that restarts bring back a service that hangs"
)
NODE = _back("C04/node", "node", "orchestration brings back a service whose node is killed")
CUT = _back("C04/cut", "cut", "orchestration brings back a service whose node is cut off")
WRITERS = _part(
    "C04/writers",
    "shared storage has one writer at a time after a node was cut off",
    "whether two processes wrote tickets for one slot, until the watch ended, where the node that "
    "is cut off still reaches the storage and is still asked from within",
)
LOOP = from_ledger(
    "C05",
    decides="whether SwarmKit's loop, not Kubernetes's, brings as many replicas back as are "
    "desired, after two of three were killed, and after a node of three was",
)
REPLICAS = _back(
    "C05/replicas", "crash", "after two of three replicas are killed there are three again"
)
NODES = _back(
    "C05/node", "node", "after one of three nodes is killed there are three replicas again"
)
SIMPLE = from_ledger(
    "C06",
    decides="for a killed process that had run for more than a second, which both bring back: "
    "time until it answers, and memory of the keeper, a bare supervisor against an engine with a "
    "restart policy; that an engine also isolates is not counted",
)
SOONER = _part(
    "C06/time",
    "a bare supervisor brings a killed process that had run for more than a second back sooner "
    "than an engine's restart policy",
    "kill until the first answer, runsv over a restart policy, ratio below 1; what ran for less "
    "than a second runsv starts a second later, and none of that is hit",
)
LIGHTER = _part(
    "C06/memory",
    "an engine takes at least ten times the memory of a bare supervisor",
    "memory (resident) of the keeper's processes, engine over runsv, ratio above "
    f"{TENFOLD:g} (ours)",
)
