"""One address for all that answer behind it: IPVS, which services of Swarm have by default.

Swarm gives a service one address (``--endpoint-mode vip``) and lets the kernel of whoever connects
pass the connection on to one of its containers, by IPVS. Here a guest's kernel gets such a service
with one server behind it, both on addresses of the guest's own; then somebody connects to each.
"""

from __future__ import annotations

import functools
from pathlib import Path

from caveatlib.experiments.defaults import kernels
from caveatlib.experiments.defaults.designs import DEFAULTS, WITHOUT_IPVS
from caveatlib.places import compiled
from caveatlib.places.base import Capability
from caveatlib.places.output import numbers

PROGRAM = compiled.program(Path(__file__).with_name("ipvs.c"))
SERVICE, SERVER, PORT = "198.18.0.1", "198.18.0.2", 5600
_ASK = f"""ip address add {SERVICE}/32 dev lo
ip address add {SERVER}/32 dev lo
ipvs {SERVICE} {SERVER} {PORT}
echo over
"""
SCRIPTS = {DEFAULTS: f"load-ipvs || exit 98\n{_ASK}", WITHOUT_IPVS: _ASK}


def read(text: str) -> dict[str, float]:
    """Return what `ipvs.c` wrote, as columns of `schema.Trials`.

    Raises
    ------
    MeasurementError
        If that is something else.
    """
    ((error, directly, answered),) = numbers(text.replace("\r", ""), columns=3, of="ipvs")
    return {"service_error": error, "answered_directly": directly, "answered": answered}


@functools.cache
def probe() -> Capability:
    """Return whether guests can have IPVS."""
    return kernels.probed("IPVS in a guest")
