r"""The files of a data package: frames to bytes and back, exactly.

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
import re
import stat
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from caveatlib import frames
from caveatlib.errors import DataError, UsageError
from caveatlib.support.paths import storage_error

FILE = "datapackage.json"

LICENCE = {
    "name": "CC-BY-4.0",
    "path": "https://creativecommons.org/licenses/by/4.0/",
    "title": "Creative Commons Attribution 4.0",
}
"""What data are licensed under, measured or recorded."""

DERIVED = ("summary", "verdicts")
"""Resources that follow from the tables."""

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_FIELD = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",\n]*))([,\n])|[\s\S]')
_SPECIAL = re.compile(r'[",\r\n]')

Rows = list[list[str]]


# --- reading ---------------------------------------------------------------


def read(folder: Path) -> dict:
    """Return the parsed ``datapackage.json`` of a folder.

    Raises
    ------
    DataError
        If it is missing or lacks what is relied on.
    StorageError
        If it cannot be read.
    """
    where = f"{folder.name}/{FILE}"
    try:
        package = json.loads(_content(folder / FILE, where))
        resources = package["resources"]
        sound = all(isinstance(r["name"] + r["hash"], str) for r in resources)
        sound &= len({r["name"] for r in resources}) == len(resources)
        sound &= isinstance(package["name"] + package["title"], str)
        sound &= isinstance(package["licenses"][0], dict)
    except (ValueError, LookupError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise DataError(
            f"File {where!r} is not a data package. Must have name, title, licenses and resources, "
            "each with name and hash."
        )
    return package


def schemas(package: dict) -> dict[str, dict]:
    """Return the schema of each table of a package, `DERIVED` ones left out."""
    return {
        r["name"]: r["schema"]
        for r in package["resources"]
        if "schema" in r and r["name"] not in DERIVED
    }


def read_rows(folder: Path, package: dict, table: str) -> tuple[list[str], Rows]:
    """Return header and rows of a table as text, once its checksum was found right.

    Raises
    ------
    UsageError
        If the package has no such table.
    DataError
        If the file is missing, or does not agree with its checksum.
    StorageError
        If it cannot be read.
    """
    known = schemas(package)
    if table not in known:
        raise UsageError(f"No table {table!r} in {folder.name!r}. Must be one of {sorted(known)}.")
    (resource,) = (r for r in package["resources"] if r["name"] == table)
    return parse(check_resource(folder, resource), f"{folder.name}/{table}.csv")


def file_name(resource: dict) -> str:
    """Return the name of a resource's file, and never the path that the package gives."""
    return f"{resource['name']}.{'csv' if 'schema' in resource else 'json'}"


def check_resource(folder: Path, resource: dict) -> bytes:
    """Return the content of a resource's file, once its checksum was found right.

    Raises
    ------
    DataError
        If the file is missing, or does not agree with its checksum.
    StorageError
        If it cannot be read.
    """
    where = f"{folder.name}/{file_name(resource)}"
    content, expected = _content(folder / file_name(resource), where), resource["hash"]
    if (found := _hash(content)) != expected:
        raise DataError(
            f"File {where!r} has checksum {found}. Must have {expected}: it was changed after it "
            "was written; restore it from a copy."
        )
    return content


def parse(content: bytes, where: str) -> tuple[list[str], Rows]:
    """Return header and rows of CSV as text; strict where the `csv` module guesses.

    Parameters
    ----------
    content : bytes
    where : str
        What to call the file in an error.

    Raises
    ------
    DataError
        If it is not UTF-8, a quote is out of place, or a row has not as many
        fields as the header.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"File {where!r} is not UTF-8 at byte {error.start}.") from None
    lines, line, at = [], [], 0
    for match in _FIELD.finditer(text):
        quoted, plain, end = match.groups()
        if end is None:  # no field begins here; a search for the next one might take hours
            break
        at = match.end()
        line.append(plain if quoted is None else quoted.replace('""', '"'))
        if end == "\n":
            lines.append(line)
            line = []
    if at != len(text) or line or not lines:
        raise DataError(f"File {where!r} is not CSV at character {at}.")
    header, *rows = lines
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DataError(
                f"Row {number} of {where!r} has {len(row)} fields. Must have {len(header)}."
            )
    return header, rows


def to_frame(header: list[str], rows: Rows, model: type[frames.Table], where: str) -> pd.DataFrame:
    """Return text rows as a validated frame of the model.

    Columns that were added later (`frames.later`) are empty where they are missing.

    Raises
    ------
    DataError
        If a text is none of its column's type, a column is there twice, or the frame breaks
        the model.
    """
    if twice := [name for i, name in enumerate(header) if name in header[:i]]:
        raise DataError(f"Column {twice[0]!r} of {where!r} is there twice. Must be there once.")
    cells = [[row[i] for row in rows] for i in range(len(header))]
    texts = dict(zip(header, cells, strict=True))
    typed = {}
    texts |= {name: [""] * len(rows) for name in frames.later(model) if name not in texts}
    for name, column in frames.columns(model).items():
        if name not in texts:
            continue  # validate() says so
        try:
            values = _values(texts[name], str(column.dtype), column.nullable)
            typed[name] = pd.Series(values, dtype=column.dtype.type)
        except (ValueError, KeyError, OverflowError) as error:
            raise DataError(
                f"Column {name!r} of {where!r} has a value that is not {column.dtype}: {error}"
            ) from None
    extra = {
        name: pd.Series(text, dtype="str") for name, text in texts.items() if name not in typed
    }
    return frames.validate(pd.DataFrame(typed | extra), model)


def _values(texts: Iterable[str], dtype: str, nullable: bool) -> list:
    if dtype.startswith("float"):
        return [float(t) if t else math.nan for t in texts]
    if dtype.lower().startswith(("int", "uint")):
        return [int(t) if t or not nullable else pd.NA for t in texts]
    if dtype.startswith("bool"):
        meaning = {"True": True, "False": False} | ({"": pd.NA} if nullable else {})
        return [meaning[t] for t in texts]
    return [t if t or not nullable else math.nan for t in texts]


def _content(path: Path, where: str) -> bytes:
    try:
        kind = path.stat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # a link may lead to /dev/zero
            raise DataError(f"File {where!r} is a pipe or a device. Must be a file.")
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"File {where!r} is missing. Restore the folder from a copy.") from None
    except OSError as error:
        raise storage_error("read", where, error) from None


# --- writing ---------------------------------------------------------------


def to_rows(table: str, frame: pd.DataFrame, model: type[frames.Table]) -> tuple[list[str], Rows]:
    """Return header and rows of a frame as text, after validating it.

    Raises
    ------
    DataError
        If it breaks the model, or has an empty text where text may be
        missing: the two would be the same in CSV.
    """
    frame = frames.validate(frame, model)
    for name, column in frames.columns(model).items():
        if column.nullable and (frame[name] == "").fillna(False).any():
            raise DataError(
                f"Value '' of column {name!r} of table {table!r} would read back as missing. "
                "Must be missing, or text that is not empty."
            )
    return as_text(frame)


def as_text(frame: pd.DataFrame) -> tuple[list[str], Rows]:
    """Return header and rows of any frame as text; an index is left out."""
    columns = [[_cell(value) for value in frame.iloc[:, i].tolist()] for i in range(frame.shape[1])]
    return [str(name) for name in frame.columns], [list(row) for row in zip(*columns, strict=True)]


def to_csv(table: str, header: list[str], rows: Rows) -> bytes:
    """Return header and rows of text as CSV; no columns give no bytes.

    Raises
    ------
    DataError
        If a text holds what UTF-8 cannot (half a surrogate pair).
    """
    if not header:
        return b""
    # An empty line would be skipped by other readers: a lone empty field gets quotes.
    lines = (",".join(_quoted(cell) for cell in row) or '""' for row in (header, *rows))
    text = "\n".join(lines) + "\n"
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 20) : error.end + 20]
        raise DataError(
            f"Text {near!r} of table {table!r} cannot be UTF-8. Must be percent-escaped."
        ) from None


def to_json(value: object) -> bytes:
    """Return a value as strict JSON with sorted keys; what is not finite becomes null."""
    text = json.dumps(_finite(value), indent=2, sort_keys=True, allow_nan=False)
    return text.encode("ascii") + b"\n"


def resource(name: str, content: bytes, schema: dict | None) -> dict:
    """Return the entry of one file: ``<name>.csv``, or ``<name>.json`` without a schema.

    Raises
    ------
    UsageError
        If the name cannot be one.
    """
    check_name(name)
    kind = "json" if schema is None else "csv"
    entry = {
        "name": name,
        "path": f"{name}.{kind}",
        "format": kind,
        "mediatype": "application/json" if schema is None else "text/csv",
        "encoding": "utf-8",
        "bytes": len(content),
        "hash": _hash(content),
    }
    if schema is None:
        return entry
    tabular = {"profile": "tabular-data-resource", "dialect": {"lineTerminator": "\n"}}
    return entry | tabular | {"schema": schema}


def guessed_schema(frame: pd.DataFrame) -> dict:
    """Return the Table Schema of a frame without a model."""
    kinds = {"b": "boolean", "i": "integer", "u": "integer", "f": "number"}
    fields = [
        {"name": str(name), "type": kinds.get(dtype.kind, "string")}
        for name, dtype in frame.dtypes.items()
    ]
    return {"fields": fields, "missingValues": [""]}


def describe(name: str, title: str, version: str, licence: dict, resources: list[dict]) -> bytes:
    """Return the content of a ``datapackage.json``."""
    return to_json(
        {
            "profile": "data-package",
            "name": name,
            "title": title,
            "version": version,
            "licenses": [licence],
            "resources": resources,
        }
    )


def check_name(name: str) -> None:
    """Refuse a name of an experiment or table that could lead out of a folder.

    Raises
    ------
    UsageError
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"Invalid name {name!r}. Must be lower-case letters, digits, - and _.")


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


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text


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


def _hash(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
