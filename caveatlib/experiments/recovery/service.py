"""The service that is kept: which replicas, on which ports, and what they wrote to the volume.

`SERVE` gives each request a ticket with the next number, once that is written to a file on the
volume that all nodes share; a replica that starts goes on after the last one written there. Two
that run at once for one slot give the same numbers: that is how two writers are seen.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from caveatlib.places import compiled

SERVE = compiled.program(Path(__file__).with_name("serve.c"))
PORT, SLOT, VOLUME = "CAVEATLIB_PORT", "CAVEATLIB_SLOT", "CAVEATLIB_VOLUME"
INSIDE = "/volume"
"""Where containers see the volume."""
FIRST_PORT, PORTS, STEP = 20000, 10000, 10
"""Each trial has ports of its own: what is left of the one before answers nobody."""


@dataclass(frozen=True)
class Service:
    """A service of one trial.

    Attributes
    ----------
    port : int
        The replica of slot N listens on ``port + N``.
    replicas : int
        How many are desired; their slots are 1, 2, ...
    volume : Path
        The shared folder.
    """

    port: int
    replicas: int
    volume: Path

    @property
    def slots(self) -> range:
        """Return the slots of the replicas."""
        return range(1, self.replicas + 1)

    def environment(self, slot: int | str, volume: str | Path = INSIDE) -> dict[str, str]:
        """Return what a replica is told."""
        return {PORT: str(self.port), SLOT: str(slot), VOLUME: str(volume)}

    def written(self) -> list[tuple[int, int, int]]:
        """Return slot, ticket and the writer's start of everything that is on the volume."""
        found = []
        for slot in self.slots:
            path = self.volume / f"{self.port}-{slot}"
            words = path.read_text().split() if path.exists() else []
            numbers = map(int, words)
            found += [(slot, ticket, begun) for ticket, begun in zip(numbers, numbers, strict=True)]
        return found


def numbered(number: int, replicas: int, volume: Path) -> Service:
    """Return the service of the trial of that number."""
    return Service(FIRST_PORT + number * STEP % PORTS, replicas, volume)


def replicas(service: Service, nodes: Iterable[int]) -> dict[int, int]:
    """Return the process of each replica that runs on some nodes: slot -> process id.

    Parameters
    ----------
    service : Service
    nodes : iterable of int
        A process of each node. Replicas are in the node's network, also those in containers.

    Returns
    -------
    dict
        Of a slot that has several it is one of them.
    """
    networks = {_network(pid) for pid in nodes} - {None}
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        # Read here and not by psutil, which keeps the names of processes whose ids are reused.
        with suppress(OSError):  # it has ended
            told = _words(path / "environ")
            mine = (path / "comm").read_text().strip() == compiled.name(SERVE)
            if mine and f"{PORT}={service.port}" in told and "ask" not in _words(path / "cmdline"):
                pid = int(path.name)
                slot = next(word for word in told if word.startswith(f"{SLOT}="))
                if _network(pid) in networks:
                    found[int(slot.partition("=")[2])] = pid
    return found


def _words(path: Path) -> list[str]:
    return path.read_bytes().decode(errors="replace").split("\0")


def _network(pid: int) -> int | None:
    """Return the number of a process's network namespace; None if it has ended."""
    with suppress(OSError):
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    return None
