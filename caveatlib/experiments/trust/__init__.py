"""What does a digest protect, and what does a signature add?

The claims (11 April 2016): "mis-placed trust in container images pulled from public registries",
"Content Addressable image layers to verify image content against signed manifests", and "ensuring
exposed vulnerabilities are patched in the official public Images". Small images of our making lie
in a real registry, in archives and in OCI layouts. One thing is changed at a time, on the disk,
under the registry's nose: a layer, the config, the manifest, an index, what a tag names. Each tool
is asked for the image, and either refuses it (which check did so, by its own words; what then lay
on the disk, of Docker when it had cleaned up) or takes it (is what it then holds what was
published?). Keys are made on the spot; nobody outside is asked.

Beside it: which of four things planted in an image Docker's own tools name, and which a reader of
its layers; how many security updates an image of some age lacks, by the changelogs in it; and
whether images that others publish hold what their packages say (`published` says how to name some).

What would mislead you: "refused" is by the tool's words, and words that speak of nothing in the
image fail the trial; the registry is honest and its disk is not, so a registry that lies in other
ways is another experiment; Docker keeps the manifests that it has fetched, and is made to forget
them before each trial, so this is a first pull; its image store is the classic one, and new
installations of Engine 29 have another; an image of an older day that its maker signed is a valid
image, and only whoever knows what is current can tell; cosign's transparency log is off, which
would show when something was signed, not whether it is the newest; four things were planted by us,
for a reader that we wrote, under histories that we wrote, and a better hiding place is easily
found; a security upload's day is not the day on which the hole was known; and the Debian whose
updates are counted is made here from the main archive alone, without the security suite.
"""

from __future__ import annotations

from caveatlib.experiments.trust.calibration import CONTROLS, KNOWN
from caveatlib.experiments.trust.claims import CLAIMS, NAME
from caveatlib.experiments.trust.decisions import DECISIONS, answer
from caveatlib.experiments.trust.designs import DESIGNS
from caveatlib.experiments.trust.figures import plot, plot_ages
from caveatlib.experiments.trust.highlights import highlights
from caveatlib.experiments.trust.places import ARTEFACTS, ON_REQUEST, PLACES
from caveatlib.experiments.trust.schema import TABLES, Trials, check_row
from caveatlib.experiments.trust.tables import ages, answers, hidden, left, matrix, summarize
from caveatlib.experiments.trust.workloads import trial

QUESTION = "What does a digest protect, and what does a signature add?"
SESSIONS = 6
"""Answers and not times: they are the same each time, and six sessions show it."""
VERDICT_S = 100
"""About how many seconds of measuring its verdicts need."""
DISK_BYTES = 500 * 2**20
"""An engine, registries and what tools write (in the user's cache: a minimal Debian)."""
FIRST_S = 35
"""A session: answers, which are the same in the next."""
