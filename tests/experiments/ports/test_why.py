"""`why`: what the rules found mean, without an engine."""

import socket
import types
from ipaddress import ip_address

import pytest

from caveatlib.errors import Unavailable, UsageError
from caveatlib.experiments.ports import why
from caveatlib.instruments import published

pytestmark = pytest.mark.beside

JUMP = "[0:0] -A OUTPUT {spare}-m addrtype --dst-type LOCAL -j DOCKER\n"
TO = "-p tcp -m tcp --dport {port} -j DNAT --to-destination 198.18.0.2:80\n"
ON = JUMP.format(spare="! -d 127.0.0.0/8 ") + "[0:0] -A DOCKER ! -i docker0 " + TO
OFF = (
    JUMP.format(spare="")
    + "[0:0] -A POSTROUTING -o docker0 -m addrtype --src-type LOCAL -j MASQUERADE\n"
    + "[0:0] -A DOCKER "
    + TO
)
LISTED = {"Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}]}
OWN = "198.51.100.9"


@pytest.fixture
def machine(monkeypatch):
    """Return a function that sets what the machine shows: rules, proxies, listeners, owners."""

    def show(*, rules="", proxies=(), listeners=(), owners=(), nftables=False):
        def read(pid, *, family=4):
            if rules is None:
                raise Unavailable("iptables-save may not read the rules. Run as root.")
            return published.parse_rules(rules.format(port=8080)) if family == 4 else []

        fake = types.SimpleNamespace(
            PROC=published.PROC,
            nat_rules=read,
            nftables=lambda pid: nftables,
            proxies=lambda pid, port: [
                published.Proxy(1, "tcp", ip, port, "198.18.0.2", 80) for ip in proxies
            ],
            listeners=lambda pid, port: [
                published.Listener(ip_address(ip), port, 7) for ip in listeners if port == 8080
            ],
            owners=lambda inode: [(1, name) for name in owners],
        )
        monkeypatch.setattr(why, "published", fake)
        monkeypatch.setattr(why, "_check_local", lambda address, pid: None)

    return show


def both(ips=("0.0.0.0", "::")):
    return {"proxies": ips, "listeners": ips, "owners": ("docker-proxy",)}


@pytest.mark.parametrize(
    ("shown", "address", "expected"),
    [
        (ON, "127.0.0.1:8080", ("proxy", "gateway", True)),
        (ON, "localhost:8080", ("proxy", "gateway", True)),
        (ON, "0.0.0.0:8080", ("proxy", "gateway", True)),
        (ON, "[::1]:8080", ("proxy", "gateway", True)),
        (ON, f"{OWN}:8080", ("nat", "own", True)),
        ("", f"{OWN}:8080", ("proxy", "gateway", True)),  # iptables switched off
    ],
)
def test_with_the_proxy(machine, shown, address, expected):
    """With the proxy on, loopback meets docker-proxy and every other address the rule."""
    machine(rules=shown, **both())
    told = why.explain(address)
    assert (told.served_by, told.source, told.userland_proxy) == expected


@pytest.mark.parametrize("address", ["127.0.0.1:8080", f"{OWN}:8080"])
def test_without_the_proxy(machine, address):
    """With the proxy off the rule serves all, and the host is seen by the gateway's address."""
    machine(rules=OFF, listeners=("0.0.0.0",), owners=("dockerd",))
    told = why.explain(address)
    assert (told.served_by, told.source, told.userland_proxy) == ("nat", "gateway", False)


def test_flipping_says_the_opposite(machine):
    """Each setting tells what the other would change, in opposite words."""
    machine(rules=ON, **both())
    on = " ".join(why.explain(f"{OWN}:8080").lines)
    machine(rules=OFF, listeners=("0.0.0.0",), owners=("dockerd",))
    off = " ".join(why.explain(f"{OWN}:8080").lines)
    assert "userland-proxy is true here. If it were false" in on
    assert "would no longer connect" in on
    assert "userland-proxy is false here. If it were true" in off
    assert "no longer" not in off


def test_ipv6_without_the_proxy(machine):
    """Where only the rule is left, IPv6 loopback is refused and the reader sent to IPv4."""
    machine(rules=OFF, listeners=("0.0.0.0",), owners=("dockerd",))
    with pytest.raises(UsageError, match=r"Must be 127\.0\.0\.1:8080"):
        why.explain("[::1]:8080")


def test_published_on_one_address(machine):
    """A rule for one address does not serve another."""
    rules = OFF.replace("-A DOCKER -p", f"-A DOCKER -d {OWN}/32 -p")
    machine(rules=rules)
    assert why.explain(f"{OWN}:8080").served_by == "nat"
    with pytest.raises(UsageError, match="Nothing is published"):
        why.explain("127.0.0.1:8080")


def test_a_process_of_ones_own(machine):
    """A plain listener is named, and its name cannot steer the terminal."""
    machine(listeners=("127.0.0.1",), owners=("evil\x1b[2J",))
    told = why.explain("127.0.0.1:8080")
    assert (told.served_by, told.source, told.userland_proxy) == ("process", "own", None)
    assert "evil?[2J" in told.lines[0]
    assert "\x1b" not in "".join(told.lines)


def test_without_root(machine):
    """Where rules may not be read, what is certain is said and the rest is not guessed."""
    machine(rules=None, proxies=("0.0.0.0",), listeners=("0.0.0.0",))
    assert why.explain("127.0.0.1:8080").served_by == "proxy"
    told = why.explain(f"{OWN}:8080")
    assert (told.served_by, told.source) == ("unknown", "unknown")
    assert "Run as root" in told.lines[-1]
    machine(rules=None)
    told = why.explain("127.0.0.1:8080", containers=[LISTED])
    assert (told.served_by, told.source) == ("unknown", "gateway")
    with pytest.raises(UsageError, match="root"):
        why.explain("127.0.0.1:8080")


def test_rules_elsewhere(machine):
    """Docker's own nftables rules are not read, and that is said instead of guessed."""
    machine(rules="", nftables=True, **both())
    told = why.explain(f"{OWN}:8080")
    assert told.served_by == "unknown"
    assert "nftables" in told.lines[-1]


def test_nothing_published(machine):
    """A port where nobody is makes one clear line."""
    machine()
    with pytest.raises(UsageError, match=r"^Nothing is published at 127\.0\.0\.1:8080\. [^\n]+$"):
        why.explain("127.0.0.1:8080")


@pytest.mark.parametrize(
    "text",
    ["", "8080", "x:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
     "127.0.0.1:-1", "127.0.0.1:８０", "[::1]", "1.2.3:80", "a" * 9999],
)  # fmt: skip
def test_bad_addresses(text):
    """What is no address and port is refused in one short line that says the rule."""
    with pytest.raises(UsageError, match="Must be ADDRESS:PORT") as caught:
        why.explain(text)
    assert len(str(caught.value)) < 250


def test_foreign_address():
    """An address that this machine does not have is refused."""
    with pytest.raises(UsageError, match="does not belong to this machine"):
        why.explain("203.0.113.77:80")


def test_real_process():
    """On this very machine, a socket of this process is explained as a process's own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        told = why.explain(f"127.0.0.1:{server.getsockname()[1]}")
    assert (told.served_by, told.userland_proxy) == ("process", None)
