"""The claims of `quota`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger
from caveatlib.experiments.quota.cpu_counts import TOOLS
from caveatlib.experiments.quota.schema import BURSTS
from caveatlib.support.quantities import percent

NAME = "quota"
NEARLY_ALL = 0.8
"""A quota of which more than this was used was nearly used up."""
WORKERS = 4
"""Processes that serve requests where a claim is decided."""
TWICE = "twice what the quota allows in a period of 100 ms"
"""Size of the bursts that most claims are decided by."""
LONGER = 1.1
"""Bursts that wait less than a tenth longer do not wait."""
_SHORTER = "p90 of latency with 10 ms periods over 100 ms periods, ratio below 1"


def _part(part: str, text: str, decides: str) -> Claim:
    return Claim(part, text, "derived", decides, NAME)


def _used(part: str, quota: str) -> Claim:
    return _part(
        f"C08/{part}",
        f"under full load a group uses {quota}, no less and no more",
        "CPU time used over the CPU time allowed, within 5 % of 1; a trial beside which others "
        "took too much CPU time has failed, whatever the group used",
    )


def _weighted(ratio: int) -> Claim:
    return _part(
        f"C08/weights-{ratio}",
        f"of two groups on one core, the one of {ratio} times the weight gets {ratio} times the "
        "CPU time",
        f"CPU time of the heavier group over that of the lighter, within 10 % of {ratio}",
    )


def _sized(size: str) -> Claim:
    return Claim(
        f"quota-sizes/{size}",
        f"a CPU limit that is half used makes bursts of {size} times what it allows in a period "
        f"of 100 ms wait, {WORKERS} workers",
        "ours",
        f"p90 of latency of the same bursts with the limit over without, ratio above {LONGER:g}; "
        "its A/A control is of bursts of twice that",
        NAME,
    )


CONTROL = from_ledger(
    "C08",
    decides="whether quotas (within 5 %) and weights (within 10 %) give the CPU time that they "
    "say, part by part; it is about CPU time only, limits of memory and of processes are tried "
    "in `limits`",
)
LONG = _used("quota-100ms", "its quota over 100 ms")
SHORT = _used("quota-10ms", "its quota over 10 ms")
DOCKER = _used("docker", "the quota over 100 ms that Docker sets")
DOUBLE, TENFOLD = _weighted(2), _weighted(10)
MAGIC = from_ledger(
    "C07",
    decides="whether each tool, in the version and on the cgroup version named, reports fewer "
    "CPUs when the quota is below the machine's; holds if none does",
)
SEEING = {
    tool: _part(
        f"C07/{tool}",
        f"{tool} sees its CPU limit",
        "whether it reports no more CPUs than the quota, rounded up, where the machine has more, "
        "in the version and on the cgroup version named",
    )
    for tool in TOOLS
}
THROTTLING = Claim(
    "quota-bursts",
    "a service that uses a fifth of its quota on average is throttled when its work comes "
    f"in bursts of {TWICE}, {WORKERS} workers",
    "ours",
    "throttled share of the active periods, above 0.01; it demonstrates the mechanism, since "
    "each burst is sized to need twice the quota of a 100 ms period",
    NAME,
)
LATENCY = Claim(
    "quota-latency",
    f"a CPU limit that is not used up on average makes bursts of {TWICE} wait, {WORKERS} workers",
    "ours",
    "p90 of latency of the same bursts with the limit over without, ratio above 1, where at "
    f"most {percent(NEARLY_ALL)} of the limit was used",
    NAME,
)
SIZES = Claim(
    "quota-sizes",
    "a CPU limit that is half used makes bursts wait, however small they are",
    "ours",
    f"its parts: bursts of {', '.join(BURSTS)} times what the quota allows in a period of 100 ms, "
    f"{WORKERS} workers; mixed if some wait and others do not",
    NAME,
)
SIZED = {size: _sized(size) for size in BURSTS}
"""Size of the bursts -> the claim about them."""
PERIOD_BURSTS = Claim(
    "quota-period-bursts",
    f"the same quota over a shorter period lowers the latency of bursts of {TWICE}, {WORKERS} "
    "workers",
    "ours",
    _SHORTER,
    NAME,
)
PERIOD_BUSY = Claim(
    "quota-period-busy",
    "the same quota over a shorter period lowers the latency of single requests to "
    f"{WORKERS} workers beside a busy thread",
    "ours",
    f"{_SHORTER}; the A/A control is of bursts, not of requests beside a busy thread",
    NAME,
)
