"""Userland proxy or hairpin NAT: which path gains, which loses, which stops working?

The claim (11 April 2016): "if your Linux Kernel > 2.6.x - you need to disable
the userland-proxy on the Docker daemon in favor of Hairpin NAT!" Two engines
that differ in ``userland-proxy`` only are started afresh for every session, so
the session is the unit of replication; two more, one of either setting again,
are the A/A controls. A published port is called over every path that leads to
it: from the host by three of its addresses, from containers, from outside.

Each trial first finds out whether the path connects, who served the connection
(by docker-proxy's sockets and the counters of the nat table), and which source
address the server saw. A path that does not connect is a finding, not a failed
trial. Where it connects, iperf3 measures throughput and CPU time, at full speed
as the scheduler places client, server and docker-proxy. What one gigabyte costs
hangs on more than the path: on where these run, on the number of connections,
on congestion control, and on whether they run at full speed. So two paths are
measured with all of them pinned to CPUs, case by case, three times a session,
and the claim names the range of the sizes. There the CPU time of the processes
themselves decides, which is exact; the machine's, in ticks, stands beside it.

What would mislead you: congestion control moves the figures as much as the
proxy does, so it is the same in every namespace and a column of the trials; at
full speed on a machine of few cores proxy, client and server compete for the
CPU, and CPU per byte is the throughput inverted, so there the throughput is
shown and not judged, and CPU per byte is judged at a fixed rate as well;
docker-proxy accepts before anybody listens behind it, so an accepted connection
is not an answer; and client, server and engine share one kernel here, where a
network card would be the bottleneck long before any of them.
"""

from __future__ import annotations

from caveatlib.experiments.ports import workloads
from caveatlib.experiments.ports.calibration import CONTROLS, KNOWN
from caveatlib.experiments.ports.claims import NAME
from caveatlib.experiments.ports.decisions import DECISIONS, LABELS, answer
from caveatlib.experiments.ports.designs import DESIGNS
from caveatlib.experiments.ports.figures import plot, plot_effects, plot_sizes
from caveatlib.experiments.ports.highlights import highlights
from caveatlib.experiments.ports.places import PLACES
from caveatlib.experiments.ports.schema import TABLES, Trials, check, check_row, check_tables
from caveatlib.experiments.ports.site import Site
from caveatlib.experiments.ports.tables import (
    congestion,
    effects,
    paths,
    prices,
    reachability,
    summarize,
)
from caveatlib.places.base import TrialResult

QUESTION = "What does the userland proxy cost, path by path, and what breaks without it?"
VERDICT_S = 800
"""About how many seconds of measuring its verdicts need; those of pinned cases come later."""
DISK_BYTES = 500 * 2**20
"""The empty data folders of four engines, and a journal."""
FIRST_S = 80
"""A session, which says what connects and whose address is seen: facts, and no size."""


def trial(place: Site, conditions: dict, *, seed: int) -> TrialResult:
    """Measure one path of an opened site, or the price of published ports.

    Parameters
    ----------
    place : Site
    conditions : dict
        ``path``, ``congestion``, ``placement``, ``load``, ``published``. With load
        ``"price"`` any number of ports may be asked for, e.g. 500.
    seed : int
        Unused: nothing in a trial is random.

    Returns
    -------
    TrialResult
        A path that does not connect has ``reachable`` 0 and a ``refusal``.
    """
    if conditions["load"] == "price":
        return workloads.priced(place, conditions["published"])
    return workloads.called(place, conditions)
