"""What do containers that make up one component share, and what does it cost to keep them apart?

The claim (11 April 2016): "The isolation provided by containers are sufficient to allow the design
of reusable components", of containers in groups as in a pod. An application and its sidecar run as
two processes in one container; as two containers that share a network (and, one by one, System V
memory, processes, a socket in a volume); in the network of a third container that does nothing
else; and over a bridge. A sidecar sends 2,000 messages a second at fixed times and times the
answers; a probe in its container looks for the application's process, environment, files, memory
and sockets; and the application is killed, run out of memory, restarted and replaced. All
containers are made afresh for each trial, so a block is the unit of replication.

What would mislead you: two processes that the scheduler puts on one CPU or on two (hence one, for
all containers); a closed loop, which asks less the worse it is served; a timer that is late, which
is not the way's fault (a message counts from when it was sent, unless its sender was held up);
``docker restart``, after which all looks well from outside; an application that is the first
process of its container, with which the container ends; and a probe that finds itself.
"""

from __future__ import annotations

from caveatlib.experiments.pods.arranging import PAIR
from caveatlib.experiments.pods.claims import NAME
from caveatlib.experiments.pods.decisions import CONTROLS, DECISIONS, KNOWN, answer
from caveatlib.experiments.pods.designs import DESIGNS
from caveatlib.experiments.pods.figures import plot, plot_trips
from caveatlib.experiments.pods.highlights import highlights
from caveatlib.experiments.pods.places import PLACES
from caveatlib.experiments.pods.schema import Trials, check, check_row
from caveatlib.experiments.pods.tables import costs, matrix
from caveatlib.experiments.pods.workloads import trial

QUESTION = "What do the containers of one component share, and what does keeping them apart cost?"
VERDICT_S = 60
ARTEFACTS = (PAIR,)
