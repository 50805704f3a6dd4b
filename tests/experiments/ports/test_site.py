"""The paths of a real engine: known answers, evidence, and nothing left behind."""

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress

import psutil
import pytest

from caveatlib.errors import MeasurementError, Unavailable, UsageError
from caveatlib.experiments.ports import pinning, site, traffic, why
from caveatlib.instruments import iperf3, published
from caveatlib.places import netns
from caveatlib.support import processes

pytestmark = pytest.mark.engine


def own_rules() -> str:
    """Return the machine's own rules, counters and times of day left out."""
    done = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True)
    return re.sub(r"\[\d+:\d+\]", "", "\n".join(
        line for line in done.stdout.splitlines() if not line.startswith("#")
    ))  # fmt: skip


def footprint() -> tuple:
    """Return what a site could leave: rules, links and processes."""
    links = sorted(os.listdir("/sys/class/net"))
    names = ("docker-proxy", "dockerd", "iperf3")
    mine = os.stat("/proc/self/ns/net").st_ino
    inside = [
        pid
        for pid in psutil.pids()
        if (words := processes.arguments(pid))
        and (os.path.basename(words[0]) in names or "echo.py" in " ".join(words))
        and _net(pid) == mine
    ]
    return own_rules(), links, inside


def _net(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return None


@pytest.fixture(scope="module")
def sites(require):
    """Yield a site with the proxy and one without; afterwards nothing of them is left."""
    require("private-engine")
    require("iperf3")
    before = footprint()
    with tempfile.TemporaryDirectory(prefix="cv-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAVEATLIB_STATE", folder)
        with site.site(userland_proxy=True) as on, site.site(userland_proxy=False) as off:
            spaces = {_net(pid) for s in (on, off) for pid in s.pids.values()}
            yield {"on": on, "off": off}
        left = [processes.arguments(pid)[:1] for pid in psutil.pids() if _net(pid) in spaces]
        assert left == []
        assert not os.listdir(folder)
    assert footprint() == before


@pytest.mark.slow
def test_known_servers(sites):
    """Where the server is known, the evidence names it: the process, the proxy, the rule."""
    direct = traffic.reach(sites["on"], "direct")
    proxied = traffic.reach(sites["on"], "loopback")
    ruled = traffic.reach(sites["off"], "loopback")
    assert (direct["served_by"], direct["nat_connections"], direct["proxy_sockets"]) == (
        "process", 0, 0,
    )  # fmt: skip
    assert (proxied["served_by"], proxied["nat_connections"]) == ("proxy", 0)
    assert proxied["proxy_sockets"] == 2  # one to the client, one to the container
    assert (ruled["served_by"], ruled["proxy_sockets"]) == ("nat", 0)
    assert ruled["nat_connections"] == 1


@pytest.mark.slow
def test_known_sources(sites):
    """The server's answer proves the source: a peer outside is itself, the proxy is the gateway."""
    for name in ("on", "off"):
        assert traffic.reach(sites[name], "outside")["source_class"] == "own"
        assert traffic.reach(sites[name], "direct")["source_class"] == "own"
        assert traffic.reach(sites[name], "host-network")["source_class"] == "loopback"
    assert traffic.reach(sites["on"], "loopback")["source_class"] == "gateway"
    assert traffic.reach(sites["on"], "hairpin")["source_class"] == "gateway"
    assert traffic.reach(sites["off"], "hairpin")["source_class"] == "own"


@pytest.mark.slow
def test_accepted_before_anybody_listens(sites):
    """With the proxy a port without a listener is accepted on loopback, not from outside."""
    assert traffic.reach(sites["on"], "loopback")["accepts_unheard"] == 1
    assert traffic.reach(sites["on"], "outside")["accepts_unheard"] == 0
    assert traffic.reach(sites["off"], "loopback")["accepts_unheard"] == 0


@pytest.mark.slow
def test_no_connection_is_a_finding(sites):
    """A path that does not connect is reported with the reason, not raised."""
    found = traffic.reach(sites["off"], "loopback-ipv6")
    assert (found["reachable"], found["served_by"], found["source_class"]) == (0, "nobody", "")
    assert found["refusal"]


@pytest.mark.slow
@pytest.mark.timed
def test_token_bucket(sites, bars):
    """A link shaped to 1 Gbit/s reads the goodput that its headers leave, +- 2 %."""
    here = sites["off"]
    site.congest(here, "reno")  # fills the queue, so that the bucket is never idle
    bucket = ["rate", "1gbit", "burst", "256kb", "latency", "50ms"]
    peer = here.pids["outsider"]
    control = ["tc", "qdisc", "add", "dev", "eth0", "root", "tbf", *bucket]
    subprocess.run(netns.argv_in(peer, control), check=True, timeout=10)
    try:
        address, _ = site.target(here, "outside")
        command = iperf3.client_command(address, site.IPERF_PORT, duration_s=2)
        # A machine that stands still lets the bucket overflow: noise only lowers the rate.
        found = max(
            iperf3.parse(iperf3.run(netns.argv_in(peer, command), timeout_s=15)).rate_bit_per_s
            for _ in range(3)
        )
    finally:
        control = ["tc", "qdisc", "del", "dev", "eth0", "root"]
        subprocess.run(netns.argv_in(peer, control), check=True, timeout=10)
    # A full segment counts as 1500 + 14 bytes of Ethernet header; of the 1500 are 20 IPv4, 20 TCP
    # and 12 TCP timestamps (RFC 7323).
    expected = 1e9 * (1500 - 20 - 20 - 12) / (1500 + 14)
    row = f"{found / 1e9:.3f} Gbit/s", f"{expected / 1e9:.3f} +- 2 %"
    bars.append(("token bucket at 1 Gbit/s, read", *row))
    assert found == pytest.approx(expected, rel=0.02)


@pytest.mark.slow
def test_congestion_control_reaches_both_legs(sites):
    """iperf3 at both ends sees what was set, through docker-proxy as well."""
    here = sites["on"]
    for wanted in ("reno", "default"):
        name = site.congest(here, wanted)
        found, kept = traffic.throughput(here, "loopback", streams=1, cores=2)
        assert found["algorithm"] == name
        assert iperf3.parse(kept).congestion == name
    assert found["proxy_cpu_s_per_gb"] > 0
    with pytest.raises(Unavailable, match="nonesuch"):
        site.congest(here, "nonesuch")
    assert site.congest(here, "reno") == "reno"


@pytest.mark.slow
@pytest.mark.timed
def test_pinned_loads(sites):
    """Threads of server and docker-proxy are where they were put; a fixed rate is what flows."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("Two placements on one CPU are one.")
    here, cpus = sites["on"], sorted(os.sched_getaffinity(0))
    site.congest(here, "reno")
    found = {}
    for placement in (pinning.APART, pinning.TOGETHER):
        found[placement], _ = traffic.throughput(
            here, "loopback", streams=4, cores=2, placement=placement
        )
        assert found[placement]["processes_cpu_s_per_gb"] > found[placement]["proxy_cpu_s_per_gb"]
        server = processes.descendants(here.servers[site.IPERF_PORT].pid)
        proxies = [p.pid for p in published.proxies(here.pids["host"], port=site.IPERF_PORT)]
        other = cpus[placement == pinning.APART]
        for pids, cpu in ((server, cpus[0]), (proxies, other)):
            threads = [int(t) for pid in pids for t in os.listdir(f"/proc/{pid}/task")]
            assert {tuple(os.sched_getaffinity(thread)) for thread in threads} == {(cpu,)}
    assert found[pinning.TOGETHER]["client_cpu"] + found[pinning.TOGETHER]["server_cpu"] < 1
    for _ in range(10):  # on a busy machine others take the CPU from it
        with suppress(MeasurementError):
            rated, _ = traffic.throughput(
                here, "loopback", streams=1, cores=2, placement=pinning.APART, bit_per_s=2e9
            )
            break
    else:
        pytest.fail("Never did 2 Gbit/s flow.")
    assert rated["rate_bit_per_s"] == pytest.approx(2e9, rel=0.05)
    busy = (rated["client_cpu"], rated["server_cpu"])
    assert all(share < 0.9 for share in busy)  # below full speed
    traffic.throughput(here, "loopback", streams=1, cores=2)
    assert os.sched_getaffinity(server[-1]) == set(cpus)


@pytest.mark.slow
def test_load_without_the_proxy(sites):
    """Round trips, connections and throughput are measured, and no proxy has worked."""
    here = sites["off"]
    found, _ = traffic.throughput(here, "hairpin", streams=4, cores=2)
    assert found["proxy_cpu_s_per_gb"] == 0
    assert found["cpu_s_per_gb"] > 0
    trips = traffic.round_trips(here, "hairpin")
    assert 0 < trips["round_trip_p50_s"] <= trips["round_trip_p99_s"]
    assert traffic.connects(here, "hairpin")["connects_per_s"] > 10


@pytest.mark.slow
def test_price_of_ports(sites):
    """Three ports take a proxy per address family, and none without; then all are gone."""
    on, off = (traffic.price(sites[name], 3) for name in ("on", "off"))
    assert on["processes"] in (3, 6)
    assert 0 < on["pss_bytes"] <= on["rss_bytes"]
    assert (off["processes"], off["pss_bytes"]) == (0, 0)
    ports = range(traffic.FIRST_PRICED_PORT, traffic.FIRST_PRICED_PORT + 3)
    assert not [p for p in published.proxies(sites["on"].pids["host"]) if p.host_port in ports]


@pytest.mark.parametrize("name", ["on", "off"])
@pytest.mark.slow
def test_why_agrees_with_what_is_measured(sites, name):
    """`why` says of each address what the measured path shows."""
    here, setting = sites[name], name == "on"
    for path in ("loopback", "loopback-ipv6", "gateway", "own-address"):
        address, _ = site.target(here, path)
        shown = f"[{address}]" if ":" in address else address
        found = traffic.reach(here, path)
        if not found["reachable"]:
            with pytest.raises(UsageError, match="Nothing answers"):
                why.explain(f"{shown}:{site.ECHO_PORT}", pid=here.pids["host"])
            continue
        told = why.explain(f"{shown}:{site.ECHO_PORT}", pid=here.pids["host"])
        assert told.served_by == found["served_by"]
        assert told.userland_proxy is setting
        # The gateway's own address is both: the trial calls it the client's own.
        if path != "gateway":
            assert told.source == found["source_class"]


def test_why_of_a_plain_process(sites):
    """A process that listens by itself is named as such, without Docker."""
    here = sites["on"]
    told = why.explain(f"127.0.0.1:{site.ECHO_PORT + site.HOST_OFFSET}", pid=here.pids["host"])
    assert (told.served_by, told.source, told.userland_proxy) == ("process", "own", None)


def test_missing_iperf3(fresh_probes, monkeypatch):
    """Without iperf3 the ability is missing, with the command that mends it."""
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda n, **k: None if n == "iperf3" else real(n, **k))
    ability = iperf3.probe()
    assert (ability.available, ability.reason) == (False, "no program iperf3")
    assert "make system" in ability.fix
