"""A fake site: answers by what the real one was seen to do, at once.

Stands in for `caveatlib.experiments.ports.traffic` in tests of the experiment `ports`;
never makes a number that is shown.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping
from unittest.mock import patch

from places.fake import CLOCK, on_clock, spec

from caveatlib.experiments import ports
from caveatlib.experiments.ports.designs import AGAIN, PROXY
from caveatlib.experiments.ports.site import PATHS

BROKEN_WITHOUT = ("loopback-ipv6", "other-network")
PROXIED = ("loopback", "loopback-ipv6", "hairpin", "self", "other-network")


class FakeSite:
    """A site with or without the proxy; the name says which."""

    random = random.Random("ports")  # of all sites and sessions: no two readings are equal

    def __init__(self, name: str):
        self.name = name
        self.proxy = name in (PROXY, AGAIN)
        self.algorithm = "reno"

    def metadata(self) -> Mapping[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}

    def about(self, value: float) -> float:
        """Return the value with 1 % of noise."""
        return value * self.random.gauss(1, 0.01)


def congest(here: FakeSite, wanted: str) -> str:
    """Return the algorithm asked for, the machine's own for "default"."""
    here.algorithm = {"default": "cubic"}.get(wanted, wanted)
    return here.algorithm


def reach(here: FakeSite, path: str) -> dict:
    """Return who serves a path, and the source that the server sees."""
    if not here.proxy and path in BROKEN_WITHOUT:
        return {"reachable": 0, "refusal": "timed out", "served_by": "nobody",
                "accepts_unheard": 0}  # fmt: skip
    proxied = here.proxy and path in PROXIED
    return {
        "reachable": 1,
        "served_by": "proxy" if proxied else "nat" if PATHS[path].published else "process",
        "source_class": "gateway" if proxied or path == "loopback" else "own",
        "nat_connections": float(not proxied),
        "proxy_sockets": 2.0 * proxied,
        "accepts_unheard": float(proxied),
    }


def throughput(
    here: FakeSite,
    path: str,
    *,
    streams: int,
    cores: int,
    placement: str = "",
    bit_per_s: float = 0.0,
) -> tuple[dict, str]:
    """Return half the rate and twice the CPU where the proxy serves, with a report that says so."""
    factor = 2.0 if here.proxy and path in PROXIED else 1.0
    sent = round(here.about(bit_per_s / 8 if bit_per_s else 2.5e9 / factor))
    busy_s = round(here.about(0.4 * factor * sent / 1e9), 2)
    proxy_s = here.about(0.1) if factor > 1 else 0.0
    ends_s = here.about(0.12 * factor) * sent / 1e9
    measures = {
        "rate_bit_per_s": sent * 8.0,
        "retransmits": 0,
        "client_cpu": ends_s / 2,
        "server_cpu": ends_s / 2,
        "cpu_bound": 0,
        "cpu_s_per_gb": busy_s / (sent / 1e9),
        "proxy_cpu_s_per_gb": proxy_s,
        "processes_cpu_s_per_gb": ends_s / (sent / 1e9) + proxy_s,
        "iperf_version": "fake",
        "algorithm": here.algorithm,
    }
    received = {"bytes": sent, "seconds": 1.0, "bits_per_second": sent * 8.0}
    share = {"host_total": 50 * ends_s, "remote_total": 50 * ends_s}
    report = {
        "start": {"version": "fake", "test_start": {"num_streams": streams}},
        "end": {
            "sender_tcp_congestion": here.algorithm,
            "receiver_tcp_congestion": here.algorithm,
            "sum_sent": {"retransmits": 0},
            "sum_received": received,
            "cpu_utilization_percent": share,
        },
    }
    return measures, json.dumps(report)


def round_trips(here: FakeSite, path: str) -> dict:
    """Return fixed round trips."""
    return {"round_trip_p50_s": here.about(50e-6), "round_trip_p99_s": here.about(200e-6)}


def connects(here: FakeSite, path: str) -> dict:
    """Return a fixed rate of connections."""
    return {"connects_per_s": here.about(5000)}


def price(here: FakeSite, published: int) -> dict:
    """Return two processes per port with the proxy, none without."""
    processes = 2 * published if here.proxy else 0
    times = {"start_s": 0.2 + 0.02 * processes, "stop_s": 0.1 + 0.02 * processes}
    times = {name: here.about(seconds) for name, seconds in times.items()}
    CLOCK.passes(sum(times.values()))
    return times | {
        "processes": processes,
        "pss_bytes": here.about(1.1e6 * processes),
        "rss_bytes": here.about(4.7e6 * processes),
    }


def _no_traffic():
    """Let this module's functions stand in for those over a real site."""
    return patch.multiple(ports.workloads, traffic=sys.modules[__name__])


def _no_namespaces():
    return patch.object(ports.site, "congest", congest)


UNDECIDED = {"C17/other-network/address": "without the proxy it never connects"}
"""Claims that neither the recorded trials nor these decide, and why."""
PLACES = {
    name: spec(FakeSite, name, _no_traffic, _no_namespaces, on_clock) for name in ports.PLACES
}
