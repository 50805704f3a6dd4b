"""Who made what, so that a sweep removes what dead owners left and nothing else.

Everything outside a namespace that a place makes (folders, sockets, control
groups) carries the id of a lease, a small file that names the owner by pid,
start time, boot and pid namespace. Processes carry the owner in their
environment. `sweep` looks at both.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import re
import secrets
import select
import shutil
import signal
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from caveatlib.errors import MeasurementError, StorageError, Unavailable
from caveatlib.places import procfs

OWNER = "CAVEATLIB_OWNER"
"""Environment variable that carries the owner's token into started programs."""

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


def owner_token() -> str:
    """Return what names this process for good: pid, start time, boot, pid namespace."""
    start = procfs.start_time(os.getpid())
    if start is None:  # no /proc: macOS
        import psutil

        start = int(psutil.Process().create_time())
    boot = hashlib.sha256(procfs.boot_id().encode()).hexdigest()[:12]
    return f"{os.getpid()}:{start}:{boot}:{_pid_namespace()}"


def owner_alive(token: str) -> bool:
    """Return whether the process behind a token may still run.

    True as well for what cannot be judged: a token of another pid namespace,
    or one that this version does not understand.
    """
    try:
        pid, start, boot, namespace = token.split(":")
        pid, start = int(pid), int(start)
    except (ValueError, AttributeError):
        return True
    here = owner_token().split(":")
    if boot != here[2]:
        return False
    if namespace != here[3]:
        return True
    found = procfs.start_time(pid)
    if found is not None:
        return found == start and not procfs.is_zombie(pid)
    if procfs.pids():
        return False
    import psutil

    return psutil.pid_exists(pid) and int(psutil.Process(pid).create_time()) == start


def mark() -> dict[str, str]:
    """Return the environment variable that marks a started program as ours."""
    return {OWNER: owner_token()}


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
    removed = [f"process {pid}" for pid in end_marked(OWNER, lambda token: not owner_alive(token))]
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


def end_marked(name: str, is_ours: Callable[[str], bool]) -> list[int]:
    """Kill every process with a fitting environment variable; return their ids.

    Parameters
    ----------
    name : str
        The variable.
    is_ours : callable
        Says for a value whether its process is to be ended.
    """
    ended = []
    for pid in procfs.pids():
        token = procfs.environment(pid).get(name)
        if token is None or not is_ours(token):
            continue
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            # The handle is of this very process only if the mark is still there.
            if procfs.environment(pid).get(name) == token:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                poll.poll(5000)
                ended.append(pid)
        except OSError:
            continue
        finally:
            os.close(handle)
    return ended


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
            draft.write_text(json.dumps({"owner": owner_token()}))
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
    return not owner_alive(owner)


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
    """Remove control groups, mounts and folders of one lease; `_drop` is the last step."""
    data, run = _folders(name)
    until = time.monotonic() + REMOVE_S
    while True:
        _remove_cgroups(f"/caveatlib-{name}")
        _unmount_below(data, run)
        shutil.rmtree(run, ignore_errors=True)
        for entry in _entries(data):
            if entry.name == "lease.json":
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)
        left = [e.name for e in _entries(data) if e.name != "lease.json"]
        if not left and not run.exists() and not list(procfs.cgroup_folders(f"/caveatlib-{name}")):
            break
        if time.monotonic() > until:
            raise MeasurementError(f"Lease {name} could not be removed. Try: caveatlib clean")
        time.sleep(0.02)


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _tidy() -> None:
    # Remove the two state folders themselves once they are empty.
    with _locked(make=False) as base:
        for folder in (_base()[1], base):
            with contextlib.suppress(OSError):
                if folder is not None and stat.S_ISDIR(folder.lstat().st_mode):
                    folder.rmdir()


def _remove_cgroups(name: str) -> None:
    for top in procfs.cgroup_folders(name):
        for folder, _, _ in os.walk(top, topdown=False):
            _thaw(Path(folder))
            with contextlib.suppress(OSError):
                for pid in (Path(folder) / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
            with contextlib.suppress(OSError):  # busy until the last process is gone
                os.rmdir(folder)


def _thaw(folder: Path) -> None:
    # A frozen process dies only when thawed: v1's freezer, then v2's.
    for name, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        with contextlib.suppress(OSError):
            if (folder / name).exists():
                (folder / name).write_text(value)


def _unmount_below(*folders: Path) -> None:
    # 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
    # Deepest first; a tree removed across a mount would lose somebody else's files.
    lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    points = sorted((line.split()[4] for line in lines), key=len, reverse=True)
    libc = ctypes.CDLL(None, use_errno=True)
    for point in points:
        if any(Path(point).is_relative_to(folder) for folder in folders):
            libc.umount2(os.fsencode(point), _MNT_DETACH)


def _pid_namespace() -> str:
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return "-"
