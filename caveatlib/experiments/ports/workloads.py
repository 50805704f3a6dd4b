"""What one trial of `ports` does at an opened site."""

from __future__ import annotations

from collections.abc import Mapping

from caveatlib.errors import MeasurementError
from caveatlib.experiments.ports import site, traffic
from caveatlib.experiments.ports.flows import FLOWS, LOADS, TIMED, Flow
from caveatlib.measuring import machine
from caveatlib.places.base import TrialResult


def priced(place: site.Site, published: int) -> TrialResult:
    """Start and stop a container with so many published ports."""
    return TrialResult({"cores": machine.cores()} | traffic.price(place, published))


def called(place: site.Site, conditions: Mapping) -> TrialResult:
    """Call the server over a path; where it answers, load the path.

    Raises
    ------
    MeasurementError
        If iperf3 saw another congestion control than the one that was set.
    """
    names = ("path", "congestion", "load", "placement")
    path, congestion, load, placement = (conditions[name] for name in names)
    cores = machine.cores()
    algorithm = site.congest(place, congestion)
    measures = {"cores": cores, "algorithm": algorithm} | traffic.reach(place, path)
    reports = []
    if measures["reachable"]:
        for flow in (FLOWS[name] for name in LOADS[load]):
            found, report = traffic.throughput(
                place,
                path,
                streams=flow.streams,
                cores=cores,
                placement=placement,
                bit_per_s=flow.bit_per_s,
            )
            measures |= _columns(found, flow, algorithm)
            where = {"path": path, "congestion": congestion, "placement": placement}
            flown = {"streams": flow.streams, "rate": flow.rate}
            reports.append(where | flown | {"report": report})
    if measures["reachable"] and load in TIMED:
        measures |= traffic.round_trips(place, path) | traffic.connects(place, path)
    filled = {name: value for name, value in measures.items() if value != ""}
    return TrialResult(filled, {"iperf3": reports})


def _columns(found: dict, flow: Flow, algorithm: str) -> dict:
    """Name a test's figures by its flow; the trial's algorithm must be what it used."""
    if found["algorithm"] != algorithm:
        raise MeasurementError(
            f"iperf3 saw congestion control {found['algorithm']!r}. Must be {algorithm!r}."
        )
    return {column: found[name] for name, column in flow.columns.items()}
