"""What `storage` compares: each driver on a fresh disk, beside overlay2 on ext4."""

from __future__ import annotations

from caveatlib.measuring.designs import Arm, Design

EXT4, XFS, COPYING = "overlay2-ext4", "overlay2-xfs", "overlay2-xfs-noreflink"
BTRFS, FUSE, VFS, VOLUME = "btrfs", "fuse-overlayfs", "vfs", "volume"
MAIN, OTHERS = "main", "others"


def _arm(place: str, replicate: int = 0) -> Arm:
    return Arm(place, {"replicate": replicate})


DESIGNS = (
    Design(MAIN, (_arm(EXT4), _arm(EXT4, 1), _arm(XFS), _arm(FUSE), _arm(VFS)), block_s=25),
    Design(
        OTHERS, (_arm(EXT4), _arm(COPYING), _arm(BTRFS), _arm(VOLUME)), block_s=20, optional=True
    ),
)


def where(place: str, design: str = MAIN, replicate: int = 0) -> dict[str, object]:
    """Return the filter of an arm of one design."""
    return {"design": design, **_arm(place, replicate).where()}
