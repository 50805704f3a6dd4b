"""What every place shares: an ability that it needs, a workload, and a running instance of it.

Experiments see only the two protocols below; `caveatlib.places.spec` opens
the places that an experiment names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import Protocol

from caveatlib.places.cache import Artefact


@dataclass(frozen=True)
class Capability:
    """Something that this machine can or cannot do.

    Attributes
    ----------
    name : str
        Short name, e.g. ``"private-engine"``.
    available : bool
    reason : str
        What was found, or what is missing. Names no host, user or address.
    fix : str
        The command that would mend it; empty when nothing is missing or
        nothing can be done.
    """

    name: str
    available: bool
    reason: str = ""
    fix: str = ""


Probe = Callable[[], Capability]
"""Tries an ability. It is tried once per process: a probe keeps what it found."""


@dataclass(frozen=True)
class Workload:
    """What runs in a place: a script for ``/bin/sh``, and the port it listens on.

    Attributes
    ----------
    script : str
        Given to ``sh -c``.
    port : int
        TCP port the script will listen on, 0 for none. A place publishes it
        where it can, `Instance.connect` reaches it.
    programs : tuple of cache.Artefact
        Programs beside busybox that the script calls, see `caveatlib.places.compiled`.
        Processes of the host and bare namespaces take none.
    """

    script: str
    port: int = 0
    programs: tuple[Artefact, ...] = ()


class Instance(Protocol):
    """One workload in one place, from created to removed.

    The calls come in this order: `start`, `signal`, `wait`, `remove`. `remove`
    may come at any time and more than once, and never leaves anything behind.
    """

    output: int
    """File descriptor where the workload's output can be read from the start."""

    def start(self) -> None:
        """Ask the place to start the workload; return when the place says so."""

    def signal(self, name: str) -> None:
        """Send a signal to the workload, e.g. ``"TERM"``, without waiting.

        A place with no signals (a virtual machine) asks for an orderly end.
        """

    def wait(self, timeout_s: float) -> int:
        """Wait for the end and return the exit status.

        Raises
        ------
        DeadlineExceeded
            If the workload still runs after `timeout_s` seconds.
        """

    def remove(self) -> None:
        """End and remove the instance with everything that it made."""

    def pids(self) -> list[int]:
        """Return the host's processes that exist for this instance alone."""

    def memory_cgroup(self) -> Path | None:
        """Return the folder of the instance's own memory cgroup, if it has one."""

    def connect(self, timeout_s: float) -> socket:
        """Open a TCP connection to the workload's port, as a client on the host would."""


class Place(Protocol):
    """An opened place."""

    def create(self, workload: Workload) -> Instance:
        """Prepare the workload up to the point where only `Instance.start` is missing."""

    def metadata(self) -> dict[str, str]:
        """Return the versions and settings that this place adds to a run's conditions."""


@dataclass(frozen=True)
class TrialResult:
    """What one trial yields.

    Attributes
    ----------
    measures : mapping
        Measured columns of the trial's row.
    tables : mapping
        Rows for further tables, by table name; `run`, `design`, `block` and
        `place` are added to each row.
    """

    measures: Mapping[str, object]
    tables: Mapping[str, list[dict]] = field(default_factory=dict)
