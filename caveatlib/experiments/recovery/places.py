"""Where `recovery` measures: one machine with nothing, one with an engine, three in a swarm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial

from caveatlib.experiments.recovery import nodes
from caveatlib.experiments.recovery.service import SERVE
from caveatlib.experiments.recovery.striking import Place
from caveatlib.places import compiled, rootfs
from caveatlib.places.base import Capability
from caveatlib.places.engines import private_engine
from caveatlib.places.spec import Spec
from caveatlib.support import programs

NODES = {"bare": 1, "engine": 1, "swarm": 3}
"""Place -> how many machines it is."""


@cache
def probe() -> Capability:
    """Return whether there is runsv, which Debian has in a package of its own."""
    if programs.find("runsv"):
        return Capability("runsv", True, "runsv found")
    return Capability("runsv", False, "missing: runsv", rootfs.SYSTEM_FIX)


@contextmanager
def opened(place: str) -> Iterator[Place]:
    """Open the machines of a place."""
    engines = place != "bare"
    with nodes.site(NODES[place], engines=engines, swarm=place == "swarm") as site:
        yield Place(site)


def _spec(place: str, *needs) -> Spec:
    return Spec(
        needs=(rootfs.probe, nodes.probe, partial(compiled.probe, SERVE), *needs),
        open=lambda session: session.enter(opened(place)),
    )


PLACES = {
    "bare": _spec("bare", probe),
    "engine": _spec("engine", private_engine.probe),
    "swarm": _spec("swarm", private_engine.probe),
}
ARTEFACTS = (SERVE,)
