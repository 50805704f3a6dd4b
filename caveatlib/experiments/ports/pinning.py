"""On which CPUs client, server and docker-proxy run.

Three busy processes on two CPUs, placed by the scheduler, are most of the noise of CPU time per
byte, and much of its size: bytes that stay in the cache of one CPU cost less. So placements are
declared, set before each test and read back. Where no docker-proxy serves, `TOGETHER` and
`APART` are the same.
"""

from __future__ import annotations

import os
from contextlib import suppress

from caveatlib.errors import MeasurementError, Unavailable
from caveatlib.experiments.ports.site import IPERF_PORT, Site, target
from caveatlib.instruments import published
from caveatlib.support import processes

FREE, TOGETHER, APART, SPREAD = "", "together", "apart", "spread"
PLACEMENTS = {
    TOGETHER: "client, server and docker-proxy on one CPU",
    APART: "client and server on one CPU, docker-proxy on another",
    SPREAD: "client and docker-proxy on one CPU, the server on another",
}
_NUMBERS = {TOGETHER: (0, 0, 0), APART: (0, 0, 1), SPREAD: (0, 1, 0)}
"""Placement -> which of the CPUs has the client, the server, docker-proxy."""


def pin(here: Site, path: str, placement: str) -> list[str]:
    """Put the server of a path and docker-proxy on their CPUs.

    Parameters
    ----------
    here : Site
    path : str
    placement : str
        One of `PLACEMENTS`, or `FREE`: all CPUs for all, as the scheduler likes.

    Returns
    -------
    list of str
        What the command line of the client begins with, so that it runs on its own.

    Raises
    ------
    Unavailable
        If this process may use fewer CPUs than the placement needs.
    MeasurementError
        If a thread runs elsewhere all the same.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if placement == FREE:
        client = server = proxy = set(cpus)
    else:
        numbers = _NUMBERS[placement]
        if max(numbers) >= len(cpus):
            raise Unavailable(
                f"Placement {placement!r} on {len(cpus)} CPU. Must have {max(numbers) + 1}."
            )
        client, server, proxy = ({cpus[number]} for number in numbers)
    _, offset = target(here, path)
    for pid in processes.descendants(here.servers[IPERF_PORT + offset].pid):
        _keep(pid, server)
    for each in published.proxies(here.pids["host"], port=IPERF_PORT):
        _keep(each.pid, proxy)
    if placement == FREE:
        return []
    return ["taskset", "--cpu-list", ",".join(map(str, sorted(client)))]


def _keep(pid: int, cpus: set[int]) -> None:
    """Let all threads of a process run on these CPUs alone; what they start inherits that."""
    for _ in range(2):  # a thread that was not moved yet may have started one meanwhile
        for thread in _threads(pid):
            with suppress(ProcessLookupError):
                os.sched_setaffinity(thread, cpus)
    for thread in _threads(pid):
        with suppress(ProcessLookupError):
            if (found := os.sched_getaffinity(thread)) != cpus:
                raise MeasurementError(
                    f"A thread may run on CPUs {sorted(found)}. Must be on {sorted(cpus)} alone."
                )


def _threads(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    return []
