"""Paths as they may be shown, and files that are written whole or not at all.

A shown path never has the folders that tell a user's name and home.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from caveatlib.errors import StorageError


def display_path(path: str | os.PathLike) -> str:
    """Return a path as it may be shown: relative, or else its last part only."""
    path = Path(path)
    if str(path) == os.path.expanduser("~"):
        return "~"
    if not path.is_absolute():
        return path.name if ".." in path.parts else str(path)
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return path.name


def storage_error(verb: str, path: str | os.PathLike, error: OSError) -> StorageError:
    """Return the error to raise where the operating system refused a file or folder.

    Raise it ``from None``: the original's text holds the whole path.
    """
    return StorageError(f"Cannot {verb} {display_path(path)!r}: {error.strerror or error}.")


def exists(path: str | os.PathLike) -> bool:
    """Return whether there is such a file or folder.

    Raises
    ------
    StorageError
        If that cannot be told: a folder above it may not be entered, a name is too long.
    """
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise storage_error("look for", path, error) from None
    return True


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
        raise storage_error("make folder", folder, error) from None
    return folder


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files into a folder that exists, all of them or none.

    All are written beside their places first, so that a full disk changes
    nothing; then each is moved to its place in the order given.

    Raises
    ------
    StorageError
        If one cannot be written.
    """
    parts = {name: folder / f".{name}.{os.getpid()}.part" for name in files}
    name = ""
    try:
        for name, content in files.items():
            with parts[name].open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for name in files:
            parts[name].replace(folder / name)
    except OSError as error:
        raise storage_error("write", f"{folder.name}/{name}", error) from None
    finally:
        for part in parts.values():
            with suppress(OSError):  # what cannot be written holds nothing to remove
                part.unlink(missing_ok=True)


def write_folder(target: Path, files: dict[str, bytes]) -> None:
    """Make a folder with files appear at once, unless it is there already.

    Raises
    ------
    StorageError
        If it cannot be made, or holds something.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.mkdir()
        write_files(part, files)
        part.rename(target)  # the kernel refuses if the target holds something
    except StorageError:
        raise
    except OSError as error:
        raise storage_error("make folder", target.name, error) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
