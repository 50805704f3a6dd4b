"""Which storage driver for what?

The claim (11 April 2016): "selecting the appropriate Copy-on-Write Filesystem". Each trial makes
a file system on a loop device of one size, starts an engine whose data lie on it with one storage
driver, imports an image with files of 1, 10 and 100 MB, and lets the first container of it work:
a first write into each file (opening, writing and fsync timed apart), 5,000 small files made,
asked for and removed, a new file written and read back. Ten more containers are made, and the room
that they take is read from the file system. All is made afresh for each trial, so a block is the
unit of replication. Pairs of drivers that decide were named beforehand, from trials by hand; a
volume on the same disk is what no driver has a hand in.

What would mislead you: the copy of a first write is paid for in open(), not in write(); whoever
does not sync before the clock stops measures memory, so every step ends with fsync and the disk is
synced after it; an image that was just imported lies in the page cache, so its reading is free
here; only the new file is read cold, and a trial in which it did not come from the disk fails; a
loop device whose blocks are still to be allocated is slow at first, so they are before; disks are
fresh, and an aged one is another; all of them lie on one file system of the machine, whose speed
is in every number, and least in their ratios; and vfs copies an image twice for each container, as
Docker puts a layer of its own below it.
"""

from __future__ import annotations

from caveatlib.experiments.storage.bench import FILEOPS
from caveatlib.experiments.storage.claims import NAME
from caveatlib.experiments.storage.decisions import (
    CONTROLS,
    DECISIONS,
    KNOWN,
    answer,
)
from caveatlib.experiments.storage.designs import DESIGNS
from caveatlib.experiments.storage.figures import plot, plot_steps
from caveatlib.experiments.storage.highlights import highlights
from caveatlib.experiments.storage.places import DISK_BYTES as ON_DISK
from caveatlib.experiments.storage.places import PLACES
from caveatlib.experiments.storage.schema import TABLES, Trials, check, check_row, check_tables
from caveatlib.experiments.storage.tables import extremes, relative, steps
from caveatlib.experiments.storage.workloads import trial

QUESTION = "Which storage driver for what?"
VERDICT_S = 240
"""About how many seconds of measuring its verdicts need."""
DISK_BYTES = ON_DISK + 200 * 2**20
"""One disk at a time, and the tables."""
ARTEFACTS = (FILEOPS,)
