"""What aborted runs left on this machine and on the reader's own engine, removed."""

from __future__ import annotations

import contextlib

from caveatlib.errors import CaveatError
from caveatlib.places import leases
from caveatlib.places.cgroups import cgroup
from caveatlib.places.engines import belongings, endpoint
from caveatlib.places.engines.engine import Engine


def sweep() -> list[str]:
    """Remove what aborted runs left; touch nothing else.

    Returns
    -------
    list of str
        What was removed. An engine that does not run holds nothing up.
    """
    removed = leases.sweep() + cgroup.sweep()
    with contextlib.suppress(CaveatError):
        with contextlib.closing(Engine(endpoint.resolve())) as own:
            removed += belongings.sweep(own)
    return removed
