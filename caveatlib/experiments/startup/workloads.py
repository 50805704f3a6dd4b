"""What one trial of `startup` does in an opened place. All times are in seconds on one clock."""

from __future__ import annotations

import os
import random
import secrets
import select
import threading
import time
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

from caveatlib.errors import DeadlineExceeded, MeasurementError
from caveatlib.places import cache
from caveatlib.places.base import Instance, Place, Workload
from caveatlib.places.machines import accel
from caveatlib.places.output import await_lines
from caveatlib.places.process import free_port

START_DEADLINE_S = 120
"""Longer than any start that was seen: an emulated machine with systemd takes tens of seconds."""
STOP_GRACE_S = 10
"""Seconds between SIGTERM and SIGKILL: the default of ``docker stop``."""
STOP_DEADLINE_S = 60
"""Longer than any orderly stop that was seen: an emulated systemd takes several seconds."""
FIRST_WAIT_S = 0.02
"""How long the first request waits for its answer; each later one waits a tenth longer."""
STILL_RUNS_S = 2
"""How often it is asked whether a web server that has not answered yet still runs."""
TICK_S = 0.001
"""How often a connection is tried; the resolution of accept and answer times."""
ADDED_UP_S = 1.1
"""The kernel adds its memory counters up once a second (vm.stat_interval), or when root asks."""
SLEEP_S = 0.1
"""What is added where the true difference is to be known."""
BUILD_FILES, BUILD_BYTES, SEED = 2000, 64 * 2**20, 2016
"""How many files, bytes in all, and which, an image and a disk are made of."""
SLOWDOWNS = {
    "integer": "integer_slowdown",
    "memory": "memory_slowdown",
    "system calls": "syscall_slowdown",
    "page faults": "fault_slowdown",
}
"""Kinds of work of `accel.slowdown`, and the columns of their ratios."""


def once(place: Place, sleep_s: float) -> dict:
    """Start one workload, and end it after its first output."""
    with ExitStack() as stack:
        t0 = time.monotonic()
        instance, marks = _started(place, t0, sleep_s, stack)
        first = marks["first_output_s"]
        marks |= {"last_output_s": first}
        if not hasattr(place, "accel"):  # the workload runs in a container, or is none
            marks |= {"container_output_s": first}
        return marks | _ended(instance, t0)


def nested(place: Place) -> dict:
    """Boot a virtual machine, and start a first container inside it."""
    nonce = secrets.token_hex(8)
    t0 = time.monotonic()
    instance = place.create(Workload(f"echo {nonce} 1; container 'echo {nonce} 2'"))
    try:
        created = time.monotonic() - t0
        instance.start()
        returned = time.monotonic() - t0
        lines = [f"{nonce} 1", f"{nonce} 2"]
        first, second = await_lines(instance.output, lines, START_DEADLINE_S)
        return {
            "created_s": created,
            "start_returned_s": returned,
            "first_output_s": first - t0,
            "container_output_s": second - t0,
        }
    finally:
        instance.remove()


def built(place: Place) -> dict:
    """Make an image, or a disk, of the same files; the place knows which.

    The files are read once before, so that neither has to wait for the host's
    disk: an image's build context is packed, and so read, before its clock starts.
    """
    folder = cache.ensure(FILES) / "files"
    for path in folder.rglob("file*"):
        path.read_bytes()
    return {"build_s": place.build(folder)}


def _write_files(out: Path) -> None:
    rng = random.Random(SEED)
    for number in range(BUILD_FILES):
        path = out / "files" / f"lib{number % 40:02d}" / f"file{number:04d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(BUILD_BYTES // BUILD_FILES))


FILES = cache.Artefact(
    "built-files",
    "Files of about a web application's size, to be built into an image and a disk",
    lambda: {"files": str(BUILD_FILES), "bytes": str(BUILD_BYTES), "seed": str(SEED)},
    _write_files,
    disk_bytes=BUILD_BYTES,
)


def marked(place: Place) -> dict:
    """Read how much longer a workload sleeps for `SLEEP_S` than for nothing, between its marks.

    The sleep of nothing takes off what starting the program costs, which under
    an emulator is a fifth of what is to be read.
    """
    nonce = secrets.token_hex(8)
    sleeps = f"echo {nonce} 1; sleep 0; echo {nonce} 2; sleep {SLEEP_S}; echo {nonce} 3"
    instance = place.create(Workload(sleeps))
    try:
        instance.start()
        lines = [f"{nonce} {number}" for number in (1, 2, 3)]
        first, second, third = await_lines(instance.output, lines, START_DEADLINE_S)
        return {"between_s": (third - second) - (second - first)}
    finally:
        instance.remove()


def slowdown(place: Place) -> dict:
    """Time the same work in the guest and on the host, each kind as a ratio.

    Raises
    ------
    MeasurementError
        If a kind took no time: two marks came in one read, as on a busy host.
    """
    rows = accel.slowdown(place)
    for row in rows:
        if not (row["guest_s"] and row["host_s"]):
            took = f"{row['guest_s']:g} s in the guest and {row['host_s']:g} s on the host"
            raise MeasurementError(f"{row['kind'].capitalize()} took {took}. Must both be > 0.")
    return {SLOWDOWNS[row["kind"]]: row["guest_s"] / row["host_s"] for row in rows}


def idle(place: Place, at_once: int) -> dict:
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
    stack.callback(reader.close)
    instance.start()
    marks["start_returned_s"] = time.monotonic() - t0
    try:
        marks["first_output_s"] = reader.seen_at(t0 + START_DEADLINE_S) - t0
    except MeasurementError:
        with suppress(DeadlineExceeded):  # it still runs: the error at hand says more
            instance.wait(1)  # where it has ended, its own error says why
        raise
    return instance, marks


def _ended(instance: Instance, t0: float, *, stubborn: bool = False) -> dict:
    """Ask for the end, wait until it is gone, remove it.

    Only a stubborn workload is killed after the grace: with any other, a kill
    would hide that the orderly end failed.
    """
    asked = time.monotonic()
    instance.signal("TERM")
    try:
        instance.wait(STOP_GRACE_S if stubborn else STOP_DEADLINE_S)
    except DeadlineExceeded:
        if not stubborn:
            raise
        instance.signal("KILL")
        instance.wait(STOP_GRACE_S)
    gone = time.monotonic()
    instance.remove()
    return {
        "stop_s": gone - asked,
        "exited_s": gone - t0,
        "removed_s": time.monotonic() - t0,
    }


def stubborn(place: Place) -> dict:
    """Stop a workload that handles no signal: as PID 1 of a namespace it ignores SIGTERM."""
    nonce = secrets.token_hex(8)
    t0 = time.monotonic()
    with ExitStack() as stack:
        instance = place.create(Workload(f"echo {nonce}; exec sleep 3600"))
        stack.callback(instance.remove)
        reader = _Reader(instance.output, nonce.encode())
        stack.callback(reader.close)
        instance.start()
        return {"first_output_s": reader.seen_at(t0 + START_DEADLINE_S) - t0} | _ended(
            instance, t0, stubborn=True
        )


def answered(place: Place, *, early: bool) -> dict:
    """Start a web server; say when it accepted a connection and when it answered.

    Parameters
    ----------
    place : Place
    early : bool
        Whether the client connects from before the start, or only when the
        start call has returned.
    """
    port = free_port()  # processes, namespaces and runc listen on the host itself
    script = f"trap 'kill $!; exit 0' TERM; busybox httpd -f -p {port} -h www & wait"
    t0 = time.monotonic()
    instance = place.create(Workload(script, port=port))
    try:
        created = time.monotonic() - t0
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            try:
                asking = pool.submit(_first_answer, instance, t0, stop) if early else None
                instance.start()
                returned = time.monotonic() - t0
                asking = asking or pool.submit(_first_answer, instance, t0, stop)
                while asking not in futures.wait([asking], STILL_RUNS_S).done:
                    _require_running(instance)
                marks = asking.result()
            finally:
                stop.set()  # the pool waits for it, after Ctrl-C too
        return {"created_s": created, "start_returned_s": returned} | marks | _ended(instance, t0)
    finally:
        instance.remove()


def _require_running(instance: Instance) -> None:
    """Raise if a web server has ended: nobody will answer."""
    with suppress(DeadlineExceeded):
        status = instance.wait(0.1)
        raise MeasurementError(f"The web server ended with status {status} before it answered.")


def _first_answer(instance: Instance, t0: float, stop: threading.Event) -> dict:
    """Ask until a request is answered with status 200; every try is a new connection."""
    accepted, wait_s = None, FIRST_WAIT_S
    while not stop.is_set() and time.monotonic() < t0 + START_DEADLINE_S:
        try:
            with instance.connect(1) as connection:
                accepted = accepted or time.monotonic()
                # docker-proxy holds a connection that came too early until its own next
                # try a second later, when a fresh one has long been answered.
                connection.settimeout(wait_s)
                wait_s = min(1, 1.1 * wait_s)
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
        self.close()
        if isinstance(self._result, Exception):
            raise self._result
        return self._result

    def close(self) -> None:
        """End the thread; harmless when repeated."""
        if self._stop_w < 0:
            return
        os.write(self._stop_w, b"x")
        self._thread.join()
        os.close(self._stop_r)
        os.close(self._stop_w)
        self._stop_w = -1


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
    """Return a process's proportional set size, 0 if it has ended, None where we may not look."""
    import psutil

    try:
        return psutil.Process(pid).memory_full_info().pss
    except psutil.NoSuchProcess:
        return 0
    except psutil.AccessDenied:
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
    import psutil

    try:
        Path("/proc/sys/vm/stat_refresh").read_text()  # root only
    except OSError:
        time.sleep(ADDED_UP_S)
    return psutil.virtual_memory().available
