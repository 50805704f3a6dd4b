"""Which arms `ports` has, in which designs, and how they are compared."""

from __future__ import annotations

from caveatlib import stats
from caveatlib.experiments.ports.site import PATHS
from caveatlib.measuring.designs import Arm, Design

PROXY, HAIRPIN, AGAIN = "engine-proxy", "engine-hairpin", "engine-proxy-again"
PRICED = 100
COUNTS = (1, 10, PRICED)

PUBLISHED = tuple(name for name, path in PATHS.items() if path.published)
PAIRED = tuple(name for name in PUBLISHED if PATHS[name].loaded and name != "other-network")
"""Loaded paths that connect under both settings, so that there is something to compare."""
ADDRESSED = tuple(name for name in PUBLISHED if name not in ("loopback-ipv6", "gateway"))
"""IPv6 is tried for reachability only; from the gateway, own and gateway are the same."""
MEASURES = {"throughput": "rate_bit_per_s", "cpu": "cpu_s_per_gb"}
"""Aspect of a path -> what is compared."""


def _arm(place: str, path: str = "", congestion: str = "", load: str = "none", published: int = 0):
    return Arm(
        place, {"path": path, "congestion": congestion, "load": load, "published": published}
    )


def _path_arms() -> tuple[Arm, ...]:
    """Return every path under either setting, and the A/A control where a claim is judged."""
    arms = [
        _arm(place, path, "reno", "full" if PATHS[path].loaded else "none")
        for place in (PROXY, HAIRPIN)
        for path in PATHS
        if (place, path) != (HAIRPIN, "host-network")  # no engine's matter
    ]
    return (*arms, *(_arm(AGAIN, path, "reno", "throughput") for path in PAIRED))


DESIGNS = (
    Design("paths", _path_arms(), block_s=65, lead_in=True),
    Design(
        "congestion",
        tuple(
            _arm(place, path, "default", "throughput")
            for place in (PROXY, HAIRPIN)
            for path in ("loopback", "hairpin", "outside")
        ),
        block_s=8,
        optional=True,
    ),
    Design(
        "many-ports",
        tuple(_arm(p, load="price", published=n) for p in (PROXY, HAIRPIN) for n in COUNTS),
        block_s=15,
    ),
)
"""``paths`` is what the claims are judged by, ``many-ports`` the one about memory."""


def where(path: str, place: str, design: str = "paths") -> dict:
    """Return the filter of a path under a setting."""
    return {"design": design, "path": path, "place": place}


def contrast(
    path: str, measure: str, *, arm: str = HAIRPIN, design: str = "paths", name: str = ""
) -> stats.Contrast:
    """Return the comparison of a setting with the proxy, over one path.

    Engines are started afresh for every session, so sessions are compared.
    """
    arms = where(path, arm, design), where(path, PROXY, design)
    return stats.Contrast(name or path, measure, *arms, pairing="session")


def _priced(place: str) -> dict:
    return {"design": "many-ports", "place": place, "published": PRICED}


LESS_MEMORY = stats.Contrast(
    "memory", "pss_bytes", _priced(HAIRPIN), _priced(PROXY), pairing="session", kind="difference"
)
