"""How long does a container take to start and stop, and what of that is the container?

The claim (11 April 2016): containers "can start and stop very quickly compared
to VMs". One definition of started holds for every place: the time from just
before asking until the first byte of a nonce that the workload itself writes
has reached us, read on one host clock. The same busybox workload runs
everywhere: as a bare process, in fresh namespaces, under an OCI runtime alone,
and under Docker with one runtime or another.

Every session opens a fresh engine, warms each place up once (kept apart), and
runs each design's arms once per block in random order, so a block is the unit
of replication for every comparison.

What would mislead you: comparing a managed stack (Docker) with a bare virtual
machine; taking Docker's answer to the start call for the start (the first
output is often there before it); taking the first accepted connection for an
answer (docker-proxy accepts before anybody listens); emulated machines, whose
times say nothing about virtualisation; and a process that is PID 1 and ignores
SIGTERM, which makes a stop look like ten seconds.
"""

from __future__ import annotations

import os
import secrets
import select
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import claims, frames, plots, stats
from caveatlib.backends.base import Instance, Outcome, Place, Workload
from caveatlib.errors import DeadlineExceeded, MeasurementError
from caveatlib.designs import Arm, Design

NAME = "startup"
QUESTION = "How fast do containers start and stop, and what of that is the container?"
BLOCKS = 20
DISK_BYTES = 300 * 2**20
"""Room for an engine's empty data folder, its image and a journal."""
PLACES = ("process", "namespaces", "runc", "docker-runc", "docker-crun")

START_DEADLINE_S = 60
STOP_GRACE_S = 10
"""Seconds between SIGTERM and SIGKILL: the default of ``docker stop``."""
PORT = 8080
TICK_S = 0.001
"""How often a connection is tried; the resolution of accept and answer times."""
MARKS = ("created_s", "start_returned_s", "first_output_s", "exited_s", "removed_s")


class Trials(frames.Trials):
    """One workload started and stopped, or several at once."""

    workload: Series[str] = frames.field(
        "what the workload does", isin=("nonce", "idle", "http", "stubborn")
    )
    at_once: Series[int] = frames.field("instances asked for at the same time", ge=1)
    sleep_s: Series[float] = frames.field("sleep before the first output", "s", ge=0)
    replicate: Series[int] = frames.field("1 for the null arm: the same thing again", isin=(0, 1))
    created_s: Series[float] = frames.measure("t0 until the place had it prepared", "s")
    start_returned_s: Series[float] = frames.measure("t0 until the start call returned", "s")
    first_output_s: Series[float] = frames.measure("t0 until the workload's nonce was read", "s")
    last_output_s: Series[float] = frames.measure("t0 until the last instance's nonce", "s")
    first_accept_s: Series[float] = frames.measure("t0 until a connection was accepted", "s")
    first_answer_s: Series[float] = frames.measure("t0 until the first HTTP status 200", "s")
    stop_s: Series[float] = frames.measure("SIGTERM until the workload was gone", "s")
    exited_s: Series[float] = frames.measure("t0 until the workload was gone", "s")
    removed_s: Series[float] = frames.measure("t0 until nothing of it was left", "s")
    pss_bytes: Series[float] = frames.measure("PSS of its host processes, per instance", "B")
    cgroup_bytes: Series[float] = frames.measure("its memory cgroup, per instance", "B")
    available_bytes: Series[float] = frames.measure(
        "drop of the host's available memory, per instance", "B", ge=-(2**40)
    )


def _arms(places, **conditions) -> tuple[Arm, ...]:
    base = {"workload": "nonce", "at_once": 1, "sleep_s": 0.0, "replicate": 0}
    return tuple(Arm(place, base | conditions) for place in places)


_BARE = ("process", "namespaces", "runc")
_DOCKER = ("docker-runc", "docker-crun")

DESIGNS = (
    Design(
        "start",
        _arms(PLACES) + _arms(["docker-runc"], replicate=1),
        block_s=3,
        warmup=True,
    ),
    Design(
        "known-answer",
        _arms(["docker-runc"]) + _arms(["docker-runc"], sleep_s=0.1),
        block_s=1.5,
        spare=True,
    ),
    Design("answer", _arms(PLACES, workload="http"), block_s=3, every=2, spare=True),
    Design(
        "at-once",
        tuple(arm for k in (1, 2, 4, 8) for arm in _arms(PLACES, workload="idle", at_once=k)),
        block_s=25,
        every=3,
        spare=True,
    ),
    Design("stubborn", _arms(PLACES, workload="stubborn"), block_s=35, sessions=1, spare=True),
)
"""``start`` is what the claims are judged by; the others wait under a time budget."""


CLAIMS = (
    claims.from_ledger(
        "C21", decides="seconds to build an image against a disk of the same files, ratio below 1"
    ),
    claims.from_ledger(
        "C23", decides="first output, runc alone against a bare virtual machine, ratio below 1"
    ),
    claims.from_ledger(
        "C24", decides="SIGTERM until gone, runc alone against a bare virtual machine, below 1"
    ),
    claims.from_ledger(
        "C25", decides="first container in a fresh virtual machine against docker-runc, above 1"
    ),
    claims.Claim(
        "startup-kernel",
        "most of docker run is not the kernel's work",
        "ours",
        "first output in bare namespaces over docker-runc, ratio below 0.5",
        NAME,
    ),
)
_BY_ID = {claim.id: claim for claim in CLAIMS}


def trial(place: Place, conditions: dict, *, seed: int) -> Outcome:
    """Start, watch and stop one workload, or several at once, in an opened place.

    Parameters
    ----------
    place : Place
    conditions : dict
        ``workload``, ``at_once``, ``sleep_s``, ``replicate``.
    seed : int
        Unused: nothing in a trial is random but the nonce, which must not repeat.

    Returns
    -------
    Outcome
        Marks in seconds since just before the place was asked.

    Raises
    ------
    DeadlineExceeded
        If the first output or the end does not come in time.
    """
    if conditions["workload"] == "http":
        return Outcome(_answered(place))
    if conditions["workload"] == "stubborn":
        return Outcome(_stubborn(place))
    if conditions["workload"] == "idle":
        return Outcome(_idle(place, conditions["at_once"]))
    return Outcome(_once(place, conditions["sleep_s"]))


def _once(place: Place, sleep_s: float) -> dict:
    """Start one workload, end it as soon as it has spoken."""
    with ExitStack() as stack:
        t0 = time.monotonic()
        instance, marks = _started(place, t0, sleep_s, stack)
        return marks | {"last_output_s": marks["first_output_s"]} | _ended(instance, t0)


def _idle(place: Place, at_once: int) -> dict:
    """Start so many at once and take their memory while they idle."""
    before = _available_bytes()
    with ExitStack() as stack:
        t0 = time.monotonic()
        with ThreadPoolExecutor(at_once) as pool:
            runs = [pool.submit(_started, place, t0, 0, stack) for _ in range(at_once)]
        instances, marks = zip(*[run.result() for run in runs], strict=True)
        outputs = [m["first_output_s"] for m in marks]
        measures = {"first_output_s": min(outputs), "last_output_s": max(outputs)}
        return measures | _memory(instances, before)


def _started(place: Place, t0: float, sleep_s: float, stack: ExitStack) -> tuple[Instance, dict]:
    """Start one workload and wait for its nonce; the stack removes it whatever happens."""
    nonce = secrets.token_hex(8)
    # The trap stands before the nonce is written, so SIGTERM may follow at once.
    script = (
        f"trap 'kill $! 2>/dev/null; exit 0' TERM; sleep {sleep_s:g}; echo {nonce}; "
        "sleep 3600 & wait"
    )
    if not sleep_s:
        script = script.replace("sleep 0; ", "")
    instance = place.create(Workload(script))
    stack.callback(instance.remove)
    marks = {"created_s": time.monotonic() - t0}
    reader = _Reader(instance.output, nonce.encode())
    instance.start()
    marks["start_returned_s"] = time.monotonic() - t0
    marks["first_output_s"] = reader.seen_at(t0 + START_DEADLINE_S) - t0
    return instance, marks


def _ended(instance: Instance, t0: float) -> dict:
    """Ask for the end, wait until it is gone, remove it."""
    asked = time.monotonic()
    instance.signal("TERM")
    try:
        instance.wait(STOP_GRACE_S)
    except DeadlineExceeded:
        instance.signal("KILL")
        instance.wait(STOP_GRACE_S)
    gone = time.monotonic()
    instance.remove()
    return {
        "stop_s": gone - asked,
        "exited_s": gone - t0,
        "removed_s": time.monotonic() - t0,
    }


def _stubborn(place: Place) -> dict:
    """Stop a workload that handles no signal: as PID 1 of a namespace it ignores SIGTERM."""
    nonce = secrets.token_hex(8)
    t0 = time.monotonic()
    instance = place.create(Workload(f"echo {nonce}; exec sleep 3600"))
    try:
        reader = _Reader(instance.output, nonce.encode())
        instance.start()
        return {"first_output_s": reader.seen_at(t0 + START_DEADLINE_S) - t0} | _ended(instance, t0)
    finally:
        instance.remove()


def _answered(place: Place) -> dict:
    """Start a web server; say when it accepted a connection and when it answered."""
    script = f"trap 'kill $!; exit 0' TERM; busybox httpd -f -p {PORT} -h www & wait"
    t0 = time.monotonic()
    instance = place.create(Workload(script, port=PORT))
    try:
        created = time.monotonic() - t0
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(_first_answer, instance, t0)
            instance.start()
            returned = time.monotonic() - t0
            marks = asking.result()
        return {"created_s": created, "start_returned_s": returned} | marks | _ended(instance, t0)
    finally:
        instance.remove()


def _first_answer(instance: Instance, t0: float) -> dict:
    """Ask until a request is answered with status 200; every try is a new connection."""
    accepted = None
    while time.monotonic() < t0 + START_DEADLINE_S:
        try:
            with instance.connect(1) as connection:
                accepted = accepted or time.monotonic()
                connection.settimeout(1)
                connection.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
                if b" 200 " in connection.recv(64):
                    answered = time.monotonic()
                    return {"first_accept_s": accepted - t0, "first_answer_s": answered - t0}
        except OSError:
            pass
        time.sleep(TICK_S)
    raise DeadlineExceeded(f"No HTTP answer within {START_DEADLINE_S} s.")


class _Reader:
    """A thread that notes when a nonce has been read from a file descriptor."""

    def __init__(self, descriptor: int, nonce: bytes):
        self._done = threading.Event()
        self._result: float | Exception = MeasurementError("The reader did not run.")
        self._stop_r, self._stop_w = os.pipe()
        self._thread = threading.Thread(target=self._read, args=(descriptor, nonce), daemon=True)
        self._thread.start()

    def _read(self, descriptor: int, nonce: bytes) -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN | select.POLLHUP)
        poll.register(self._stop_r, select.POLLIN)
        text = b""
        try:
            while True:
                ready = dict(poll.poll())
                if self._stop_r in ready:
                    self._result = DeadlineExceeded("No first output in time.")
                    break
                chunk = os.read(descriptor, 65536)
                now = time.monotonic()
                text += chunk
                if nonce in text:
                    self._result = now
                    break
                if not chunk:
                    said = text.decode(errors="replace")[-200:]
                    self._result = MeasurementError(f"Ended without a first output: {said!r}")
                    break
        except OSError as error:
            self._result = error
        self._done.set()

    def seen_at(self, deadline: float) -> float:
        """Return the monotonic time at which the nonce had been read.

        Raises
        ------
        DeadlineExceeded
            If it was not there by `deadline` (monotonic seconds).
        """
        self._done.wait(max(0, deadline - time.monotonic()))
        os.write(self._stop_w, b"x")
        self._thread.join()
        os.close(self._stop_r)
        os.close(self._stop_w)
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


def _memory(instances: list[Instance], available_before: int) -> dict:
    """Return memory per idle instance in bytes, three ways; empty where not readable."""
    count = len(instances)
    measures = {"available_bytes": (available_before - _available_bytes()) / count}
    pss = [_pss_bytes(pid) for instance in instances for pid in instance.pids()]
    if pss and None not in pss:
        measures["pss_bytes"] = sum(pss) / count
    used = [_cgroup_bytes(folder) for i in instances if (folder := i.memory_cgroup())]
    if len(used) == count and None not in used:
        measures["cgroup_bytes"] = sum(used) / count
    return measures


def _pss_bytes(pid: int) -> int | None:
    """Return a process's proportional set size, None where we may not look."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):  # "Pss:                 128 kB"
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except PermissionError:
        pass
    return None


def _cgroup_bytes(folder: Path) -> int | None:
    for name in ("memory.current", "memory.usage_in_bytes"):  # v2, v1
        try:
            return int((folder / name).read_text())
        except (OSError, ValueError):
            continue
    return None


def _available_bytes() -> int:
    """Return the kernel's MemAvailable, after its per-CPU counters were added up."""
    try:
        Path("/proc/sys/vm/stat_refresh").read_text()  # root only
    except OSError:
        time.sleep(1.1)  # the kernel adds them up once a second (vm.stat_interval)
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):  # "MemAvailable:   22446836 kB"
            return int(line.split()[1]) * 1024
    raise MeasurementError("No MemAvailable in /proc/meminfo.")


def _starts(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that the claims are judged by, the null arm left out."""
    return trials[(trials["design"] == "start") & (trials["replicate"] == 0)]


def summarize(trials: pd.DataFrame) -> pd.DataFrame:
    """Summarise starts and stops, one row per place, fastest first.

    Returns
    -------
    pandas.DataFrame
        As `stats.summarize`: n, failed, and for each mark in seconds the
        median with its interval and quantiles.
    """
    table = stats.summarize(_starts(trials), [*MARKS[:3], "stop_s", "removed_s"])
    return table.sort_values("first_output_s_median", kind="stable")


def phases(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the median marks in seconds since t0, one row per place, fastest first."""
    good = _starts(trials)
    table = good[good["ok"]].groupby("place")[[*MARKS[:3], "stop_s", "removed_s"]].median()
    return table.sort_values("first_output_s")


def answers(trials: pd.DataFrame) -> pd.DataFrame:
    """Return, per place, median seconds until a connection was accepted, and answered."""
    web = trials[(trials["design"] == "answer") & trials["ok"]]
    table = web.groupby("place")[["first_accept_s", "first_answer_s"]].median()
    return table.sort_values("first_answer_s")


def idle(trials: pd.DataFrame) -> pd.DataFrame:
    """Return, per place and number at once, the time until all are up and their memory.

    Returns
    -------
    pandas.DataFrame
        Medians: seconds until the last first output; bytes per idle instance
        as PSS of its host processes, as its memory cgroup, and as drop of the
        host's available memory.
    """
    together = trials[(trials["design"] == "at-once") & trials["ok"]]
    columns = ["last_output_s", "pss_bytes", "cgroup_bytes", "available_bytes"]
    return together.groupby(["place", "at_once"])[columns].median()


def stubborn(trials: pd.DataFrame) -> pd.DataFrame:
    """Return, per place, the seconds to stop a workload that handles no SIGTERM."""
    rows = trials[(trials["design"] == "stubborn") & trials["ok"]]
    return rows.groupby("place")[["stop_s"]].median().sort_values("stop_s")


def known_answers(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what the harness reads where the truth is fixed: 0.1 s added, and nothing.

    Returns
    -------
    pandas.DataFrame
        One row per check and machine: what it reads with its interval, what it
        should read, and `note`.
    """
    added = stats.Contrast(
        "100 ms sleep added to docker-runc",
        "first_output_s",
        {"design": "known-answer", "sleep_s": 0.1},
        {"design": "known-answer", "sleep_s": 0.0},
        kind="difference",
    )
    table = stats.contrasts(trials, [added])
    null = stats.null_band(trials, NULL).reset_index()
    rows = [
        table.assign(check=added.name, truth=0.1),
        null.assign(check="docker-runc against itself", truth=1.0),
    ]
    columns = ["check", "machine", "truth", "estimate", "low", "high", "n", "note"]
    return pd.concat(rows)[columns].reset_index(drop=True)


NULL = stats.Contrast(
    "docker-runc again",
    "first_output_s",
    {"design": "start", "place": "docker-runc", "replicate": 1},
    {"design": "start", "place": "docker-runc", "replicate": 0},
)
"""The same arm twice in every block: how much the harness itself moves."""

KERNEL = stats.Contrast(
    "startup-kernel",
    "first_output_s",
    {"design": "start", "place": "namespaces", "replicate": 0},
    {"design": "start", "place": "docker-runc", "replicate": 0},
    threshold=0.5,
)


def plot(trials: pd.DataFrame, ax=None):
    """Draw the time until the first output, one dot per trial, one row per place."""
    return plots.dots(
        _starts(trials),
        "first_output_s",
        by="place",
        unit="s",
        label="Time until the workload's first output",
        log=True,
        ax=ax,
    )


def plot_phases(trials: pd.DataFrame, ax=None):
    """Draw what a start and a stop are made of: median marks, one bar per place."""
    table = phases(trials)
    steps = {
        "prepare": table["created_s"],
        "start": table["first_output_s"] - table["created_s"],
        "stop": table["stop_s"],
    }
    return plots.stacked(pd.DataFrame(steps), unit="s", label="Median time", ax=ax)


def plot_at_once(trials: pd.DataFrame, ax=None):
    """Draw the time until the last of several instances has spoken."""
    return plots.lines(
        trials[(trials["design"] == "at-once") & trials["ok"]],
        "at_once",
        "last_output_s",
        by="place",
        unit="s",
        xlabel="instances asked for at once",
        ylabel="time until all had spoken",
        log=True,
        ax=ax,
    )


def verdicts(trials: pd.DataFrame) -> list[claims.Verdict]:
    """Judge the claims, machine by machine.

    Returns
    -------
    list of Verdict
        Those against virtual machines say "not measured here" where none ran
        under hardware virtualisation.
    """
    null = stats.null_band(trials, NULL)
    judged = []
    for row in stats.contrasts(trials, [KERNEL]).to_dict("records"):
        where = {"machine": row["machine"], "source": row["source"]}
        for name in ("C21", "C23", "C24", "C25"):
            judged.append(claims.not_measured(_BY_ID[name], _NO_VM, **where))
        claim = _BY_ID["startup-kernel"]
        if row["n"]:
            verdict = claims.by_effect(
                claim, row, direction="less", words=("Slower", "Faster"), null=null
            )
        else:
            verdict = claims.not_measured(claim, _why_not(trials, KERNEL), **where)
        judged.append(verdict)
    return judged


_NO_VM = "No virtual machine has been measured."


def _why_not(trials: pd.DataFrame, contrast: stats.Contrast) -> str:
    """Return why a comparison has no pairs: the first error of one of its arms."""
    for where in (contrast.arm, contrast.baseline):
        rows = trials
        for column, value in where.items():
            rows = rows[rows[column] == value]
        if not rows["ok"].any():
            error = rows["error"].iloc[0] if len(rows) else "it was not asked for"
            return f"No {where['place']}: {error.removeprefix('unavailable: ')}."
    return "No block in which both arms succeeded."


SWAP = ("namespaces", "docker-runc")
"""Two places whose exchange in the data must change what is said (contract tests)."""


def answer(trials: pd.DataFrame) -> str:
    """Say in a sentence or two what the trials show."""
    marks = phases(trials)["first_output_s"]
    parts = [f"{place} {_time(marks[place])}" for place in PLACES if place in marks]
    said = f"Median time until the first output: {', '.join(parts)}."
    row = stats.contrasts(trials, [KERNEL]).iloc[0]
    if row["n"]:
        said += f" Bare namespaces are {row['estimate']:.1%} of a start through Docker."
    return said


def _time(seconds: float) -> str:
    factor, unit = plots.scale(seconds, "s")
    return f"{seconds / factor:.3g} {unit}"
