"""What `kernel` compares: which fault, in which arrangement of tenants, with a limit or without."""

from __future__ import annotations

from caveatlib.measuring.designs import Arm, Design

EXHAUSTED = ("memory", "tmpfs", "tasks", "disk")
"""Faults that use up what tenants share, and that a limit is made for."""
OTHERS = ("exit", "clock", *EXHAUSTED)
"""All but the panic."""


def arm(place: str, fault: str, **conditions) -> Arm:
    """Return an arm, without a limit where none is given."""
    return Arm(place, {"fault": fault, "limited": 0, "replicate": 0} | conditions)


PANIC_SHARED, PANIC_APART = (arm(place, "panic") for place in ("one-guest", "four-guests"))
HARMLESS, AGAIN = (arm("one-guest", "exit", replicate=r) for r in (0, 1))

DESIGNS = (
    Design("panic", (PANIC_SHARED, PANIC_APART), block_s=40),
    Design("exit", (HARMLESS, AGAIN, arm("one-guest", "clock")), block_s=60, optional=True),
    *(
        Design(
            fault,
            (arm("one-guest", fault), arm("one-guest", fault, limited=1)),
            block_s=45,
            optional=True,
        )
        for fault in EXHAUSTED
    ),
    Design("sentry", (arm("gvisor", "panic"),), block_s=30, optional=True),
    Design(
        "apart",
        tuple(arm("four-guests", fault) for fault in OTHERS),
        block_s=150,
        every=2,
        optional=True,
    ),
    Design(
        "gvisor",
        tuple(arm("gvisor", fault) for fault in OTHERS),
        block_s=160,
        every=3,
        optional=True,
    ),
)
"""``panic`` is measured first; under a time budget the others wait. Guests are booted for each
trial, so nothing outlives one, and a block is the unit of replication."""
