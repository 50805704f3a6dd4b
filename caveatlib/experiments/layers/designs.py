"""What `layers` compares: images looked into and run, images and disks moved over three links."""

from __future__ import annotations

from caveatlib.experiments.layers import generated, moving, on_kernels
from caveatlib.experiments.layers.workloads import MOVES, PUBLISHED
from caveatlib.measuring.designs import Arm, Design
from caveatlib.places.machines.published import RELEASES

FULL, MINIMAL, SCRATCH, REGISTRY = "app-full", "app-minimal", "app-scratch", "registry"
SYSTEMS = {f"published-{name}": release.title for name, release in RELEASES.items()}
"""Place that has a published machine and images of it -> what it is."""
LINKS = {"no limit": 0.0, "1 Gbit/s": 1e9, "100 Mbit/s": 1e8}
"""Name -> rate in bit/s, from the fastest to the slowest; 0 is a link without a limit."""


def on_link(link: str) -> str:
    """Return a link's name as it stands in a sentence."""
    return f"at {link}" if LINKS[link] else f"with {link} on the link"


def _inside(place: str, work: str) -> Arm:
    conditions = {"work": work, "content_bytes": 0, "link_bit_per_s": 0.0, "replicate": 0}
    return Arm(place, conditions)


def _published() -> tuple[Arm, ...]:
    fixed = {"content_bytes": 0, "replicate": 0}
    return tuple(
        Arm(place, {"work": work, "link_bit_per_s": rate} | fixed)
        for place in SYSTEMS
        for rate in LINKS.values()
        for work in PUBLISHED
    )


def _moves() -> tuple[Arm, ...]:
    ways = [*((work, 0) for work in MOVES), ("pull", 1), ("disk-gzip", 1)]
    return tuple(
        Arm(
            REGISTRY,
            {
                "work": work,
                "content_bytes": generated.content_bytes(size),
                "link_bit_per_s": rate,
                "replicate": again,
            },
        )
        for rate in LINKS.values()
        for work, again in ways
        for size in moving.SIZES_MIB
    )


DESIGNS = (
    Design(
        "contents",
        (
            *(_inside(place, "contents") for place in (FULL, MINIMAL, SCRATCH)),
            _inside(MINIMAL, "planted"),
        ),
        block_s=4,
        sessions=1,
    ),
    Design("opened", tuple(_inside(p, "opened") for p in (FULL, MINIMAL, SCRATCH)), block_s=8),
    Design("moving", _moves(), block_s=150, lead_in=True),
    Design(
        "kernels",
        tuple(_inside(place, "answer") for place in on_kernels.PLACES),
        block_s=8,
        optional=True,
    ),
    Design("published", _published(), block_s=150, every=2, optional=True),
)
"""The contents of an image do not vary: they are read once."""
