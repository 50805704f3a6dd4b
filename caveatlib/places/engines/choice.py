"""Which Docker engine a run's places share: a private one, the reader's own, one named by URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cache, partial

from caveatlib.errors import MeasurementError, Unavailable, UsageError
from caveatlib.places import runc
from caveatlib.places.base import Capability, Probe
from caveatlib.places.engines import own_engine, private_engine
from caveatlib.places.engines.engine import Engine

KINDS = ("own", "private")
NONE = "none"
"""Stands for the engine where none was asked for and there is none."""


def checked(kind: str | None) -> str:
    """Return the kind of engine to use: the one asked for, or the best there is.

    Raises
    ------
    UsageError
        If it is neither of `KINDS` nor a URL.
    Unavailable
        If the engine that was asked for cannot be had.
    """
    if kind is None:
        if private_engine.probe().available:
            return "private"
        return "own" if own_engine.probe().available else NONE
    if kind == NONE:  # of a run that is resumed
        return kind
    if kind == "private":
        ability = private_engine.probe()
        if not ability.available:
            raise Unavailable(f"No private engine: {ability.reason}. {ability.fix}".strip())
    elif kind == "own" or "://" in kind:
        _answers(kind)
    else:
        raise UsageError(f"Unknown engine {kind!r}. Must be 'own', 'private' or a URL.")
    return kind


def opened(kind: str) -> AbstractContextManager[Engine]:
    """Open an engine of this kind; a private one has every runtime that works here."""
    if kind == "private":
        return private_engine.private_engine(
            runtimes=[name for name in runc.RUNTIMES if runc.probe(name).available]
        )
    return own_engine.own_engine(named=None if kind == "own" else kind)


def needed(kind: str, runtime: str) -> Iterator[Capability]:
    """Yield what a place under this runtime needs in an engine of this kind."""
    if kind == "private":
        yield private_engine.probe()
        yield runc.probe(runtime)
    elif kind == NONE:
        own, private = own_engine.probe(), private_engine.probe()
        why = f"{own.reason}; a private one: {private.reason}"
        yield Capability("engine", False, why, private.fix or own.fix)
    else:
        known = runtime in _runtimes(kind)
        yield Capability(runtime, known, f"the engine {'has' if known else 'lacks'} this runtime")


def probes(runtime: str) -> tuple[Probe, ...]:
    """Return the probes of either kind of engine and of a runtime."""
    return private_engine.probe, own_engine.probe, partial(runc.probe, runtime)


@cache
def _answers(kind: str) -> None:
    """Raise what opening the reader's own engine raises, before anything is measured."""
    try:
        with opened(kind):
            pass
    except MeasurementError as error:
        raise Unavailable(f"No engine answers where {kind!r} points: {error}") from None


@cache
def _runtimes(kind: str) -> frozenset[str]:
    """Return the names of the OCI runtimes that the reader's own engine knows."""
    with opened(kind) as own:
        return frozenset(own.info().get("Runtimes") or ())
