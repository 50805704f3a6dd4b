"""The claims of `scaling`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger

NAME = "scaling"
TTL_S, WITHIN_S = 1, 2
"""How long a lease, or an answer of the DNS, is good for; how soon clients must know (ours)."""
HELPS, HELPS_NOT, LATE = 1.5, 1.1, 1.5
"""Thresholds of ratios, ours."""


def _ours(name: str, text: str, decides: str) -> Claim:
    return Claim(f"{NAME}-{name}", text, "ours", decides, NAME)


SCALES = from_ledger(
    "C33",
    decides="requests per second of an application of others, 16 replicas over 8, ratio below "
    f"{HELPS_NOT:g} (ours); none was scaled, so that of one that was made to wait is shown, and "
    "decides nothing",
)
PARALLEL = _ours(
    "parallel",
    "16 replicas serve more than 8 where no request waits for another",
    f"requests per second, 16 replicas over 8, ratio above {HELPS:g}",
)
SERIAL = _ours(
    "lock",
    "16 replicas serve no more than 8 where 20 % of each request is done under one lock",
    f"requests per second, 16 replicas over 8, ratio below {HELPS_NOT:g}; by arithmetic "
    "five keep the lock held all the time",
)
AUTOPILOT = from_ledger(
    "C35",
    decides="whether clients find a container that registers itself, and drop it when it is "
    f"dead, within {WITHIN_S} s (ours) where what they know is good for {TTL_S} s: a lease that "
    "etcd grants only with a shorter election than its default",
)


def _soon(part: str, text: str, what: str) -> Claim:
    decides = f"seconds {what}, at most {WITHIN_S} (ours) in every trial"
    return Claim(f"C35/{part}", text, "derived", decides, NAME)


_STARTED, _KILLED = "from its start to its first request served", "from its kill to the last lost"
ETCD_IN = _soon(
    "etcd-in", f"with a lease of {TTL_S} s in etcd a container is soon in service", _STARTED
)
ETCD_OUT = _soon("etcd-out", "when it is killed, clients soon send it no more requests", _KILLED)
DNS_IN = _soon(
    "dns-in",
    f"by Docker's DNS, asked every {TTL_S} s, a container is soon in service",
    _STARTED,
)
DNS_OUT = _soon("dns-out", "when it is killed, clients soon send it no more requests", _KILLED)
REGISTERS = _ours(
    "registers",
    "a container that registers itself with etcd is in service no more than "
    f"{LATE:g} times as late as one on a list",
    f"seconds {_STARTED}, etcd over a list, ratio below {LATE:g}",
)
