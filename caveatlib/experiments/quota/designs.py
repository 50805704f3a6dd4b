"""What `quota` compares: arms that fit a machine, in designs, and the filters of their trials."""

from __future__ import annotations

from functools import partial

from caveatlib.experiments.quota.claims import WORKERS
from caveatlib.experiments.quota.cpu_counts import installed
from caveatlib.experiments.quota.places import PLACES
from caveatlib.experiments.quota.schema import BURSTS, UNLIMITED
from caveatlib.experiments.quota.workloads import COST_S, requests_of
from caveatlib.measuring.designs import Arm, Design

LITTLE_LOAD = 0.2
SIZE_TWICE = "2"
"""Size of burst whose trials without a limit come twice, for the A/A control."""
SAMPLE_S = 0.01
CLAIMED = 12
"""Sessions with blocks of what most claims are decided by: 48 blocks are enough."""
CORE_QUOTAS, CORE_PERIODS, CORE_WORKERS = (0.25, 0.5, 1.0, 2.0), (0.01, 0.1), (1, 4)
WEIGHTS = (2.0, 10.0)

IN_CLAIMS = {"design": "claims", "place": "cgroup"}
FULL = IN_CLAIMS | {"pattern": "full", "period_s": 0.1}
IDLE = IN_CLAIMS | {"pattern": "bursts", "load": LITTLE_LOAD}
HALF_LOADED = IN_CLAIMS | {"pattern": "bursts", "load": 0.5}
BUSY = IN_CLAIMS | {"pattern": "beside-busy"}
LIMITED = {"design": "limit", "place": "cgroup", "pattern": "bursts"}
FREE = {"design": "limit", "place": "cgroup", "pattern": UNLIMITED, "replicate": 0}


def sized(size: str, pattern: str, **conditions: object) -> dict:
    """Return the filter of the trials with bursts of a size, with a limit or without."""
    return {"design": "sizes", "place": "cgroup", "pattern": pattern, "burst": size} | conditions


def usual_quota(cores: int) -> float:
    """Return the quota in CPUs that the claims are decided at, below the machine's cores."""
    return 1.0 if cores > 1 else 0.5


def arm(place: str = "cgroup", *, cores: int, **conditions) -> Arm:
    """Return an arm with all its conditions, the usual ones where none are given."""
    usual = {
        "pattern": "bursts",
        "quota_cpus": usual_quota(cores),
        "period_s": 0.1,
        "workers": WORKERS,
        "load": 0.5,
        "burst": "",
        "weight_ratio": 1.0,
        "tool": "",
        "cores": cores,
        "replicate": 0,
        "sampled_s": 0.0,
    }
    return Arm(place, usual | conditions)


def designs_for(cores: int) -> tuple[Design, ...]:
    """Return the designs that fit a machine: quota and generator stay below its cores.

    ``claims`` decides most claims, ``limit`` has the same bursts with a limit and
    without, ``sizes`` the same for bursts of other sizes; ``tools`` and ``once`` (a
    timeline) are done once; the others wait under a time budget.
    """
    arms = partial(arm, cores=cores)
    usual, small = usual_quota(cores), usual_quota(cores) / 2
    core = [
        {"quota_cpus": quota, "period_s": period, "workers": workers}
        for quota in CORE_QUOTAS
        for period in CORE_PERIODS
        for workers in CORE_WORKERS
        if quota < cores and quota * period >= 0.001
    ]
    decisive = (
        arms(pattern="full", quota_cpus=small, load=0.0),
        arms(pattern="full", quota_cpus=usual, period_s=0.01, load=0.0),
        arms("docker", pattern="full", quota_cpus=small, load=0.0),
        arms(load=LITTLE_LOAD),
        arms(),
        arms(replicate=1),
        arms(period_s=0.01),
        arms(pattern="beside-busy", load=0.4),
        arms(pattern="beside-busy", load=0.4, period_s=0.01),
    )
    limit = (arms(), arms(pattern=UNLIMITED), arms(pattern=UNLIMITED, replicate=1))
    sizes = (
        *(arms(pattern=p, burst=size) for size in BURSTS for p in ("bursts", UNLIMITED)),
        arms(pattern=UNLIMITED, burst=SIZE_TWICE, replicate=1),
    )
    once = (arms(load=LITTLE_LOAD, sampled_s=SAMPLE_S),)
    asked = {
        place: tuple(
            arms(place, pattern="tool", tool=tool, quota_cpus=0.5, workers=0, load=0.0)
            for tool in installed()
        )
        for place in PLACES
    }
    weights = tuple(arms(pattern="weights", weight_ratio=r, load=0.0) for r in WEIGHTS)
    by_load = tuple(arms(pattern=p, load=x) for p in ("steady", "bursts") for x in (0.2, 0.5, 0.8))
    known = arms(pattern="steady", workers=1)
    return (
        Design("tools", asked["cgroup"], block_s=5, sessions=1),  # soon done, and decides C07
        Design("claims", decisive, 22, blocks_per_session=4, sessions=CLAIMED, lead_in=True),
        Design("limit", limit, block_s=_block_s(limit), lead_in=True),
        Design("once", once, block_s=5, sessions=1),
        Design("tools-docker", asked["docker"], block_s=8, sessions=1, optional=True),
        Design("weights", (*weights, known), block_s=6, optional=True),
        Design("sizes", sizes, block_s=_block_s(sizes), lead_in=True, optional=True),
        Design("loads", by_load, block_s=_block_s(by_load), every=4, optional=True),
        _design("core", core, arms, every=5, pattern="bursts"),
        _design("core-steady", core, arms, every=8, pattern="steady"),
        _design("core-docker", core, arms, place="docker", every=8),
        _design("timeline", core, arms, sampled_s=SAMPLE_S, sessions=1),
    )


DESIGNS = designs_for


def _design(name, core, arms, *, every=1, sessions=None, **conditions) -> Design:
    made = tuple(arms(**conditions, **each) for each in core)
    return Design(name, made, _block_s(made), every=every, sessions=sessions, optional=True)


def _block_s(arms: tuple[Arm, ...]) -> float:
    """Return about how long arms of requests take, from their load."""
    each = [arm.conditions for arm in arms]
    spans = [requests_of(c) * COST_S / (c["load"] * c["quota_cpus"]) for c in each]
    return round(sum(span + 0.3 for span in spans))
