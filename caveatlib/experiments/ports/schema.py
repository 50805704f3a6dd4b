"""What a trial of `ports` states: its columns, the further table, and the guards over them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.errors import DataError, MeasurementError
from caveatlib.experiments.ports.flows import (
    FLOWS,
    GB,
    LOADS,
    MACHINE_CPU,
    PROCESSES_CPU,
    PROXY_CPU,
    RATE,
    TIMED,
    Flow,
)
from caveatlib.experiments.ports.pinning import FREE, PLACEMENTS
from caveatlib.instruments import iperf3
from caveatlib.stats import guards

TICK_S = 0.01
"""Unit of the CPU time in ``/proc/stat``, on every Linux."""


class Trials(frames.Trials):
    """One path under one setting, or one container with many published ports."""

    path: Series[str] = frames.field("Path from client to server")
    congestion: Series[str] = frames.field(
        "TCP congestion control asked for: reno, or default, the machine's own",
        isin=("", "reno", "default"),
    )
    load: Series[str] = frames.field(
        "What is measured besides reachability", isin=(*LOADS, "price")
    )
    published: Series[int] = frames.field("Ports that the container publishes, else 0", ge=0)
    placement: Series[str] = frames.field(
        "CPUs of client, server and docker-proxy: together on one, apart (docker-proxy on "
        "another), spread (the server on another); empty: as the scheduler places them",
        isin=(FREE, *PLACEMENTS),
        later=True,
    )
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
    processes_cpu_s_per_gb: Series[float] = frames.measure(
        "CPU time of client, server and docker-proxy per 1e9 bytes, one connection",
        "s/GB",
        later=True,
    )
    processes_cpu_4_s_per_gb: Series[float] = frames.measure(
        "CPU time of client, server and docker-proxy per 1e9 bytes, 4 connections",
        "s/GB",
        later=True,
    )
    rate_fixed_bit_per_s: Series[float] = frames.measure(
        f"Throughput, {FLOWS['fixed'].words}",
        "bit/s",
        later=True,
        paced=True,
        gt=0,
    )
    proxy_cpu_fixed_s_per_gb: Series[float] = frames.measure(
        f"CPU time of docker-proxy per 1e9 bytes, {FLOWS['fixed'].words}", "s/GB", later=True
    )
    processes_cpu_fixed_s_per_gb: Series[float] = frames.measure(
        f"CPU time of client, server and docker-proxy per 1e9 bytes, {FLOWS['fixed'].words}",
        "s/GB",
        later=True,
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
    placement: Series[str] = frames.field(
        "CPUs of client, server and docker-proxy", isin=(FREE, *PLACEMENTS), later=True
    )
    rate: Series[str] = frames.field(
        "Rate that was asked for: fixed, or empty for as much as possible",
        isin=tuple(dict.fromkeys(flow.rate for flow in FLOWS.values())),
        later=True,
    )
    report: Series[str] = frames.field("JSON report of iperf3 without what names a machine")


TABLES = {"iperf3": Reports}

MOST_OF_CORES = 1.1
"""The CPU time of our CPUs is read before and after the second that iperf3 measures."""
LEAST_OF_USED = 0.8
"""The machine's CPU time over that of client, server and proxy, each read at its own instant."""
PROXY_BYTES = 0.2e6, 50e6
"""PSS of one docker-proxy process: a program of a few megabytes, most of them shared."""
_LATENCIES = ("round_trip_p50_s", "connects_per_s")
_BEFORE = ("throughput", "full")
"""Loads of recordings that lack the CPU time of the processes."""


def _needed(load: str) -> tuple[str, ...]:
    figures = (RATE, MACHINE_CPU) if load in _BEFORE else (RATE, MACHINE_CPU, PROCESSES_CPU)
    columns = (FLOWS[name].columns for name in LOADS[load])
    needed = [of[figure] for of in columns for figure in figures if figure in of]
    return (*needed, *(_LATENCIES if load in TIMED else ()))


NEEDS = {load: _needed(load) for load in LOADS}
"""Load -> the measures without which the trial of a path that connects has failed."""
_PRICE = ("processes", "pss_bytes", "start_s", "stop_s")
_COSTS = (MACHINE_CPU, PROCESSES_CPU)


def check_row(row: guards.Row) -> None:
    """Refuse a trial that cannot be.

    Raises
    ------
    DataError
        A measure is missing, CPU time that the machine does not have or that is less than
        that of its processes (a lost unit of the rate or of the ticks), memory that no
        process has, quantiles out of order, or a zero where nothing takes no time.
    """
    if row["load"] == "price":
        guards.needs(row, _PRICE)
    else:
        guards.needs(row, ["reachable", *(NEEDS[str(row["load"])] if row["reachable"] else ())])
    costs = [of.columns[f] for of in FLOWS.values() for f in _COSTS if f in of.columns]
    guards.no_zeros(row, [*costs, "round_trip_p50_s", "start_s", "stop_s"])
    _check_cpu(row)
    processes = guards.number(row, "processes")
    if processes:
        each = {"pss_bytes per process": guards.number(row, "pss_bytes") / processes}
        guards.inside(each, list(each), least=PROXY_BYTES[0], most=PROXY_BYTES[1])
    guards.increasing(row, ["round_trip_p50_s", "round_trip_p99_s"])


def _check_cpu(row: guards.Row) -> None:
    gb_per_s = guards.number(row, "rate_bit_per_s") / 8 / GB
    used = guards.number(row, "cpu_s_per_gb") * gb_per_s
    share = guards.ratio(used, guards.number(row, "cores"))
    guards.inside({"share_of_cores": share}, ["share_of_cores"], most=MOST_OF_CORES)
    known = guards.number(row, "client_cpu") + guards.number(row, "server_cpu")
    known += guards.number(row, "proxy_cpu_s_per_gb") * gb_per_s
    _covers(guards.ratio(used, known))
    for columns in (FLOWS[name].columns for name in LOADS["full"]):
        machine, own = (guards.number(row, columns[f]) for f in (MACHINE_CPU, PROCESSES_CPU))
        _covers(guards.ratio(machine, own))


def _covers(share: float) -> None:
    """Require the machine's CPU time to be no less than that of its processes."""
    guards.inside(
        {"machine_over_processes": share}, ["machine_over_processes"], least=LEAST_OF_USED
    )


def check(trials: pd.DataFrame) -> None:
    """Refuse a table that cannot be.

    Raises
    ------
    DataError
        From 6 trials on, a clock of whole milliseconds; a start or a stop that is longer
        than its trial.
    """
    guards.finer_than(trials, ["round_trip_p50_s", "start_s", "stop_s"], tick=1e-3)
    guards.fits(trials, ["start_s", "stop_s"])


def check_tables(tables: Mapping[str, pd.DataFrame]) -> None:
    """Require the trials to say what iperf3 reported.

    Raises
    ------
    DataError
        A report that is there twice; a rate is another than in its report, or has none; CPU
        time of the machine per byte that, times the bytes of its report, is not a whole number of
        ticks; CPU time of the processes that is not what client and server reported, and
        docker-proxy's.
    """
    key = ["run", "design", "block", "place", "path", "congestion", "placement"]
    reported = tables["iperf3"].set_index([*key, "streams", "rate"])["report"]
    for twice in reported.index[reported.index.duplicated()]:
        raise DataError(f"Report {twice} stands twice in table 'iperf3'. Must be one of each flow.")
    reports, trials = reported.to_dict(), tables["trials"]
    for flow in FLOWS.values():
        rate = flow.columns[RATE]
        measured = trials[trials["ok"] & trials[rate].notna()]
        for index, row in zip(measured.index, measured.to_dict("records"), strict=True):
            where = (*(row[name] for name in key), flow.streams, flow.rate)
            if where not in reports:
                raise DataError(
                    f"Value {row[rate]:g} of {rate!r} in row {index} has no report of iperf3. "
                    "Must have one in table 'iperf3'."
                )
            _check_report(row, flow, reports[where], f"in row {index}")


def _check_report(row: Mapping, flow: Flow, text: str, where: str) -> None:
    rate, own = (flow.columns[figure] for figure in (RATE, PROCESSES_CPU))
    try:
        report = iperf3.parse(text)
    except MeasurementError as error:
        raise DataError(f"Report of {rate!r} {where} is none: {error}") from None
    if not math.isclose(row[rate], report.rate_bit_per_s, rel_tol=1e-9):
        raise DataError(
            f"Value {row[rate]:g} of {rate!r} {where} is not what iperf3 reported. Must be "
            f"{report.rate_bit_per_s:g}; was a unit lost?"
        )
    gigabytes = report.received_bytes / GB
    if cpu := flow.columns.get(MACHINE_CPU):
        ticks = row[cpu] * gigabytes / TICK_S
        if abs(ticks - round(ticks)) > 1e-3:
            raise DataError(
                f"Value {row[cpu]:g} of {cpu!r} {where} is {ticks:.2f} ticks of {TICK_S:g} s for "
                f"the {report.received_bytes} bytes of its report. Must be whole ticks; was it "
                "per GiB?"
            )
    reported = report.cpu_s / gigabytes + row[flow.columns[PROXY_CPU]]
    if not math.isnan(row[own]) and not math.isclose(row[own], reported, rel_tol=1e-6):
        raise DataError(
            f"Value {row[own]:g} of {own!r} {where} is not what iperf3 reported of both ends, and "
            f"docker-proxy's. Must be {reported:g}; was a unit lost?"
        )
