"""What does a CPU limit do to latency, and what do programs know of it?

The claim (11 April 2016): control groups are "fundamental to the resource usage
control per process group". So the first question is whether a quota holds; the
second, what the service behind it feels. A quota of one CPU is a budget of
100 ms of CPU time in every period of 100 ms: work that comes in bursts spends
it early and is then throttled until the next period, however idle the service
is on average.

Requests of 5 ms of CPU time arrive open-loop, steadily or in bursts, at a share
of the quota; latency counts from the scheduled time. A burst is as many
requests as it takes to spend 0.2 s of the quota, whatever the period, so that
periods are compared under the same load; so each burst is twice what the quota
allows in a period of 100 ms, which shows how throttling comes about, not how
often it does. How much hangs on that size is tried by itself, from a quarter of
what a period allows to four times as much. The same bursts once more without any
limit say what the limit costs. Each trial makes its group and its workers afresh,
so a block is the unit of replication. The load generator runs outside of the
group. All groups have a high weight, so that other work on the machine disturbs
them as little as the kernel allows; where others took much CPU time, a full load
says nothing of its quota and has failed, whatever it used. The tools are asked
inside the group how many CPUs they may use.

What would mislead you: closed-loop load, which never sees a stall it caused; a
quota near the number of cores, where generator and load compete; ``throttled_s``,
which sums over CPUs; a container's group, which lies inside Docker's, so that its
weight counts among containers only; and machines where CPU time is stolen.
"""

from __future__ import annotations

from caveatlib.experiments.quota import workloads
from caveatlib.experiments.quota.calibration import CONTROLS, KNOWN
from caveatlib.experiments.quota.claims import NAME
from caveatlib.experiments.quota.decisions import DECISIONS, answer
from caveatlib.experiments.quota.designs import DESIGNS
from caveatlib.experiments.quota.figures import plot, plot_burst, plot_sizes
from caveatlib.experiments.quota.highlights import highlights
from caveatlib.experiments.quota.places import PLACES
from caveatlib.experiments.quota.schema import TABLES, Trials, check, check_row
from caveatlib.experiments.quota.tables import arms, summarize, tools
from caveatlib.places.base import TrialResult

QUESTION = "What does a CPU limit do to latency, and what do programs know of it?"
VERDICT_S = 180
"""About how many seconds of measuring until its verdicts are possible."""


def trial(place, conditions: dict, *, seed: int) -> TrialResult:
    """Put one load on one limited group of the place, or ask one tool in it.

    Parameters
    ----------
    place : object
        With ``limited(quota_us=, period_us=, weight=)``, a context manager of
        a `load.LimitedGroup`.
    conditions : dict
        The conditions of `Trials`.
    seed : int
        Decides the exact arrival times.

    Raises
    ------
    MeasurementError
        If requests cost other than they should, marks are out of order, or other
        work kept a full load from its quota.
    """
    if conditions["pattern"] == "weights":
        return workloads.compete(place, conditions["weight_ratio"])
    return workloads.in_limited_group(place, conditions, seed=seed)
