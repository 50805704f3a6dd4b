"""What `startup` compares: which workload in which place, how often."""

from __future__ import annotations

from caveatlib.experiments.startup.workloads import SLEEP_S
from caveatlib.measuring.designs import Arm, Design

CONTAINERS = ("docker-runc", "docker-crun", "docker-runsc")
QUICK = ("process", "namespaces", "runc", *CONTAINERS)
MACHINES = ("microvm", "full-vm", "inception")


def _arms(places, **conditions) -> tuple[Arm, ...]:
    base = {"workload": "nonce", "at_once": 1, "sleep_s": 0.0, "replicate": 0}
    return tuple(Arm(place, base | conditions) for place in places)


SERVERS = ("process", "namespaces", "runc", "docker-runc", "docker-crun")

DESIGNS = (
    Design(
        "start",
        _arms(QUICK) + _arms(["docker-runc"], replicate=1),
        block_s=2,
        warmup=True,
        lead_in=True,
    ),
    Design(
        "known-answer",
        _arms(["docker-runc"]) + _arms(["docker-runc"], sleep_s=SLEEP_S),
        block_s=1,
        blocks_per_session=3,
        lead_in=True,
        optional=True,
    ),
    Design(
        "machine",
        _arms(["runc", "docker-runc", "microvm", "full-vm"])
        + _arms(["inception"], workload="nested"),
        block_s=18,
        optional=True,
    ),
    Design(
        "answer",
        _arms(SERVERS, workload="http-after") + _arms(SERVERS, workload="http"),
        block_s=4,
        every=2,
        optional=True,
    ),
    Design(
        "build",
        _arms(["docker-runc", "full-vm"], workload="build")
        + _arms(["docker-runc"], workload="build", replicate=1),
        block_s=7,
        lead_in=True,
        optional=True,
    ),
    Design(
        "stubborn",
        _arms(SERVERS, workload="stubborn"),
        block_s=42,
        sessions=1,
        optional=True,
    ),
    Design(
        "at-once",
        tuple(a for k in (1, 2, 4, 8) for a in _arms(QUICK, workload="idle", at_once=k))
        + tuple(a for k in (1, 2) for a in _arms(["microvm"], workload="idle", at_once=k)),
        block_s=25,
        every=3,
        optional=True,
    ),
    Design(
        "emulator",
        _arms(["microvm"], workload="slowdown") + _arms(["microvm"], workload="marks"),
        block_s=12,
        every=2,
        optional=True,
    ),
)
"""``start`` is measured first; the others wait under a time budget, and have their turn in this
order.

In `SESSIONS` sessions every design but ``stubborn`` gets 7 blocks or more, of which
an interval needs 6.
"""
