"""The claims of `ports`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger
from caveatlib.experiments.ports.designs import (
    ADDRESSED,
    CASES,
    PAIRED,
    PRICED,
    PUBLISHED,
    Case,
)
from caveatlib.experiments.ports.flows import FLOWS
from caveatlib.experiments.ports.pinning import PLACEMENTS

NAME = "ports"
_CONGESTION = {"reno": "reno", "default": "the machine's own congestion control"}
"""Congestion control that is asked for, in words."""
_ASPECTS = {
    "reachable": (
        PUBLISHED,
        "connects without the proxy",
        "the server's own answer in every session; not decided where neither setting connects",
    ),
    "address": (
        ADDRESSED,
        "the server sees no less of the client's address without the proxy",
        "the address that the server itself reports: lost if it is the client's own with the "
        "proxy and another without",
    ),
    "throughput": (
        PAIRED,
        "more throughput without the proxy",
        "received bit/s, one connection, placed by the scheduler, ratio above 1",
    ),
    "cpu": (
        PAIRED,
        "less CPU per byte without the proxy",
        "CPU seconds of the machine per 1e9 bytes, one connection at full speed, placed by the "
        "scheduler, ratio below 1; where all CPUs are busy it is the throughput inverted",
    ),
}


def named(case: Case) -> str:
    """Return the name of a case within a claim's id: ``"loopback-apart-reno-four"``."""
    return "-".join(case)


def _in_words(case: Case) -> str:
    """Return what is the same in both arms of a case, besides its path."""
    placement, control = PLACEMENTS[case.placement], _CONGESTION[case.congestion]
    return f"{placement}, {control}, {FLOWS[case.flow].words}"


def _sized(case: Case) -> Claim:
    borrowed = "" if case.congestion == "reno" else "; its A/A control is that of reno"
    return Claim(
        f"C17/{named(case)}/cpu",
        f"{case.path}: less CPU per byte without the proxy; {_in_words(case)}",
        "derived",
        "CPU seconds of client, server and docker-proxy per 1e9 bytes, median of three readings "
        f"a session, {_in_words(case)}, ratio below 1{borrowed}",
        NAME,
    )


WHOLE = from_ledger(
    "C17",
    decides="its parts, path by path with reno in every namespace, and case by case with client, "
    "server and docker-proxy pinned; mixed if some hold and others do not. A size is a range over "
    "all that hold",
)
PARTS = {
    (path, aspect): Claim(f"C17/{path}/{aspect}", f"{path}: {text}", "derived", decides, NAME)
    for path in PUBLISHED
    for aspect, (tried, text, decides) in _ASPECTS.items()
    if path in tried
}
"""Path and aspect -> claim."""
SIZED = {case: _sized(case) for case in CASES}
"""Case of the pinned design -> claim about its CPU per byte."""
MEMORY = Claim(
    "C17/memory",
    "less memory without the proxy",
    "derived",
    f"PSS of docker-proxy with {PRICED} published ports, difference below 0",
    NAME,
)
EARLY = Claim(
    "ports-accepts-early",
    "docker-proxy accepts on loopback before anybody listens; from outside nothing does",
    "ours",
    "connections to a published port without a listener",
    NAME,
)
