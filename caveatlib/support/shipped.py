"""Where the recorded data and the notebooks lie, in a checkout and in a wheel."""

from __future__ import annotations

from pathlib import Path

from caveatlib.errors import StorageError

NAMES = ("data", "notebooks")


def folder(name: str) -> Path:
    """Return the folder `name` that came with this package.

    A wheel carries it as ``caveatlib/_shipped/<name>``, a checkout (or an
    editable install) has it beside the package.

    Parameters
    ----------
    name : {"data", "notebooks"}

    Returns
    -------
    pathlib.Path

    Raises
    ------
    StorageError
        If neither place has it.
    """
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "_shipped" / name, package.parent / name):
        if name in NAMES and candidate.is_dir():
            return candidate
    raise StorageError(
        f"No folder {name!r} came with caveatlib. Must be one of {NAMES}; reinstall."
    )
