"""Where `scaling` measures, each in a private engine of its own."""

from __future__ import annotations

from functools import cache, partial

from caveatlib.errors import FAILURES
from caveatlib.experiments.scaling.balancing import LOAD, REPLICA, balanced
from caveatlib.experiments.scaling.discovery import discovery
from caveatlib.places import compiled, rootfs
from caveatlib.places.base import Capability
from caveatlib.places.engines import private_engine
from caveatlib.places.spec import Spec
from caveatlib.support import programs
from caveatlib.support.privacy import scrub


@cache
def probe_haproxy() -> Capability:
    """Return whether HAProxy is there."""
    return _tells("haproxy", "-v")


@cache
def probe_etcd() -> Capability:
    """Return whether etcd is there."""
    return _tells("etcd", "--version")


def _tells(name: str, word: str) -> Capability:
    if programs.find(name) is None:
        return Capability(name, False, f"missing: {name}", rootfs.SYSTEM_FIX)
    try:
        said = programs.run([programs.need(name), word])
    except FAILURES as error:
        return Capability(name, False, scrub(error), rootfs.SYSTEM_FIX)
    return Capability(name, True, scrub(said.splitlines()[0]) if said else "found")


_NEEDS = (private_engine.probe, partial(compiled.probe, REPLICA))
PLACES = {
    "haproxy": Spec(
        needs=(*_NEEDS, partial(compiled.probe, LOAD), probe_haproxy),
        open=lambda session: session.enter(balanced()),
    ),
    "discovery": Spec(needs=(*_NEEDS, probe_etcd), open=lambda session: session.enter(discovery())),
}
