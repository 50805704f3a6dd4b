"""The processes of a load: workers inside a group, and the generator ahead of them."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator

from caveatlib.errors import DeadlineExceeded, MeasurementError
from caveatlib.experiments.quota import load_worker
from caveatlib.places.cgroups.cgroup import Group
from caveatlib.support import programs

READY_WITHIN_S = 20.0
PIPE_BYTES = 1 << 20
GENERATOR_NICE = -20


class Crew:
    """Worker processes on one shared pair of pipes."""

    def __init__(self, processes: list[subprocess.Popen], requests: int, answers: int):
        self.processes, self._requests, self._answers = processes, requests, answers
        self.answers: list[tuple] = []

    def send(self, number: int, cost_s: float) -> None:
        """Send a request of so much CPU time to whichever worker is free first."""
        os.write(self._requests, load_worker.REQUEST.pack(number, cost_s))

    def collect(self, timeout_s: float) -> None:
        """Take the answers that come within the time; return after the first."""
        if not select.select([self._answers], [], [], timeout_s)[0]:
            return
        data = os.read(self._answers, load_worker.ANSWER.size * 256)
        if not data:
            raise MeasurementError("All workers ended early.")
        self.answers += load_worker.ANSWER.iter_unpack(data)


@contextlib.contextmanager
def started(group: Group, count: int) -> Iterator[Crew]:
    """Start workers, wait until each is ready, and only then move them into the group.

    Their start would otherwise be throttled, and counted as the load's.
    """
    import fcntl

    request_r, request_w = os.pipe()
    answer_r, answer_w = os.pipe()
    argv = [sys.executable, "-I", "-S", load_worker.__file__]
    crew = Crew([], request_w, answer_r)
    try:
        for end in (request_w, answer_r):
            with contextlib.suppress(OSError):  # over the user's limit: the default is kept
                fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        for _ in range(count):
            crew.processes.append(subprocess.Popen(argv, stdin=request_r, stdout=answer_w))
        os.close(answer_w)
        answer_w = -1
        deadline = time.monotonic() + READY_WITHIN_S
        while len(crew.answers) < count:
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"Workers not ready within {READY_WITHIN_S:g} s.")
            crew.collect(0.1)
        crew.answers.clear()
        for process in crew.processes:
            group.add(process.pid)
        yield crew
    finally:
        for process in crew.processes:
            process.kill()
        for process in crew.processes:
            programs.end(process, timeout_s=READY_WITHIN_S)
        for end in (request_r, request_w, answer_r, answer_w):
            if end >= 0:
                os.close(end)


@contextlib.contextmanager
def ahead() -> Iterator[None]:
    """Put the generator ahead of what it times, as far as that is allowed.

    It sleeps nearly always, so real-time priority disturbs nobody. Entered
    when the workers run already: a child would inherit it, and no quota binds
    a real-time process.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, GENERATOR_NICE)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)
        os.setpriority(os.PRIO_PROCESS, 0, nice)
