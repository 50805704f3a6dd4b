"""The talk: live parts of at most 20 seconds, each with recorded trials to fall back on.

A live part is measured by a process of its own, so that nothing that hangs holds up the
speaker. Every figure and table says where its numbers come from, in letters that the last
row reads: measured now, recorded on a day, or simulated.
"""

from caveatlib.talk.acts import ACTS, Act
from caveatlib.talk.pages import document
from caveatlib.talk.readiness import Item, ready
from caveatlib.talk.shown import (
    cited,
    figure,
    finding,
    now,
    sample,
    simulated,
    slider,
    table,
    tiles,
)
from caveatlib.talk.stage import LIMIT_S, Scene, live, recorded

__all__ = [
    "ACTS",
    "LIMIT_S",
    "Act",
    "Item",
    "Scene",
    "cited",
    "document",
    "figure",
    "finding",
    "live",
    "now",
    "ready",
    "recorded",
    "sample",
    "simulated",
    "slider",
    "table",
    "tiles",
]
