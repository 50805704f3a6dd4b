"""Who serves a published port: what iptables, /proc and docker-proxy's arguments tell.

Read-only. Everything is looked at in the network namespace of one process, so
that the same code reads this machine and an engine in namespaces of its own.
"""

from __future__ import annotations

import itertools
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from caveatlib.errors import CaveatError, MeasurementError, Unavailable
from caveatlib.places import netns
from caveatlib.support import programs

PROC = Path("/proc")
LISTEN = "0A"


@dataclass(frozen=True)
class Proxy:
    """One docker-proxy process: it serves one port on one address."""

    pid: int
    protocol: str
    host_ip: str
    host_port: int
    container_ip: str
    container_port: int


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket."""

    address: IPv4Address | IPv6Address
    port: int
    inode: int


@dataclass(frozen=True)
class Rule:
    """One line of ``iptables-save -c -t nat``.

    Attributes
    ----------
    packets : int
        Packets that met the rule; a NAT rule counts connections.
    chain, target : str
        E.g. ``"DOCKER"`` and ``"DNAT"``.
    options : dict
        Option -> value; a negated one with its ``!``: ``{"!-d": "127.0.0.0/8"}``.
    """

    packets: int
    chain: str
    target: str
    options: dict[str, str]

    @property
    def port(self) -> int:
        """The TCP port that the rule translates; 0 for any other rule."""
        wanted = self.target == "DNAT" and self.options.get("-p") == "tcp"
        return int(self.options.get("--dport", "0")) if wanted else 0


def parse_rules(text: str) -> list[Rule]:
    """Read the rules of ``iptables-save -c``, one per appended line, in order."""
    rules = []
    for line in text.splitlines():
        # [3:180] -A DOCKER ! -i docker0 -p tcp --dport 80 -j DNAT --to-destination 1.2.3.4:80
        if not line.startswith("[") or "] -A " not in line:
            continue
        counter, words = line[1:].split("] -A ", 1)
        chain, *rest = words.split()
        options = _options(rest)
        rules.append(Rule(int(counter.split(":")[0]), chain, options.get("-j", ""), options))
    return rules


def _options(words: list[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    name, negated = "", ""
    for word in words:
        if word == "!":
            negated = "!"
        elif word.startswith("-"):
            name, negated = negated + word, ""
            options[name] = ""
        elif name:
            options[name] = f"{options[name]} {word}".strip()
    return options


def nat_rules(pid: int | None = None, *, family: int = 4) -> list[Rule]:
    """Return the nat table's rules in the network namespace of a process.

    Parameters
    ----------
    pid : int, optional
        Default: the caller's own namespace.
    family : {4, 6}

    Raises
    ------
    Unavailable
        If iptables is missing, or reading the rules takes root.
    """
    program = "iptables-save" if family == 4 else "ip6tables-save"
    command = [program, "-c", "-t", "nat"]
    try:
        told = programs.run(command if pid is None else netns.argv_in(pid, command), what=program)
    except MeasurementError:
        raise Unavailable(f"{program} may not read the rules. Run as root.") from None
    return parse_rules(told)


def nftables(pid: int | None = None) -> bool:
    """Return whether Docker keeps its rules in nftables of its own (from version 29).

    Its tables are called ``docker-bridges``; where ``nft`` is missing, it says no.
    """
    command = ["nft", "list", "tables"]
    try:
        told = programs.run(command if pid is None else netns.argv_in(pid, command))
    except CaveatError:
        return False
    return "docker-bridges" in told


def nat_packets(pid: int, port: int) -> int:
    """Return how many connections the DNAT rules of a TCP port have taken so far.

    Raises
    ------
    MeasurementError
        If no rule translates the port.
    """
    counts = [r.packets for r in nat_rules(pid) if r.port == port]
    if not counts:
        raise MeasurementError(f"No DNAT rule for port {port}.")
    return sum(counts)


def parse_proxy(pid: int, arguments: list[str]) -> Proxy | None:
    """Read docker-proxy's arguments; None if it is another program's."""
    # docker-proxy -proto tcp -host-ip :: -host-port 80 -container-ip 1.2.3.4 -container-port 80
    if not arguments or os.path.basename(arguments[0]) != "docker-proxy":
        return None
    given = dict(itertools.pairwise(arguments))
    try:
        return Proxy(
            pid,
            given["-proto"],
            given["-host-ip"],
            int(given["-host-port"]),
            given["-container-ip"],
            int(given["-container-port"]),
        )
    except (KeyError, ValueError):
        return None


def proxies(pid: int | None = None, *, port: int | None = None) -> list[Proxy]:
    """Return the docker-proxy processes in the network namespace of a process.

    Parameters
    ----------
    pid : int, optional
        Default: the caller's own namespace. A proxy whose namespace may not be
        seen counts as the caller's.
    port : int, optional
        Only those of this TCP port on the host.
    """
    import psutil

    seen = ((p.pid, p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"]))
    proxies = (parse_proxy(other, arguments) for other, arguments in seen)
    found = [p for p in proxies if p and _shares_net(p.pid, pid)]
    return [p for p in found if port is None or (p.protocol, p.host_port) == ("tcp", port)]


def _shares_net(pid: int, with_pid: int | None) -> bool:
    wanted = os.readlink(PROC / ("self" if with_pid is None else str(with_pid)) / "ns/net")
    try:
        return os.readlink(PROC / str(pid) / "ns/net") == wanted
    except PermissionError:
        return with_pid is None
    except FileNotFoundError:  # it has just ended
        return False


def sockets(pid: int) -> int:
    """Return how many sockets a process has open: one to listen, two per connection."""
    count = 0
    for descriptor in os.listdir(PROC / str(pid) / "fd"):
        with suppress(OSError):
            count += os.readlink(PROC / str(pid) / "fd" / descriptor).startswith("socket:")
    return count


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used, to the nanosecond.

    The clock id is that of clock_getcpuclockid(3): ``(~pid << 3) | 2``.
    """
    return time.clock_gettime((~pid << 3) | 2)


def memory_bytes(pid: int) -> tuple[int, int]:
    """Return a process's proportional (PSS) and resident (RSS) memory in bytes.

    Raises
    ------
    MeasurementError
        If it may not be read: PSS takes root for other users' processes.
    """
    import psutil

    try:
        found = psutil.Process(pid).memory_full_info()
    except psutil.Error as error:
        raise MeasurementError(f"Memory of process {pid}: {type(error).__name__}.") from None
    return found.pss, found.rss


def listeners(pid: int | None = None, *, port: int) -> list[Listener]:
    """Return the sockets that listen on a TCP port, IPv4 before IPv6."""
    where = PROC / ("self" if pid is None else str(pid)) / "net"
    found = []
    for name in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):  # a kernel without IPv6
            found += parse_listeners((where / name).read_text())
    return [x for x in found if x.port == port]


def parse_listeners(text: str) -> list[Listener]:
    """Read the listening sockets of ``/proc/net/tcp`` or ``tcp6``."""
    found = []
    for line in text.splitlines()[1:]:
        #   0: 0100007F:1451 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 4242
        words = line.split()
        if len(words) > 9 and words[3] == LISTEN:
            address, port = words[1].split(":")
            found.append(Listener(_address(address), int(port, 16), int(words[9])))
    return found


def _address(text: str) -> IPv4Address | IPv6Address:
    """Read an address as the kernel prints it: 32-bit words in its own byte order."""
    words = [bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8)]
    return ip_address(b"".join(words))


def owners(inode: int) -> list[tuple[int, str]]:
    """Return pid and name of the processes that hold a socket and may be seen."""
    found = []
    import psutil

    for pid in psutil.pids():
        with suppress(OSError):
            folder = PROC / str(pid) / "fd"
            if any(os.readlink(folder / f) == f"socket:[{inode}]" for f in os.listdir(folder)):
                found.append((pid, (PROC / str(pid) / "comm").read_text().strip()))
    return found
