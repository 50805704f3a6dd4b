"""Who made what, so that a sweep removes what dead owners left and nothing else.

Everything outside a namespace that a place makes (folders, sockets, control
groups, loop devices) carries the id of a lease, a small file that names the owner by pid,
start time, boot and pid namespace. Processes carry the owner in their
environment. `sweep` looks at both.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from caveatlib.errors import MeasurementError, StorageError, Unavailable
from caveatlib.places import loops
from caveatlib.places.cgroups import cgroup, cgroupfs
from caveatlib.support import processes, programs

REMOVE_S = 10.0
_ID = re.compile(r"[0-9a-f]{8}")
_MNT_DETACH = 2


@dataclass(frozen=True)
class Lease:
    """Names for what one place makes outside of its namespaces.

    Attributes
    ----------
    id : str
        Eight hexadecimal digits.
    data, run : Path
        Folders for large files and for sockets; both exist.
    cgroup : str
        Control group from the root of each hierarchy. Not made here.
    """

    id: str
    data: Path
    run: Path
    cgroup: str


@contextmanager
def leased() -> Iterator[Lease]:
    """Hold a lease; on leaving, remove everything that carries its id.

    Raises
    ------
    Unavailable
        If this user may not make the state folders.
    MeasurementError
        If something could not be removed.
    """
    lease = _acquire()
    try:
        yield lease
    except BaseException:
        with contextlib.suppress(MeasurementError):  # the first exception says more
            _release(lease)
        raise
    else:
        _release(lease)


def sweep() -> list[str]:
    """Remove what dead owners left; harmless when repeated or run at the same time.

    Returns
    -------
    removed : list of str
        One short name for each thing removed: ``"process 4242"``, ``"lease 0badcafe"``.
    """
    orphaned = processes.end_marked(processes.OWNER, lambda token: not processes.owner_alive(token))
    removed = [f"process {pid}" for pid in orphaned]
    with _locked(make=False) as base:
        if base is None:
            return removed
        for folder in sorted(base.iterdir()):
            if _ID.fullmatch(folder.name) and _is_abandoned(folder):
                with contextlib.suppress(MeasurementError):  # the next sweep tries again
                    _remove(folder.name)
                    _drop(folder.name)
                    removed.append(f"lease {folder.name}")
    _tidy()
    return removed


def closed() -> bool:
    """Return whether another user's runs keep things here that this user may not look at.

    The folder of the leases is there only as long as there is one.
    """
    base, _ = _base()
    return os.path.isdir(base) and not os.access(base, os.R_OK | os.W_OK | os.X_OK)


def _base() -> tuple[Path, Path]:
    # Sockets need a short path: a unix address holds 107 bytes.
    if state := os.environ.get("CAVEATLIB_STATE"):
        return Path(state).absolute() / "data", Path(state).absolute() / "run"
    return Path("/var/lib/caveatlib"), Path("/run/caveatlib")


def _folders(name: str) -> tuple[Path, Path]:
    data, run = _base()
    return data / name, run / name


def _acquire() -> Lease:
    name = secrets.token_hex(4)
    try:
        with _locked(make=True):
            data, run = _folders(name)
            data.mkdir(mode=0o711)
            draft = data / "lease.json.draft"
            draft.write_text(json.dumps({"owner": processes.owner_token()}))
            draft.rename(data / "lease.json")
            run.mkdir(mode=0o711, parents=True)
    except PermissionError as error:
        raise Unavailable(f"{error.filename}: may not be written. Run as root.") from None
    except OSError as error:
        raise StorageError(f"{error.filename}: {error.strerror}") from error
    return Lease(name, data, run, f"/caveatlib-{name}")


@contextmanager
def _locked(*, make: bool) -> Iterator[Path | None]:
    """Hold the state folder alone; None if there is none or it is not ours to open."""
    import fcntl  # here and elsewhere only where it is used: not on every platform that replays

    base, _ = _base()
    while True:
        if make:
            with contextlib.suppress(FileExistsError):
                base.mkdir(mode=0o711, parents=True)
        try:
            handle = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            if make:  # another process tidied it away just now
                continue
            yield None
            return
        except OSError:
            if make:
                raise
            yield None
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # Whoever held the lock may have removed the empty folder meanwhile.
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(handle), os.stat(base)):
                    break
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    try:
        yield base
    finally:
        os.close(handle)


def _is_abandoned(folder: Path) -> bool:
    try:
        owner = json.loads((folder / "lease.json").read_text())["owner"]
    except FileNotFoundError:
        # Its maker died before the lease was written: under the lock nobody is at it.
        return {p.name for p in folder.iterdir()} <= {"lease.json.draft"}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return not processes.owner_alive(owner)


def _release(lease: Lease) -> None:
    _remove(lease.id)
    with _locked(make=False) as base:
        if base is not None:
            _drop(lease.id)
    _tidy()


def _drop(name: str) -> None:
    """Remove the lease itself. Under the lock, so that no sweep meets an empty folder."""
    data, _ = _folders(name)
    (data / "lease.json").unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        data.rmdir()


def _remove(name: str) -> None:
    """Remove groups, mounts, loop devices and folders of one lease; `_drop` is the last step."""
    data, run = _folders(name)
    group = f"/caveatlib-{name}"

    def gone() -> bool:
        for top in cgroupfs.folders(group):
            _remove_cgroups(top)
        if not _unmounted_below(data, run):  # a tree removed across a mount is somebody else's
            return False
        if not loops.detach(data):  # else the file stays, without a name, as long as the device
            return False
        shutil.rmtree(run, ignore_errors=True)
        for entry in _entries(data):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)
        return not (_entries(data) or run.exists() or any(cgroupfs.folders(group)))

    what = f"Lease {name} could not be removed (try `caveatlib clean`)"
    programs.wait_until(gone, REMOVE_S, what, pause_s=0.02)


def _entries(data: Path) -> list[os.DirEntry]:
    """Return what is in a lease's folder beside the lease itself."""
    try:
        with os.scandir(data) as entries:
            return [entry for entry in entries if entry.name != "lease.json"]
    except FileNotFoundError:
        return []


def _tidy() -> None:
    # Remove the two state folders themselves once they are empty.
    with _locked(make=False) as base:
        for folder in (_base()[1], base):
            with contextlib.suppress(OSError):
                if folder is not None and stat.S_ISDIR(folder.lstat().st_mode):
                    folder.rmdir()


def _remove_cgroups(top: Path) -> None:
    for folder, _, _ in os.walk(top, topdown=False):
        _thaw(Path(folder))
        cgroup.kill(Path(folder))
        with contextlib.suppress(OSError):  # busy until the last process is gone
            os.rmdir(folder)


def _thaw(folder: Path) -> None:
    # A frozen process dies only when thawed: v1's freezer, then v2's.
    for name, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        with contextlib.suppress(OSError):
            if (folder / name).exists():
                (folder / name).write_text(value)


def _unmounted_below(*folders: Path) -> bool:
    """Unmount what is mounted below folders; return whether nothing is left mounted there."""
    real = [folder.resolve() for folder in folders]  # as the kernel names mount points

    def below() -> list[str]:
        points = [mount.point for mount in cgroupfs.mounts()]
        return [p for p in points if any(Path(p).is_relative_to(folder) for folder in real)]

    libc = ctypes.CDLL(None, use_errno=True)
    for point in sorted(below(), key=len, reverse=True):  # the deepest first
        libc.umount2(os.fsencode(point), _MNT_DETACH)
    return not below()
