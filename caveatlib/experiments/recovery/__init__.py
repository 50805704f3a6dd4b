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

What would mislead you: times that are those of the settings (here a health check every second, of
which two must fail, and a second until a process that does not take SIGTERM is killed, where
Docker's own settings are 30 s, three and 10 s; and Swarm's delay before it restarts a task, 5 s,
left as it is: nearly all of what it takes after a killed process); a restart policy that waits 0.1
s at first, and twice as long each further time; runsv, which waits a second where a process ran for
less than one, as none does that is hit; requests that come every 10 ms, so that ``answered_s`` of
runsv is mostly this step; a ratio of lost requests, which falls with the length of the watch, and
tickets given twice, whose number is that length; the memory of an engine in the first minutes after
its start, of which it gives back a part later; ``docker kill``, which counts as stopped by hand, so
that processes are killed from outside; nodes that are namespaces of one kernel, with a disk that
does not fail: nothing that was written is lost with a node, so whether the volume has what was
acknowledged is a control here and no claim; shared storage that a node still reaches when it is cut
off, as over a network of its own, without which nobody would write there twice; one manager, whose
node is never hit, and without which nothing is rescheduled; a client that asks all nodes, as a
perfect balancer would, since Swarm's virtual addresses need IPVS (what one without failover loses
is counted as ``missed``, and decides what replicas are worth: of three that are all asked the two
that are not hit must answer); a loop beside the health check that is a thread of the harness, and
in no price; a watch that ends, after which a service may still come back; and Kubernetes, which is
not measured.
"""

from __future__ import annotations

from caveatlib.experiments.recovery.claims import NAME
from caveatlib.experiments.recovery.decisions import CONTROLS, DECISIONS, KNOWN, answer
from caveatlib.experiments.recovery.designs import DESIGNS
from caveatlib.experiments.recovery.figures import plot, plot_replicas
from caveatlib.experiments.recovery.highlights import highlights
from caveatlib.experiments.recovery.places import ARTEFACTS, PLACES
from caveatlib.experiments.recovery.schema import TABLES, Trials, check, check_row
from caveatlib.experiments.recovery.tables import configuration, phases, prices, volume
from caveatlib.experiments.recovery.workloads import trial

QUESTION = "What brings a service back, from what, how soon, and at which price?"
SESSIONS = 9
VERDICT_S = 290
"""Seven sessions of what is compared first: three effects judged together need so many."""
