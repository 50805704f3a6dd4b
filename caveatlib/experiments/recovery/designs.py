"""What `recovery` compares: keepers, faults, one replica and three."""

from __future__ import annotations

from caveatlib.measuring.designs import Arm, Design

PLACE_OF = {"nobody": "bare", "runsv": "bare", "swarm": "swarm"}
"""Keeper -> where it runs; all others in an engine's containers."""


def arm(keeper: str, fault: str, replicas: int = 1, replicate: int = 0) -> Arm:
    """Return the arm of a keeper and a fault."""
    place = PLACE_OF.get(keeper, "engine")
    conditions = {"keeper": keeper, "fault": fault, "replicas": replicas, "replicate": replicate}
    return Arm(place, conditions)


ALONE, ALONE_OF_THREE = (arm("nobody", "crash", count) for count in (1, 3))
BARE = arm("runsv", "crash")
RESTARTED, RESTARTED_AGAIN = (arm("always", "crash", replicate=r) for r in (0, 1))
TWO_OF_THREE = arm("swarm", "crash", 3)
HEALED = arm("autoheal", "hang")
NODE_KILLED, NODE_KILLED_THREE = arm("swarm", "node"), arm("swarm", "node", 3)
CUT_OFF = arm("swarm", "cut")
QUIET, PAUSED = arm("nobody", "none"), arm("nobody", "pause")

DESIGNS = (
    Design("crash", (ALONE, BARE, RESTARTED, RESTARTED_AGAIN, TWO_OF_THREE), block_s=35),
    Design("cut", (CUT_OFF,), block_s=30, optional=True),
    Design("node", (NODE_KILLED, NODE_KILLED_THREE), block_s=60, optional=True),
    Design(
        "hang",
        (*(arm(keeper, "hang") for keeper in ("runsv", "always", "health", "swarm")), HEALED),
        block_s=80,
        optional=True,
    ),
    Design(
        "others",
        (
            arm("on-failure", "crash"),
            arm("unless-stopped", "crash"),
            arm("swarm", "crash"),
            ALONE_OF_THREE,
        ),
        block_s=32,
        optional=True,
    ),
    Design("known", (QUIET, PAUSED), block_s=10, optional=True),
)
"""``crash`` is measured first; under a time budget the others wait. Engines, and the swarm, are
started afresh for each session, which is the unit of replication: one block of each design."""
