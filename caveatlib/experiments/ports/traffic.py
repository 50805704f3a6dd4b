"""What is measured of one path: does it connect, who serves it, how fast, for how much CPU time."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from caveatlib.errors import DeadlineExceeded, MeasurementError
from caveatlib.experiments.ports import pinning
from caveatlib.experiments.ports.flows import GB
from caveatlib.experiments.ports.site import (
    CONNECT_TIMEOUT_S,
    ECHO_PORT,
    IPERF_PORT,
    PATHS,
    UNHEARD_PORT,
    Site,
    target,
)
from caveatlib.instruments import cpu, echo, iperf3, published
from caveatlib.places import netns
from caveatlib.support import programs
from caveatlib.support.processes import readable
from caveatlib.support.quantities import percent

STREAM_S = 1
RATE_TOLERANCE = 0.05
ROUND_TRIPS_S = 1.0
CONNECTS_S = 0.3
ENOUGH_FOR_P99 = 1000
FIRST_PRICED_PORT = 20000
PRICE_TIMEOUT_S = 120.0
"""500 ports with the proxy take about 30 s to stop."""


def reach(here: Site, path: str) -> dict:
    """Connect once over a path, and find out by evidence who served it.

    While the connection is held, what the nat table's counters and
    docker-proxy's sockets have gained since before tells who carries it.
    Then a published port is called on which nobody listens.
    """
    before = _evidence(here)
    with _probing(here, path, "peer", ECHO_PORT, seconds=CONNECT_TIMEOUT_S) as (child, found):
        during = _evidence(here)
        child.stdin.close()
    gained = {name: during[name] - before[name] for name in before}
    with _probing(here, path, "peer", UNHEARD_PORT, seconds=CONNECT_TIMEOUT_S) as (_, unheard):
        pass
    answered = found["answered"]
    return {
        "reachable": int(answered),
        "refusal": _refusal(found),
        "served_by": _served_by(answered, **gained),
        "source_class": source_class(found["seen"], found["own"], here.addresses["gateway"]),
        "accepts_unheard": int(unheard["accepted"]),
        **{name: max(0, value) for name, value in gained.items()},
    }


def source_class(seen: str, own: str, gateway: str) -> str:
    """Classify the client's address as the server sees it; empty if it sees none.

    Returns
    -------
    str
        ``"loopback"``; ``"own"``, the client's (the host's own may be the
        gateway's); ``"gateway"``, the host on the server's network; ``"other"``.
    """
    if not seen:
        return ""
    if seen.startswith("127.") or seen == "::1":
        return "loopback"
    if seen == own:
        return "own"
    return "gateway" if seen == gateway else "other"


def _refusal(found: dict) -> str:
    if found["answered"]:
        return ""
    return found["error"] or "accepted, then no answer"


def _served_by(answered: bool, *, nat_connections: int, proxy_sockets: int) -> str:
    if not answered:
        return "nobody"
    if nat_connections > 0 and proxy_sockets > 0:
        return "both"
    if proxy_sockets > 0:
        return "proxy"
    return "nat" if nat_connections > 0 else "process"


def _evidence(here: Site) -> dict[str, int]:
    host, sockets = here.pids["host"], 0
    for proxy in published.proxies(host, port=ECHO_PORT):
        with suppress(OSError):
            sockets += published.sockets(proxy.pid)
    return {"nat_connections": published.nat_packets(host, ECHO_PORT), "proxy_sockets": sockets}


def throughput(
    here: Site,
    path: str,
    *,
    streams: int,
    cores: int,
    placement: str = pinning.FREE,
    bit_per_s: float = 0.0,
) -> tuple[dict, str]:
    """Send over a path, and count the CPU time of it.

    Parameters
    ----------
    here : Site
    path : str
    streams : int
        Parallel connections.
    cores : int
        CPUs of the machine.
    placement : str, optional
        Of client, server and docker-proxy, see `pinning`.
    bit_per_s : float, optional
        Rate to send at, below what the path carries; 0 sends as much as possible.

    Returns
    -------
    measures : dict
        As `schema.Trials` names them for one connection.
    report : str
        iperf3's own, stripped.

    Raises
    ------
    MeasurementError
        If iperf3 reports an error, nothing, figures that contradict each other, or
        another rate than was asked for.
    """
    address, offset = target(here, path)
    command = iperf3.client_command(
        address,
        IPERF_PORT + offset,
        streams=streams,
        duration_s=STREAM_S,
        bit_per_s=bit_per_s,
    )
    placed = pinning.pin(here, path, placement)
    argv = netns.argv_in(here.pids[PATHS[path].client], [*placed, *command])
    proxy, machine = _proxy_cpu_s(here), cpu.busy_s()  # looking for the proxies takes CPU itself
    text = iperf3.run(argv, timeout_s=STREAM_S + 10)
    machine, proxy = cpu.busy_s() - machine, max(0.0, _proxy_cpu_s(here) - proxy)
    report = iperf3.parse(text)
    if bit_per_s and abs(report.rate_bit_per_s / bit_per_s - 1) > RATE_TOLERANCE:
        raise MeasurementError(
            f"iperf3 sent {report.rate_bit_per_s:.4g} bit/s. Must be {bit_per_s:.4g} within "
            f"{percent(RATE_TOLERANCE)}: the path carries no more, or other work took the CPU."
        )
    gigabytes = report.received_bytes / GB
    return {
        "rate_bit_per_s": report.rate_bit_per_s,
        "retransmits": report.retransmits,
        "client_cpu": report.client_cpu,
        "server_cpu": report.server_cpu,
        "cpu_bound": int(report.cpu_bound(cores)),
        "cpu_s_per_gb": machine / gigabytes,
        "proxy_cpu_s_per_gb": proxy / gigabytes,
        "processes_cpu_s_per_gb": (report.cpu_s + proxy) / gigabytes,
        "algorithm": report.congestion,
        "iperf_version": report.version,
    }, iperf3.strip(text)


def _proxy_cpu_s(here: Site) -> float:
    return sum(
        published.cpu_s(p.pid) for p in published.proxies(here.pids["host"], port=IPERF_PORT)
    )


def round_trips(here: Site, path: str) -> dict:
    """Time answers at a fixed open-loop rate; the 99th percentile needs 1000 of them.

    Raises
    ------
    MeasurementError
        If a request was not answered.
    """
    with _probing(here, path, "round-trips", ECHO_PORT, seconds=ROUND_TRIPS_S) as (_, found):
        latencies = found["latency_s"]
    if len(latencies) < max(2, found["sent"]):
        raise MeasurementError(f"{len(latencies)} of {found['sent']} round trips came back.")
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    enough = len(latencies) >= ENOUGH_FOR_P99
    return {"round_trip_p50_s": cuts[49]} | ({"round_trip_p99_s": cuts[98]} if enough else {})


def connects(here: Site, path: str) -> dict:
    """Count connections made, answered and closed, one after the other.

    Raises
    ------
    MeasurementError
        If one of them failed.
    """
    with _probing(here, path, "connects", ECHO_PORT, seconds=CONNECTS_S) as (_, found):
        if found["failed"]:
            raise MeasurementError(f"{found['failed']} connections failed.")
        return {"connects_per_s": found["connects"] / found["elapsed_s"]}


def price(here: Site, count: int) -> dict:
    """Start and stop a container that publishes `count` ports, and weigh its proxies."""
    ports = range(FIRST_PRICED_PORT, FIRST_PRICED_PORT + count)
    engine = here.engine
    bindings = {"port_bindings": {p: p for p in ports}}
    container = engine.create(["sleep", "86400"], host=bindings, timeout_s=PRICE_TIMEOUT_S)
    try:
        start = time.monotonic()
        engine.start(container, timeout_s=PRICE_TIMEOUT_S)
        started = time.monotonic()
        pids = [p.pid for p in published.proxies(here.pids["host"]) if p.host_port in ports]
        memory = [published.memory_bytes(pid) for pid in pids]
    finally:
        stop = time.monotonic()
        engine.remove(container, timeout_s=PRICE_TIMEOUT_S)
        programs.wait_until(
            lambda: not any(p.host_port in ports for p in published.proxies(here.pids["host"])),
            PRICE_TIMEOUT_S,
            "docker-proxy did not end",
        )
    return {
        "start_s": started - start,
        "stop_s": time.monotonic() - stop,
        "processes": len(pids),
        "pss_bytes": sum(pss for pss, _ in memory),
        "rss_bytes": sum(rss for _, rss in memory),
    }


@contextmanager
def _probing(
    here: Site, path: str, kind: str, port: int, *, seconds: float
) -> Iterator[tuple[subprocess.Popen, dict]]:
    """Run a probe at a path's client; yield it, still alive, with what it printed."""
    address, offset = target(here, path)
    command = echo.probe_command(kind, address, port + offset, seconds=seconds)
    child = subprocess.Popen(
        netns.argv_in(here.pids[PATHS[path].client], command),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        if kind != "peer":
            child.stdin.close()
        yield child, _first_line(child, kind, timeout_s=seconds + 10)
    finally:
        with suppress(OSError):
            child.stdin.close()
        programs.has_ended(child, 2)
        programs.end(child)
        child.stdout.close()


def _first_line(child: subprocess.Popen, kind: str, *, timeout_s: float) -> dict:
    if not readable(child.stdout.fileno(), timeout_s):
        raise DeadlineExceeded(f"Probe {kind!r} wrote nothing in {timeout_s:g} s.")
    line = child.stdout.readline()
    if not line:
        raise MeasurementError(f"Probe {kind!r} ended without output.")
    return json.loads(line)
