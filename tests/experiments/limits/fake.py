"""A fake of the place of `limits`: victims that answer, or fail beside a bomb without a limit."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import numpy as np
from places.fake import spec

from caveatlib.errors import MeasurementError
from caveatlib.experiments.limits import workloads
from caveatlib.experiments.limits.places import PIDS

TOLD = {
    "fork": "refused {now:.6f} 64\n",
    "memory": "took 33554432\n",
    "write": "wrote 1.000000 {wrote:d}\n",
}


class FakeCapped:
    """Stands for `places.CappedEngine`; without its cap nothing is started."""

    def __init__(self, name: str, *, capped: bool = True):
        self.capped = capped
        self.alive: set[FakeContainer] = set()
        self.bomb = threading.Event()
        self.rng = np.random.default_rng(1)

    def require_cap(self) -> None:
        """Raise if there is no cap."""
        if not self.capped:
            raise MeasurementError("pids.max of the outer group is max.")

    def create(self, workload, *, limit: str = "") -> FakeContainer:
        """Make a victim, a hog, or a newcomer, which starts unless a bomb burns."""
        instance = FakeContainer(self, workload.script, limit)
        self.alive.add(instance)
        return instance

    def require_limit(self, instance: FakeContainer, limit: str) -> None:
        """Raise if another limit was asked for."""
        assert instance.limit == limit

    def tasks(self, instance: FakeContainer) -> float:
        """Return the tasks of a bomb with a limit and without, else 1."""
        return (float(PIDS) if instance.limit else 1499.0) if "hog fork" in instance.script else 1.0

    def was_killed(self, instance: FakeContainer) -> bool:
        """Return whether it takes memory under a limit."""
        return instance.limit == "memory"

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}


class FakeContainer:
    """Writes what the programs would; a victim does so in its time."""

    def __init__(self, place: FakeCapped, script: str, limit: str):
        self.place, self.script, self.limit = place, script, limit
        self.output, self._write = os.pipe()
        self._thread = threading.Thread(target=self._beat)

    def start(self) -> None:
        """Begin to write; raise where a bomb has left nothing."""
        if self.script == "echo on" and self.place.bomb.is_set():
            raise MeasurementError("can't get final child's PID from pipe: EOF")
        os.write(self._write, b"on\n")
        if "exec beat" in self.script:
            self._thread.start()
        elif "hog" in self.script:
            now, kind = time.monotonic(), self.script.split()[2]
            wrote = int((10 << 20) * self.place.rng.uniform(0.99, 1.01))
            told = TOLD.get(kind, "").format(now=now + 0.01, wrote=wrote)
            os.write(self._write, f"begun {now:.6f}\n{told}".encode())
            if kind == "fork" and not self.limit:
                self.place.bomb.set()

    def _beat(self) -> None:
        rate, seconds = map(float, self.script.split()[2:])
        begun = time.monotonic()
        for number in range(round(rate * seconds)):
            due = begun + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            took = self.place.rng.uniform(2.8e-4, 3.2e-4)
            latency = "-1.000000000" if self.place.bomb.is_set() else f"{took:.9f}"
            os.write(self._write, f"beat {due:.6f} {latency}\n".encode())
        os.write(self._write, b"over\n")
        os.close(self._write)
        self._write = -1

    def remove(self) -> None:
        """End, and close what was opened; harmless when repeated."""
        if self._thread.ident:
            self._thread.join()
        if "hog fork" in self.script:
            self.place.bomb.clear()
        for end in (self.output, self._write):
            if end >= 0:
                os.close(end)
        self.output = self._write = -1
        self.place.alive.discard(self)


PLACES = {"docker": spec(FakeCapped, "docker")}


@contextmanager
def patched() -> Iterator[None]:
    """Let trials last 20 ms."""
    with ExitStack() as stack:
        times = {"BEFORE_S": 0.002, "BESIDE_S": 0.012, "AFTER_S": 0.006, "TICK_S": 0.005}
        for name, value in (times | {"RATE": 1000}).items():
            stack.enter_context(patch.object(workloads, name, value))
        yield
