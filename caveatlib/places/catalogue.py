"""All places by name: what each needs, and how it is opened.

`opened` opens those of one session; the ones that live in the same Docker
engine share it. A place that cannot be opened does not stop the others: its
handle is the error, and every trial in it fails with that.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache

from caveatlib.errors import CaveatError, MeasurementError, Unavailable, UsageError
from caveatlib.experiments.layers import fanotify, moving, web
from caveatlib.experiments.ports import site
from caveatlib.instruments import iperf3, registry
from caveatlib.places import leases, namespaces, process, rootfs, runc
from caveatlib.places.base import Capability
from caveatlib.places.cgroups import cgroup, limited
from caveatlib.places.engines import endpoint, engine, private_engine
from caveatlib.places.machines import accel, sandboxes, vm

ENGINES = ("own", "private")
NO_ENGINE = "none"
RUNTIME = "runtime "
"""A need that begins so is a runtime that the chosen engine must know."""
RUNTIMES = ("runc", "crun", "runsc")


class Session:
    """What the places of one session share: an exit stack, and engines by their settings."""

    def __init__(self, stack: ExitStack, kind: str):
        self._stack = stack
        self._kind = kind
        self._engine = None

    def enter(self, manager):
        """Open a context manager until the session ends."""
        return self._stack.enter_context(manager)

    def engine(self) -> engine.Engine:
        """Return the session's Docker engine, started when first asked for."""
        if self._engine is None:
            if self._kind == "private":
                manager = private_engine.private_engine(runtimes=_runtimes())
            else:
                manager = engine.own_engine(named=None if self._kind == "own" else self._kind)
            self._engine = self.enter(manager)
        return self._engine


@dataclass(frozen=True)
class Spec:
    """How one place is opened, and the abilities it needs.

    The ability ``"engine"`` stands for the chosen kind of engine.
    """

    needs: tuple[str, ...]
    open: Callable[[Session], object]


def _docker(runtime: str) -> Spec:
    needs = ("engine", f"{RUNTIME}{runtime}")
    return Spec(needs, lambda s: s.engine().place(runtime=runtime))


def _machine(kind: str) -> Spec:
    return Spec((kind,), lambda s: s.enter(vm.vm_place(kind)))


def _site(*, userland_proxy: bool) -> Spec:
    """Return an engine of its own with servers and clients: the reader's is never rebuilt."""
    return Spec(
        ("private-engine", "iperf3"), lambda s: s.enter(site.site(userland_proxy=userland_proxy))
    )


def _web(kind: str) -> Spec:
    base = "busybox" if kind == "scratch" else "web-bases"
    return Spec(("private-engine", "fanotify", base), lambda s: s.enter(web.web_place(kind)))


PLACES = {
    "process": Spec(("process",), lambda s: s.enter(process.process_place())),
    "namespaces": Spec(("namespaces",), lambda s: s.enter(namespaces.namespaces_place())),
    "runc": Spec(("runc",), lambda s: s.enter(runc.runc_place("runc"))),
    "docker-runc": _docker("runc"),
    "docker-crun": _docker("crun"),
    "docker-runsc": _docker("runsc"),
    **{kind: _machine(kind) for kind in vm.KINDS},
    "cgroup": Spec(("cgroup-cpu",), lambda s: s.enter(limited.cgroup_place())),
    "docker": Spec(("engine", "cgroup-cpu"), lambda s: limited.DockerPlace(s.engine())),
    "engine-proxy": _site(userland_proxy=True),
    "engine-hairpin": _site(userland_proxy=False),
    "engine-proxy-again": _site(userland_proxy=True),
    **{f"app-{kind}": _web(kind) for kind in web.KINDS},
    "registry": Spec(("private-engine", "registry"), lambda s: s.enter(moving.moving_place())),
}


@contextmanager
def opened(names: Iterable[str], *, engine: str) -> Iterator[dict[str, object]]:
    """Open places for one session.

    Parameters
    ----------
    names : iterable of str
    engine : {"own", "private"} or URL

    Yields
    ------
    dict
        Name -> opened place, or the `CaveatError` that opening it raised.
    """
    with _closed_whole(ExitStack()) as stack:
        session = Session(stack, engine)
        handles: dict[str, object] = {}
        for name in names:
            try:
                handles[name] = PLACES[name].open(session)
            except CaveatError as error:
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


def capabilities() -> list[Capability]:
    """Return every backend's own probe, probed once per process."""
    return list(_probed().values())


def missing(names: Iterable[str], *, engine: str | None) -> dict[str, str]:
    """Return, for each place that cannot be opened here, why and what would mend it."""
    kind = check_engine(engine)
    found = {}
    for name in names:
        for need in PLACES[name].needs:
            ability = _ability(need, kind)
            if not ability.available:
                fix = f" ({ability.fix})" if ability.fix else ""
                found[name] = f"{ability.name}: {ability.reason}{fix}"
                break
    return found


def check_engine(kind: str | None) -> str:
    """Return the kind of engine to use: the one asked for, or the best there is.

    `NO_ENGINE` is returned where none was asked for and there is none.

    Raises
    ------
    UsageError
        If it is neither of `ENGINES` nor a URL.
    Unavailable
        If the engine that was asked for cannot be had.
    """
    if kind is None:
        usable = (k for k in ("private", "own") if _probed()[f"{k}-engine"].available)
        return next(usable, NO_ENGINE)
    if kind == NO_ENGINE:  # of a run that is resumed
        return kind
    if kind == "private":
        ability = _probed()["private-engine"]
        if not ability.available:
            raise Unavailable(f"No private engine: {ability.reason}. {ability.fix}".strip())
    elif kind == "own" or "://" in kind:
        _answers(kind)
    else:
        raise UsageError(f"Unknown engine {kind!r}. Must be 'own', 'private' or a URL.")
    return kind


@cache
def _answers(kind: str) -> None:
    """Raise what opening the reader's own engine raises, before anything is measured."""
    try:
        with engine.own_engine(named=None if kind == "own" else kind):
            pass
    except MeasurementError as error:
        raise Unavailable(f"No engine answers where {kind!r} points: {error}") from None


def sweep() -> list[str]:
    """Remove what aborted runs left on this machine and on the reader's own engine.

    Returns
    -------
    list of str
        What was removed. An engine that does not run holds nothing up.
    """
    removed = leases.sweep() + cgroup.sweep()
    with contextlib.suppress(CaveatError):
        where = endpoint.resolve()
        with contextlib.closing(engine.Engine(where)) as own:
            removed += engine.sweep_own(own)
    return removed


def _ability(need: str, kind: str) -> Capability:
    if need.startswith(RUNTIME):
        runtime = need.removeprefix(RUNTIME)
        if kind in ("private", NO_ENGINE):
            return _probed()[runtime]
        known = runtime in _engine_runtimes(kind)
        return Capability(runtime, known, f"the engine {'has' if known else 'lacks'} this runtime")
    if need != "engine":
        return _probed()[need]
    if kind == NO_ENGINE:
        return _probed()["own-engine"]
    if kind in ENGINES:
        return _probed()[f"{kind}-engine"]
    return Capability("engine", True, "named by its URL")


@cache
def _engine_runtimes(kind: str) -> frozenset[str]:
    """Return the names of the OCI runtimes that the reader's own engine knows."""
    with engine.own_engine(named=None if kind == "own" else kind) as own:
        return frozenset(own.info().get("Runtimes") or ())


@cache
def _probed() -> dict[str, Capability]:
    found = (
        process.probe(),
        namespaces.probe(),
        rootfs.probe(),
        *(runc.probe(program) for program in RUNTIMES),
        private_engine.probe(),
        engine.probe(),
        cgroup.probe(),
        iperf3.probe(),
        accel.probe(),
        *vm.probe(),
        fanotify.probe(),
        web.probe(),
        registry.probe(),
        *sandboxes.probe(),
    )
    return {ability.name: ability for ability in found}


def _runtimes() -> tuple[str, ...]:
    return tuple(n for n in RUNTIMES if _probed()[n].available)
