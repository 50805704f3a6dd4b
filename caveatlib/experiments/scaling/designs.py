"""What `scaling` compares: replicas of a service, and ways to find a container."""

from __future__ import annotations

from caveatlib.experiments.scaling.claims import TTL_S
from caveatlib.measuring.designs import Arm, Design

REPLICAS = (1, 2, 4, 8, 16)
FEW, MANY = REPLICAS[-2:]
SHARES = (0.0, 0.05, 0.2)
MOST = SHARES[-1]
DEFAULT_S, LONG_S = 2, 5
"""The shortest lease that etcd grants by its defaults, and a longer one."""
TTLS = (TTL_S, DEFAULT_S, LONG_S)
LIST, ETCD, DNS = FINDERS = ("list", "etcd", "dns")
DOUBLING, CURVE, REGISTERED, LEASES = "doubling", "curve", "registered", "leases"


def percent(share: float) -> str:
    """Return a share as it is read, ``"20 %"``."""
    return f"{share * 100:g} %"


def lock(replicas: int, serial_share: float, *, work: str = "lock", replicate: int = 0) -> Arm:
    """Return the arm of so many replicas behind HAProxy."""
    found = {"work": work, "replicas": replicas, "serial_share": serial_share}
    return Arm("haproxy", found | {"found_by": "none", "ttl_s": 0, "replicate": replicate})


def found(found_by: str, ttl_s: int = 0, *, replicate: int = 0) -> Arm:
    """Return the arm of one container beside another that clients find in some way."""
    one = {"work": "register", "replicas": 1, "serial_share": 0.0}
    return Arm("discovery", one | {"found_by": found_by, "ttl_s": ttl_s, "replicate": replicate})


LISTED, LISTED_AGAIN = found(LIST), found(LIST, replicate=1)
BY_ETCD, BY_DNS = found(ETCD, TTL_S), found(DNS, TTL_S)
_DOUBLED = (
    *(lock(n, share) for share in (0.0, MOST) for n in (FEW, MANY)),
    *(lock(FEW, share, replicate=1) for share in (0.0, MOST)),
)
_CURVES = tuple(lock(n, share) for share in SHARES for n in REPLICAS)
_BARRIERS = tuple(lock(n, MOST, work="barrier") for n in REPLICAS)
DESIGNS = (
    Design(DOUBLING, _DOUBLED, block_s=9, blocks_per_session=3),
    Design(REGISTERED, (LISTED, LISTED_AGAIN, BY_ETCD, BY_DNS), block_s=14),
    Design(CURVE, _CURVES + _BARRIERS, block_s=30, optional=True),
    Design(
        LEASES,
        tuple(found(by, ttl) for by in (ETCD, DNS) for ttl in TTLS[1:]),
        block_s=40,
        optional=True,
    ),
)
"""Load balancer, lock and newcomer are started afresh for each trial, and replicas keep nothing
from one request to the next: a block is the unit of replication."""
