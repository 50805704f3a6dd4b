"""Does an application scale because it runs in containers, and do containers find each other?

The claims (11 April 2016): "Scalability in your App is still up to you", and "The autopilot
pattern", by which containers register themselves. One to 16 replicas stand behind HAProxy; a
request takes 20 ms asleep, of which 0, 5 or 20 % are done with a lock that all share, or by one
replica while the others wait at a barrier. Then a container starts beside another one, serves and
is killed, while a client sends 200 requests a second to those that it knows of: from a list, from
etcd, where the container keeps a lease, or from Docker's DNS. Load balancer, lock and newcomer are
started afresh for each trial, and replicas keep nothing, so a block is the unit of replication.

What would mislead you: work that takes CPU, of which a machine with few has no more for more
replicas (hence sleep; `cpu_share`); a lock's queue that is taken for a law's serial share (hence
the barrier, whose share Amdahl's law must give back); a peak that a fitted law has where nothing
was measured; an application that was made to wait for a lock, whose ceiling is known by arithmetic:
it decides claims of ours, and nothing of how others scale; a list, which says where a container is
and not whether it is there, so that what is lost after a kill lasts until somebody mends it; a
lease shorter than etcd grants (none below 2 s by its defaults, which are made for members far
apart, hence an election of 0.1 s; what 2 s cost is measured beside); a client that keeps what the
DNS said for as long as the DNS allows, where this one asks again every second; a start right after
one of its questions and a kill 0.4 s after the first answer, as in trials that lack
`start_after_s`: there a container is found by the DNS a whole period after its start, and forgotten
a period less 0.4 s after its kill (later trials draw both moments at random over one TTL, of a
lease as well); and a client that gave up on an address before anybody was there, which asks again
only later.
"""

from __future__ import annotations

from caveatlib.experiments.scaling.balancing import LOAD, REPLICA
from caveatlib.experiments.scaling.claims import NAME
from caveatlib.experiments.scaling.decisions import (
    CONTROLS,
    DECISIONS,
    KNOWN,
    answer,
)
from caveatlib.experiments.scaling.designs import DESIGNS
from caveatlib.experiments.scaling.figures import plot, plot_lost, plot_served
from caveatlib.experiments.scaling.fitting import explains, laws
from caveatlib.experiments.scaling.highlights import highlights
from caveatlib.experiments.scaling.places import PLACES
from caveatlib.experiments.scaling.schema import Trials, check, check_row
from caveatlib.experiments.scaling.tables import known, throughput
from caveatlib.experiments.scaling.workloads import trial

QUESTION = "Do replicas make an application faster, and are they found by themselves?"
VERDICT_S = 120
DISK_BYTES = 400 * 2**20
"""etcd reserves 64 MiB for its log, and as much for the next one."""
ARTEFACTS = (REPLICA, LOAD)
