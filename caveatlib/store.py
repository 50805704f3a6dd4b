r"""Recorded data by version, and what live runs leave, both as data packages.

A data package (specs.frictionlessdata.io/data-package) is a folder of CSV
files and one `datapackage.json` that gives each file's size, SHA-256 and, for
every column, type, unit and meaning. The same tables give the same bytes.

How a CSV file is written: UTF-8, one header line, lines end with ``\n``;
True/False; the shortest digits that read back as the same number; INF and -INF;
an empty field where a value is missing; text in quotes only where a comma, a
quote or a line break asks for it, and otherwise as it is (a leading ``=`` too:
these files are read by programs, not by spreadsheets).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from caveatlib import frames, shipped
from caveatlib.errors import DataError, StorageError, UsageError
from caveatlib.journal import shown

PACKAGE = "datapackage.json"

LICENCES = {
    "CC-BY-4.0": {
        "name": "CC-BY-4.0",
        "path": "https://creativecommons.org/licenses/by/4.0/",
        "title": "Creative Commons Attribution 4.0",
    }
}

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_FIELD = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",\n]*))([,\n])')
_QUOTED = re.compile(r'[",\r\n]')


def load(
    name: str, *, version: int, table: str = "trials", model: type[frames.Table]
) -> pd.DataFrame:
    """Return a table of the recorded data that ship with caveatlib.

    Parameters
    ----------
    name : str
        The experiment.
    version : int
        Version of its recorded data, see `versions`.
    table : str, optional
    model : type of Table
        What the table must fulfil.

    Returns
    -------
    pandas.DataFrame
        In the model's columns and dtypes; a ``source`` of live reads recorded.

    Raises
    ------
    UsageError
        If there are no such data or there is no such table in them.
    DataError
        If a file does not agree with its checksum, or the table with its model.
    StorageError
        If a file cannot be read.
    """
    known = versions(name)
    if version not in known:
        rule = f"one of {known}" if known else f"recorded first; there is {_recorded_names()}"
        raise UsageError(f"No recorded data {name!r} version {version!r}. Must be {rule}.")
    folder = shipped.folder("data") / f"{name}-v{version}"
    header, rows = _rows(folder, _package(folder, name), table)
    return _typed(header, _as_recorded(header, rows), model, f"{folder.name}/{table}.csv")


def load_run(
    folder: str | os.PathLike, name: str, *, table: str = "trials", model: type[frames.Table]
) -> pd.DataFrame:
    """Return a table of a run that ``caveatlib measure`` wrote.

    Parameters
    ----------
    folder : path
        The run's folder, or the experiment's folder in it.
    name : str
        The experiment.
    table : str, optional
    model : type of Table

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    UsageError
        If the folder holds no run of that experiment, or the run no such table.
    DataError, StorageError
        As `load`.
    """
    folder = _run_folder(Path(folder), name)
    header, rows = _rows(folder, _package(folder, name), table)
    return _typed(header, rows, model, f"{folder.name}/{table}.csv")


def versions(name: str) -> list[int]:
    """Return the versions of an experiment's recorded data, ascending.

    Raises
    ------
    UsageError
        If the name cannot be one.
    """
    _check_name(name)
    found = shipped.folder("data").glob(f"{name}-v*/{PACKAGE}")
    numbers = (path.parent.name.removeprefix(f"{name}-v") for path in found)
    return sorted(int(n) for n in numbers if re.fullmatch("[1-9][0-9]*", n))


def make_folder(folder: str | os.PathLike) -> Path:
    """Make a folder for a run, with those above it; one that exists is left as it is.

    Raises
    ------
    StorageError
        If it cannot be made.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _storage_error("make folder", folder, error) from None
    return folder


def write_run(
    folder: str | os.PathLike,
    name: str,
    tables: dict[str, pd.DataFrame],
    models: dict[str, type[frames.Table]],
    *,
    title: str,
    summary: pd.DataFrame,
    verdicts: list[dict],
    licence: str = "CC-BY-4.0",
) -> Path:
    """Write what a run measured as a data package, all of it or nothing.

    Parameters
    ----------
    folder : path
        The experiment's folder in the run; made if missing. Files of an
        earlier `write_run` are replaced, others are left alone.
    name : str
        The experiment.
    tables : dict of DataFrame
        Each becomes ``<table>.csv``.
    models : dict
        The model of each table.
    title : str
        One sentence, the experiment's question.
    summary : DataFrame
        Becomes ``summary.csv``; its index too, if it has a name.
    verdicts : list of dict
        Becomes ``verdicts.json``; what is not finite becomes null.
    licence : str, optional
        A key of `LICENCES`.

    Returns
    -------
    pathlib.Path
        The ``datapackage.json``.

    Raises
    ------
    DataError
        If a table breaks its model, or text cannot be written and read back.
    UsageError
        If a name is none.
    StorageError
        If something cannot be written; then nothing of it is there.
    """
    _check_name(name)
    files, resources = {}, []
    for table, frame in tables.items():
        frame = frames.validate(frame, models[table])
        _check_text(frame, models[table], table)
        files[f"{table}.csv"] = _csv(table, *_text(frame))
        resources.append(_resource(table, files, frames.table_schema(models[table])))
    if summary.index.names != [None]:
        summary = summary.reset_index()
    files["summary.csv"] = _csv("summary", *_text(summary))
    resources.append(_resource("summary", files, _guessed_schema(summary)))
    files["verdicts.json"] = _json(verdicts)
    resources.append(_resource("verdicts", files, None))
    files[PACKAGE] = _package_json(name, title, "0.0.0", LICENCES[licence], resources)
    make_folder(folder)
    _write(Path(folder), files)
    return Path(folder) / PACKAGE


def record(name: str, folders: Iterable[str | os.PathLike], *, version: int) -> Path:
    """Promote live runs to recorded data, ``data/<name>-v<version>/``.

    Several runs, of several machines say, become one package. Journal, summary
    and verdicts stay behind: the latter two follow from the trials.

    Parameters
    ----------
    name : str
        The experiment.
    folders : iterable of path
        Folders as `load_run` takes them.
    version : int
        At least 1, and not yet recorded.

    Returns
    -------
    pathlib.Path
        The new folder.

    Raises
    ------
    UsageError
        If the version exists or is none, a run is given twice, or caveatlib is
        installed rather than checked out.
    DataError
        If a file does not agree with its checksum or the runs' tables differ.
    StorageError
        If something cannot be written; then nothing of it is there.
    """
    _check_name(name)
    data = shipped.folder("data")
    if data.parent.name == "_shipped":
        raise UsageError("Data of an installed caveatlib cannot grow. Run this in a checkout.")
    if version < 1:
        raise UsageError(f"Invalid version {version}. Must be >= 1.")
    target = data / f"{name}-v{version}"
    if target.exists():
        raise UsageError(f"Recorded data {target.name!r} exist. Choose another version.")
    sources = [_run_folder(Path(folder), name) for folder in folders]
    if not sources:
        raise UsageError("No run to record. Must name at least one folder.")
    _write_folder(target, _merged(name, version, sources))
    return target


def _merged(name: str, version: int, sources: list[Path]) -> dict[str, bytes]:
    """Return the files of one package that holds the tables of all sources."""
    packages = [_package(folder, name) for folder in sources]
    schemas = [_schemas(package) for package in packages]
    for folder, other in zip(sources, schemas, strict=True):
        if other != schemas[0]:
            raise DataError(
                f"Tables of {shown(folder)!r} differ from those of {shown(sources[0])!r}. "
                "Runs recorded together must come from one version of the experiment."
            )
    files, resources = {}, []
    for table, schema in schemas[0].items():
        merged = []
        for folder, package in zip(sources, packages, strict=True):
            header, rows = _rows(folder, package, table)
            merged.append(_as_recorded(header, rows))
        if table == "trials":
            _check_runs(header, merged)
        files[f"{table}.csv"] = _csv(table, header, [row for rows in merged for row in rows])
        resources.append(_resource(table, files, schema))
    first = packages[0]
    files[PACKAGE] = _package_json(
        name, first["title"], f"{version}.0.0", first["licenses"][0], resources
    )
    return files


def _check_runs(header: list[str], parts: list[list[list[str]]]) -> None:
    seen: set[tuple] = set()
    for rows in parts:
        runs = {(row[header.index("machine")], row[header.index("run")]) for row in rows}
        if seen & runs:
            raise UsageError(
                f"Run {min(seen & runs)[1]!r} is given twice. Every run may be recorded once."
            )
        seen |= runs


def _schemas(package: dict) -> dict[str, dict]:
    """Return the schema of each table of a package, without what follows from the trials."""
    return {
        r["name"]: r["schema"]
        for r in package["resources"]
        if r["name"] not in ("summary", "verdicts")
    }


# --- reading ---------------------------------------------------------------


def _run_folder(folder: Path, name: str) -> Path:
    _check_name(name)
    for candidate in (folder / name, folder):
        if (candidate / PACKAGE).is_file() and _package(candidate).get("name") == name:
            return candidate
    if (folder / name / "journal.jsonl").is_file():
        raise UsageError(
            f"Run {shown(folder)!r} of {name!r} is unfinished. "
            f"End it first: caveatlib measure {name} --resume {shown(folder)}"
        )
    raise UsageError(
        f"No run of {name!r} in {shown(folder)!r}. Must be a folder that `caveatlib measure` wrote."
    )


def _package(folder: Path, name: str | None = None) -> dict:
    """Return the parsed datapackage.json, as far as it is relied on here."""
    where = f"{folder.name}/{PACKAGE}"
    try:
        package = json.loads(_bytes(folder / PACKAGE, where))
        resources = {r["name"]: r for r in package["resources"]}
        sound = all(isinstance(r["hash"], str) for r in resources.values())
        sound &= isinstance(package["name"], str) and len(resources) == len(package["resources"])
    except (ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise DataError(f"File {where!r} is no data package. Must list name, path and hash.")
    if name is not None and package["name"] != name:
        raise DataError(f"File {where!r} is of {package['name']!r}. Must be of {name!r}.")
    return package


def _rows(folder: Path, package: dict, table: str) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a table as text, after its checksum was checked."""
    resources = {r["name"]: r for r in package["resources"] if "schema" in r}
    if table not in resources:
        raise UsageError(
            f"No table {table!r} in {folder.name!r}. Must be one of {sorted(resources)}."
        )
    where = f"{folder.name}/{table}.csv"  # never the file's own idea of a path
    content = _bytes(folder / f"{table}.csv", where)
    expected, found = resources[table]["hash"], _hash(content)
    if found != expected:
        raise DataError(
            f"File {where!r} has checksum {found}. Must have {expected}: it was changed or cut "
            "after it was written."
        )
    return _parse(content, where)


def _parse(content: bytes, where: str) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of CSV as text; strict where the `csv` module guesses."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"File {where!r} is no UTF-8 at byte {error.start}.") from None
    lines, line, at = [], [], 0
    for match in _FIELD.finditer(text):
        if match.start() != at:
            break
        at = match.end()
        quoted, plain, end = match.groups()
        line.append(plain if quoted is None else quoted.replace('""', '"'))
        if end == "\n":
            lines.append(line)
            line = []
    if at != len(text) or line or not lines:
        raise DataError(f"File {where!r} is no CSV at character {at}.")
    header, *rows = lines
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DataError(
                f"Row {number} of {where!r} has {len(row)} fields. Must have {len(header)}."
            )
    return header, rows


def _as_recorded(header: list[str], rows: list[list[str]]) -> list[list[str]]:
    if "source" not in header:
        return rows
    i = header.index("source")
    return [[*r[:i], "recorded", *r[i + 1 :]] if r[i] == "live" else r for r in rows]


def _typed(
    header: list[str], rows: list[list[str]], model: type[frames.Table], where: str
) -> pd.DataFrame:
    """Return text rows as a frame of the model."""
    texts = dict(zip(header, zip(*rows, strict=True) if rows else [()] * len(header), strict=True))
    series = {}
    for name, column in frames.columns(model).items():
        if name not in texts:
            continue  # validate() says so
        dtype = column.dtype.type
        try:
            values = _values(texts[name], str(column.dtype), column.nullable)
            series[name] = pd.Series(values, dtype=dtype)
        except (ValueError, KeyError, OverflowError) as error:
            raise DataError(
                f"Column {name!r} of {where!r} holds what is no {column.dtype}: {error}"
            ) from None
    extra = {name: pd.Series(texts[name], dtype="str") for name in texts if name not in series}
    return frames.validate(pd.DataFrame(series | extra), model)


def _values(texts: Iterable[str], dtype: str, nullable: bool) -> list:
    if dtype.startswith("float"):
        return [float(t) if t else math.nan for t in texts]
    if dtype.lower().startswith(("int", "uint")):
        return [int(t) if t or not nullable else pd.NA for t in texts]
    if dtype.startswith("bool"):
        meaning = {"True": True, "False": False} | ({"": pd.NA} if nullable else {})
        return [meaning[t] for t in texts]
    return [t if t or not nullable else math.nan for t in texts]


# --- writing ---------------------------------------------------------------


def _check_text(frame: pd.DataFrame, model: type[frames.Table], table: str) -> None:
    """Refuse the one thing that would not come back: an empty field means missing."""
    for name, column in frames.columns(model).items():
        if column.nullable and (frame[name] == "").fillna(False).any():
            raise DataError(
                f"Value '' of column {name!r} of table {table!r} would read back as missing. "
                "Must be missing, or text that is not empty."
            )


def _text(frame: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a frame as text."""
    columns = [[_cell(value) for value in frame[name].tolist()] for name in frame.columns]
    return [str(name) for name in frame.columns], [list(row) for row in zip(*columns, strict=True)]


def _cell(value) -> str:
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return repr(float(value)) if math.isfinite(value) else ("INF" if value > 0 else "-INF")
    return str(value)


def _csv(table: str, header: list[str], rows: list[list[str]]) -> bytes:
    lines = (",".join(_quoted(cell) for cell in row) or '""' for row in (header, *rows))
    text = "\n".join(lines) + "\n"
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 20) : error.end + 20]
        raise DataError(
            f"Text {near!r} of table {table!r} is no Unicode text. Must be percent-escaped."
        ) from None


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def _json(value) -> bytes:
    text = json.dumps(_finite(value), indent=2, sort_keys=True, allow_nan=False)
    return text.encode("ascii") + b"\n"


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy's scalars
        value = value.tolist()
    if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value


def _package_json(
    name: str, title: str, version: str, licence: dict, resources: list[dict]
) -> bytes:
    return _json(
        {
            "profile": "data-package",
            "name": name,
            "title": title,
            "version": version,
            "licenses": [licence],
            "resources": resources,
        }
    )


def _resource(name: str, files: dict[str, bytes], schema: dict | None) -> dict:
    _check_name(name)
    kind = "json" if schema is None else "csv"
    content = files[f"{name}.{kind}"]
    entry = {
        "name": name,
        "path": f"{name}.{kind}",
        "format": kind,
        "encoding": "utf-8",
        "bytes": len(content),
        "hash": _hash(content),
    }
    if schema is None:
        return entry | {"mediatype": "application/json"}
    return entry | {
        "mediatype": "text/csv",
        "profile": "tabular-data-resource",
        "dialect": {"lineTerminator": "\n"},
        "schema": schema,
    }


def _guessed_schema(frame: pd.DataFrame) -> dict:
    kinds = {"b": "boolean", "i": "integer", "u": "integer", "f": "number"}
    fields = [
        {"name": str(name), "type": kinds.get(dtype.kind, "string")}
        for name, dtype in frame.dtypes.items()
    ]
    return {"fields": fields, "missingValues": [""]}


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write all files beside their places first, then move each to its place."""
    parts = {}
    try:
        for name, content in files.items():
            part = folder / f".{name}.{os.getpid()}.part"
            parts[name] = part
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for name in files:  # datapackage.json is the last, and vouches for the others
            parts[name].replace(folder / name)
    except OSError as error:
        raise _storage_error("write", Path(folder.name) / name, error) from None
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _write_folder(target: Path, files: dict[str, bytes]) -> None:
    """Make a folder of files appear at once, unless it is there already."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.mkdir()
        _write(part, files)
        part.rename(target)  # fails if the target exists and is not empty
    except StorageError:
        raise
    except OSError as error:
        raise _storage_error("write folder", Path(target.name), error) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


# --- small things ----------------------------------------------------------


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"Invalid name {name!r}. Must be lower-case letters, digits, - and _.")


def _recorded_names() -> list[str]:
    found = shipped.folder("data").glob(f"*-v*/{PACKAGE}")
    return sorted({path.parent.name.rpartition("-v")[0] for path in found})


def _bytes(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"File {where!r} is missing. Restore the folder from a copy.") from None
    except OSError as error:
        raise StorageError(f"Cannot read {where!r}: {error.strerror or error}.") from None


def _hash(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _storage_error(verb: str, path: Path, error: OSError) -> StorageError:
    return StorageError(f"Cannot {verb} {shown(path)!r}: {error.strerror or error}.")
