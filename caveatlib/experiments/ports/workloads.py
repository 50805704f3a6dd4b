"""What one trial of `ports` does at an opened site."""

from __future__ import annotations

from caveatlib.errors import MeasurementError
from caveatlib.experiments.ports import site, traffic
from caveatlib.measuring import machine
from caveatlib.places.base import TrialResult


def priced(place: site.Site, published: int) -> TrialResult:
    """Start and stop a container with so many published ports."""
    return TrialResult({"cores": machine.cores()} | traffic.price(place, published))


def called(place: site.Site, path: str, congestion: str, load: str) -> TrialResult:
    """Call the server over a path; where it answers, load the path.

    Raises
    ------
    MeasurementError
        If iperf3 saw another congestion control than the one that was set.
    """
    cores = machine.cores()
    algorithm = site.congest(place, congestion)
    measures = {"cores": cores, "algorithm": algorithm} | traffic.reach(place, path)
    reports = []
    if measures["reachable"] and load != "none":
        for streams in (1, 4) if load == "full" else (1,):
            found, report = traffic.throughput(place, path, streams=streams, cores=cores)
            measures |= _columns(found, streams, algorithm)
            named = {"path": path, "congestion": congestion, "streams": streams}
            reports.append(named | {"report": report})
    if measures["reachable"] and load == "full":
        measures |= traffic.round_trips(place, path) | traffic.connects(place, path)
    filled = {name: value for name, value in measures.items() if value != ""}
    return TrialResult(filled, {"iperf3": reports})


def _columns(found: dict, streams: int, algorithm: str) -> dict:
    """Name a test's figures by its streams; the trial's algorithm must be what it used."""
    if found["algorithm"] != algorithm:
        raise MeasurementError(
            f"iperf3 saw congestion control {found['algorithm']!r}. Must be {algorithm!r}."
        )
    return found if streams == 1 else {column: found[name] for column, name in _WITH_4.items()}


_WITH_4 = {
    "rate_4_bit_per_s": "rate_bit_per_s",
    "retransmits_4": "retransmits",
    "cpu_4_s_per_gb": "cpu_s_per_gb",
    "proxy_cpu_4_s_per_gb": "proxy_cpu_s_per_gb",
}
