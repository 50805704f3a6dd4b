"""Which arms `ports` has, in which designs, and how they are compared."""

from __future__ import annotations

from typing import NamedTuple

from caveatlib import stats
from caveatlib.experiments.ports.flows import FLOWS, LOADS, PROCESSES_CPU
from caveatlib.experiments.ports.pinning import APART, FREE, SPREAD, TOGETHER
from caveatlib.experiments.ports.site import PATHS
from caveatlib.measuring.designs import Arm, Design

PROXY, HAIRPIN = "engine-proxy", "engine-hairpin"
AGAIN, HAIRPIN_AGAIN = "engine-proxy-again", "engine-hairpin-again"
PRICED = 100
COUNTS = (1, 10, PRICED)

PUBLISHED = tuple(name for name, path in PATHS.items() if path.published)
PAIRED = tuple(name for name in PUBLISHED if PATHS[name].loaded and name != "other-network")
"""Loaded paths that connect under both settings, so that there is something to compare."""
ADDRESSED = tuple(name for name in PUBLISHED if name not in ("loopback-ipv6", "gateway"))
"""IPv6 is tried for reachability only; from the gateway, own and gateway are the same."""
MEASURES = {"throughput": "rate_bit_per_s", "cpu": "cpu_s_per_gb"}
"""Aspect of a path -> what is compared."""


class Case(NamedTuple):
    """What the size of the CPU per byte hangs on, besides the setting.

    Attributes
    ----------
    path : str
    placement : str
        Of the arm with the proxy, see `pinning.PLACEMENTS`.
    congestion : {"reno", "default"}
    flow : str
        One of `flows.FLOWS`.
    """

    path: str
    placement: str
    congestion: str
    flow: str


PLACED = (
    ("loopback", TOGETHER, "reno", "sized"),
    ("loopback", APART, "reno", "sized"),
    ("loopback", TOGETHER, "default", "streams"),
    ("loopback", APART, "default", "streams"),
    ("loopback", SPREAD, "reno", "rated"),
    ("hairpin", APART, "reno", "rated"),
)
"""Path, placement, congestion control and load of each pinned arm with the proxy."""
CASES = tuple(
    Case(path, placement, congestion, flow)
    for path, placement, congestion, load in PLACED
    for flow in LOADS[load]
)


def _arm(
    place: str,
    path: str = "",
    congestion: str = "",
    load: str = "none",
    published: int = 0,
    placement: str = FREE,
) -> Arm:
    conditions = {"path": path, "congestion": congestion, "load": load, "published": published}
    return Arm(place, conditions | {"placement": placement})


_TRIED = tuple(
    (place, path)
    for place in (PROXY, HAIRPIN)
    for path in PATHS
    if (place, path) != (HAIRPIN, "host-network")  # no engine's matter
)


def _path_arms() -> tuple[Arm, ...]:
    """Return every path under either setting, and the A/A control where a claim is judged."""
    arms = [
        _arm(place, path, "reno", "throughput" if PATHS[path].loaded else "none")
        for place, path in _TRIED
    ]
    return (*arms, *(_arm(AGAIN, path, "reno", "throughput") for path in PAIRED))


def _pinned_arms() -> tuple[Arm, ...]:
    """Return the arms of all cases, with either setting twice for the A/A controls.

    Without the proxy two placements are one, so there are fewer arms of it.
    """
    arms = []
    for path, placement, congestion, load in PLACED:
        arms.append(_arm(PROXY, path, congestion, load, placement=placement))
        if congestion == "reno":
            arms.append(_arm(AGAIN, path, congestion, load, placement=placement))
        arms.append(_arm(HAIRPIN, path, congestion, load, placement=unproxied(placement)))
    again = _arm(HAIRPIN_AGAIN, "loopback", "reno", "sized", placement=TOGETHER)
    return (*{str(arm): arm for arm in arms}.values(), again)


def unproxied(placement: str) -> str:
    """Return the placement that is the same for client and server, with no proxy to place."""
    return TOGETHER if placement == APART else placement


_TIMED = tuple(_arm(place, path, "reno", "latency") for place, path in _TRIED if PATHS[path].loaded)
DESIGNS = (
    Design("paths", _path_arms(), block_s=26, lead_in=True),
    Design("latency", _TIMED, block_s=22, every=5, optional=True),
    Design("pinned", _pinned_arms(), block_s=39, blocks_per_session=3, lead_in=True, optional=True),
    Design(
        "many-ports",
        tuple(_arm(p, load="price", published=n) for p in (PROXY, HAIRPIN) for n in COUNTS),
        block_s=12,
    ),
)
"""``paths`` is what most claims are judged by, ``pinned`` those about the CPU per byte case by
case, in three readings a session, and ``many-ports`` the one about memory."""


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


def pinned(case: Case, place: str) -> dict:
    """Return the filter of a case's trials in one of the engines."""
    bare = place in (HAIRPIN, HAIRPIN_AGAIN)
    placement = unproxied(case.placement) if bare else case.placement
    return where(case.path, place, "pinned") | {
        "placement": placement,
        "congestion": case.congestion,
    }


def compared(
    case: Case,
    *,
    arm: str = HAIRPIN,
    baseline: str = PROXY,
    figure: str = PROCESSES_CPU,
    name: str = "",
) -> stats.Contrast:
    """Return the comparison of two engines in one case; `figure` as `flows.Flow.columns` has it."""
    arms = pinned(case, arm), pinned(case, baseline)
    measure = FLOWS[case.flow].columns[figure]
    return stats.Contrast(name or "/".join(case), measure, *arms, pairing="session")


def _priced(place: str) -> dict:
    return {"design": "many-ports", "place": place, "published": PRICED}


LESS_MEMORY = stats.Contrast(
    "memory", "pss_bytes", _priced(HAIRPIN), _priced(PROXY), pairing="session", kind="difference"
)
