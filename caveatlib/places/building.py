"""The programs that prepare what is measured: is one there, and what went wrong if it failed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from caveatlib.errors import MeasurementError, Unavailable
from caveatlib.places import leases


def debian() -> tuple[str, str]:
    """Return the suite and the mirror that apt uses on this Debian."""
    listing = run(
        "apt-get",
        "indextargets",
        "--format",
        "$(ORIGIN) $(COMPONENT) $(SUITE) $(CODENAME) $(SITE)",
        "Created-By: Packages",
    )
    # "Debian main stable trixie http://..."; "trixie-updates" is no suite of its own
    found = re.search(r"^Debian main \S+ ([a-z]+) (\S+)$", listing, re.MULTILINE)
    if found is None:
        raise Unavailable("apt on this machine names no Debian archive: needs a Debian host.")
    return found[1], found[2]


def need(program: str, package: str) -> None:
    """Raise `Unavailable`, naming the package, if a program is missing."""
    if shutil.which(program) is None:
        raise Unavailable(f"{program} is missing. Run `apt-get install {package}`.")


def run(*command: str, cwd: Path | None = None, timeout_s: float = 300) -> str:
    """Run a program, return its output; a failure is one line of its last words."""
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | leases.mark(),  # if we are killed a sweep finds it
            check=True,
            timeout=timeout_s,
            capture_output=True,
            text=True,
        ).stdout
    except subprocess.CalledProcessError as error:
        words = (error.stderr or error.stdout or "").strip().splitlines() or ["no message"]
        raise MeasurementError(f"{command[0]} failed: {words[-1]}") from error
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"{command[0]} did not finish within {timeout_s:g} s.") from error
    except OSError as error:
        raise Unavailable(f"{command[0]} cannot be run: {error.strerror}.") from error
