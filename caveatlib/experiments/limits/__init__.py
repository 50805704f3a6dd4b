"""What does a neighbour that takes everything leave to the others, with a limit and without?

The claim (11 April 2016): that a container could take all processes of a machine, for which "a fix
... is added to Docker 1.11", ``--pids-limit``. A hog (a fork bomb, one that takes memory, one that
computes, one that writes) runs beside a victim that forks for each of a hundred requests a second,
due at fixed times however late it is: how many fail, and how long do the others take? Each hog
runs with Docker's limit and without; then only an outer cap of 1,500 tasks and 700 MiB around all
containers of a private engine holds it, as the machine itself would. Without that cap nothing is
started. All containers are started afresh for each trial, so a block is the unit of replication.

What would mislead you: a closed loop, which asks less the worse it is served; a shell as the
bomb, which dies of its first refused fork; a limit that Docker dropped without a word (each is
read back from the kernel); ``OOMKilled``, which is true for every container below a full cap;
and an outer cap larger than the machine, which would be no cap.
"""

from __future__ import annotations

from caveatlib.experiments.limits import workloads
from caveatlib.experiments.limits.claims import (
    CONTROLS,
    DECISIONS,
    KNOWN,
    NAME,
    answer,
    highlights,
)
from caveatlib.experiments.limits.designs import DESIGNS
from caveatlib.experiments.limits.figures import plot, plot_latency, plot_timeline
from caveatlib.experiments.limits.neighbours import BEAT, HOG
from caveatlib.experiments.limits.places import PLACES
from caveatlib.experiments.limits.schema import TABLES, Trials, check, check_row
from caveatlib.experiments.limits.tables import harm, timeline
from caveatlib.places.base import TrialResult

QUESTION = "What does a neighbour that takes everything leave to the others?"
VERDICT_S = 150
FIRST_S = 30
"""Two sessions of the fork bomb, whose tasks and victims are counted."""
ARTEFACTS = (HOG, BEAT)


def trial(place, conditions: dict, *, seed: int) -> TrialResult:
    """Let a victim serve beside a hog; see `workloads.beside`."""
    return workloads.beside(place, conditions)
