"""The reader's own Docker engine: what is made on it is labelled, and removed at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from caveatlib.errors import CaveatError, Unavailable, UsageError
from caveatlib.places.base import Capability
from caveatlib.places.engines import answers, belongings, endpoint
from caveatlib.places.engines.engine import Engine


@cache
def probe() -> Capability:
    """Return whether the reader has an engine of their own that can be used."""
    # The errors name addresses and contexts; an ability must not.
    try:
        with contextlib.closing(Engine(endpoint.resolve(), timeout_s=3.0)) as engine:
            reason = f"Docker {engine.version}"
    except Unavailable as error:
        refused = "may not be opened" in str(error)
        reason = "this user may not open its socket" if refused else "no running engine found"
        return Capability(
            "own-engine", False, reason, answers.GROUP_FIX if refused else endpoint.START_FIX
        )
    except UsageError:
        return Capability("own-engine", False, "the configured engine is remote or unknown")
    except CaveatError:
        return Capability("own-engine", False, "the engine gives no sensible answer")
    return Capability("own-engine", True, reason)


@contextmanager
def own_engine(named: str | None = None) -> Iterator[Engine]:
    """Open the reader's own engine, and remove at the end what was made on it.

    Parameters
    ----------
    named : str or None
        Address of an engine; only one that is named here may be remote.

    Raises
    ------
    UsageError, Unavailable
        As `endpoint.resolve`; also if nothing answers at the address.
    """
    engine = Engine(endpoint.resolve(named))
    try:
        belongings.sweep(engine)
        yield engine
    except BaseException:
        with contextlib.suppress(CaveatError):  # the first exception says more
            engine.clear()
        raise
    else:
        engine.clear()
    finally:
        engine.close()
