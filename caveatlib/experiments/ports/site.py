"""One engine with servers and clients around it, and the paths between them.

A site is opened once per session. Only the network namespaces of its containers
are used: iperf3 and the echo server are programs of this machine that run inside
those namespaces (and inside the engine's pid namespace, so that they end with
it). Packets take the same way, and the image needs no iperf3.

"The host" is the engine's own network namespace.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path as File

from caveatlib.errors import MeasurementError, Unavailable
from caveatlib.instruments import echo, iperf3, published
from caveatlib.places import netns
from caveatlib.places.engines.engine import Engine
from caveatlib.places.engines.private_engine import private_engine
from caveatlib.support import processes, programs

IPERF_PORT, ECHO_PORT, UNHEARD_PORT = 5201, 5202, 5203
"""Published alike; on the last one nobody ever listens."""
HOST_OFFSET = 100
"""The host-networking server uses ports so much higher: the others are taken."""

OUTSIDE_HOST, OUTSIDE_PEER = "198.18.255.1", "198.18.255.2"
"""The link to the outside, in the range kept for benchmarks (RFC 2544)."""

CONNECT_TIMEOUT_S = 1.0
CONGESTION = File("/proc/sys/net/ipv4/tcp_congestion_control")


@dataclass(frozen=True)
class Path:
    """A client, and the address by which it calls the server.

    Attributes
    ----------
    client : {"host", "server", "neighbour", "stranger", "outsider"}
        Who calls: the host, the serving container itself, a container on the
        same network, one on another network, a machine outside.
    target : str
        An address, or the name of one: ``"gateway"`` (the host on the server's
        network), ``"outside"`` (the host on its link to the outside),
        ``"container"`` (the server's own).
    meaning : str
        What it stands for, in words.
    published : bool
        Whether the path leads to a published port; else it is a baseline.
    loaded : bool
        Whether throughput and latency are measured, too.
    """

    client: str
    target: str
    meaning: str
    published: bool = True
    loaded: bool = True


PATHS = {
    "loopback": Path("host", "127.0.0.1", "localhost and the published port, typed on the host"),
    "loopback-ipv6": Path("host", "::1", "the same over IPv6", loaded=False),
    "gateway": Path("host", "gateway", "the host calls itself by the bridge's address"),
    "own-address": Path("host", "outside", "the host calls itself by its address", loaded=False),
    "hairpin": Path("neighbour", "outside", "a container calls its neighbour's published port"),
    "self": Path("server", "outside", "a container calls its own published port"),
    "other-network": Path("stranger", "outside", "a container calls one of another network"),
    "outside": Path("outsider", "outside", "what the users of a server do"),
    "direct": Path("host", "container", "baseline: no published port", published=False),
    "host-network": Path("host", "127.0.0.1", "baseline: no bridge either", published=False),
}


@dataclass(frozen=True)
class Site:
    """An opened engine with its servers and clients.

    Attributes
    ----------
    engine : Engine
    pids : dict
        Role -> process whose network namespace is meant.
    addresses : dict
        ``"gateway"``, ``"outside"``, ``"container"`` -> IPv4 address.
    servers : dict of int to subprocess.Popen
        Port -> who listens on it; they end with the engine.
    """

    engine: Engine
    pids: dict[str, int]
    addresses: dict[str, str]
    servers: dict[int, subprocess.Popen] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """Return the versions and settings that a run's conditions should state."""
        own = {"iperf3_runs": "in the container's network namespace only"}
        return self.engine.metadata() | own | _core_of_the_first_cpu()


def _core_of_the_first_cpu() -> dict[str, str]:
    """Return which CPUs are threads of one core: what is pinned to two of them shares it."""
    first = min(os.sched_getaffinity(0))
    with suppress(OSError):
        name = f"/sys/devices/system/cpu/cpu{first}/topology/thread_siblings_list"
        return {"core_of_the_first_cpu": File(name).read_text().strip()}
    return {}


@contextmanager
def site(*, userland_proxy: bool = True) -> Iterator[Site]:
    """Open an engine with everything that the paths need.

    Parameters
    ----------
    userland_proxy : bool
        The engine's setting.

    Raises
    ------
    Unavailable
        If no private engine can run here, or iperf3 or ip is missing.
    """
    servers: dict[int, subprocess.Popen] = {}
    try:
        with private_engine(userland_proxy=userland_proxy) as engine:
            here = furnish(engine)
            servers |= here.servers
            yield here
    finally:
        for server in servers.values():
            programs.end(server)


def furnish(engine: Engine) -> Site:
    """Start the containers, the outside link and the servers in an engine.

    All of it lives in the engine's namespaces and ends with them.
    """
    ports = (IPERF_PORT, ECHO_PORT, UNHEARD_PORT)
    pids = {
        "host": engine.pid,
        "server": sleeper(engine, ports=ports),
        "neighbour": sleeper(engine),
        "stranger": sleeper(engine, network=engine.create_network()),
        "outsider": sleeper(engine, network="none"),
        "host-network": sleeper(engine, network="host"),
    }
    _link_outside(pids["host"], pids["outsider"])
    addresses = {
        "gateway": _address(pids["host"], "docker0"),
        "container": _address(pids["server"], "eth0"),
        "outside": OUTSIDE_HOST,
    }
    here = Site(engine, pids, addresses)
    for role, offset in (("server", 0), ("host-network", HOST_OFFSET)):
        _serve(here, role, iperf3.server_command(IPERF_PORT + offset), IPERF_PORT + offset)
        command = echo.serve_command(ECHO_PORT + offset)
        _serve(here, role, command, ECHO_PORT + offset)
    return here


def sleeper(engine: Engine, *, ports: Sequence[int] = (), network: str = "bridge") -> int:
    """Start a container that does nothing, its ports published by their own numbers.

    Returns
    -------
    int
        Its first process, as the host counts it.
    """
    host = {"port_bindings": {p: p for p in ports}, "network_mode": network}
    container = engine.create(["sleep", "86400"], host=host)
    engine.start(container)
    return _host_pid(engine, container)


def _host_pid(engine: Engine, container: str) -> int:
    """Return the host's id of a container's first process; the engine knows another."""
    inner = str(engine.inspect(container)["State"]["Pid"])
    depth = len(_nested_ids(engine.pid)) - 1
    for pid in processes.descendants(engine.pid):
        if _nested_ids(pid)[depth:][:1] == [inner]:
            return pid
    raise MeasurementError("A container's first process has ended.")


def _nested_ids(pid: int) -> list[str]:
    """Return a process's id in each pid namespace that it is in, the host's first."""
    # NSpid:  4242    17      1
    with suppress(OSError):
        for line in File(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("NSpid:"):
                return line.split()[1:]
    return []


def _link_outside(host: int, outsider: int) -> None:
    """Join the two with a veth pair; a machine outside is a namespace of its own."""
    _ip(host, "link", "add", "outside", "type", "veth", "peer", "eth0", "netns", str(outsider))
    for pid, name, address in (
        (host, "outside", OUTSIDE_HOST),
        (outsider, "eth0", OUTSIDE_PEER),
    ):
        _ip(pid, "address", "add", f"{address}/30", "dev", name)
        _ip(pid, "link", "set", name, "up")


def _ip(pid: int, *words: str) -> str:
    return netns.run_in(pid, ["ip", *words])


def _address(pid: int, interface: str) -> str:
    answer = json.loads(_ip(pid, "-json", "-4", "address", "show", "dev", interface))
    return answer[0]["addr_info"][0]["local"]


def _serve(here: Site, role: str, command: list[str], port: int) -> None:
    """Start a server that lives as long as the engine, and wait until it listens."""
    inside = ["nsenter", f"--target={here.pids['host']}", "--pid", "--", *command]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(
        netns.argv_in(here.pids[role], inside),
        stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True,
    )  # fmt: skip
    here.servers[port] = server
    programs.wait_until(
        lambda: published.listeners(here.pids[role], port=port),
        10,
        f"No server listened on port {port}",
    )


def target(here: Site, path: str) -> tuple[str, int]:
    """Return the address that a path's client calls, and what to add to the ports."""
    name = PATHS[path].target
    offset = HOST_OFFSET if path == "host-network" else 0
    return here.addresses.get(name, name), offset


def congest(here: Site, wanted: str) -> str:
    """Set one TCP congestion control in every namespace of the site.

    docker-proxy's sockets live in the host's, so both its legs have it too; a
    namespace made later would start with the kernel's default again.

    Parameters
    ----------
    wanted : str
        E.g. ``"reno"``, or ``"default"``: what this machine itself uses.

    Returns
    -------
    str
        The algorithm, as read back from all of them.

    Raises
    ------
    Unavailable
        If the kernel does not let namespaces use it.
    """
    name = CONGESTION.read_text().strip() if wanted == "default" else wanted
    for pid in here.pids.values():
        try:
            netns.call_in(pid, lambda: CONGESTION.write_text(name))
        except OSError as error:
            raise Unavailable(
                f"Congestion control {name!r} cannot be set in a namespace: {error.strerror}."
            ) from None
        if netns.sysctl_in(pid, "net.ipv4.tcp_congestion_control") != name:
            raise MeasurementError(f"Congestion control {name!r} was set, another is in use.")
    return name
