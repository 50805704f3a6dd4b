"""Security updates that an image of some age lacks, by the changelogs in it.

Debian's packages bring the list of their uploads, each with suite and date. So an image tells by
itself which security updates one that was built earlier does not have, by day of upload. apt's
index of this machine is the check, both ways: what the changelogs name it lists, and what it lists
and is installed they name. Not in a changelog: rebuilds without a change of source, packages that
are not installed, and uploads that this image lacks itself.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple

from caveatlib.errors import MeasurementError
from caveatlib.places import cache, debian, debians
from caveatlib.support import programs

LISTS = Path("/var/lib/apt/lists")
DAY_S = 86400.0
_HEAD = re.compile(r"(\S+) \(([^)\s]+)\) ([^;]+);")
_CHANGELOG = re.compile(r"\./usr/share/doc/[^/]+/changelog(\.Debian)?\.gz")
"""Packages of Debian's own, apt and dpkg among them, have no ``.Debian`` in the name; where others
have such a file it is upstream's, in which no line has the form of an upload."""
_STATUS = "./var/lib/dpkg/status"


class Upload(NamedTuple):
    """A version of a source package: when it was uploaded, and to which suite."""

    source: str
    version: str
    suite: str
    on: str


def uploads(changelog: str) -> Iterator[Upload]:
    """Yield the uploads of a changelog; its authors are left out.

    Parameters
    ----------
    changelog : str
        As dpkg has it: a line ``openssl (3.5.4-1~deb13u2) trixie-security; urgency=medium``, what
        changed, and a line that ends in the date.
    """
    head: tuple[str, ...] | None = None
    for line in changelog.splitlines():
        if found := _HEAD.match(line):
            head = found.groups()
        elif line.startswith(" -- ") and head:
            try:
                on = parsedate_to_datetime(line.rpartition(">  ")[2].strip())
            except ValueError:
                continue  # changelogs of the nineties
            yield Upload(*head, on.astimezone(UTC).date().isoformat())
            head = None


def of_image(archive: Path) -> tuple[list[Upload], dict[str, tuple[str, str]]]:
    """Return the uploads named in an image, each once, and its packages.

    Parameters
    ----------
    archive : Path
        A file system as tar, one that we made.

    Returns
    -------
    uploads : list of Upload
    packages : dict
        Package -> source package and version.
    """
    found: set[Upload] = set()
    packages: dict[str, tuple[str, str]] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name == _STATUS or _CHANGELOG.fullmatch(member.name):
                # What a link names is read by its own name.
                file = None if member.issym() else tar.extractfile(member)
                if file is None:
                    continue
                data = file.read()
                if member.name == _STATUS:
                    packages = installed(data.decode(errors="replace"))
                else:
                    found.update(uploads(gzip.decompress(data).decode(errors="replace")))
    if not found or not packages:
        raise MeasurementError("The image holds no changelogs, or no list of its packages.")
    return sorted(found, key=lambda upload: (upload.on, upload.source)), packages


def installed(text: str) -> dict[str, tuple[str, str]]:
    """Return the source package and version of each package in stanzas as dpkg and apt have."""
    found = {}
    for stanza in text.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Source|Version): (.+)$", stanza, re.MULTILINE))
        if {"Package", "Version"} <= set(fields):
            source = fields.get("Source", fields["Package"]).partition(" ")[0]
            found[fields["Package"]] = source, fields["Version"]
    return found


class Read(NamedTuple):
    """What the image tells.

    Attributes
    ----------
    days : tuple of int
        Day of each security upload, counted from the first day that the changelogs cover.
    covered : int
        Number of days that they cover.
    today : dict
        Columns of a trial; those of apt's index only where this machine has one.
    rows : list of dict
        `schema.Updates`.
    """

    days: tuple[int, ...]
    covered: int
    today: dict[str, float]
    rows: list[dict]

    def lacking(self, image_age_s: float) -> dict[str, float]:
        """Return the share of the days on which an image so old lacked updates, and how many.

        Days on which it would be older than the release are left out.
        """
        age = round(image_age_s / DAY_S)
        missing = [
            sum(day - age < upload <= day for upload in self.days)
            for day in range(age, self.covered + 1)
        ]
        if not missing:
            return {}
        return {
            "lacking_share": sum(map(bool, missing)) / len(missing),
            "lacking_mean": sum(missing) / len(missing),
        }


def read() -> Read:
    """Return what the minimal Debian that was prepared tells.

    Raises
    ------
    Unavailable
        If it was not prepared, or this is not a Debian.
    MeasurementError
        If it holds no changelogs.
    """
    suite, _ = debian.archive()
    archive = cache.find(debians.ARTEFACT) / "minimal.tar"
    named, packages = of_image(archive)
    built = archive.stat().st_mtime
    today = datetime.fromtimestamp(built, UTC).date()
    # Before a release its packages have no uploads to a suite of that name.
    since = min((_day(u.on) for u in named if u.suite.startswith(suite)), default=today)
    secured = [u for u in named if u.suite == f"{suite}-security"]
    sources = {u.source for u in secured}
    covered = (today - since).days
    measures = {
        "security_uploads": float(len(secured)),
        "security_sources": float(len(sources)),
        "covered_s": covered * DAY_S,
        "built_age_s": max(0.0, time.time() - built),
    }
    rows = [
        {"source_package": u.source, "version": u.version, "uploaded_on": u.on} for u in secured
    ]
    days = tuple((_day(u.on) - since).days for u in secured)
    return Read(days, covered, measures | _by_index(suite, packages, sources), rows)


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _by_index(suite: str, packages: dict[str, tuple[str, str]], named: set[str]) -> dict:
    lists = sorted(LISTS.glob(f"*_{suite}-security_main_binary-*_Packages*"))
    if not lists:
        return {}
    argv = ["/usr/lib/apt/apt-helper", "cat-file", str(lists[0])]
    return beside_index(installed(programs.run(argv, timeout_s=60)), packages, named)


def beside_index(
    index: dict[str, tuple[str, str]], packages: dict[str, tuple[str, str]], named: set[str]
) -> dict[str, float]:
    """Lay packages and what changelogs name beside apt's security index.

    Parameters
    ----------
    index, packages : dict
        Package -> source package and version: of the index, and installed.
    named : set of str
        Source packages of which the changelogs name a security upload.

    Returns
    -------
    dict
        Columns of a trial; `index_named` only if one of the installed packages has what the
        index has.
    """
    both = {name: index[name][1] for name in packages.keys() & index.keys()}
    newer = {name for name, version in both.items() if _newer(version, packages[name][1])}
    sources = {packages[name][0] for name in both}
    share = len(named & sources) / len(named) if named else 1.0
    found = {"index_pending": float(len(newer)), "index_agreement": share}
    if had := {packages[name][0] for name in both.keys() - newer}:
        found["index_named"] = len(had & named) / len(had)
    return found


def _newer(one: str, other: str) -> bool:
    answer = 'dpkg --compare-versions "$1" gt "$2" && echo newer || echo older'
    return programs.run(["sh", "-c", answer, "compare", one, other]).strip() == "newer"
