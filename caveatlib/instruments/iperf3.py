"""iperf3: its command lines, its report, and what of the report may be kept.

The report carries host name, addresses and a cookie, so `strip` keeps an
allow-list. A report that holds an error, no bytes, or figures that contradict
each other never becomes a number.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from caveatlib.errors import DataError, MeasurementError
from caveatlib.places import rootfs
from caveatlib.places.base import Capability
from caveatlib.stats import guards
from caveatlib.support import programs

BUSY = "the server is busy running a test"
"""The server answers so for some milliseconds after a test; worth another try."""

CPU_BOUND_SHARE = 0.95
"""Share of all cores from which client and server together count as CPU-bound."""

_SUM = ("start", "end", "seconds", "bytes", "bits_per_second", "retransmits", "omitted", "sender")
_STREAM = (*_SUM, "snd_cwnd", "rtt", "rttvar", "pmtu", "max_snd_cwnd", "max_rtt", "min_rtt",
           "mean_rtt")  # fmt: skip
_TEST = ("protocol", "num_streams", "blksize", "omit", "duration", "bytes", "blocks", "reverse")
_CPU = ("host_total", "host_user", "host_system", "remote_total", "remote_user", "remote_system")


@dataclass(frozen=True)
class Report:
    """What one iperf3 client reports of one TCP test.

    Attributes
    ----------
    version : str
        E.g. ``"iperf 3.18"``.
    streams : int
    received_bytes : int
        What arrived at the server, over all streams.
    duration_s : float
        The server's clock over those bytes.
    rate_bit_per_s : float
        ``sum_received``: application bytes times eight over `duration_s`.
    retransmits : int
        Segments sent again, over all streams.
    client_cpu, server_cpu : float
        Cores used by either end, 1.0 is one core.
    congestion : str
        Congestion control of sender and receiver; ``"reno/bbr"`` if they differ.
    """

    version: str
    streams: int
    received_bytes: int
    duration_s: float
    rate_bit_per_s: float
    retransmits: int
    client_cpu: float
    server_cpu: float
    congestion: str

    @property
    def cpu_s(self) -> float:
        """CPU seconds that client and server used."""
        return (self.client_cpu + self.server_cpu) * self.duration_s

    def cpu_bound(self, cores: int) -> bool:
        """Whether client and server together use at least 95 % of the cores."""
        return self.client_cpu + self.server_cpu >= CPU_BOUND_SHARE * cores


@cache
def probe() -> Capability:
    """Return whether iperf3 and what leads it into a namespace and onto a CPU are installed."""
    wanted = ("iperf3", "nsenter", "taskset", "ip", "iptables-save")
    missing = [program for program in wanted if programs.find(program) is None]
    if missing:
        return Capability("iperf3", False, f"no program {missing[0]}", rootfs.SYSTEM_FIX)
    return Capability("iperf3", True, "iperf3 found")


def server_command(port: int) -> list[str]:
    """Return the command line of a server that forgets a client that went silent."""
    return ["iperf3", "--server", "--port", str(port), "--rcv-timeout", "5000", "--json"]


def client_command(
    host: str, port: int, *, streams: int = 1, duration_s: int = 1, bit_per_s: float = 0.0
) -> list[str]:
    """Return the command line of one test from client to server.

    Parameters
    ----------
    host : str
    port : int
    streams : int
        Parallel TCP connections.
    duration_s : int
        Whole seconds; iperf3 cuts fractions off.
    bit_per_s : float
        Rate of each connection; 0 for as much as possible.
    """
    rate = ["--bitrate", f"{bit_per_s:.0f}"] if bit_per_s else []
    return [
        "iperf3", "--client", host, "--port", str(port), "--json", *rate,
        "--parallel", str(streams), "--time", str(duration_s), "--connect-timeout", "2000",
    ]  # fmt: skip


def run(command: Sequence[str], *, timeout_s: float, tries: int = 4) -> str:
    """Run a client, ``nsenter`` in front or not, and return its report as printed.

    Parameters
    ----------
    command : sequence of str
    timeout_s : float
        Outer deadline of one try; iperf3 waits 120 s for a silent peer.
    tries : int
        How often to ask a server that is still busy with the test before.

    Raises
    ------
    DeadlineExceeded
        If the client is still running at the deadline; it is ended.
    Unavailable
        If the program is not installed.
    """
    for left in reversed(range(tries)):
        # A test that failed has a status of its own, and a report that says why.
        text = programs.run(command, timeout_s=timeout_s, check=False, what="iperf3")
        if BUSY not in text or not left:
            break
        time.sleep(0.1)
    return text


def parse(text: str) -> Report:
    """Read a client's JSON report.

    Raises
    ------
    MeasurementError
        If it is cut short, holds an error or no bytes, lacks a field, or if
        bytes, time and rate contradict each other by more than 1 %.
    """
    data = _load(text)
    if data.get("error"):
        # {"start": {...}, "end": {}, "error": "unable to connect to server - ..."}
        raise MeasurementError(f"iperf3 reports {str(data['error'])[:160]!r}.")
    try:
        received = data["end"]["sum_received"]
        cpu = data["end"]["cpu_utilization_percent"]
        algorithms = [data["end"][f"{end}_tcp_congestion"] for end in ("sender", "receiver")]
        report = Report(
            version=str(data["start"]["version"]),
            streams=int(data["start"]["test_start"]["num_streams"]),
            received_bytes=int(received["bytes"]),
            duration_s=float(received["seconds"]),
            rate_bit_per_s=float(received["bits_per_second"]),
            retransmits=int(data["end"]["sum_sent"]["retransmits"]),
            client_cpu=float(cpu["host_total"]) / 100,
            server_cpu=float(cpu["remote_total"]) / 100,
            congestion="/".join(dict.fromkeys(algorithms)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MeasurementError(f"iperf3's report lacks a field: {error!r}.") from None
    _plausible(report)
    return report


def _load(text: str) -> dict:
    try:
        data = json.loads(text)
    except ValueError:
        raise MeasurementError(
            f"iperf3's report of {len(text)} characters is not a complete JSON document."
        ) from None
    if not isinstance(data, dict):
        raise MeasurementError(f"iperf3's report is a {type(data).__name__}. Must be an object.")
    return data


def _plausible(report: Report) -> None:
    if report.received_bytes <= 0 or not report.duration_s > 0:
        raise MeasurementError(
            f"iperf3 reports {report.received_bytes} bytes in {report.duration_s} s. Must be > 0."
        )
    try:
        guards.rate_times_time(
            vars(report),
            rate="rate_bit_per_s",
            seconds="duration_s",
            amount="received_bytes",
            factor=8,
            tolerance=0.01,
        )
    except DataError as error:
        raise MeasurementError(f"iperf3 contradicts itself. {error}") from None


def strip(text: str) -> str:
    """Return the report without host name, addresses, times of day and cookie.

    An allow-list: whatever iperf3 may add one day is dropped.

    Returns
    -------
    str
        Compact JSON of one line.

    Raises
    ------
    MeasurementError
        If it is not a JSON document.
    """
    data = _load(text)
    start, end = _part(data, "start"), _part(data, "end")
    kept = {
        "start": _only(start, ("version", "tcp_mss_default", "sock_bufsize"))
        | {"test_start": _only(_part(start, "test_start"), _TEST)},
        "intervals": [{"sum": _only(_part(i, "sum"), _SUM)} for i in data.get("intervals", [])],
        "end": _only(end, ("sender_tcp_congestion", "receiver_tcp_congestion"))
        | {name: _only(_part(end, name), _SUM) for name in ("sum_sent", "sum_received")}
        | {"cpu_utilization_percent": _only(_part(end, "cpu_utilization_percent"), _CPU)}
        | {
            "streams": [
                {side: _only(_part(s, side), _STREAM) for side in ("sender", "receiver")}
                for s in end.get("streams", [])
            ]
        },
    }
    if data.get("error"):
        kept["error"] = "stripped"  # it may quote an address
    return json.dumps(kept, separators=(",", ":"))


def _part(data: dict, name: str) -> dict:
    part = data.get(name)
    return part if isinstance(part, dict) else {}


def _only(data: dict, names: Sequence[str]) -> dict:
    return {n: data[n] for n in names if n in data}
