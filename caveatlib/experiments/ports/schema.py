"""What a trial of `ports` states: its columns, the further table, and the guards over them."""

from __future__ import annotations

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.experiments.ports.traffic import GB
from caveatlib.stats import guards


class Trials(frames.Trials):
    """One path under one setting, or one container with many published ports."""

    path: Series[str] = frames.field("Path from client to server")
    congestion: Series[str] = frames.field(
        "TCP congestion control asked for: reno, or default, the machine's own",
        isin=("", "reno", "default"),
    )
    load: Series[str] = frames.field(
        "What is measured besides reachability", isin=("none", "throughput", "full", "price")
    )
    published: Series[int] = frames.field("Ports that the container publishes, else 0", ge=0)
    cores: Series[float] = frames.measure("CPUs of the machine", ge=1)

    reachable: Series[float] = frames.measure("1 if the server answered, else 0", le=1)
    refusal: Series[str] = frames.field("Why the server did not answer", nullable=True)
    served_by: Series[str] = frames.field(
        "Who served the connection: proxy, nat, both, process (neither) or nobody", nullable=True
    )
    source_class: Series[str] = frames.field(
        "Client's address as the server sees it: own, gateway, loopback or other", nullable=True
    )
    nat_connections: Series[float] = frames.measure("Connections counted by the DNAT rules")
    proxy_sockets: Series[float] = frames.measure("Sockets opened by docker-proxy")
    accepts_unheard: Series[float] = frames.measure(
        "1 if a published port without a listener accepts connections, else 0", le=1
    )
    algorithm: Series[str] = frames.field("TCP congestion control in use", nullable=True)
    iperf_version: Series[str] = frames.field("Version of iperf3", nullable=True)

    rate_bit_per_s: Series[float] = frames.measure("Throughput, one connection", "bit/s", gt=0)
    rate_4_bit_per_s: Series[float] = frames.measure("Throughput, 4 connections", "bit/s", gt=0)
    retransmits: Series[float] = frames.measure("Segments retransmitted, one connection")
    retransmits_4: Series[float] = frames.measure("Segments retransmitted, 4 connections")
    client_cpu: Series[float] = frames.measure("CPUs used by the client, one connection")
    server_cpu: Series[float] = frames.measure("CPUs used by the server, one connection")
    cpu_bound: Series[float] = frames.measure(
        "1 if client and server used at least 95 % of the CPUs, one connection, else 0", le=1
    )
    cpu_s_per_gb: Series[float] = frames.measure(
        "CPU time of the machine per 1e9 bytes, one connection", "s/GB"
    )
    cpu_4_s_per_gb: Series[float] = frames.measure(
        "CPU time of the machine per 1e9 bytes, 4 connections", "s/GB"
    )
    proxy_cpu_s_per_gb: Series[float] = frames.measure(
        "CPU time of docker-proxy per 1e9 bytes, one connection", "s/GB"
    )
    proxy_cpu_4_s_per_gb: Series[float] = frames.measure(
        "CPU time of docker-proxy per 1e9 bytes, 4 connections", "s/GB"
    )
    round_trip_p50_s: Series[float] = frames.measure(
        "Median of round trips, each from when its request was due", "s"
    )
    round_trip_p99_s: Series[float] = frames.measure(
        "99th percentile of at least 1000 round trips, each from when its request was due", "s"
    )
    connects_per_s: Series[float] = frames.measure(
        "Connections made and answered, one after the other", "1/s"
    )

    start_s: Series[float] = frames.measure("Start call of the container that publishes", "s")
    stop_s: Series[float] = frames.measure(
        "Kill and removal of that container, until its docker-proxy processes had ended", "s"
    )
    processes: Series[float] = frames.measure("Its docker-proxy processes")
    pss_bytes: Series[float] = frames.measure("PSS of these processes", "B")
    rss_bytes: Series[float] = frames.measure("RSS of these processes, shared pages in each", "B")


class Reports(frames.OfTrial):
    """What iperf3 itself reported, without names, addresses and cookie."""

    path: Series[str] = frames.field("Path from client to server")
    congestion: Series[str] = frames.field("TCP congestion control asked for")
    streams: Series[int] = frames.field("Parallel connections", ge=1)
    report: Series[str] = frames.field("JSON report of iperf3 without what names a machine")


TABLES = {"iperf3": Reports}

MOST_OF_CORES = 1.1
"""The CPU time of our CPUs is read before and after the second that iperf3 measures."""


def check_row(row: guards.Row) -> None:
    """Refuse a trial that cannot be.

    Raises
    ------
    DataError
        CPU time that the machine does not have (a lost unit of the rate or of
        the ticks), quantiles out of order, or a zero where nothing takes no time.
    """
    gb_per_s = guards.number(row, "rate_bit_per_s") / 8 / GB
    used = guards.number(row, "cpu_s_per_gb") * gb_per_s
    share = guards.ratio(used, guards.number(row, "cores"))
    guards.inside({"share_of_cores": share}, ["share_of_cores"], most=MOST_OF_CORES)
    guards.increasing(row, ["round_trip_p50_s", "round_trip_p99_s"])
    guards.no_zeros(row, ["cpu_s_per_gb", "round_trip_p50_s", "start_s", "stop_s"])


def check(trials: pd.DataFrame) -> None:
    """Refuse a table that cannot be.

    Raises
    ------
    DataError
        From 6 trials on, a clock of whole milliseconds.
    """
    guards.finer_than(trials, ["round_trip_p50_s", "start_s", "stop_s"], tick=1e-3)
