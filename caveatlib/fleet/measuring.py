"""Experiments measured on every host of a cluster: one at a time on each, once and no more.

A task is bound to its host's worker, so that nothing is stolen; Dask runs the task of a lost
worker again, so that each leaves a mark on its host, and refuses to begin a second time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pandas as pd

from caveatlib.errors import CaveatError, MeasurementError, Unavailable
from caveatlib.fleet.connecting import answering, connected, hosts
from caveatlib.measuring.experiment import Experiment, complete
from caveatlib.measuring.plan import Plan
from caveatlib.support import datapackage, programs
from caveatlib.support.paths import display_path, make_folder, storage_error, write_folder
from caveatlib.support.privacy import scrub
from caveatlib.trials import Run

COLUMNS = ["host", "experiment", "machine", "ok", "error", "folder"]
LONGEST_S = 48 * 3600.0
KEPT_S = LONGEST_S + 24 * 3600.0
"""How long a mark stays, whether its host booted meanwhile or not: its task may be run again."""
LOCK = "lock"
FETCH_S = 600.0
"""How long a package may take from its host; one that was lost with its worker never comes."""
LOOK_S = 1.0
"""How often is looked whether a host's worker is still there."""


def measure(
    client,
    experiments: Sequence[ModuleType | Experiment],
    *,
    out: str | os.PathLike,
    plan: Plan | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Measure experiments on every host of a cluster.

    Parameters
    ----------
    client : distributed.Client
    experiments : sequence of module
        Of `caveatlib.experiments.ALL`; each host measures them in this order.
    out : path
        A folder of each host is made in it, with the packages that came back. What is
        there already is not measured again.
    plan : Plan, optional
        Places, sessions, budget, seed and engine, as for `trials.measure`.
    say : callable, optional
        Given a line for each package that came back, or did not.

    Returns
    -------
    pandas.DataFrame
        One row per host and experiment: `host`, `experiment`, `machine` (its class), `ok`,
        `error` (why there is no package), `folder`.

    Raises
    ------
    Unavailable
        If there is no worker, or one has another version of caveatlib; if the scheduler ends.
        What came back until then is kept, and not measured again when asked again.
    StorageError
        If the folder cannot be made. Where a package cannot be written, the row says so before
        its host begins.
    """
    workers = hosts(client)
    out = make_folder(out)
    wanted = [complete(experiment) for experiment in experiments]
    todo = {host: list(wanted) for host in workers}
    rows: list[dict] = []
    running: dict[str, tuple] = {}
    try:
        while any(todo.values()) or running:
            for host in [host for host in todo if host not in running]:
                begun = len(rows)
                _begin(client, host, workers[host], todo[host], running, rows, out, plan or Plan())
                for row in rows[begun:]:
                    if not row["ok"]:
                        say(f"{host}, {row['experiment']}: {row['error']}")
            alive = answering(client)  # once for all: it names every worker there is
            for host, (future, experiment) in list(running.items()):
                row = _ended(host, workers[host] in alive, future, experiment, out)
                if row is not None:
                    del running[host]
                    rows.append(row)
                    say(f"{host}, {row['experiment']}: {row['error'] or row['machine']}")
            _wait(running)
    finally:
        with contextlib.suppress(Unavailable), connected(client):  # or nothing is left to cancel
            client.cancel([future for future, _ in running.values()], force=True)
    return pd.DataFrame(rows, columns=COLUMNS)


def _begin(client, host, worker, todo, running, rows, out, plan: Plan) -> None:
    """Hand a host its next experiment that is not there yet; tell of those that are."""
    while todo and host not in running:
        experiment = todo.pop(0)
        folder = out / host / experiment.NAME
        if (folder / datapackage.FILE).is_file():
            rows.append(_row(host, experiment, folder))
            continue
        if error := _no_room(folder):  # else it would be told once the host has measured
            rows.append(_failed(host, experiment, error))
            continue
        token = secrets.token_hex(8)
        with connected(client):
            future = client.submit(
                measure_here,
                experiment.NAME,
                asdict(plan),
                token,
                key=f"caveatlib-{experiment.NAME}-{token}",
                workers=[worker],
                allow_other_workers=False,
                retries=0,
                pure=False,
            )
        running[host] = future, experiment


def _no_room(folder: Path) -> str:
    """Return why a package cannot be put into a folder; empty if it can."""
    where = display_path(folder)
    try:
        above = folder.parent if folder.parent.exists() else folder.parent.parent
        if not os.access(above, os.W_OK):
            return f"Folder {where!r} cannot be written."
        if folder.exists() and any(folder.iterdir()):
            return f"Folder {where!r} holds something that is not a package. Must be empty."
    except OSError as error:
        return str(storage_error("write to", folder, error))
    return ""


def _ended(host: str, alive: bool, future, experiment, out: Path) -> dict | None:
    """Return the row of a measurement that has ended, however it did; None if it has not."""
    folder = out / host / experiment.NAME
    if future.status == "finished":
        try:
            content = future.result(timeout=FETCH_S)
            write_folder(make_folder(folder.parent) / folder.name, content)
            return _row(host, experiment, folder)
        except CaveatError as error:
            return _failed(host, experiment, error)
        except (OSError, CancelledError):
            return _failed(host, experiment, "The host's worker ended before its package came.")
    if future.status == "error":
        return _failed(host, experiment, future.exception())
    if future.status in ("cancelled", "lost") or not alive:
        future.cancel()
        return _failed(host, experiment, "The host's worker ended while it measured.")
    return None


def _wait(running: dict[str, tuple]) -> None:
    from distributed import wait

    if running:
        with contextlib.suppress(TimeoutError, CancelledError):
            futures = [future for future, _ in running.values()]
            wait(futures, timeout=LOOK_S, return_when="FIRST_COMPLETED")


def _row(host: str, experiment: Experiment, folder: Path) -> dict:
    """Return the row of a package that is here, once it has passed every guard."""
    try:
        run = Run(experiment, display_path(folder), folder=folder)
        machines = sorted(run.trials["machine"].unique())
    except CaveatError as error:
        return _failed(host, experiment, error)
    told = {"machine": "; ".join(machines), "ok": True, "error": "", "folder": str(folder)}
    return {"host": host, "experiment": experiment.NAME} | told


def _failed(host: str, experiment: Experiment, error: object) -> dict:
    told = {"machine": "", "ok": False, "error": scrub(error), "folder": ""}
    return {"host": host, "experiment": experiment.NAME} | told


# --- on a worker ---------------------------------------------------------------


def measure_here(name: str, plan: dict, token: str) -> dict[str, bytes]:
    """Measure an experiment on this host, in a process of its own, and return its package.

    The process ends with this one: it is told by the kernel when the thread that started it
    ends. A second call with the same token is refused, also in another process.

    Raises
    ------
    MeasurementError
        If it failed, has begun before, or something else is being measured on this host.
    """
    with _alone(Path(tempfile.gettempdir())) as marks:
        _drop_old(marks)
        try:
            (marks / token).touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            raise MeasurementError(
                f"Measurement of {name!r} had begun when its worker ended. "
                "Must be asked for again: nothing is measured twice by itself."
            ) from None
        with tempfile.TemporaryDirectory(prefix="caveatlib-fleet-run-") as folder:
            words = ["setpriv", "--pdeathsig", "INT", "--", sys.executable, "-m", "caveatlib.cli"]
            words += ["measure", name, "--out", folder, *_options(plan)]
            programs.run(words, timeout_s=LONGEST_S, what=f"Measuring {name}")
            files = sorted((Path(folder) / name).iterdir())
            return {file.name: file.read_bytes() for file in files if file.name != "journal.jsonl"}


def _options(plan: dict) -> Iterator[str]:
    """Yield a plan as options of the command."""
    for name, value in plan.items():
        if value is not None:
            yield f"--{name.replace('_', '-')}"
            yield ",".join(value) if name == "places" else str(value)


@contextlib.contextmanager
def _alone(temporary: Path) -> Iterator[Path]:
    """Hold this user's lock of this host, which the kernel lets go when this process ends.

    Yields the user's folder in that of temporary files, where anybody may have put a link or a
    folder of that name: only one's own is used.
    """
    folder = temporary / f"caveatlib-fleet-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "it is not a folder of this user")
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock = os.open(folder / LOCK, flags, 0o600)
    except OSError as error:
        raise MeasurementError(
            f"Folder {display_path(folder)!r} cannot be used: {error.strerror}."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise MeasurementError("Something else is being measured on this host.") from None
    try:
        yield folder
    finally:
        os.close(lock)


def _drop_old(marks: Path) -> None:
    """Remove the marks of measurements that have ended, and whose tasks have, too."""
    for mark in marks.iterdir():
        if mark.name != LOCK and mark.lstat().st_mtime < time.time() - KEPT_S:
            mark.unlink()
