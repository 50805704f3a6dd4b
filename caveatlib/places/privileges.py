"""Which Linux capabilities this process holds, so that a refusal can name the one it lacks.

Root is not enough: in an ordinary container root holds fourteen of the forty-one
capabilities, and neither of those that a container of its own would take.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from caveatlib.places.base import Capability

BITS = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}
"""Their numbers in linux/capability.h."""
STATUS = Path("/proc/self/status")
AS_ROOT = "run it as root"
IN_CONTAINER = "run the container with --privileged"


def lacking(*names: str) -> list[str]:
    """Return which of these capabilities (keys of `BITS`) this process does not hold."""
    # CapEff:	00000000a80425fb
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return []
    held = next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), -1)
    return [name for name in names if not held >> BITS[name] & 1]


def refused(ability: str, reason: str, *, needs: Sequence[str] = ()) -> Capability:
    """Return an ability that was tried in vain.

    Parameters
    ----------
    ability : str
        Its name.
    reason : str
        What the attempt ended with; given if no capability is missing.
    needs : sequence of str
        Linux capabilities (keys of `BITS`) without which it cannot be.
    """
    if missing := lacking(*needs):
        reason = f"needs {' and '.join(missing)}"
    fix = AS_ROOT if os.geteuid() else IN_CONTAINER if lacking(*BITS) else ""
    return Capability(ability, False, reason, fix)
