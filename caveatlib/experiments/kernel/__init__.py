"""What do containers on one kernel lose when one of them goes wrong?

The claim (11 April 2016): "This highlights a first issue of sharing the kernel: reduced
reliability and redundancy." Four tenants run as containers of runc in one guest, as the same
containers in four guests, and as four gVisor sandboxes in one guest. Each writes a heartbeat
every 50 ms, for which it forks, appends to a file and reads the clock; the host reads it on
its own clock. Then one tenant, another in each trial, does harm: it exits (the control, which
harms nobody), panics its kernel, fills memory with its own pages or with files in memory, forks
without end, fills the file system, or sets the clock; the four that use something up also with
limits of 32 MiB, 64 tasks and a file system of its own for each tenant. Whose heartbeat goes on
to the end of a watch of nine seconds or more has survived; who survived with a gap of more than
1 s beyond twice any before, a failed fork or write, or a clock that moved, was harmed. Guests are
booted for each trial; who survives does not depend on speed, so emulated guests decide it, too.

What would mislead you: the panic is asked for by /proc/sysrq-trigger, which engines make read-only;
it stands for a bug in the kernel, which no mount keeps away; setting the clock needs CAP_SYS_TIME,
which an engine withholds and these tenants were given; which neighbour the kernel kills for memory
depends on how fast a killed one gives its memory back, and so on the emulator: it may die, and need
not; a guest has 600 process ids and its hog little memory to fill, and a larger machine takes
longer to exhaust; a sandbox of gVisor cannot reach the kernel of its guest: there "panic" is the
end of its own kernel, a process; the last heartbeats before a panic are known to 0.1 s, since what
is on its way through the serial line is lost.
"""

from __future__ import annotations

from caveatlib.experiments.kernel.calibration import CONTROLS, KNOWN
from caveatlib.experiments.kernel.claims import CLAIMS
from caveatlib.experiments.kernel.decisions import DECISIONS, answer
from caveatlib.experiments.kernel.designs import DESIGNS
from caveatlib.experiments.kernel.figures import plot
from caveatlib.experiments.kernel.highlights import highlights
from caveatlib.experiments.kernel.places import ARTEFACTS, PLACES
from caveatlib.experiments.kernel.schema import Trials, check, check_row
from caveatlib.experiments.kernel.tables import crossed, details
from caveatlib.experiments.kernel.workloads import trial

NAME = "kernel"
QUESTION = "What do containers on one kernel lose when one of them goes wrong?"
SESSIONS = 8
VERDICT_S = 300
"""Six blocks of the panic; whatever else is measured comes after it."""
