"""The claims of `ports`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger
from caveatlib.experiments.ports.designs import ADDRESSED, PAIRED, PRICED, PUBLISHED

NAME = "ports"
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
        "received bit/s, one connection, ratio above 1",
    ),
    "cpu": (
        PAIRED,
        "less CPU per byte without the proxy",
        "CPU seconds of the machine per 1e9 bytes, one connection, ratio below 1",
    ),
}

WHOLE = from_ledger(
    "C17",
    decides="its parts, path by path, with reno in every namespace; mixed if some hold and "
    "others do not",
)
PARTS = {
    (path, aspect): Claim(f"C17/{path}/{aspect}", f"{path}: {text}", "derived", decides, NAME)
    for path in PUBLISHED
    for aspect, (tried, text, decides) in _ASPECTS.items()
    if path in tried
}
"""Path and aspect -> claim."""
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
CLAIMS = (WHOLE, *PARTS.values(), MEMORY, EARLY)
