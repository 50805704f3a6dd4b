"""Trials of `ports` as they would be if the proxy cost twice the CPU on its paths, seeded."""

import itertools
from functools import cache

import numpy as np

from caveatlib import claims, frames
from caveatlib.experiments import ports
from caveatlib.experiments.ports import site
from caveatlib.experiments.ports.designs import AGAIN, HAIRPIN, HAIRPIN_AGAIN, PROXY
from caveatlib.experiments.ports.flows import FLOWS, PROCESSES_CPU
from caveatlib.measuring.designs import Arm, Design

PROXIED = ("loopback", "hairpin", "self", "other-network", "loopback-ipv6")
LOST = ("other-network", "loopback-ipv6")
BARE = (HAIRPIN, HAIRPIN_AGAIN)
GAIN = {PROXY: 1.0, AGAIN: 1.0} | dict.fromkeys(BARE, 0.5)
COSTS = ["cpu_s_per_gb", *(flow.columns[PROCESSES_CPU] for flow in FLOWS.values())]
CALLED = {"path": "outside", "congestion": "reno", "placement": "", "load": "throughput",
          "published": 0}  # fmt: skip
CONGESTION = Design(
    "congestion",
    tuple(
        Arm(place, CALLED | {"path": path, "congestion": "default"})
        for place in (PROXY, HAIRPIN)
        for path in ("loopback", "hairpin", "outside")
    ),
    block_s=8,
)
"""A design of version 1: the machine's own congestion control, as the scheduler places."""


def source(path: str, place: str) -> str:
    if path == "host-network":
        return "loopback"
    if place in BARE:
        return "own" if path in ("hairpin", "outside", "direct", "gateway") else "gateway"
    return "gateway" if path in PROXIED else "own"


def measured(path: str, place: str, noise: float, cores: int, pinned: bool) -> dict:
    """Return what a trial would measure where the proxy costs twice the CPU on its paths."""
    if place in BARE and path in LOST:
        return {"cores": cores, "reachable": 0, "refusal": "timed out", "served_by": "nobody",
                "accepts_unheard": 0}  # fmt: skip
    proxied = path in PROXIED and place not in BARE
    row = {"cores": cores, "reachable": 1, "source_class": source(path, place),
           "served_by": "proxy" if proxied else "nat", "accepts_unheard": int(proxied)}  # fmt: skip
    if site.PATHS[path].loaded:
        cpu = noise * (GAIN[place] if path in PROXIED else 1.0)
        row |= {"cpu_s_per_gb": cpu, "rate_bit_per_s": 2e10 / cpu, "algorithm": "reno"}
        row |= dict.fromkeys(COSTS if pinned else (), cpu)
    return row


def trials(sessions: int = 10, *, cores: int = 2):
    """Return trials of so many sessions, seeded."""
    return _trials(sessions, cores).copy()


@cache
def _trials(sessions: int, cores: int, noise: float = 0.01):
    rng, rows = np.random.default_rng(2), []  # by which no control fails by chance
    for session, design in itertools.product(range(sessions), (*ports.DESIGNS, CONGESTION)):
        for position, arm in enumerate(design.arms):
            row = {
                "run": "2026-01-01T00:00:00Z", "source": "live", "machine": "m", "ok": True,
                "session": session, "design": design.name, "block": session, "error": "",
                "position": position, "place": arm.place, "started_at": "", **arm.conditions,
            }  # fmt: skip
            factor = float(np.exp(rng.normal(0, noise)))
            if design.name == "many-ports":
                proxies = 0 if arm.place == HAIRPIN else arm.conditions["published"]
                row |= {"cores": cores, "start_s": factor, "stop_s": factor,
                        "processes": proxies, "pss_bytes": 1e6 * proxies * factor}  # fmt: skip
            else:
                pinned = design.name == "pinned"
                row |= measured(arm.conditions["path"], arm.place, factor, cores, pinned)
            rows.append(row)
    return frames.from_rows(rows, ports.Trials)


def swapped(frame):
    """Exchange the two settings; the A/A control repeats the one that is now called proxy."""
    names = {PROXY: HAIRPIN, HAIRPIN: PROXY}
    again = (frame["place"] == AGAIN) & frame["path"].isin(PROXIED)
    costs = {name: frame[name].where(~again, frame[name] * GAIN[HAIRPIN]) for name in COSTS}
    return frame.assign(place=frame["place"].replace(names), **costs)


def judged(frame) -> dict:
    return {v.claim: v for v in claims.judge(frame, ports.DECISIONS)}


def with_own_control(frame, factor=1.0, name="bbr"):
    """Let the machine's own congestion control be another, under which the CPU changes so."""
    own = frame["congestion"] == "default"
    off = own & (frame["place"] == HAIRPIN)
    cpu = frame["cpu_s_per_gb"].where(~off, frame["cpu_s_per_gb"] * factor)
    return frame.assign(
        algorithm=frame["algorithm"].where(~own, name),
        cpu_s_per_gb=cpu,
        rate_bit_per_s=frame["rate_bit_per_s"].where(~off, frame["rate_bit_per_s"] / factor),
    )
