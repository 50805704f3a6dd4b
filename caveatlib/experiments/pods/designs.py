"""What `pods` compares: arrangements of an application and its sidecar."""

from __future__ import annotations

from caveatlib.measuring.designs import Arm, Design

ARRANGEMENTS = ("process", "shared", "ipc", "pid", "socket", "pause", "bridge")
TRIPS, LOOKED = "trips", "isolation"
HOP, EVERY, SEALS, MATRIX = "hop", "arrangements", "seals", "matrix"


def trips(arrangement: str, *, delayed: int = 0, replicate: int = 0) -> Arm:
    """Return the arm in which round trips are timed."""
    return _arm(TRIPS, arrangement, delayed, replicate)


def looked(arrangement: str) -> Arm:
    """Return the arm in which the sidecar looks, and something happens to the application."""
    return _arm(LOOKED, arrangement, 0, 0)


def _arm(task: str, arrangement: str, delayed: int, replicate: int) -> Arm:
    conditions = {"task": task, "arrangement": arrangement, "delayed": delayed}
    return Arm("engine", conditions | {"replicate": replicate})


ONE, ONE_AGAIN = (trips("process", replicate=r) for r in (0, 1))
SHARED, SHARED_AGAIN = (trips("shared", replicate=r) for r in (0, 1))
DELAYED, OVER_BRIDGE = trips("process", delayed=1), trips("bridge")
SEES_ALL, SEES_LITTLE, HELD = (looked(name) for name in ("process", "shared", "pause"))
DESIGNS = (
    Design(HOP, (ONE, ONE_AGAIN, SHARED), block_s=5, blocks_per_session=4),
    Design(SEALS, (SEES_LITTLE, HELD), block_s=16),
    Design(
        EVERY,
        (*map(trips, ARRANGEMENTS), SHARED_AGAIN, DELAYED),
        block_s=16,
        optional=True,
    ),
    Design(
        MATRIX,
        tuple(looked(name) for name in ARRANGEMENTS if name not in ("shared", "pause")),
        block_s=36,
        optional=True,
    ),
)
"""All containers are made afresh for each trial, so a block is the unit of replication."""
