"""Who keeps a service alive: nobody, runsv, Docker's restart policies, a health check, Swarm.

Each is a context manager that starts a service and yields what is asked of a keeper (`Kept`).
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from caveatlib.errors import FAILURES, MeasurementError
from caveatlib.experiments.recovery.nodes import IMAGE, Node, Site
from caveatlib.experiments.recovery.service import INSIDE, SERVE, Service, replicas
from caveatlib.places import compiled
from caveatlib.places.engines import apart, belongings
from caveatlib.places.engines.engine import Engine
from caveatlib.support import processes, programs

CHECK_S, RETRIES = 1.0, 2
"""Between two health checks, and how many must fail. Docker's defaults are 30 s and 3."""
GRACE_S = 1
"""Until who does not take SIGTERM is killed. Docker's default is 10 s."""
HEAL_S = 1.0
"""Between two looks of the loop that restarts unhealthy containers."""
ENDED = ("complete", "failed", "shutdown", "rejected", "orphaned", "remove")
"""States of a task that no longer runs."""


class Price(NamedTuple):
    """What a keeper takes while all is well: its processes, their memory, sockets that listen."""

    processes: int
    memory_bytes: int
    ports: int


class Kept(NamedTuple):
    """What a keeper is asked.

    Attributes
    ----------
    price : callable
        Returns its `Price`.
    watch : callable
        Given the slots that a fault hits, before it; returns what is called again and again
        after it.
    noticed : callable
        Given when the fault was, returns when the keeper noticed it, on the monotonic clock,
        or None if nothing tells.
    """

    price: Callable[[], Price]
    watch: Callable[[set[int]], Callable[[], None]] = lambda hit: lambda: None
    noticed: Callable[[float], float | None] = lambda fault_s: None


@contextmanager
def nobody(site: Site, service: Service) -> Iterator[Kept]:
    """Start the processes and leave them alone."""
    with ExitStack() as stack:
        for slot in service.slots:
            _spawn(stack, site.nodes[0], [_program()], service, slot)
        yield Kept(lambda: Price(0, 0, 0))


@contextmanager
def runsv(site: Site, service: Service) -> Iterator[Kept]:
    """Let a runsv of its own watch over each process, as runit has it."""
    with ExitStack() as stack:
        started = []
        for slot in service.slots:
            folder = site.folder / f"{service.port}-{slot}"
            folder.mkdir()
            (folder / "run").write_text(f"#!/bin/sh\nexec {_program()}\n")
            (folder / "run").chmod(0o755)
            argv = [programs.need("runsv", "runit"), str(folder)]
            started.append(_spawn(stack, site.nodes[0], argv, service, slot))
        ours = {process.pid for process in started}
        yield Kept(lambda: _price(_below(ours) - ours, service, site.nodes[:1]))


@contextmanager
def container(
    site: Site, service: Service, *, policy: str, checked: bool = False, healed: bool = False
) -> Iterator[Kept]:
    """Run the service in a container with a restart policy, a health check and a loop or without.

    Raises
    ------
    MeasurementError
        On leaving, if the loop has failed.
    """
    engine = site.manager
    api = engine.api
    made = partial(
        api.create_container,
        IMAGE,
        [f"/{compiled.name(SERVE)}"],
        environment=service.environment(1),
        labels=belongings.labels(engine.run),
        healthcheck=_health() if checked else None,
        host_config=api.create_host_config(
            network_mode="host",
            binds=[f"{service.volume}:{INSIDE}"],
            restart_policy={"Name": policy},
        ),
        use_config_proxy=False,
    )
    name = engine.call("create", made)["Id"]
    with ExitStack() as stack:
        stack.callback(engine.remove, name)
        engine.start(name)
        if healed:
            stack.enter_context(_healing(engine, name))
        yield Kept(
            price=lambda: _price(_of_engine(site.nodes[0], service), service, site.nodes[:1]),
            noticed=partial(_noticed_by_engine, engine, name),
        )


@contextmanager
def swarm(site: Site, service: Service) -> Iterator[Kept]:
    """Let a swarm keep so many replicas, a single one on a node that is not the manager's."""
    manager, name = site.manager, f"served-{service.port}"
    where = {"Constraints": ["node.role==worker"]} if service.replicas == 1 else {}
    task = {
        "ContainerSpec": {
            "Image": IMAGE,
            "Command": [f"/{compiled.name(SERVE)}"],
            "Env": [f"{k}={v}" for k, v in service.environment("{{.Task.Slot}}").items()],
            "Mounts": [{"Type": "bind", "Source": str(service.volume), "Target": INSIDE}],
            "Healthcheck": _health(),
            "StopGracePeriod": GRACE_S * 10**9,
        },
        "Networks": [{"Target": "host"}],
        "Placement": where,
    }
    mode = {"Replicated": {"Replicas": service.replicas}}
    manager.call("service", manager.api.create_service, task, name=name, mode=mode)
    try:
        seen = _Tasks(manager, name)
        yield Kept(
            price=lambda: _price(
                set().union(*(_of_engine(node, service) for node in site.nodes)),
                service,
                site.nodes,
            ),
            watch=seen.of,
            noticed=lambda fault_s: seen.noticed_s,
        )
    finally:
        # Its tasks end within seconds, and answer on ports that no other trial asks.
        manager.call("service", manager.api.remove_service, name)


KEEPERS: Mapping[str, Callable] = {
    "nobody": nobody,
    "runsv": runsv,
    "on-failure": partial(container, policy="on-failure"),
    "always": partial(container, policy="always"),
    "unless-stopped": partial(container, policy="unless-stopped"),
    "health": partial(container, policy="always", checked=True),
    "autoheal": partial(container, policy="always", checked=True, healed=True),
    "swarm": swarm,
}


def _program() -> str:
    return str(compiled.path(SERVE))


def _health() -> dict:
    every = round(CHECK_S * 1e9)
    test = ["CMD", f"/{compiled.name(SERVE)}", "ask"]
    return {"Test": test, "Interval": every, "Timeout": every, "Retries": RETRIES}


def _spawn(
    stack: ExitStack, node: Node, argv: list[str], service: Service, slot: int
) -> subprocess.Popen:
    """Start a program in a node's network and among its processes."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        ["nsenter", f"--target={node.pid}", "--net", "--pid", "--", *argv],
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        env={"PATH": apart.PATH, **service.environment(slot, service.volume), **processes.mark()},
        start_new_session=True,
    )
    stack.callback(_end, process, node, service, slot)
    return process


def _end(process: subprocess.Popen, node: Node, service: Service, slot: int) -> None:
    """End what was spawned, and then its service, which may have a session of its own."""
    processes.signal_all(lambda: _below({process.pid}) - {process.pid}, wait_s=1)
    programs.end(process)
    processes.signal_all(lambda: {replicas(service, [node.pid]).get(slot, 0)}, wait_s=1)


def _below(pids: set[int]) -> set[int]:
    return {one for pid in pids for one in processes.descendants(pid)}


def _of_engine(node: Node, service: Service) -> set[int]:
    """Return the processes of a node's engine: all there but its first, which is ours."""
    return _below({node.pid}) - {node.pid}


def _price(pids: set[int], service: Service, nodes: list[Node]) -> Price:
    """Return what processes take, those of the service left out."""
    import psutil

    count = total = 0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):  # a health check
            process = psutil.Process(pid)  # a fresh one, which keeps no other's name
            if process.name() != compiled.name(SERVE):
                total += process.memory_info().rss
                count += 1
    served = {service.port + slot for slot in service.slots}
    ports = sum(len(open_ports(node.pid) - {("udp", port) for port in served}) for node in nodes)
    return Price(count, total, ports)


def open_ports(pid: int) -> set[tuple[str, int]]:
    """Return protocol and number of each port that is listened on in a process's network."""
    found = set()
    # "  0: 00000000:0941 00000000:0000 0A ...": address:port of both ends, state (0A: listens,
    # 07: a UDP socket that is bound)
    for name, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            _, here, _, its_state, *_ = line.split()
            if its_state == state:
                found.add((name[:3], int(here.rpartition(":")[2], 16)))
    return found


@contextmanager
def _healing(engine: Engine, name: str) -> Iterator[None]:
    """Restart a container whenever the engine calls it unhealthy, as an autoheal container does."""
    over, failed = threading.Event(), []
    unhealthy = {"health": "unhealthy", "id": name}

    def look():
        while not over.wait(HEAL_S):
            try:
                if engine.call("ps", engine.api.containers, filters=unhealthy):
                    engine.call("restart", engine.api.restart, name, timeout=GRACE_S)
            except FAILURES as error:
                failed.append(error)
                return

    thread = threading.Thread(target=look, name="caveatlib-healing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failed:
        raise MeasurementError(f"The loop that restarts failed: {failed[0]}")


def _noticed_by_engine(engine: Engine, name: str, fault_s: float) -> float | None:
    """Return when the engine said first that a container died, or is unhealthy."""
    ahead = time.time() - time.monotonic()
    span = {"since": f"{fault_s + ahead:.9f}", "until": f"{time.time():.9f}"}
    only = {"container": name}

    def told() -> list[dict]:
        return list(engine.api.events(filters=only, decode=True, **span))

    for event in engine.call("events", told):
        word = str(event.get("Action", ""))
        if word == "die" or word == "health_status: unhealthy":
            return int(event["timeNano"]) * 1e-9 - ahead
    return None


class _Tasks:
    """What a swarm's manager says of the tasks that a fault hits."""

    def __init__(self, manager: Engine, name: str):
        self._manager, self._name = manager, name
        self.noticed_s: float | None = None

    def of(self, hit: set[int]) -> Callable[[], None]:
        """Return what looks whether the manager has given one of the slots' tasks up."""
        mine = {task["ID"] for task in self._wanted() if task["Slot"] in hit}

        def look() -> None:
            if self.noticed_s is None and not mine <= {task["ID"] for task in self._wanted()}:
                self.noticed_s = time.monotonic()

        return look

    def _wanted(self) -> list[dict]:
        api, only = self._manager.api, {"service": self._name}
        tasks = self._manager.call("tasks", api.tasks, filters=only)
        return [
            task
            for task in tasks
            if task["DesiredState"] == "running" and task["Status"]["State"] not in ENDED
        ]
