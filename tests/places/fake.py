"""Places that pretend, to test experiments and error paths without an engine.

A fake place keeps the contract of `caveatlib.places.base` with made-up times,
and is opened by a `Spec` as a real one is. It never makes a number that is
shown. What only one experiment measures in has its fake beside that
experiment's tests.
"""

from __future__ import annotations

import os
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from caveatlib.errors import DeadlineExceeded, MeasurementError
from caveatlib.measuring import clock
from caveatlib.places.base import Workload
from caveatlib.places.spec import Spec

START_S = {"process": 0.001, "namespaces": 0.002, "runc": 0.005}
"""Seconds that a fake start takes; other places take `OTHER_S`."""
OTHER_S = 0.01
STUBBORN_S = 0.05
"""Longest wait for one that does not end."""
BUILD_S = {"image": 0.09, "disk": 0.018}
"""What a build is said to take, less up to a thousandth: no clock has such round readings."""
_UNEVEN = random.Random(1)
_PASSED_S = clock.passed_s


class Clock:
    """Made-up times pass on it, and its own: trials' time of day, `time` of what it measures."""

    def __init__(self):
        self._ahead_s, self._lock = 0.0, threading.Lock()

    def passed_s(self) -> float:
        """Return seconds of the trials' clock, later by all that was made up."""
        return _PASSED_S() + self._ahead_s

    def monotonic(self) -> float:
        """Return seconds, later by all that was made up."""
        return time.monotonic() + self._ahead_s

    def sleep(self, seconds: float) -> None:
        """Wait in earnest, for what others do meanwhile."""
        time.sleep(seconds)

    def passes(self, seconds: float) -> None:
        """Let made-up time pass."""
        with self._lock:  # it never runs backwards
            self._ahead_s += seconds


CLOCK = Clock()


def on_clock():
    """Have trials begin by `CLOCK`."""
    return patch.object(clock, "passed_s", CLOCK.passed_s)


class FakePlace:
    """A place that answers a script's first echo after a fixed time.

    What `says` returns for a workload its instance writes instead, if anything. It sleeps `sleeps`
    times as long as a script says. A start takes its time by `passes`: in earnest, or on `CLOCK`.
    """

    def __init__(
        self,
        name: str,
        *,
        fails: Iterable[int] = (),
        says: Callable[[Workload], str] = lambda workload: "",
        sleeps: float = 1.0,
        passes: Callable[[float], None] = time.sleep,
    ):
        self.name, self.says, self.sleeps, self.passes = name, says, sleeps, passes
        self.start_s = START_S.get(name, OTHER_S)
        self.fails = set(fails)
        self.created = 0
        self.alive: set[FakeInstance] = set()

    def create(self, workload: Workload) -> FakeInstance:
        """Make an instance; the so-manieth creations in `fails` raise."""
        self.created += 1
        if self.created in self.fails:
            raise MeasurementError(f"{self.name} was told to fail at creation {self.created}.")
        instance = self.instance(workload)
        self.alive.add(instance)
        return instance

    def instance(self, workload: Workload) -> FakeInstance:
        """Return an instance that is not in the place's account yet."""
        return FakeInstance(self, workload)

    def build(self, folder: Path) -> float:
        """Return a time, as if an image had been built of the folder."""
        return BUILD_S["image"] * _UNEVEN.uniform(0.999, 1)

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}


class FakeInstance:
    """Writes the script's nonce to a pipe; answers HTTP on loopback if it has a port."""

    def __init__(self, place: FakePlace, workload: Workload):
        self._place = place
        self._script, self._said = workload.script, place.says(workload)
        self._stubborn = "exec sleep" in workload.script and place.name != "process"
        self.output, self._write = os.pipe()
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0)) if workload.port else None
        self._removed = False

    def start(self) -> None:
        """Sleep for the place's time, and for what the script sleeps, then speak."""
        slept = re.search(r"sleep ([0-9.]+); echo", self._script)
        slept_s = float(slept.group(1)) * self._place.sleeps if slept else 0
        self._place.passes(self._place.start_s + slept_s)
        nonce = re.search(r"echo (\w+)", self._script)
        if said := self._said or (nonce and f"{nonce.group(1)}\n"):
            os.write(self._write, said.encode())
        if self._listener:
            threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                client, _ = self._listener.accept()
                with client:
                    client.recv(1024)
                    client.sendall(b"HTTP/1.0 200 OK\r\n\r\nok\n")
        except OSError:
            return

    def signal(self, name: str) -> None:
        """End at once, unless the script handles no SIGTERM and this is one."""
        if name == "KILL" or not self._stubborn:
            self._ended.set()

    def wait(self, timeout_s: float) -> int:
        """Wait for the end; a stubborn one is not waited for in full."""
        if not self._ended.wait(min(timeout_s, STUBBORN_S)):
            raise DeadlineExceeded(f"Still running after {timeout_s} s.")
        return 0

    def remove(self) -> None:
        """Close what was opened; harmless when repeated."""
        if self._removed:
            return
        self._removed = True
        self._ended.set()
        self._place.alive.discard(self)
        os.close(self.output)
        os.close(self._write)
        if self._listener:
            self._listener.close()

    def pids(self) -> list[int]:
        """Return this very process: its memory can be read."""
        return [os.getpid()]

    def memory_cgroup(self) -> Path | None:
        """Return None: there is no cgroup."""
        return None

    def connect(self, timeout_s: float) -> socket.socket:
        """Connect to the listener."""
        if not self._listener:
            raise MeasurementError("The workload has no port.")
        return socket.create_connection(self._listener.getsockname(), timeout_s)


@contextmanager
def opened(handle, *patches) -> Iterator:
    """Hold a fake place open, under patches; on leaving, nothing of it may be left."""
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        try:
            yield handle
        finally:
            getattr(handle, "close", lambda: None)()
    if left := len(getattr(handle, "alive", ())):
        raise MeasurementError(f"{left} fake instances were not removed.")


def spec(make: Callable[[str], object], name: str, *patches: Callable) -> Spec:
    """Return how a fake is opened that lacks nothing.

    Parameters
    ----------
    make : callable
        Given the name, returns the fake place.
    name : str
    *patches : callable
        Each returns a context manager that holds while the place is open.
    """
    return Spec(lambda session: session.enter(opened(make(name), *(p() for p in patches))))


def places(*names: str) -> dict[str, Spec]:
    """Return bare fakes by name."""
    return {name: spec(FakePlace, name) for name in names}
