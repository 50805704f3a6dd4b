"""What is installed, and which files belong to it, from the databases inside an image.

dpkg (also ``status.d`` of distroless images), apk, Python's dist-info and npm.
The databases are content of the image, not its structure: malformed lines are
skipped.
"""

from __future__ import annotations

import base64
import binascii
import csv
import json
import re
from dataclasses import dataclass, field

from caveatlib.images.names import escape, normalise

_STATUS_D = "/var/lib/dpkg/status.d/"
_INFO = "/var/lib/dpkg/info/"
_DIST = re.compile(r"(.*/)([^/]+\.dist-info)/METADATA")
_NPM = re.compile(r"(.*/node_modules/(?:@[^/]+/)?[^/]+)/package\.json")
_HEX = re.compile(r"[0-9a-f]+")
_SIZE_MAX = 1 << 50


@dataclass(slots=True)
class Package:
    """One installed package; `source` is the path of the database file that lists it."""

    manager: str
    name: str
    version: str
    installed_bytes: int | None
    source: str
    files: list[str] = field(default_factory=list)
    hashes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Path to (algorithm, hex digest), where the database has one."""
    folder: str = ""
    """Everything in it belongs to the package (npm)."""


def read(databases: dict[str, bytes]) -> list[Package]:
    """Return the packages that the database files list.

    Parameters
    ----------
    databases : dict
        Path to content, as in `layers.Scan.databases`; only visible ones.
    """
    out: list[Package] = []
    for path, data in databases.items():
        distroless = path.startswith(_STATUS_D) and not path.endswith(".md5sums")
        if path == "/var/lib/dpkg/status" or distroless:
            out += _dpkg(data, path, databases)
        elif path.endswith("lib/apk/db/installed"):
            out += _apk(data, path)
        elif match := _DIST.fullmatch(path):
            out += _python(data, path, match, databases)
        elif match := _NPM.fullmatch(path):
            out += _npm(data, path, match[1])
    return out


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _dpkg(data: bytes, source: str, databases: dict[str, bytes]) -> list[Package]:
    out = []
    read_already: set[str] = set()
    for stanza in _text(data).split("\n\n"):
        fields, conffiles = _stanza(stanza)
        name = fields.get("package", "")
        if not name or not fields.get("status", "install ok installed").endswith(" installed"):
            continue
        package = Package(
            "dpkg",
            escape(name),
            escape(fields.get("version", "")),
            # Debian policy 5.6.20: in KiB, rounded up.
            _size(fields.get("installed-size", ""), 1024),
            source,
        )
        stems = [
            f"{_INFO}{package.name}",
            f"{_INFO}{package.name}:{fields.get('architecture', '')}",
        ]
        if source.startswith(_STATUS_D):
            stems = [source]
        for stem in stems:
            # A list is one package's: named again, it would be read again for each stanza.
            if stem not in read_already:
                _dpkg_files(package, databases, stem, conffiles)
            read_already.add(stem)
        out.append(package)
    return out


def _stanza(stanza: str) -> tuple[dict[str, str], set[str]]:
    """Return fields and conffiles; a conffile's line is `` /etc/bash.bashrc 3b8a...``."""
    fields: dict[str, str] = {}
    conffiles = set()
    key = ""
    for line in stanza.split("\n"):
        if line[:1] in (" ", "\t"):
            if key == "conffiles":
                conffiles.add(normalise(escape(line.split(" ")[1] if " " in line else "")))
            continue
        key, _, value = line.partition(":")
        key = key.lower()
        fields[key] = value.strip()
    return fields, conffiles


def _dpkg_files(package: Package, databases: dict[str, bytes], stem: str, conffiles: set) -> None:
    for line in databases.get(stem + ".list", b"").split(b"\n"):
        if line:
            package.files.append(normalise(escape(line)))
    for line in _text(databases.get(stem + ".md5sums", b"")).split("\n"):
        # "d41d8cd98f00b204e9800998ecf8427e  usr/share/doc/base-files/README"
        value, _, name = line.partition("  ")
        if len(value) == 32 and _HEX.fullmatch(value):
            path = normalise(escape(name))
            package.files.append(path)
            if path not in conffiles:
                package.hashes[path] = ("md5", value)


def _apk(data: bytes, source: str) -> list[Package]:
    """Read apk's database: ``P:`` name, ``V:``, ``I:`` size, ``F:`` folder, ``R:`` file, ``Z:``."""
    out: list[Package] = []
    for stanza in _text(data).split("\n\n"):
        package, folder, path = Package("apk", "", "", None, source), "", ""
        for line in stanza.split("\n"):
            key, value = line[:2], line[2:]
            if key == "P:":
                package.name = escape(value)
            elif key == "V:":
                package.version = escape(value)
            elif key == "I:":
                package.installed_bytes = _size(value, 1)
            elif key == "F:":
                folder = escape(value)
            elif key == "R:":
                path = normalise(f"{folder}/{escape(value)}")
                package.files.append(path)
            elif key == "Z:" and path:
                stated = _apk_hash(value)
                # Files in /etc are meant to be edited.
                if stated and not path.startswith("/etc/"):
                    package.hashes[path] = stated
        if package.name:
            out.append(package)
    return out


def _apk_hash(value: str) -> tuple[str, str] | None:
    """Return the hash in ``Q1<base64 of SHA-1>`` or ``Q2<base64 of SHA-256>``."""
    algorithm = {"Q1": "sha1", "Q2": "sha256"}.get(value[:2])
    raw = _base64(value[2:], base64.b64decode)
    return (algorithm, raw.hex()) if algorithm and raw else None


def _base64(text: str, decode) -> bytes:
    try:
        return decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""


def _python(data: bytes, source: str, match, databases: dict[str, bytes]) -> list[Package]:
    fields = {}
    for line in _text(data).split("\n"):
        if not line.strip():
            break
        key, _, value = line.partition(": ")
        fields.setdefault(key.lower(), value.strip())
    if not fields.get("name"):
        return []
    package = Package(
        "python", escape(fields["name"]), escape(fields.get("version", "")), None, source
    )
    total = 0
    record = _text(databases.get(f"{match[1]}{match[2]}/RECORD", b""))
    for row in _rows(record):
        # "numpy/__init__.py,sha256=3QKvXzUe...,25920"
        path = normalise(row[0] if row[0][:1] == "/" else f"{match[1]}{row[0]}")
        package.files.append(path)
        total += _size(row[2], 1) or 0
        algorithm, _, value = row[1].partition("=")
        raw = _base64(value, base64.urlsafe_b64decode)
        if algorithm == "sha256" and raw:
            package.hashes[path] = (algorithm, raw.hex())
    package.installed_bytes = total if package.files else None
    return [package]


def _rows(text: str) -> list[list[str]]:
    out = []
    try:
        for row in csv.reader(text.replace("\0", "").splitlines()):
            if row and row[0]:
                out.append([escape(row[0]), *[*row, "", ""][1:3]])
    except csv.Error:
        pass
    return out


def _npm(data: bytes, source: str, folder: str) -> list[Package]:
    try:
        value = json.loads(data)
        name, version = value["name"], value.get("version", "")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return []
    if not isinstance(name, str) or not isinstance(version, str) or not name:
        return []
    return [Package("npm", escape(name), escape(version), None, source, folder=folder)]


def _size(text: str, unit: int) -> int | None:
    if text.isascii() and text.isdigit() and len(text) < 16:
        return min(int(text) * unit, _SIZE_MAX)
    return None
