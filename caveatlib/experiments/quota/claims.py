"""The claims of `quota`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger
from caveatlib.experiments.quota.cpu_counts import TOOLS

NAME = "quota"
NEARLY_ALL = 0.8
"""A quota of which more than this was used was nearly used up."""
_SHORTER = "p90 of latency with 10 ms periods over 100 ms periods, ratio below 1"


def _part(part: str, text: str, decides: str) -> Claim:
    return Claim(part, text, "derived", decides, NAME)


def _used(part: str, quota: str) -> Claim:
    return _part(
        f"C08/{part}",
        f"under full load a group uses {quota}, no less and no more",
        "CPU time used over the CPU time allowed, within 5 % of 1",
    )


def _weighted(ratio: int) -> Claim:
    return _part(
        f"C08/weights-{ratio}",
        f"of two groups on one core, the one of {ratio} times the weight gets {ratio} times the "
        "CPU time",
        f"CPU time of the heavier group over that of the lighter, within 10 % of {ratio}",
    )


CONTROL = from_ledger(
    "C08",
    decides="whether quotas (within 5 %) and weights (within 10 %) give the CPU time that they "
    "say, part by part",
)
LONG = _used("quota-100ms", "its quota over 100 ms")
SHORT = _used("quota-10ms", "its quota over 10 ms")
DOCKER = _used("docker", "the quota over 100 ms that Docker sets")
DOUBLE, TENFOLD = _weighted(2), _weighted(10)
MAGIC = from_ledger(
    "C07",
    decides="whether each tool reports fewer CPUs when the quota is below the machine's; "
    "holds if none does",
)
SEEING = {
    tool: _part(
        f"C07/{tool}",
        f"{tool} sees its CPU limit",
        "whether it reports no more CPUs than the quota, rounded up, where the machine has more",
    )
    for tool in TOOLS
}
THROTTLING = Claim(
    "quota-bursts",
    "a service that uses a fifth of its quota on average is throttled when its work comes "
    "in bursts larger than the quota of a period",
    "ours",
    "throttled share of the active periods, above 0.01; it demonstrates the mechanism, since "
    "each burst is sized to need twice the quota of a 100 ms period",
    NAME,
)
LATENCY = Claim(
    "quota-latency",
    "a CPU limit that is not used up on average makes bursts wait",
    "ours",
    "p90 of latency of the same bursts with the limit over without, ratio above 1, where at "
    f"most {NEARLY_ALL * 100:.0f} % of the limit was used",
    NAME,
)
PERIOD_BURSTS = Claim(
    "quota-period-bursts",
    "the same quota over a shorter period lowers the latency of bursts",
    "ours",
    _SHORTER,
    NAME,
)
PERIOD_BUSY = Claim(
    "quota-period-busy",
    "the same quota over a shorter period lowers the latency beside a busy thread",
    "ours",
    f"{_SHORTER}; the A/A control is of bursts, not of requests beside a busy thread",
    NAME,
)
CLAIMS = (
    CONTROL,
    LONG,
    SHORT,
    DOCKER,
    DOUBLE,
    TENFOLD,
    MAGIC,
    *SEEING.values(),
    THROTTLING,
    LATENCY,
    PERIOD_BURSTS,
    PERIOD_BUSY,
)
