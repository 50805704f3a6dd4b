"""Who serves a published port of this machine, and whom does the server see?

Nothing is changed: ``/proc/net/tcp``, docker-proxy's arguments and, where it may be
read, the nat table tell what happens to a connection. What the other setting would
change is known from the experiment `ports`.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from caveatlib.errors import Unavailable, UsageError
from caveatlib.instruments import published
from caveatlib.places import netns
from caveatlib.support.text import escape_control_characters

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, repr=False)
class Explanation:
    """What was found about one port, and what follows.

    Attributes
    ----------
    served_by : {"proxy", "nat", "process", "unknown"}
        Who serves a client on this machine that calls the address.
    source : {"own", "gateway", "unknown"}
        Whose address the server sees of such a client.
    userland_proxy : bool or None
        Docker's setting, as far as this port shows it.
    lines : tuple of str
        The same in sentences.
    """

    served_by: str
    source: str
    userland_proxy: bool | None
    lines: tuple[str, ...]

    def __repr__(self):
        return "\n".join(map(escape_control_characters, self.lines))


@dataclass(frozen=True)
class _Found:
    """What /proc and the firewall show about a port; nothing is concluded yet."""

    address: Address
    port: int
    listeners: list[published.Listener]
    proxies: list[published.Proxy]
    owners: list[str]
    rules: list[published.Rule] | None  # None: not read, `unread` says why
    unread: str
    published: bool

    @property
    def loopback(self) -> bool:
        return self.address.is_loopback

    @property
    def dnat(self) -> list[published.Rule]:
        """The rules that translate this address and port."""
        return [r for r in self.rules or () if r.port == self.port and _meets(r, self.address)]

    @property
    def anything(self) -> bool:
        return bool(self.listeners or self.dnat or self.proxies or self.published)


def explain(
    address_port: str, *, pid: int | None = None, containers: Sequence[Mapping] = ()
) -> Explanation:
    """Say who serves a published port, and what flipping Docker's setting would change.

    Parameters
    ----------
    address_port : str
        ``"127.0.0.1:8080"``, ``"[::1]:8080"``, ``"localhost:8080"``.
    pid : int, optional
        Looks into the network namespace of this process instead of our own.
    containers : sequence of mapping, optional
        The engine's own list of containers (``GET /containers/json``); shows
        that a port is published where the rules may not be read.

    Raises
    ------
    UsageError
        If the text is not an address and a port, the machine does not have the
        address, or nothing is published there.
    Unavailable
        Anywhere but on Linux.
    """
    address, port = parse(address_port)
    if not published.PROC.joinpath("net/tcp").exists():
        raise Unavailable(
            "No /proc/net/tcp: who serves a port can be told on Linux only. Docker Desktop "
            "forwards published ports by a process of its own."
        )
    if address.is_unspecified:  # to call it is to call the loopback address
        address = ip_address("127.0.0.1" if address.version == 4 else "::1")
    _check_local(address, pid)
    found = _look(address, port, pid, containers)
    shown = _shown(address, port)
    if not found.anything:
        raise UsageError(_nothing(found, pid, containers))
    served_by, source = _here(found)
    setting = _setting(found)
    lines = [
        f"{shown} called from this machine: {_BY[served_by]}.".replace("NAME", _owner(found)),
        f"The server sees {_SEES[source]}.",
        *_elsewhere(found),
        *_flipped(found, setting),
    ]
    if found.unread:
        lines.append(found.unread)
    return Explanation(served_by, source, setting, tuple(lines))


def _nothing(found: _Found, pid: int | None, containers) -> str:
    shown = _shown(found.address, found.port)
    over_ipv4 = _look(ip_address("127.0.0.1"), found.port, pid, containers)
    if str(found.address) == "::1" and over_ipv4.dnat:
        return (
            f"Nothing answers at {shown}: without docker-proxy no rule leads there. "
            f"Must be 127.0.0.1:{found.port}, where the port is published."
        )
    unseen = f" {found.unread}" if found.unread else ""
    return (
        f"Nothing is published at {shown}. Must be a port that Docker publishes or a process "
        f"listens on.{unseen}"
    )


_BY = {
    "proxy": "docker-proxy accepts it and passes it on to the container",
    "nat": "a NAT rule in the kernel leads it to the container, without docker-proxy",
    "process": "NAME answers itself, without docker-proxy and without a NAT rule of Docker",
    "unknown": "docker-proxy or a NAT rule serves it; which of them cannot be seen",
}
_SEES = {
    "own": "the client's own address",
    "gateway": "the gateway's address of its network, not the client's",
    "unknown": "the client's own address or the gateway's; which of them cannot be seen",
}


def parse(address_port: str) -> tuple[Address, int]:
    """Take an address and a port apart.

    Raises
    ------
    UsageError
        If it is not ``ADDRESS:PORT`` with a port from 1 to 65535.
    """
    host, colon, digits = address_port.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        address = ip_address({"localhost": "127.0.0.1"}.get(host, host))
        port = int(digits) if digits.isascii() and digits.isdigit() else 0
    except ValueError:
        address, port = None, 0
    if address is None or not colon or not 1 <= port <= 65535:
        raise UsageError(
            f"Invalid address {address_port[:80]!r}. Must be ADDRESS:PORT, e.g. "
            "127.0.0.1:8080 or [::1]:8080."
        )
    return address, port


def _shown(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _check_local(address: Address, pid: int | None) -> None:
    """Refuse an address on which nobody can listen here."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family) if pid is None else netns.socket_in(pid, family) as trial:
            trial.bind((str(address), 0))
    except OSError:
        raise UsageError(
            f"Address {address} does not belong to this machine. Must be one that it has."
        ) from None


def _look(address: Address, port: int, pid: int | None, containers) -> _Found:
    listeners = [x for x in published.listeners(pid, port=port) if _covers(x.address, address)]
    rules, unread = None, ""
    try:
        rules = published.nat_rules(pid, family=address.version)
    except Unavailable as error:
        unread = f"Not the whole answer: {error}"
    if rules is not None and not any(r.port for r in rules) and published.nftables(pid):
        rules, unread = None, "Not the whole answer: Docker's nftables rules are not read."
    return _Found(
        address=address,
        port=port,
        listeners=listeners,
        proxies=[
            p for p in published.proxies(pid, port=port) if _covers(ip_address(p.host_ip), address)
        ],
        owners=sorted({name for x in listeners for _, name in published.owners(x.inode)}),
        rules=rules,
        unread=unread,
        published=_published(containers, address, port),
    )


def _covers(bound: Address, address: Address) -> bool:
    """Whether a socket bound to one address answers at the other."""
    return bound == address or (bound.is_unspecified and bound.version == address.version)


def _meets(rule: published.Rule, address: Address) -> bool:
    wanted = rule.options.get("-d")
    return wanted is None or address.is_unspecified or address in ip_network(wanted)


def _published(containers: Sequence[Mapping], address: Address, port: int) -> bool:
    # {"Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}]}
    ports = [p for c in containers for p in c.get("Ports") or () if p.get("Type") == "tcp"]
    return any(
        p.get("PublicPort") == port and _covers(ip_address(p.get("IP") or "0.0.0.0"), address)
        for p in ports
    )


def _owner(found: _Found) -> str:
    names = ["".join(c if c.isprintable() else "?" for c in n) for n in found.owners]
    return f"the process {', '.join(names)!r}" if names else "a process that only root may see"


def _here(found: _Found) -> tuple[str, str]:
    """Return who serves a client on this machine, and whose address the server sees."""
    if found.rules is None and (found.proxies or found.published):
        if found.loopback and found.proxies:  # with the proxy on, loopback meets no rule
            return "proxy", "gateway"
        return "unknown", "gateway" if found.loopback else "unknown"
    if found.dnat and not (found.loopback and _spares_loopback(found)):
        return "nat", "gateway" if found.loopback or _masquerades(found) else "own"
    return ("proxy", "gateway") if found.proxies else ("process", "own")


def _spares_loopback(found: _Found) -> bool:
    # -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
    chains = {r.chain for r in found.dnat}
    jumps = [r for r in found.rules or () if r.chain == "OUTPUT" and r.target in chains]
    return all("!-d" in r.options for r in jumps)


def _masquerades(found: _Found) -> bool:
    # -A POSTROUTING -o docker0 -m addrtype --src-type LOCAL -j MASQUERADE
    return any(
        r.target == "MASQUERADE" and r.options.get("--src-type") == "LOCAL"
        for r in found.rules or ()
    )


def _setting(found: _Found) -> bool | None:
    if found.proxies:
        return True
    if found.dnat and found.address.version == 4:
        return False
    return None


def _elsewhere(found: _Found) -> list[str]:
    """Say who serves clients that are not on this machine itself."""
    if found.loopback or not (found.proxies or found.dnat):
        return []
    if not found.dnat:
        if found.rules is None:
            return []
        return ["From outside and from containers it is the same."]
    lines = ["From outside: the NAT rule serves it, the server sees the client's own address."]
    if any("!-i" in r.options for r in found.dnat):
        lines.append(
            "From containers on its own network: docker-proxy serves it, the server sees the "
            "gateway's address."
        )
    else:
        lines.append(
            "From containers on its own network: the NAT rule serves it (hairpin), the server "
            "sees the client's own address; the container itself sees the gateway's."
        )
    return lines


def _flipped(found: _Found, setting: bool | None) -> list[str]:
    """Say what the other value of Docker's userland-proxy would change at this address."""
    if setting is None:
        if found.published or found.dnat:
            return ["This port does not show Docker's userland-proxy setting."]
        return ["Docker's userland-proxy setting does not affect it."]
    now, other = ("true", "false") if setting else ("false", "true")
    return [f"Docker's userland-proxy is {now} here. If it were {other}: {_change(found, setting)}"]


def _change(found: _Found, setting: bool) -> str:
    if found.address.version == 6 and not found.dnat:
        return "this address would stop answering." if setting else "this address would answer."
    if found.loopback:
        who = "the NAT rule" if setting else "docker-proxy"
        early = "no longer be" if setting else "be"
        return (
            f"{who} would serve it, the server would still see the gateway's address, and "
            f"connections would {early} accepted before the application listens."
        )
    if setting:
        return (
            "from this machine the server would see the gateway's address, from containers on "
            "its own network theirs; containers on other networks would no longer connect; "
            "from outside nothing would change."
        )
    return (
        "from this machine the server would see the client's own address, from containers on "
        "its own network the gateway's; containers on other networks would connect; from "
        "outside nothing would change."
    )
