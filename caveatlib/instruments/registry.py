"""A registry and a file server behind a shaped link, in a network namespace of their own.

::

    engine's namespace  198.18.254.2 ---- 198.18.254.1  docker-registry :5000
                                     veth               busybox httpd   :8080

The servers live in the engine's pid namespace, so they end with it. The link is
shaped where the servers send (a token bucket, tc-tbf(8)); what is shaped is
counted with its headers, so of 100 Mbit/s about 95.7 are content.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from caveatlib.errors import MeasurementError, Unavailable
from caveatlib.instruments import published
from caveatlib.places import leases, netns, rootfs
from caveatlib.places.base import Capability
from caveatlib.places.engines.engine import Engine
from caveatlib.places.engines.private_engine import private_engine
from caveatlib.support import processes, programs

SERVER, CLIENT = "198.18.254.1", "198.18.254.2"
"""In the range kept for benchmarks (RFC 2544), beside the engine's own networks."""
REGISTRY_PORT, FILES_PORT = 5000, 8080
REGISTRY = f"{SERVER}:{REGISTRY_PORT}"
PROGRAMS = ("docker-registry", "tc", "ip", "busybox", "mkfs.ext4")
BURST_BYTES = 128 * 1024
"""What the bucket holds: so much passes unshaped at the beginning."""
GOODPUT = 1448 / 1514
"""Content of a full Ethernet frame (TCP with timestamps) over its length: 0.956."""
QUEUE = "400ms"
"""Long enough that a short transfer is slowed down by the rate and not by losses."""
CONGESTION = "reno"
"""The same at both ends; a new namespace would take whatever the kernel prefers."""
LISTENS_S = 10.0
STALLED_S = 60.0
CHUNK_BYTES = 1 << 20
_CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")


@cache
def probe() -> Capability:
    """Return whether the programs are there."""
    missing = [name for name in PROGRAMS if programs.find(name) is None]
    if missing:
        return Capability("registry", False, f"missing: {', '.join(missing)}", rootfs.SYSTEM_FIX)
    return Capability("registry", True, "docker-registry and tc found")


@dataclass(frozen=True)
class Server:
    """The running servers.

    Attributes
    ----------
    engine_pid : int
        A process whose network namespace is the client's.
    pid : int
        One whose network namespace is the servers'.
    """

    engine_pid: int
    pid: int

    def shape(self, rate_bit_per_s: float) -> None:
        """Limit what the servers send; 0 limits nothing."""
        if rate_bit_per_s:
            limits = ("rate", f"{rate_bit_per_s:.0f}bit", "burst", f"{BURST_BYTES}b")
            self._tc("replace", "dev", "eth0", "root", "tbf", *limits, "latency", QUEUE)
        elif "tbf" in self._tc("show", "dev", "eth0"):
            self._tc("delete", "dev", "eth0", "root")

    def sent_bytes(self) -> int:
        """Return how many bytes the servers have sent over the link, headers of frames included."""
        # "  eth0: 1234 10 0 0 0 0 0 0 56789 12 0 0 0 0 0 0": received, then 8 on sent
        for line in Path(f"/proc/{self.pid}/net/dev").read_text().splitlines():
            name, _, counts = line.strip().partition(":")
            if name == "eth0":
                return int(counts.split()[8])
        raise MeasurementError("The link to the registry is gone.")

    @contextmanager
    def file(self, name: str) -> Iterator[tuple[int, socket.socket]]:
        """Ask for a file over the link.

        Yields
        ------
        size : int
            Bytes that follow.
        sock : socket
            Stands at the first of them.

        Raises
        ------
        MeasurementError
            If the server does not have it.
        """
        address = (SERVER, FILES_PORT)
        with netns.connect_in(self.engine_pid, address, STALLED_S) as sock:
            sock.sendall(f"GET /{name} HTTP/1.0\r\n\r\n".encode())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += sock.recv(1) or _cut(name)
            # "HTTP/1.1 200 OK" and "Content-Length: 1048576"
            status, *lines = head.decode("latin-1").split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
            if " 200 " not in f"{status} " or "content-length" not in fields:
                raise MeasurementError(f"The server answered {status!r} when asked for {name!r}.")
            yield int(fields["content-length"]), sock

    def _tc(self, *words: str) -> str:
        return netns.run_in(self.pid, ["tc", "qdisc", *words])


@contextmanager
def served_beside(
    engine_pid: int, *, storage: Path, files: Path, config: Path, readonly: bool = True
) -> Iterator[Server]:
    """Start both servers behind a link to an engine.

    Parameters
    ----------
    engine_pid : int
        The first process of the engine's namespaces: the servers end with it.
    storage : Path
        The registry's folder.
    files : Path
        What the file server serves.
    config : Path
        Where the registry's configuration is written.
    readonly : bool
        Whether the registry refuses pushes.

    Raises
    ------
    Unavailable
        If a program is missing.
    MeasurementError
        If a server does not come up.
    """
    ability = probe()
    if not ability.available:
        raise Unavailable(f"No registry: {ability.reason}. Mend it with: {ability.fix}")
    maintenance = {"readonly": {"enabled": readonly}}
    settings = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}, "maintenance": maintenance},
        "http": {"addr": f"{SERVER}:{REGISTRY_PORT}"},
    }
    config.write_text(json.dumps(settings))  # JSON is YAML, too
    inside = ("nsenter", f"--target={engine_pid}", "--pid", "--")
    # Holds the namespace until there is a link to listen on.
    busybox = programs.need("busybox")
    holds = (*inside, "unshare", "--net", "--", busybox, "sleep", "86400")
    started = [_started(holds)]
    try:
        pid = _child(started[0])
        _link(engine_pid, pid)
        for command in (
            (programs.need("docker-registry"), "serve", str(config)),
            (busybox, "httpd", "-f", "-p", f"{SERVER}:{FILES_PORT}", "-h", str(files)),
        ):
            started.append(_started(netns.argv_in(pid, [*inside, *command])))
        for port in (REGISTRY_PORT, FILES_PORT):
            _await(pid, port)
        yield Server(engine_pid, pid)
    finally:
        for server in started:
            programs.end(server)  # nsenter's child is in its group


@contextmanager
def engine_beside(
    lease: leases.Lease, *, storage: Path, files: Path, readonly: bool = True
) -> Iterator[tuple[Engine, Server]]:
    """Start a private engine, then both servers behind a link to it; they end before it.

    Parameters
    ----------
    lease : leases.Lease
        Its folder for sockets gets the registry's configuration. The caller holds it, since engines
        may follow one another on one lease.
    storage : Path
        The registry's folder.
    files : Path
        What the file server serves.
    readonly : bool
        Whether the registry refuses pushes.

    Yields
    ------
    engine : Engine
        Reaches the registry without TLS.
    server : Server

    Raises
    ------
    Unavailable
        If no engine can be started, or a program is missing.
    MeasurementError
        If the engine or a server does not come up.
    """
    with (
        private_engine(insecure_registries=[REGISTRY]) as engine,
        served_beside(
            cast(int, engine.pid),  # a private engine has one
            storage=storage,
            files=files,
            config=lease.run / "registry.json",
            readonly=readonly,
        ) as server,
    ):
        yield engine, server


def _link(engine_pid: int, pid: int) -> None:
    link = ["ip", "link", "add", "registry", "type", "veth", "peer", "eth0", "netns", str(pid)]
    netns.run_in(engine_pid, link)
    for where, name, address in ((engine_pid, "registry", CLIENT), (pid, "eth0", SERVER)):
        for words in (
            ("address", "add", f"{address}/30", "dev", name),
            ("link", "set", name, "up"),
            ("link", "set", "lo", "up"),
        ):
            netns.run_in(where, ["ip", *words])
        netns.call_in(where, lambda: _CONGESTION.write_text(CONGESTION))


def _started(command: Sequence[str]) -> subprocess.Popen:
    quiet = subprocess.DEVNULL
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **processes.mark()}
    return subprocess.Popen(
        command, stdin=quiet, stdout=quiet, stderr=quiet, env=environment, start_new_session=True
    )


def _child(process: subprocess.Popen) -> int:
    """Return the process in the new network namespace: nsenter forks, unshare does not."""
    mine = _namespace(process.pid)

    def inside() -> list[int]:
        if programs.has_ended(process, 0):
            raise MeasurementError("No network namespace could be made for the registry.")
        below = processes.children(process.pid)
        return [child for child in below if _namespace(child) not in (None, mine)]

    what = "No network namespace was made for the registry"
    return programs.wait_until(inside, LISTENS_S, what, pause_s=0.005)[0]


def _namespace(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return None


def _await(pid: int, port: int) -> None:
    programs.wait_until(
        lambda: published.listeners(pid, port=port), LISTENS_S, f"No server listened on port {port}"
    )


def _cut(name: str) -> bytes:
    raise MeasurementError(f"The server ended the connection when asked for {name!r}.")
