"""What brings a service back, from what, how soon, and at which price?

The claim (11 April 2016): "You may gain back reliability by using shared storage, service
orchestration, monitoring and a framework with built-in self-healing features". A small service is
asked a hundred times a second, each request sent to every place where a replica may be. Its process
is killed or stopped, its node is killed or cut off, at a random moment. Nobody keeps it, or runsv,
a restart policy of Docker's, a health check alone or with a loop that restarts what is unhealthy,
or Swarm with one replica or three on three engines in three namespaces joined by links. When did
the keeper notice, when had a new process begun, when did it answer, when were all replicas back?
Which requests were lost? Each request gets a ticket with the next number, written to a volume that
all nodes share before it is answered: read back afterwards, it tells what was kept, and whether two
wrote at once. Engines are started afresh for each session, which is the unit of replication.

What would mislead you: settings decide the times. Health checks here come every second, two must
fail, and who does not take SIGTERM is killed after a second; Docker's own settings (30 s, three,
10 s) take minutes. A restart policy waits 0.1 s at first, and twice as long each further time. The
memory of an engine is that of the first minutes after its start, of which it gives back a part.
``docker kill`` counts as stopped by hand, so processes are killed from outside. A node is a
namespace: nodes share a kernel and a disk that do not fail, and what was written and not yet on
disk is not lost with one. The swarm has one manager, whose node is never hit: without it nobody is
rescheduled. Its virtual addresses need IPVS and are not used: the client asks all nodes, as a
perfect balancer would; what one without failover loses is counted as ``missed``. What has not
come back within the watch may come back later. Kubernetes is not measured.
"""

from __future__ import annotations

from caveatlib.experiments.recovery.claims import NAME
from caveatlib.experiments.recovery.decisions import CONTROLS, DECISIONS, KNOWN, answer
from caveatlib.experiments.recovery.designs import DESIGNS
from caveatlib.experiments.recovery.figures import plot, plot_replicas
from caveatlib.experiments.recovery.highlights import highlights
from caveatlib.experiments.recovery.places import ARTEFACTS, PLACES
from caveatlib.experiments.recovery.schema import TABLES, Trials, check, check_row
from caveatlib.experiments.recovery.tables import configuration, doubts, phases, prices, volume
from caveatlib.experiments.recovery.workloads import trial

__all__ = [
    "ARTEFACTS",
    "CONTROLS",
    "DECISIONS",
    "DESIGNS",
    "KNOWN",
    "NAME",
    "PLACES",
    "TABLES",
    "Trials",
    "answer",
    "check",
    "check_row",
    "configuration",
    "doubts",
    "highlights",
    "phases",
    "plot",
    "plot_replicas",
    "prices",
    "trial",
    "volume",
]

QUESTION = "What brings a service back, from what, how soon, and at which price?"
SESSIONS = 9
VERDICT_S = 290
"""Seven sessions of what is compared first: three effects judged together need so many."""
