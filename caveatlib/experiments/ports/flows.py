"""What iperf3 sends over a path, and in which columns of a trial its figures stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

FIXED_BIT_PER_S = 2e9
"""Far below what any path carries here: full speed is 6 to 70 Gbit/s. There CPU per byte and
throughput are two numbers; where the CPUs are busy, the one is the other inverted."""
GB = 1e9


class Flow(NamedTuple):
    """One test of iperf3.

    Attributes
    ----------
    words : str
    streams : int
        Parallel connections.
    columns : mapping
        What `traffic.throughput` returns -> the column of the trial; the rest is dropped.
    bit_per_s : float
        Rate that is asked for; 0 for as much as possible.
    rate : str
        What table ``iperf3`` calls that rate.
    """

    words: str
    streams: int
    columns: Mapping[str, str]
    bit_per_s: float = 0.0
    rate: str = ""


RATE, MACHINE_CPU, PROXY_CPU = "rate_bit_per_s", "cpu_s_per_gb", "proxy_cpu_s_per_gb"
PROCESSES_CPU = "processes_cpu_s_per_gb"
_ALL = (
    RATE,
    "retransmits",
    "client_cpu",
    "server_cpu",
    "cpu_bound",
    MACHINE_CPU,
    PROXY_CPU,
    PROCESSES_CPU,
    "algorithm",
    "iperf_version",
)
FLOWS = {
    "one": Flow("1 connection", 1, {name: name for name in _ALL}),
    "four": Flow(
        "4 connections",
        4,
        {
            RATE: "rate_4_bit_per_s",
            "retransmits": "retransmits_4",
            MACHINE_CPU: "cpu_4_s_per_gb",
            PROXY_CPU: "proxy_cpu_4_s_per_gb",
            PROCESSES_CPU: "processes_cpu_4_s_per_gb",
        },
    ),
    # Of the whole machine's CPU time, in ticks of 10 ms, so little load is too small a part.
    "fixed": Flow(
        f"1 connection at {FIXED_BIT_PER_S / 1e9:g} Gbit/s",
        1,
        {
            RATE: "rate_fixed_bit_per_s",
            PROXY_CPU: "proxy_cpu_fixed_s_per_gb",
            PROCESSES_CPU: "processes_cpu_fixed_s_per_gb",
        },
        bit_per_s=FIXED_BIT_PER_S,
        rate="fixed",
    ),
}
LOADS = {
    "none": (),
    "latency": (),
    "throughput": ("one",),
    "full": ("one", "four"),
    "streams": ("one", "four"),
    "rated": ("one", "fixed"),
    "sized": ("one", "four", "fixed"),
}
"""Load of a trial -> its flows; ``latency`` and ``full`` time round trips and connections, too."""
TIMED = ("latency", "full")
