"""What do Docker's defaults stop, and what do they cost?

The claims (11 April 2016): "User Namespaces, Seccomp and AppArmor profiles", and "careful study of
the docker defaults is required to ensure the optimal configuration for your environment and
use-case". A static program tries 54 operations, with arguments that change nothing or are wrong
only after the permission has been checked: in a container with Docker's defaults, with each
mechanism off alone, with several off, in a privileged one, and as root without a container. So
each refusal is the kernel's, or that of a mechanism alone, or of several of which each is enough.
What `docker info` claims is laid beside what a container sees of itself. In guests, whose kernel
has AppArmor, runc runs what Docker told it here; and guests are asked whether IPVS and project
quotas, which their kernel has, do what Swarm and a size limit need of them. Then the prices: a
system call, opening a file, a start, a line logged and its bytes, a round trip, each by default
and with what stands against it, and closing all descriptors under a high limit and a low one; all
containers are started afresh for each trial, so a block is the unit of replication.

What would mislead you: "capabilities off" by ``--cap-add`` is not one mechanism, for Docker widens
the filter with them (hence a privileged command in a container that has the filter of few); an
operation with a wrong argument may be refused for that before anybody asks who may; what the
kernel lacks looks like a refusal (hence root without a container); an allowed operation in a
container need not reach beyond it; a list of operations is ours, and what is refused on it counts
as much as what nobody needs; a host's network is cheaper and isolates nothing; a log driver that
compresses answers `docker logs` more slowly; round trips are of two containers on one CPU, where
no sleeping CPU is woken; where a guest is emulated its answers count, not its times; in guests
no engine runs, so a service's address and a size limit are set as Docker sets them, not by it; how
much dearer a log is hangs on the length of its lines, and how many files a container may open on
its containerd and its machine. A rootless engine is in no arm.
"""

from __future__ import annotations

from caveatlib.experiments.defaults.calibration import CONTROLS, KNOWN
from caveatlib.experiments.defaults.claims import NAME
from caveatlib.experiments.defaults.decisions import DECISIONS, answer
from caveatlib.experiments.defaults.designs import DESIGNS
from caveatlib.experiments.defaults.figures import plot, plot_matrix
from caveatlib.experiments.defaults.highlights import highlights
from caveatlib.experiments.defaults.places import ARTEFACTS, PLACES
from caveatlib.experiments.defaults.schema import Trials, check, check_row
from caveatlib.experiments.defaults.tables import (
    beside,
    costs,
    guest_kernels,
    logs,
    matrix,
    seen,
    stops,
    summarize,
)
from caveatlib.experiments.defaults.workloads import trial

QUESTION = "What do Docker's defaults stop, and what do they cost?"
VERDICT_S = 150
DISK_BYTES = 800 * 2**20
"""Two engines, and 100 MB logged as JSON."""
FIRST_S = 35
"""A session, which says what the defaults refuse."""
