"""Where `defaults` measures: private engines, which differ in one thing, and guests."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from caveatlib.experiments.defaults import guests, ipvs, kernels, room
from caveatlib.experiments.defaults.containers import ATTEMPT, CHORES, Containers
from caveatlib.experiments.defaults.designs import (
    APPARMOR_OFF,
    DOCKER,
    GUEST,
    IPVS_GUEST,
    QUOTA_GUEST,
    USERNS,
)
from caveatlib.instruments.calls import CALLS
from caveatlib.places import compiled
from caveatlib.places.base import Capability
from caveatlib.places.engines import private_engine
from caveatlib.places.machines import accel, guest, vm
from caveatlib.places.spec import Spec

ARTEFACTS = (
    guest.KERNEL,
    guest.INITRAMFS,
    guest.INCEPTION,
    CALLS,
    guests.APPARMOR,
    ATTEMPT,
    CHORES,
    kernels.MODULES,
    ipvs.PROGRAM,
    room.PROGRAM,
    room.DISK,
)
APPARMOR = Path("/sys/module/apparmor/parameters/enabled")
MOST_NAMESPACES = Path("/proc/sys/user/max_user_namespaces")


@functools.cache
def probe_apparmor() -> Capability:
    """Return whether this kernel has AppArmor, and it is on."""
    try:
        on = APPARMOR.read_text().strip() == "Y"
    except OSError:
        return Capability("AppArmor", False, "this kernel has none")
    return Capability("AppArmor", on, "on" if on else "it is off")


@functools.cache
def probe_user_namespaces() -> Capability:
    """Return whether an engine can give its containers user namespaces here."""
    name = "user-namespaces"
    try:
        most = int(MOST_NAMESPACES.read_text())
    except OSError:
        return Capability(name, False, "this kernel has none")
    missing = [file for file in private_engine.ID_FILES if not Path(file).is_file()]
    if missing:
        return Capability(name, False, f"missing: {', '.join(missing)}", f"touch {missing[0]}")
    return Capability(name, most > 0, f"at most {most}")


@contextmanager
def containers(*, user_namespaces: bool = False) -> Iterator[Containers]:
    """Open an engine of its own: the reader's is asked for nothing that it may refuse."""
    with private_engine.private_engine(user_namespaces=user_namespaces) as engine:
        yield Containers(engine)


def _engine(*probes, **settings) -> Spec:
    own = tuple(partial(compiled.probe, program) for program in (ATTEMPT, CHORES, CALLS))
    return Spec(
        needs=(private_engine.probe, *own, *probes),
        open=lambda session: session.enter(containers(**settings)),
    )


def _asking(kernel, *disks) -> Spec:
    """Return guests that are asked one thing of their kernel, by a module of that name."""
    parts = (kernel.PROGRAM, kernel.SCRIPTS, *disks)
    return Spec(
        needs=(
            partial(vm.probe, "microvm"),
            partial(compiled.probe, kernel.PROGRAM),
            kernel.probe,
        ),
        better_with=(accel.probe,),
        open=lambda session: session.enter(kernels.asked(*parts)),
    )


PLACES = {
    DOCKER: _engine(),
    USERNS: _engine(probe_user_namespaces, user_namespaces=True),
    APPARMOR_OFF: _engine(probe_apparmor),
    GUEST: Spec(
        needs=(
            partial(vm.probe, "inception"),
            private_engine.probe,
            partial(compiled.probe, ATTEMPT),
            guests.probe,
        ),
        better_with=(accel.probe,),
        open=lambda session: session.enter(guests.guests()),
    ),
    IPVS_GUEST: _asking(ipvs),
    QUOTA_GUEST: _asking(room, room.DISK),
}
