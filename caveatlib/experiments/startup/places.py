"""Where `startup` measures: from a bare process to a container in a virtual machine."""

from __future__ import annotations

from caveatlib.experiments.startup import building, counting, parts
from caveatlib.experiments.startup.designs import CONTAINERS, MACHINES
from caveatlib.places import standard
from caveatlib.places.machines import guest

PLACES = {
    "process": standard.PROCESS,
    "namespaces": standard.NAMESPACES,
    "runc": standard.RUNC,
    **{name: standard.docker(name.removeprefix("docker-")) for name in CONTAINERS},
    **{kind: standard.machine(kind) for kind in MACHINES},
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
