"""Where `startup` measures: from a bare process to a container in a virtual machine."""

from __future__ import annotations

from functools import partial

from caveatlib.experiments.startup import building, counting, parts
from caveatlib.experiments.startup.designs import CONTAINERS, MACHINES
from caveatlib.places import standard
from caveatlib.places.machines import accel, guest, published
from caveatlib.places.spec import Spec


def _published(release: published.Release) -> Spec:
    return Spec(
        needs=(partial(published.probe, release.name),),
        better_with=(accel.probe,),
        open=lambda session: session.enter(published.published_place(release)),
    )


PLACES = {
    "process": standard.PROCESS,
    "namespaces": standard.NAMESPACES,
    "runc": standard.RUNC,
    **{name: standard.docker(name.removeprefix("docker-")) for name in CONTAINERS},
    **{kind: standard.machine(kind) for kind in MACHINES},
    **{f"published-{name}": _published(each) for name, each in published.RELEASES.items()},
    **building.PLACES,
    **counting.PLACES,
    **parts.PLACES,
}
ARTEFACTS = (
    guest.KERNEL,
    guest.INITRAMFS,
    guest.INCEPTION,
    guest.FULL_DISK,
    guest.GENERIC_KERNEL,
    counting.COUNT,
    parts.CONTAIN,
)
"""What must be prepared, each after what it is made of."""
ON_REQUEST = tuple(release.artefact for release in published.RELEASES.values())
"""Machines that others publish."""
