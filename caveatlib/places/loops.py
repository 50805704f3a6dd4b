"""Loop devices whose file lies in a folder of ours: found, and detached.

A loop device does not belong to a namespace: it outlives whoever made it, unless it was made to go
with its last mount. `leases` therefore detaches what is left, before the file goes.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

DEVICES = Path("/sys/block")
_LOOP_CLR_FD = 0x4C01


def attached(folder: Path) -> list[str]:
    """Return the names of the loop devices whose file lies, or lay, below a folder."""
    within = folder.resolve()  # as the kernel names the file
    found = []
    for entry in sorted(DEVICES.glob("loop*/loop/backing_file")):
        with contextlib.suppress(OSError):  # detached meanwhile
            # One that was removed meanwhile has " (deleted)" behind its name.
            file = os.fsdecode(entry.read_bytes()).removesuffix("\n")
            if Path(file).is_relative_to(within):
                found.append(entry.parts[-3])
    return found


def detach(folder: Path) -> bool:
    """Detach the loop devices whose file lies below a folder; return whether none is left.

    One that is in use is detached by the kernel when it no longer is.
    """
    for name in attached(folder):
        with contextlib.suppress(OSError):
            _detach(name, folder)
    return not attached(folder)


def _detach(name: str, folder: Path) -> None:
    import fcntl  # only where it is used: not on every platform that replays

    device = os.open(f"/dev/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Held open, it cannot become somebody else's between the question and the call.
        if name in attached(folder):
            fcntl.ioctl(device, _LOOP_CLR_FD)
    finally:
        os.close(device)
