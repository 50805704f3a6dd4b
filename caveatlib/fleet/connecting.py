"""The cluster: a connection, and which of its workers stand for which host."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from urllib.parse import urlsplit

from caveatlib import __version__
from caveatlib.errors import Unavailable, UsageError


def connect(address: str, *, timeout_s: float = 10.0):
    """Return a client of a Dask scheduler.

    Raises
    ------
    Unavailable
        If Dask is not installed, or the scheduler does not answer in time.
    UsageError
        If it is not an address.
    """
    try:
        from distributed import Client
    except ImportError:
        raise Unavailable(
            "A fleet needs Dask. Install it: pip install 'caveatlib[fleet]'"
        ) from None
    try:
        return Client(address, timeout=timeout_s)
    except ValueError:
        raise UsageError(
            f"Invalid address {address!r} of a scheduler. Must be tcp://HOST:PORT."
        ) from None
    except OSError:
        raise Unavailable(
            f"No scheduler of Dask answers at {address!r} within {timeout_s:g} s. "
            "Start one: dask scheduler"
        ) from None


def hosts(client) -> dict[str, str]:
    """Return one worker's address for each host of a cluster, by a name of the host.

    Names are made from the hosts' addresses and do not show them, and stay as long as these.

    Raises
    ------
    Unavailable
        If the cluster has no worker, or one lacks caveatlib or has another version of it; if its
        scheduler does not answer.
    """
    workers = sorted(answering(client))
    if not workers:
        raise Unavailable("The cluster has no worker. Start one on each host: dask worker ADDRESS")
    found: dict[str, str] = {}
    for worker in workers:
        found.setdefault(name_of(worker), worker)
    with connected(client):
        versions = client.run(version, workers=list(found.values()), on_error="return")
    for name, worker in found.items():
        here = versions.get(worker)
        if here != __version__:
            said = f"caveatlib {here}" if isinstance(here, str) else "no caveatlib that answers"
            raise Unavailable(
                f"Worker on {name} has {said}, this is {__version__}. Must have the same version."
            )
    return found


def name_of(worker: str) -> str:
    """Return the name of a worker's host: ``host-`` and a digest of its address."""
    host = urlsplit(worker).hostname or worker
    return f"host-{hashlib.sha256(host.encode()).hexdigest()[:8]}"


def version() -> str:
    """Return the version of caveatlib where this runs."""
    return __version__


@contextlib.contextmanager
def connected(client, futures: Sequence = ()) -> Iterator[None]:
    """Ask a scheduler for something, or raise in one line that it was lost.

    A client that loses its scheduler cancels all of its futures at once. For as long as its
    timeout it looks for another at the same address, which would know nothing of them: nothing
    that was begun comes back, so that there is nothing to wait for.

    Raises
    ------
    Unavailable
        If the connection is lost, or was and one of these futures with it.
    """
    from distributed.client import ClosedClientError

    def look() -> None:
        if client.status != "running" or any(future.cancelled() for future in futures):
            raise CancelledError

    try:
        look()
        yield
        look()
    except (OSError, CancelledError, ClosedClientError):
        raise Unavailable(
            "The scheduler of Dask has stopped answering. Must run until everything has come back."
        ) from None


def answering(client) -> dict[str, int]:
    """Return the workers that the scheduler knows now: address -> threads.

    Raises
    ------
    Unavailable
        If the scheduler does not answer any more.
    """
    with connected(client):
        return client.nthreads()
