"""Which runs lie where."""

from __future__ import annotations

import os
from pathlib import Path

from caveatlib import experiments, store, trials
from caveatlib.errors import DataError, UsageError
from caveatlib.measuring.experiment import complete
from caveatlib.support import datapackage
from caveatlib.support.paths import display_path, exists, storage_error
from caveatlib.trials import Run


def found(source: str | os.PathLike) -> dict[str, Run]:
    """Return the runs of a source, by experiment.

    Parameters
    ----------
    source : "recorded" or path
        The newest recorded version of every experiment, or a folder that
        ``caveatlib measure`` wrote, or one experiment's folder in it.

    Raises
    ------
    UsageError
        If there is none, or more than one of an experiment.
    """
    if os.fspath(source) == "recorded":
        recorded = (e for e in experiments.ALL if store.versions(e.NAME))
        return {e.NAME: trials.open(e, source=source) for e in recorded}
    # Not Path.is_file, which raises for a folder that may not be entered.
    inside = (Path(source), *_inside(source))
    folders = [f for f in inside if os.path.isfile(f / datapackage.FILE)]
    runs = [opened(folder, shown=source) for folder in folders]
    if not runs:
        raise UsageError(
            f"No run in {display_path(source)!r}. Must be 'recorded' or a folder that "
            "`caveatlib measure` wrote."
        )
    names = [run.experiment.NAME for run in runs]
    if several := [name for name in names if names.count(name) > 1]:
        raise UsageError(
            f"Folder {display_path(source)!r} holds {names.count(several[0])} runs of "
            f"{several[0]!r}. Must be the folder of one of them."
        )
    return dict(zip(names, runs, strict=True))


def packages(folder: str | os.PathLike) -> list[Path]:
    """Return the folders of all data packages at or below a folder, in order of their names.

    Raises
    ------
    UsageError
        If there is none.
    """
    root = Path(folder)
    exists(root / datapackage.FILE)  # `rglob` passes over what it may not enter
    found = sorted(path.parent for path in root.rglob(datapackage.FILE) if not _hidden(path, root))
    if not found:
        raise UsageError(f"No data package in {display_path(folder)!r} or below it.")
    return found


def _hidden(path: Path, root: Path) -> bool:
    """Whether a folder below another begins with a dot, as one does that was not written whole."""
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def opened(folder: Path, *, shown: str | os.PathLike | None = None) -> Run:
    """Return the run of one data package.

    Parameters
    ----------
    folder : path
    shown : path, optional
        What the run is called; default the folder.

    Raises
    ------
    DataError
        If it is not a data package, or of an experiment that is not there.
    """
    name = datapackage.read(folder)["name"]
    known = {experiment.NAME: experiment for experiment in experiments.ALL}
    if name not in known:
        raise DataError(
            f"Data package {display_path(folder)!r} is of {name!r}. Must be of one of "
            f"{', '.join(map(repr, known))}."
        )
    return Run(complete(known[name]), display_path(shown or folder), folder=folder)


def _inside(folder: str | os.PathLike) -> list[Path]:
    try:
        return sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []
    except OSError as error:
        raise storage_error("read", folder, error) from None
