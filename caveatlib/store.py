"""Recorded data by version, and the data of live runs.

Recorded data lie in ``data/<experiment>-v<N>/`` and ship with caveatlib; a live
run leaves the same kind of folder (see `caveatlib.support.datapackage`) at
``DIR/<experiment>/``. A file's checksum is compared at every load.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from caveatlib import frames
from caveatlib.errors import DataError, UsageError
from caveatlib.measuring import finish, machine
from caveatlib.measuring.experiment import Experiment, check_tables, tables_of
from caveatlib.support import datapackage, shipped
from caveatlib.support.arguments import check_number
from caveatlib.support.paths import display_path, exists, write_files, write_folder

Tables = dict[str, pd.DataFrame]
"""The tables of a package by name."""


def load(experiment: Experiment, *, version: int | None = None) -> Tables:
    """Return the tables of the recorded data that ship with caveatlib.

    Parameters
    ----------
    experiment : Experiment
    version : int, optional
        Version of its recorded data, default the newest.

    Returns
    -------
    dict of str to pandas.DataFrame
        Those that the experiment knows and the package has, in the models' columns and
        dtypes; a ``source`` of live reads recorded.

    Raises
    ------
    UsageError
        If there are no such data.
    DataError
        If a file does not agree with its checksum, a table with its model, or the tables
        with a guard, see `measuring.experiment.check_tables`.
    StorageError
        If a file cannot be read.
    """
    name = experiment.NAME
    folder = shipped.folder("data") / f"{name}-v{version_of(name, version)}"
    return _checked(folder, experiment, recorded=True)


def load_run(folder: str | os.PathLike, experiment: Experiment) -> Tables:
    """Return the tables of a run that ``caveatlib measure`` wrote.

    Parameters
    ----------
    folder : path
        The run's folder, or the experiment's folder in it.
    experiment : Experiment

    Returns
    -------
    dict of str to pandas.DataFrame

    Raises
    ------
    UsageError
        If the folder holds no run of that experiment.
    DataError, StorageError
        As `load`.
    """
    return _checked(_run_folder(folder, experiment.NAME), experiment, recorded=False)


def _checked(folder: Path, experiment: Experiment, *, recorded: bool) -> Tables:
    """Return the tables of a package that has passed every guard."""
    package = _package(folder, experiment.NAME)
    found = {}
    for table, model in tables_of(experiment).items():
        if table in datapackage.schemas(package):
            found[table] = _frame(folder, package, table, model, recorded=recorded)
        elif recorded and issubclass(model, frames.OfTrial) and frames.came_later(model):
            found[table] = frames.empty(model)
    if "trials" not in found:
        raise DataError(f"Data package {folder.name!r} has no table 'trials'. Must have one.")
    try:
        check_tables(experiment, found)
    except DataError as error:
        raise DataError(f"Data package {folder.name!r} cannot be: {error}") from None
    return found


_READ: dict[tuple, pd.DataFrame] = {}
MOST_READ = 256
"""So many tables are kept at most."""


def _frame(
    folder: Path, package: dict, table: str, model: type[frames.Table], *, recorded: bool
) -> pd.DataFrame:
    """Return a table as its model has it; the same bytes are read once in a process."""
    used = [r for r in package["resources"] if r["name"] in (table, "conditions") and "schema" in r]
    for resource in used:
        datapackage.check_resource(folder, resource)
    key = (model, table, recorded, *(resource["hash"] for resource in used))
    if key not in _READ:
        header, rows = _rows(folder, package, table)
        rows = _as_recorded(header, rows) if recorded else rows
        frame = datapackage.to_frame(header, rows, model, f"{folder.name}/{table}.csv")
        if len(_READ) >= MOST_READ:
            _READ.clear()
        _READ[key] = frame
    return _READ[key].copy(deep=False)


def versions(name: str) -> list[int]:
    """Return the versions of an experiment's recorded data, ascending.

    Raises
    ------
    UsageError
        If the name cannot be one.
    """
    datapackage.check_name(name)
    found = shipped.folder("data").glob(f"{name}-v*/{datapackage.FILE}")
    numbers = (path.parent.name.removeprefix(f"{name}-v") for path in found)
    return sorted(int(n) for n in numbers if re.fullmatch("[1-9][0-9]*", n))


def version_of(name: str, version: int | None = None) -> int:
    """Return a version of an experiment's recorded data that there is.

    Parameters
    ----------
    name : str
        The experiment.
    version : int, optional
        Default the newest.

    Raises
    ------
    UsageError
        If it is not recorded.
    """
    known = versions(name)
    if version is None and known:
        return known[-1]
    if version not in known:
        asked = "" if version is None else f" version {version!r}"
        rule = f"one of {known}" if known else "recorded first"
        raise UsageError(f"No recorded data {name!r}{asked}. Must be {rule}.")
    return version


def describe_anew(name: str, *, title: str, models: Mapping[str, type[frames.Table]]) -> bool:
    """Write title and columns' descriptions of the newest recorded data as the models have them.

    Rows and checksums stay: a recorded version is never rewritten.

    Parameters
    ----------
    name : str
        The experiment.
    title : str
        The experiment's question.
    models : mapping
        Table -> model.

    Returns
    -------
    bool
        Whether anything was out of date.

    Raises
    ------
    DataError
        If a model has other columns or types than the data: that is another version.
    StorageError
        If the description cannot be written.
    """
    folder = shipped.folder("data") / f"{name}-v{version_of(name)}"
    return describe_folder(folder, name, title=title, models=models)


def describe_folder(
    folder: Path, name: str, *, title: str, models: Mapping[str, type[frames.Table]]
) -> bool:
    """Do as `describe_anew` for the package of a folder, one that was contributed."""
    package = _package(folder, name)
    before = datapackage.to_json(package)
    package["title"] = title
    for resource in package["resources"]:
        if (table := resource["name"]) in models:
            there = [field["name"] for field in resource["schema"]["fields"]]
            schema = frames.table_schema(models[table], of=there)
            if _types(schema) != _types(resource["schema"]):
                raise DataError(
                    f"Model of table {table!r} differs from {folder.name!r} in more than words. "
                    "Must be recorded as another version."
                )
            resource["schema"] = schema
    after = datapackage.to_json(package)
    if before != after:
        write_files(folder, {datapackage.FILE: after})
    return before != after


def _types(schema: dict) -> list[tuple]:
    return [(f["name"], f["type"], f.get("unit")) for f in schema["fields"]]


def record(experiment: Experiment, folders: Iterable[str | os.PathLike], *, version: int) -> Path:
    """Promote live runs to recorded data, ``data/<name>-v<version>/``.

    Several runs, e.g. of several machines, become one package. A version that is recorded
    is final: a further run of it becomes a new version, from the folder of the recorded one
    and that of the run. Journal, summary and verdicts stay behind: the latter two follow
    from the tables.

    Parameters
    ----------
    experiment : Experiment
    folders : iterable of path
        Folders as `load_run` takes them, or those of recorded versions.
    version : int
        At least 1, and not yet recorded.

    Returns
    -------
    pathlib.Path
        The new folder.

    Raises
    ------
    UsageError
        If the version exists or cannot be one, a run is given twice or was interrupted,
        or caveatlib is installed rather than checked out.
    DataError
        If a file does not agree with its checksum, the runs' tables differ, or those of
        one run, or of all together, break a guard.
    StorageError
        If something cannot be written; then nothing of it is there.
    """
    name = experiment.NAME
    datapackage.check_name(name)
    data = shipped.folder("data")
    if data.parent.name == "_shipped":
        raise UsageError("Data of an installed caveatlib cannot grow. Run this in a checkout.")
    check_number("version", version, least=1, whole=True)
    target = data / f"{name}-v{version}"
    if target.exists():
        raise UsageError(
            f"Recorded data {target.name!r} exist. A version is final: choose another; a further "
            "run is added by recording both folders together."
        )
    sources = [_run_folder(folder, name) for folder in folders]
    if not sources:
        raise UsageError("No run to record. Must name at least one folder.")
    files = _merged(name, version, sources)
    _check_pooled(experiment, sources)
    write_folder(target, files)
    return target


def _check_pooled(experiment: Experiment, sources: list[Path]) -> None:
    """Let each run pass the guards, and then all of them together."""
    runs = [_checked(folder, experiment, recorded=True) for folder in sources]
    for folder, run in zip(sources, runs, strict=True):
        _check_ended(folder, experiment.NAME, run)
    if len(runs) > 1:
        check_tables(
            experiment,
            {name: pd.concat([run[name] for run in runs], ignore_index=True) for name in runs[0]},
        )


def _check_ended(folder: Path, name: str, run: Tables) -> None:
    """Refuse a run that was interrupted: what it left out nobody chose to leave out."""
    if "conditions" in run and (told := finish.interrupted(run["conditions"])):
        raise UsageError(
            f"Run {display_path(folder)!r} of {name!r} was interrupted: {told}. "
            f"Must be ended first: {finish.how_to_end(folder, name)}"
        )


def _merged(name: str, version: int, sources: list[Path]) -> dict[str, bytes]:
    """Return the files of one package that holds the tables of all sources."""
    found = [_package(folder, name) for folder in sources]
    tables = datapackage.schemas(found[0])
    for folder, package in zip(sources, found, strict=True):
        if datapackage.schemas(package) != tables:
            raise DataError(
                f"Tables of {display_path(folder)!r} differ from those of "
                f"{display_path(sources[0])!r}. Runs recorded together must come from one "
                "version of the experiment."
            )
    files, resources = {}, []
    for table, schema in tables.items():
        parts = []
        for folder, package in zip(sources, found, strict=True):
            header, rows = datapackage.read_rows(folder, package, table)
            parts.append(_as_recorded(header, rows))
        if table == "trials":
            _check_runs(header, parts)
        rows = [row for part in parts for row in part]
        files[f"{table}.csv"] = content = datapackage.to_csv(table, header, rows)
        resources.append(datapackage.resource(table, content, schema))
    title, licence = found[0]["title"], found[0]["licenses"][0]
    files[datapackage.FILE] = datapackage.describe(
        name, title, f"{version}.0.0", licence, resources
    )
    return files


def _check_runs(header: list[str], parts: list[datapackage.Rows]) -> None:
    """Refuse the same run twice: further tables are keyed by it."""
    run = header.index("run")
    seen: set[str] = set()
    for part in parts:
        runs = {row[run] for row in part}
        if twice := seen & runs:
            raise UsageError(f"Run {min(twice)!r} is given twice. Must be recorded once.")
        seen |= runs


def _rows(folder: Path, package: dict, table: str) -> tuple[list[str], datapackage.Rows]:
    """Return header and rows of a table as text, machines by their class of today.

    What was recorded before the class had the CPU's model gets it from the
    facts of its own run; the files stay as they are.
    """
    header, rows = datapackage.read_rows(folder, package, table)
    if not {"run", "machine"} <= set(header) or "conditions" not in datapackage.schemas(package):
        return header, rows
    facts: dict[str, dict[str, str]] = {}
    names, conditions = datapackage.read_rows(folder, package, "conditions")
    for row in conditions:
        fact = dict(zip(names, row, strict=True))
        if fact["place"] == "":
            facts.setdefault(fact["run"], {})[fact["name"]] = fact["value"]
    run, label = header.index("run"), header.index("machine")
    for row in rows:
        row[label] = machine.label_with_cpu(row[label], facts.get(row[run], {}))
    return header, rows


def _as_recorded(header: list[str], rows: datapackage.Rows) -> datapackage.Rows:
    """Return the rows with "live" become "recorded"; simulated stays simulated."""
    if "source" not in header:
        return rows
    i = header.index("source")
    return [[*row[:i], "recorded", *row[i + 1 :]] if row[i] == "live" else row for row in rows]


def _run_folder(folder: str | os.PathLike, name: str) -> Path:
    """Return the experiment's folder: `folder` itself, or the one of its name in it."""
    datapackage.check_name(name)
    folder = Path(folder)
    inner = folder / name
    if exists(inner / datapackage.FILE):
        return inner
    if exists(folder / datapackage.FILE):
        return folder
    if exists(inner / "journal.jsonl"):
        raise UsageError(
            f"Run {display_path(folder)!r} of {name!r} is unfinished. "
            f"Must be ended first: {finish.how_to_end(inner, name)}"
        )
    raise UsageError(
        f"No run of {name!r} in {display_path(folder)!r}. Must be a folder that "
        "`caveatlib measure` wrote."
    )


def _package(folder: Path, name: str) -> dict:
    package = datapackage.read(folder)
    if package["name"] != name:
        raise DataError(
            f"Data package {folder.name!r} is of {package['name']!r}. Must be of {name!r}."
        )
    return package
