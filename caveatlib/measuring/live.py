"""Folders of runs that nobody named: gone when the process that asked for them is."""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
from pathlib import Path

from caveatlib.support import processes

PREFIX = "caveatlib-live-"


def folder() -> Path:
    """Return a new folder that is removed when this process ends.

    Its name carries its owner, so that `sweep` removes what a killed process left.
    """
    sweep()
    owner = processes.owner_token().replace(":", "_")
    made = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{owner}-"))
    atexit.register(_remove, made, os.getpid())
    return made


def sweep() -> list[str]:
    """Remove this user's folders whose owners are gone; return one short name for each."""
    removed = []
    for found in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        owner = found.name.removeprefix(PREFIX).rpartition("-")[0].replace("_", ":")
        try:
            told = found.lstat()
        except OSError:  # its owner has ended just now, and taken it along
            continue
        ours = stat.S_ISDIR(told.st_mode) and told.st_uid == os.geteuid()
        if ours and not processes.owner_alive(owner):
            shutil.rmtree(found, ignore_errors=True)
            removed.append(f"run {found.name[-8:]}")
    return removed


def _remove(made: Path, pid: int) -> None:
    if os.getpid() == pid:  # and not in a fork of it
        shutil.rmtree(made, ignore_errors=True)
