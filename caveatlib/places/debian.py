"""The Debian of this machine: guests and images are made of the same."""

from __future__ import annotations

import re

from caveatlib.errors import Unavailable
from caveatlib.support import programs


def archive() -> tuple[str, str]:
    """Return the suite and the mirror that apt uses on this Debian.

    Raises
    ------
    Unavailable
        If this is not a Debian.
    """
    columns = "$(ORIGIN) $(COMPONENT) $(SUITE) $(CODENAME) $(SITE)"
    argv = ["apt-get", "indextargets", "--format", columns, "Created-By: Packages"]
    listing = programs.run(argv, timeout_s=60)
    # "Debian main stable trixie http://..."; "trixie-updates" is not a suite of its own
    found = re.search(r"^Debian main \S+ ([a-z]+) (\S+)$", listing, re.MULTILINE)
    if found is None:
        raise Unavailable("apt on this machine names no Debian archive: needs a Debian host.")
    return found[1], found[2]
