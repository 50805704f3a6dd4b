"""How an experiment names the places it measures in: what each needs, and how it is opened.

An experiment owns its names: ``PLACES = {"cgroup": Spec(...), ...}``. `opened`
opens those of one session; places in the same Docker engine share it. A place
that cannot be opened does not stop the others: its handle is the error, and
every trial in it fails with that.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from caveatlib.errors import FAILURES
from caveatlib.places.base import Capability, Probe
from caveatlib.places.engines import choice
from caveatlib.places.engines.engine import Engine

T = TypeVar("T")


class Session:
    """What the places of one session share: an exit stack, and the Docker engine."""

    def __init__(self, stack: ExitStack, kind: str):
        self._stack = stack
        self._kind = kind
        self._engine: Engine | Exception | None = None

    def enter(self, manager: AbstractContextManager[T]) -> T:
        """Open a context manager until the session ends."""
        return self._stack.enter_context(manager)

    def engine(self) -> Engine:
        """Return the session's Docker engine, started when first asked for.

        One that does not start is not started again for the next place.
        """
        if self._engine is None:
            try:
                self._engine = self.enter(choice.opened(self._kind))
            except FAILURES as error:
                self._engine = error
        if isinstance(self._engine, Exception):
            raise self._engine
        return self._engine


@dataclass(frozen=True)
class Spec:
    """How one place is opened, and what it needs.

    Attributes
    ----------
    open : callable
        Given the `Session`, returns what the experiment's `trial` gets.
    needs : tuple of probes
        Without any of these abilities the place is not opened.
    runtime : str
        The OCI runtime of the session's engine that the place needs; empty for
        a place that is not in that engine.
    better_with : tuple of probes
        What the place can do without, at a price, e.g. an emulated machine.
    """

    open: Callable[[Session], object]
    needs: tuple[Probe, ...] = ()
    runtime: str = ""
    better_with: tuple[Probe, ...] = ()

    def probes(self) -> tuple[Probe, ...]:
        """Return every probe that has to do with this place, of either kind of engine."""
        engines = choice.probes(self.runtime) if self.runtime else ()
        return (*self.needs, *engines, *self.better_with)


@contextmanager
def opened(specs: Mapping[str, Spec], *, engine: str) -> Iterator[dict[str, object]]:
    """Open places for one session.

    Parameters
    ----------
    specs : mapping of str to Spec
    engine : {"own", "private", "none"} or URL

    Yields
    ------
    dict
        Name -> opened place, or what opening it raised (one of `FAILURES`).
    """
    with _closed_whole(ExitStack()) as stack:
        session = Session(stack, engine)
        handles: dict[str, object] = {}
        for name, spec in specs.items():
            try:
                handles[name] = spec.open(session)
            except FAILURES as error:
                handles[name] = error
        yield handles


@contextmanager
def _closed_whole(stack: ExitStack) -> Iterator[ExitStack]:
    """Close what was opened to its end: a Ctrl-C that comes meanwhile is obeyed afterwards."""
    put_off: list[tuple] = []
    before = None
    try:
        with stack:
            try:
                yield stack
            finally:
                if threading.current_thread() is threading.main_thread():
                    before = signal.signal(signal.SIGINT, lambda *sent: put_off.append(sent))
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
            if put_off and callable(before):
                before(*put_off[0])


def missing(specs: Mapping[str, Spec], *, engine: str | None) -> dict[str, str]:
    """Return, for each place that cannot be opened here, why and what would mend it."""
    kind = choice.checked(engine)
    found = {}
    for name, spec in specs.items():
        lacking = next((a for a in _needed(spec, kind) if not a.available), None)
        if lacking:
            fix = f" ({lacking.fix})" if lacking.fix else ""
            found[name] = f"{lacking.name}: {lacking.reason}{fix}"
    return found


def forget(specs: Iterable[Spec]) -> None:
    """Let the probes of places look again: what they found missing may be prepared by now."""
    for probe in (probe for spec in specs for probe in spec.probes()):
        clear = getattr(getattr(probe, "func", probe), "cache_clear", None)
        if clear is not None and not probe().available:
            clear()


def _needed(spec: Spec, kind: str) -> Iterator[Capability]:
    for probe in spec.needs:
        yield probe()
    if spec.runtime:
        yield from choice.needed(kind, spec.runtime)
