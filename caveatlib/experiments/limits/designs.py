"""What `limits` compares: hogs, with Docker's limit and without, and no hog."""

from __future__ import annotations

from caveatlib.measuring.designs import Arm, Design


def arm(hog: str, limited: int = 0, **conditions) -> Arm:
    """Return the arm of a hog."""
    usual = {"hog": hog, "limited": limited, "sampled": 0, "replicate": 0}
    return Arm("docker", usual | conditions)


ALONE, ALONE_AGAIN, IDLE = arm("none"), arm("none", replicate=1), arm("idle")
BOMB, BOMB_LIMITED = arm("fork"), arm("fork", 1)
MEMORY, MEMORY_LIMITED = arm("memory"), arm("memory", 1)
COMPUTE, COMPUTE_AGAIN, COMPUTE_LIMITED = (
    arm("compute"),
    arm("compute", replicate=1),
    arm("compute", 1),
)
WRITE, WRITE_LIMITED = arm("write"), arm("write", 1)
SEEN = tuple(arm(*hog, sampled=1) for hog in (("none",), ("fork",), ("fork", 1)))

DESIGNS = (
    Design("bomb", (ALONE, BOMB, BOMB_LIMITED), block_s=12),
    Design("timeline", SEEN, block_s=12, sessions=5, optional=True),
    Design("memory", (MEMORY, MEMORY_LIMITED), block_s=8, optional=True),
    Design("compute", (COMPUTE, COMPUTE_AGAIN, COMPUTE_LIMITED), block_s=12, optional=True),
    Design("write", (WRITE, WRITE_LIMITED), block_s=8, optional=True),
    Design("quiet", (ALONE, ALONE_AGAIN, IDLE), block_s=12, optional=True),
)
