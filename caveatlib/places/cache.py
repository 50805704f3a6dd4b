"""What is prepared once and kept: artefacts in the user's cache, by the checksum of their recipe.

An artefact is a folder ``<name>-<checksum>`` under `folder`. It appears by one
rename when it is complete, so an interrupted build leaves nothing that could be
taken for one; another recipe is another folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from caveatlib.errors import MeasurementError, StorageError, Unavailable

if TYPE_CHECKING:
    import pwd

PREPARE = "sudo make system" if os.geteuid() else "make system"
"""The command whose last step fills the cache; sudo is not on every machine."""


def on_request(name: str) -> str:
    """Return the command that prepares an artefact which `make system` leaves out."""
    return f".venv/bin/python -m caveatlib.prepare {name}"


@dataclass(frozen=True)
class Artefact:
    """Something that takes a while to make and is kept.

    Attributes
    ----------
    name : str
        Begins the folder's name.
    meaning : str
        One phrase for whoever watches it being made.
    recipe : callable
        Returns everything that the result depends on, as text by name. Must
        answer without a network. Raises `Unavailable` where this machine
        lacks what it takes.
    build : callable
        Given an empty folder, fills it.
    download_bytes, disk_bytes : int
        About what it costs, disk while it is made; 0 downloaded means that it
        is made from what is already on this machine, within a second.
    needs_root : bool
    source : str
        What downloads it.
    fix : str
        The command that prepares it.
    """

    name: str
    meaning: str
    recipe: Callable[[], Mapping[str, str]]
    build: Callable[[Path], None]
    download_bytes: int = 0
    disk_bytes: int = 0
    needs_root: bool = False
    source: str = "apt"
    fix: str = PREPARE


def folder() -> Path:
    """Return the cache's folder: below ``$XDG_CACHE_HOME``, else ``~/.cache``.

    Under sudo it is the cache of whoever called sudo, so that what root
    prepared is found later without root.
    """
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "caveatlib"
    owner = _sudo_caller()
    home = Path(owner.pw_dir) if owner else Path.home()
    return home / ".cache" / "caveatlib"


def checksum(artefact: Artefact) -> str:
    """Return the SHA-256 of the artefact's recipe, in hexadecimal."""
    text = json.dumps(dict(artefact.recipe()), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def path(artefact: Artefact) -> Path:
    """Return where the artefact is, or will be."""
    return folder() / f"{artefact.name}-{checksum(artefact)[:16]}"


def find(artefact: Artefact) -> Path:
    """Return the folder of a prepared artefact.

    Raises
    ------
    Unavailable
        If it has not been prepared.
    """
    place = path(artefact)
    if not place.is_dir():
        raise Unavailable(f"{artefact.meaning} is not prepared. Run `{artefact.fix}` once.")
    return place


def ensure(artefact: Artefact) -> Path:
    """Return the artefact's folder, and make it first if it is not there.

    Raises
    ------
    Unavailable
        If this machine lacks what it takes to make it.
    MeasurementError
        If making it failed.
    StorageError
        If the cache cannot be written.
    """
    place = path(artefact)
    if place.is_dir():
        return place
    if artefact.needs_root and os.geteuid() != 0:
        raise Unavailable(f"{artefact.meaning} needs root to make. Run `{artefact.fix}` once.")
    try:
        with _locked(artefact.name):
            if not place.is_dir():
                _make(artefact, place)
    except OSError as error:
        raise StorageError(
            f"{artefact.meaning} cannot be kept: {error.strerror or error}."
        ) from error
    return place


def _make(artefact: Artefact, place: Path) -> None:
    # Nobody else's: another name may begin with this one. What mkdtemp adds has eight letters.
    for leftover in place.parent.glob(f".{artefact.name}-{'?' * 8}"):
        shutil.rmtree(leftover)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{artefact.name}-", dir=place.parent))
    try:
        os.chmod(unfinished, 0o755)
        artefact.build(unfinished)
        (unfinished / "recipe.json").write_text(
            json.dumps(dict(artefact.recipe()), indent=1, sort_keys=True)
        )
        hand_back(unfinished)
        unfinished.rename(place)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    # Other recipes of the same artefact are of no use to this version.
    for other in place.parent.glob(f"{artefact.name}-" + "[0-9a-f]" * 16):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)


@contextmanager
def _locked(name: str) -> Iterator[None]:
    import fcntl

    base = folder()
    base.mkdir(parents=True, exist_ok=True)
    if owner := _sudo_caller():
        for made in (base.parent, base):
            if made.stat().st_uid == 0 and Path(owner.pw_dir) in made.parents:
                os.chown(made, owner.pw_uid, owner.pw_gid)
    file = base / f".lock-{name}"
    with open(file, "w") as lock:
        if owner and file.lstat().st_uid == 0:  # or nobody else could lock it again
            os.chown(file, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def hand_back(tree: Path) -> None:
    """Give what root made under sudo to whoever called it."""
    owner = _sudo_caller()
    if owner is None:
        return
    for entry in [tree, *tree.rglob("*")]:
        os.chown(entry, owner.pw_uid, owner.pw_gid, follow_symlinks=False)


def _sudo_caller() -> pwd.struct_passwd | None:
    import pwd

    if os.geteuid() != 0 or not os.environ.get("SUDO_UID", "").isdigit():
        return None
    try:
        return pwd.getpwuid(int(os.environ["SUDO_UID"]))
    except KeyError:
        return None


def sha256_of(file: str | Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal.

    Raises
    ------
    MeasurementError
        If it cannot be read.
    """
    try:
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        name = Path(file).name
        raise MeasurementError(f"{name!r} cannot be read: {error.strerror}.") from error
