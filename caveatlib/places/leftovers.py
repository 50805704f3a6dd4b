"""What aborted runs left on this machine and on the reader's own engine, removed."""

from __future__ import annotations

import contextlib

from caveatlib.errors import CaveatError, Unavailable
from caveatlib.places import leases
from caveatlib.places.cgroups import cgroup
from caveatlib.places.engines import belongings, endpoint
from caveatlib.places.engines.engine import Engine


def sweep() -> tuple[list[str], list[str], str]:
    """Remove what aborted runs left; touch nothing else.

    Returns
    -------
    removed : list of str
        What was removed. An engine that does not run holds nothing up.
    undecided : list of str
        What stays on the engine, since it may be of another machine that uses the same one.
    unanswered : str
        Why the reader's engine, which is configured or has a socket, was not looked at; empty
        if it was, or if there is none.
    """
    removed = leases.sweep() + cgroup.sweep()
    try:
        where = endpoint.resolve()
    except Unavailable:  # there is none
        return removed, [], ""
    except CaveatError as error:
        return removed, [], str(error)
    try:
        with contextlib.closing(Engine(where)) as own:
            removed += belongings.sweep(own)
            return removed, belongings.undecided(own), ""
    except CaveatError as error:
        return removed, [], str(error)
