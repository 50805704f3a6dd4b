"""What `startup` compares: which workload in which place, how often."""

from __future__ import annotations

from caveatlib.experiments.startup.workloads import SLEEP_S
from caveatlib.measuring.designs import Arm, Design
from caveatlib.places.machines.published import RELEASES

CONTAINERS = ("docker-runc", "docker-crun", "docker-runsc")
QUICK = ("process", "namespaces", "runc", *CONTAINERS)
MACHINES = ("microvm", "full-vm", "inception")


def _arms(places, **conditions) -> tuple[Arm, ...]:
    base = {"workload": "nonce", "at_once": 1, "sleep_s": 0.0, "replicate": 0}
    return tuple(Arm(place, base | conditions) for place in places)


SERVERS = ("process", "namespaces", "runc", "docker-runc", "docker-crun")
IMAGES = ("image-classic", "image-buildkit")
DISKS = ("disk-ext4", "disk-qcow2")
FROM = {"nothing": "application", "base": "application-on-base"}
"""What is there when the clock starts, and the workload."""
COUNTED = {
    "counted": ("process", "namespaces"),
    "counted-runc": ("runc", "unsettled"),
    "counted-untested": ("process",),
    "counted-waiting": ("process",),
    "counted-generic": ("runc",),
    "counted-shift-1": ("runc",),
    "counted-no-erms": ("runc",),
    "counted-full-vm": ("process",),
}
"""Guest whose instructions are counted -> what is started first in it, each in one of its own."""
STEPS = {
    "process": "process",
    "namespaces": "step-namespaces",
    "control groups": "step-cgroup",
    "overlay mount": "step-overlay",
    "network": "step-network",
    "runtime": "step-runc",
    "daemon": "docker-runc",
    "client": "docker-run",
}
"""What a start through Docker is made of, in this order -> the place that has it and all before
it."""
PUBLISHED = tuple(f"published-{name}" for name in RELEASES)
COUNTED_PUBLISHED = {
    **{f"counted-{name}": ("process",) for name in RELEASES},
    **{f"counted-runc-{name}": ("system",) for name in RELEASES},
}
"""Likewise machines that others publish, and a container of each one's root file system."""
SEEDS = 10
"""Sessions in which guests are counted: each trial has a seed, which is what is repeated."""


def _counted(guests) -> tuple[Arm, ...]:
    return tuple(
        arm
        for place, kinds in guests.items()
        for kind in kinds
        for arm in _arms([place], workload=f"count-{kind}")
    )


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
        "steps",
        _arms(STEPS.values()) + _arms(["docker-run"], replicate=1),
        block_s=2.4,
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
    Design(
        "disks",
        tuple(a for work in FROM.values() for a in _arms(IMAGES + DISKS, workload=work))
        + _arms(IMAGES, workload=FROM["base"], replicate=1),
        block_s=45,
        sessions=16,
        lead_in=True,
        optional=True,
    ),
    Design(
        "work",
        _counted(COUNTED),
        block_s=295,
        sessions=SEEDS,
        optional=True,
    ),
    Design(
        "work-again",
        _arms(["counted-runc"], workload="count-again"),
        block_s=50,
        sessions=3,
        optional=True,
    ),
    Design(
        "initcalls",
        _arms(["counted-initcalls"], workload="count-initcalls"),
        block_s=25,
        sessions=1,
        optional=True,
    ),
    Design("published", _arms(PUBLISHED), block_s=45, every=2, optional=True),
    Design(
        "published-work",
        _counted(COUNTED_PUBLISHED),
        block_s=300,
        sessions=SEEDS,
        optional=True,
    ),
)
"""``start`` is measured first; the others wait under a time budget, and have their turn in this
order. ``steps`` needs no warm-up: ``start`` has used the engine before, and all else is made anew.

In `SESSIONS` sessions every design gets 7 blocks or more, of which an interval needs 6, but for
those that answer without one: ``stubborn``, ``work-again`` and ``initcalls``. A session's engine is
what its repetitions have in common; what is counted has nothing in common but the host, for which
only guests with a disk wait.
"""
