"""The command, killed when the journal has acknowledged the second idle trial of a block.

The block has four of them and lasts a few hundredths of a second: too short to be
hit from outside for sure.
"""

import os
import signal
from itertools import count

from caveatlib import cli
from caveatlib.measuring.journal import Journal

append = Journal.append
idle = count(1)


def append_and_die(journal, kind, data):
    """Append a record; end the process by SIGKILL after the second idle trial."""
    append(journal, kind, data)
    if kind == "trial" and data["workload"] == "idle" and next(idle) == 2:
        os.kill(os.getpid(), signal.SIGKILL)


Journal.append = append_and_die
cli.main()
