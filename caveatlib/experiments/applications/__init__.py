"""How much of an image does an application use, and what else is in it?

The claims (11 April 2016): images "were often shipped with full Linux distributions and countless
unnecessary binaries packaged within", which "bloat the images, causing slow deployment times" and
"increases the attack surface for the application". Ten applications (web servers, web applications
in PHP, Python, Node and Java, databases, a Git server, mail, DNS) are installed from Debian's
packages as people do it: on a full Debian with what the packages recommend, and on a minimal one
without. Each image is read without a daemon, and each application is asked a workload of its kind
(ab, redis-benchmark, pgbench, clones and pushes, mails, dnsperf) by another container, while the
kernel reports which files of its image are opened, from the start of its runtime to the end of the
workload. A fresh engine pulls each image from a real registry over links of two rates and starts
it: the clock stops when the server accepts a connection. The application is the unit: medians and
intervals are over applications.

What would mislead you: these are images built from Debian's packages, and not those that people
publish; "opened" is not "needed" (a file read once a year looks unnecessary), nor does it mean that
all of it was read; a workload of seconds is not a year of use; that packages own most bytes of what
apt installed is built in (so it is a claim of ours), but databases, caches and compiled files are
nobody's; all stand on one pair of bases, whose own difference is nearly all that a full image has
more of executables and packages; setuid files, shells and executables are counts, not attacks; and
a base that an engine has already costs nothing to pull, so these are first deployments. The images
are large, so they are made on request: ``python -m caveatlib.prepare applications``.
"""

from __future__ import annotations

from caveatlib.experiments.applications.claims import CLAIMS, NAME
from caveatlib.experiments.applications.decisions import (
    CONTROLS,
    DECISIONS,
    KNOWN,
    answer,
)
from caveatlib.experiments.applications.designs import DESIGNS
from caveatlib.experiments.applications.figures import plot, plot_deployed, plot_executables
from caveatlib.experiments.applications.highlights import highlights
from caveatlib.experiments.applications.places import ARTEFACTS, ON_REQUEST, PLACES
from caveatlib.experiments.applications.schema import Trials, check, check_row
from caveatlib.experiments.applications.tables import beside, contents, deployed, opened, spread
from caveatlib.experiments.applications.workloads import trial

QUESTION = "How much of an image does an application use, and what else is in it?"
SESSIONS = 2
"""The application is the unit; the second session shows that what is opened repeats."""
VERDICT_S = 1800
"""About how many seconds of measuring its verdicts need: ten applications, two bases, two links."""
DISK_BYTES = 3 * 2**30
"""An image and that of its client, loaded into an engine; those in the cache are not in it."""
