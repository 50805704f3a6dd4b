"""An application and its sidecar as containers of a private engine, in one arrangement.

All containers are on one network, pinned to one CPU (a round trip between two takes another time
whenever the scheduler moves one of them), and limited in memory.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from caveatlib.errors import EngineError, MeasurementError
from caveatlib.places import compiled
from caveatlib.places.base import Workload
from caveatlib.places.cgroups import caps
from caveatlib.places.engines import answers
from caveatlib.places.engines.containers import EngineInstance, EnginePlace
from caveatlib.places.engines.engine import Engine
from caveatlib.places.engines.private_engine import private_engine
from caveatlib.places.output import await_lines, text_before
from caveatlib.support import programs

PAIR = compiled.program(Path(__file__).with_name("pair.c"))
CAP = caps.Cap(tasks=400, memory_bytes=400 << 20)
"""Around all containers: one of them takes memory until it is killed."""
MEMORY_BYTES = 48 << 20
PORT, PATH, VOLUME = 80, "/shared/application", "caveatlib-pods"
SUBNET = "198.19.210"
APPLICATION = f"{SUBNET}.20"
RATE, TIMED_S, DELAY_US = 2000, 0.4, 200
"""Round trips a second, for how long, and how long the known delay is."""
READY_S, TIMED_WITHIN_S, ENDS_S, SETTLED_S = 20.0, 20.0, 10.0, 0.2
KILLED = 128 + signal.SIGKILL
"""Exit status of what was killed; the application ends with another if it got all its memory."""
JOINED = ("shared", "ipc", "pid", "socket")
"""Arrangements in which the sidecar joins the application's network."""


class Timed(NamedTuple):
    """What the sidecar said of its round trips; how soon it had the first; memory of all."""

    said: str
    ready_s: float
    memory_bytes: float


class Pod:
    """One application with its sidecar, made and not started.

    Parameters
    ----------
    engine : Engine
    network : str
    arrangement : str
        One of `designs.ARRANGEMENTS`.
    sidecar : str
        What the sidecar runs.
    delay_us : int
        For how long the application spins before each answer.
    """

    def __init__(
        self, engine: Engine, network: str, arrangement: str, sidecar: str, *, delay_us: int = 0
    ):
        self._engine, self._network, self.arrangement = engine, network, arrangement
        path = PATH if arrangement == "socket" else "-"
        self._serves = f"SECRET=1 exec pair serve {PORT} {path} {delay_us}"
        self._made: list[EngineInstance] = []
        try:
            self.pause = self._created("exec sleep 86400") if arrangement == "pause" else None
            if arrangement == "process":
                self.application = self.sidecar = self._created(f"{sidecar} & {self._serves}")
            else:
                self.application = self._created_application()
                self.sidecar = self._created(f"exec {sidecar}", **self._of_sidecar())
        except BaseException:
            self.remove()
            raise

    def start(self) -> None:
        """Start all containers, each before those that join it."""
        for instance in dict.fromkeys((self.pause, self.application, self.sidecar)):
            if instance is not None:
                instance.start()

    def replace(self) -> None:
        """Remove the application's container, and start a new one in its place."""
        self._engine.remove(self.application.id)
        if self.arrangement == "process":
            made = self._created(f"sleep 86400 & {self._serves}")
        else:
            made = self._created_application()
        made.start()

    def remove(self) -> None:
        """Remove all containers."""
        for instance in reversed(self._made):
            instance.remove()
        if self.arrangement == "socket":
            with answers.ignoring(404):
                self._engine.call("volume", self._engine.api.remove_volume, VOLUME)

    def memory_bytes(self) -> float:
        """Return the anonymous memory of all containers and of what the engine runs for each."""
        pids = {pid for instance in self._made for pid in instance.pids()}
        return float(sum(map(_anonymous_bytes, pids)))

    def _created(self, script: str, *, endpoint: dict | None = None, **host) -> EngineInstance:
        cpu = str(max(os.sched_getaffinity(0)))
        fixed = {"cpuset_cpus": cpu, "mem_limit": MEMORY_BYTES, "memswap_limit": MEMORY_BYTES}
        wanted = {"network_mode": self._network, **fixed, **host}
        place = EnginePlace(self._engine, host=wanted, endpoint=endpoint)
        instance = place.create(Workload(script, programs=(PAIR,)))
        self._made.append(instance)
        return instance

    def _created_application(self) -> EngineInstance:
        host: dict[str, object] = {}
        if self.pause is not None:
            return self._created(self._serves, network_mode=f"container:{self.pause.id}")
        if self.arrangement == "ipc":
            host["ipc_mode"] = "shareable"
        if self.arrangement == "socket":
            host["binds"] = _BINDS
        endpoint = {"IPAMConfig": {"IPv4Address": APPLICATION}}
        return self._created(self._serves, endpoint=endpoint, **host)

    def _of_sidecar(self) -> dict[str, object]:
        """Return what the sidecar's container shares."""
        theirs = f"container:{self.application.id}"
        if self.pause is not None:
            return {"network_mode": f"container:{self.pause.id}"}
        host: dict[str, object] = {"network_mode": theirs} if self.arrangement in JOINED else {}
        if self.arrangement in ("ipc", "pid"):
            host[f"{self.arrangement}_mode"] = theirs
        if self.arrangement == "socket":
            host["binds"] = _BINDS
        return host


_BINDS = {VOLUME: {"bind": str(Path(PATH).parent), "mode": "rw"}}


def _anonymous_bytes(pid: int) -> int:
    """Return a process's memory without the files that it maps, which neighbours share."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Anonymous: +(\d+) kB$", text, re.M)
    if found is None:
        raise MeasurementError(f"The kernel tells no anonymous memory of process {pid}.")
    return int(found[1]) << 10


def peer(arrangement: str) -> str:
    """Return where the sidecar finds the application, as the program takes it."""
    if arrangement == "socket":
        return f"unix {PATH} -"
    return f"tcp {APPLICATION if arrangement == 'bridge' else '127.0.0.1'} {PORT}"


class Pods:
    """The place where applications and sidecars are arranged.

    Parameters
    ----------
    engine : Engine
        A private one below `CAP`.
    network : str
    """

    def __init__(self, engine: Engine, network: str):
        self._engine, self._network = engine, network

    def trips(self, arrangement: str, *, delayed: bool) -> Timed:
        """Let the sidecar time round trips at a fixed rate, from when it is answered first."""
        caps.require(self._engine.cgroup, CAP)
        sidecar = f"pair ask {peer(arrangement)} {RATE} {TIMED_S}"
        with self._pod(arrangement, sidecar, delay_us=DELAY_US * delayed) as pod:
            started = time.monotonic()
            pod.start()
            (first,) = await_lines(pod.sidecar.output, ["first"], READY_S)
            said = text_before(pod.sidecar.output, "over", TIMED_WITHIN_S)
            return Timed(said, first - started, pod.memory_bytes())

    def look(self, arrangement: str) -> str:
        """Return what a probe in the sidecar's container says of the application."""
        with self._started(arrangement) as pod:
            _, said = self._engine.exec(pod.sidecar.id, ["/bin/pair", "look", str(PORT)])
        return said.decode(errors="replace")

    def survives(self, arrangement: str, event: str) -> bool:
        """Let something happen to the application; return whether its sidecar goes on.

        Parameters
        ----------
        arrangement : str
        event : {"crash", "oom", "restart", "upgrade"}
            After the latter two the sidecar must reach the application again.

        Raises
        ------
        MeasurementError
            If the application ended otherwise than by being killed.
        """
        caps.require(self._engine.cgroup, CAP)
        with self._started(arrangement) as pod:
            before = self._runs_since(pod.sidecar)
            if event in ("crash", "oom"):
                pod.application.signal("KILL" if event == "crash" else "USR1")
                status = pod.application.wait(ENDS_S)
                if status != KILLED:
                    raise MeasurementError(
                        f"After {event!r} the application ended with {status}. Must be {KILLED}, "
                        "that of what was killed."
                    )
            elif event == "restart":
                restart = self._engine.api.restart
                self._engine.call("restart", restart, pod.application.id, timeout=0)
            else:
                pod.replace()
            time.sleep(SETTLED_S)
            if not before or self._runs_since(pod.sidecar) != before:
                return False
            if event in ("crash", "oom"):
                return self._runs(pod.sidecar, ["/bin/true"])
            return self._reaches(pod)

    def metadata(self) -> dict[str, str]:
        """Return the engine's facts, and what all containers are pinned and limited to."""
        return self._engine.metadata() | {
            "pinned_cpus": "1",
            "memory_limit_bytes": str(MEMORY_BYTES),
            "cap_memory_bytes": str(CAP.memory_bytes),
        }

    @contextmanager
    def _pod(self, arrangement: str, sidecar: str, *, delay_us: int = 0) -> Iterator[Pod]:
        pod = Pod(self._engine, self._network, arrangement, sidecar, delay_us=delay_us)
        try:
            yield pod
        finally:
            pod.remove()

    @contextmanager
    def _started(self, arrangement: str) -> Iterator[Pod]:
        """Start a pod whose sidecar reaches its application and then does nothing."""
        with self._pod(arrangement, "sleep 86400") as pod:
            pod.start()
            what = "The sidecar never reached its application"
            programs.wait_until(lambda: self._reaches(pod), READY_S, what)
            yield pod

    def _reaches(self, pod: Pod) -> bool:
        return self._runs(pod.sidecar, ["/bin/pair", "reach", *peer(pod.arrangement).split()])

    def _runs(self, instance: EngineInstance, argv: list[str]) -> bool:
        """Return whether a program succeeds in a container; none does in one that has ended."""
        try:
            return self._engine.exec(instance.id, argv)[0] == 0
        except EngineError:
            return False

    def _runs_since(self, instance: EngineInstance) -> str:
        """Return when a container was started, if it runs and there is one."""
        try:
            state = self._engine.inspect(instance.id)["State"]
        except EngineError:
            return ""
        return str(state["StartedAt"]) if state["Running"] else ""


@contextmanager
def pods() -> Iterator[Pods]:
    """Start a private engine below a cap, with a network."""
    with private_engine(cap=CAP) as engine:
        caps.require(engine.cgroup, CAP)
        network = engine.create_network(subnet=f"{SUBNET}.0/24", gateway=f"{SUBNET}.1")
        yield Pods(engine, network)
