"""The table of `scaling`, and what holds in each row."""

from __future__ import annotations

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.experiments.scaling.designs import DNS, ETCD, FINDERS
from caveatlib.stats import guards

WORKS = ("lock", "barrier", "register")
NEEDS = {
    "lock": ("throughput_per_s", "p50_s", "p99_s"),
    "barrier": ("throughput_per_s",),
    "register": ("served_s", "lost_joining", "lost_s", "lost_leaving", "kept", "others_lost"),
}
"""Work -> the measures without which its trial has failed."""
MOMENTS = ("start_after_s", "kill_after_s")
"""When a container starts and is killed, drawn at random; recordings from before have it fixed."""
KNOWN_BY = {ETCD: ("expiry_s",), DNS: ("dns_ttl_s",)}


class Trials(frames.Trials):
    """So many replicas under load, or one container that starts, serves and is killed."""

    work: Series[str] = frames.field(
        "Requests with a lock, in batches with a barrier, or one container that comes and goes",
        isin=WORKS,
    )
    replicas: Series[int] = frames.field("Number of replicas behind the load balancer", ge=1)
    serial_share: Series[float] = frames.field(
        "Share of the work that is done under the lock, or by one while all others wait", ge=0, le=1
    )
    found_by: Series[str] = frames.field(
        "How clients know of the container", isin=("none", *FINDERS)
    )
    ttl_s: Series[int] = frames.field(
        "Time to live of the lease, or how long clients keep an answer of the DNS", "s", ge=0
    )
    replicate: Series[int] = frames.field("1 for the A/A control, else 0", isin=(0, 1))
    throughput_per_s: Series[float] = frames.measure(
        "Requests of 20 ms served per second; of batches, their work in such units"
    )
    p50_s: Series[float] = frames.measure("Median latency of these requests", "s")
    p99_s: Series[float] = frames.measure("99th percentile of that latency", "s")
    cpu_share: Series[float] = frames.measure("Share of the machine's CPU time used", le=1)
    served_s: Series[float] = frames.measure(
        "From the container's start to the answer to the first request sent to it", "s"
    )
    lost_joining: Series[float] = frames.measure("Requests sent to it and lost until then")
    lost_s: Series[float] = frames.measure(
        "From its kill until the last lost request was due; at most as long as was watched", "s"
    )
    lost_leaving: Series[float] = frames.measure("Requests sent to it and lost since it served")
    kept: Series[float] = frames.measure(
        "1 if requests were still sent to it at the end of the watch, else 0", le=1
    )
    others_lost: Series[float] = frames.measure("Requests lost that were sent to the other one")
    expiry_s: Series[float] = frames.measure(
        "From the last renewal of the lease until clients were told that it is over", "s"
    )
    dns_ttl_s: Series[float] = frames.measure("Time to live that the DNS states", "s")
    start_after_s: Series[float] = frames.measure(
        "From when clients would notice it, by the DNS right after an answer, until its start; "
        "drawn at random over one TTL",
        "s",
        later=True,
    )
    kill_after_s: Series[float] = frames.measure(
        "From when it had served 0.4 s until its kill, drawn likewise", "s", later=True
    )


def check_row(row: guards.Row) -> None:
    """Validate that a trial has what it is for, and quantiles in order.

    Raises
    ------
    DataError
    """
    guards.needs(row, NEEDS[str(row["work"])] + KNOWN_BY.get(str(row["found_by"]), ()))
    guards.no_zeros(row, ["throughput_per_s", "served_s"])
    guards.increasing(row, ["p50_s", "p99_s"])


def check(trials: pd.DataFrame) -> None:
    """Validate that nothing took longer than its trial.

    Raises
    ------
    DataError
        A unit was lost: milliseconds are called seconds.
    """
    guards.fits(trials, ["p99_s", "served_s", "lost_s", "expiry_s", *MOMENTS])
