"""Replicas of a service behind HAProxy, with a lock that they share.

Replicas are containers of a private engine on its host network. Load balancer, lock and load
generator are programs of this machine in the engine's namespaces, so that they end with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from caveatlib.errors import MeasurementError
from caveatlib.experiments.scaling.designs import MANY
from caveatlib.instruments import cpu, published
from caveatlib.measuring import machine
from caveatlib.places import compiled, leases
from caveatlib.places.base import Workload
from caveatlib.places.engines import apart
from caveatlib.places.engines.containers import EngineInstance, EnginePlace
from caveatlib.places.engines.engine import Engine
from caveatlib.places.engines.private_engine import private_engine
from caveatlib.support import programs

REPLICA, LOAD = (compiled.program(Path(__file__).with_name(f"{n}.c")) for n in ("replica", "load"))
LOCK, FIRST, FRONT = 7000, 7001, 8000
"""Ports of the lock, of the first replica and of HAProxy."""
LISTENS_S, LOADED_S = 10.0, 20.0
AT_ONCE = 4
"""Containers that are started at once."""
_CONFIG = """
global
    maxconn 256
    nbthread 1
defaults
    mode http
    option httpclose
    retries 0
    timeout connect 5s
    timeout client 10s
    timeout server 10s
    timeout queue 10s
frontend in
    bind 127.0.0.1:{front}
    default_backend app
backend app
    balance leastconn
{servers}
"""


def configuration(replicas: int) -> str:
    """Return HAProxy's configuration; each replica has one request at a time, others wait."""
    servers = "\n".join(
        f"    server replica{n} 127.0.0.1:{FIRST + n} maxconn 1" for n in range(replicas)
    )
    return _CONFIG.format(front=FRONT, servers=servers)


class Balanced:
    """The place where so many replicas as are wanted are put under load.

    Parameters
    ----------
    engine : Engine
        A private one, in which all replicas run.
    config : Path
        Where HAProxy's configuration is written.
    """

    def __init__(self, engine: Engine, config: Path):
        self._engine, self._config = engine, config

    def load(self, replicas: int, arguments: Sequence[str]) -> tuple[str, float]:
        """Put the first replicas under load.

        Parameters
        ----------
        replicas : int
        arguments : sequence of str
            Of the load generator, see ``load.c``.

        Returns
        -------
        said : str
            What the load generator counted.
        cpu_share : float
            Of the machine's CPU time, how much was used meanwhile.
        """
        self._config.write_text(configuration(replicas))
        with ExitStack() as stack:
            for argv, port in (
                ([str(compiled.path(REPLICA)), "lock", str(LOCK)], LOCK),
                ([programs.need("haproxy"), "-db", "-q", "-f", str(self._config)], FRONT),
            ):
                stack.enter_context(listening(self._engine, argv, port))
            busy_s, began = cpu.busy_s(), time.monotonic()
            pid = self._engine.pid
            inside = ["nsenter", f"--target={pid}", "--net", "--pid", "--"]
            argv = [*inside, str(compiled.path(LOAD)), *arguments]
            said = programs.run(argv, timeout_s=LOADED_S, what="load")
            used_s = cpu.busy_s() - busy_s
        share = used_s / (time.monotonic() - began) / machine.cores()
        return said, min(1.0, share)

    def metadata(self) -> dict[str, str]:
        """Return the engine's facts and the version of HAProxy."""
        version = programs.run([programs.need("haproxy"), "-v"]).splitlines()[0]
        return self._engine.metadata() | {"haproxy": version}


@contextmanager
def listening(engine: Engine, argv: Sequence[str], port: int) -> Iterator[None]:
    """Run a program in a private engine's namespaces from when it listens on a port."""
    pid = engine.pid
    assert pid is not None  # a private engine has one
    name = Path(argv[0]).name
    with apart.joined(pid, argv) as process:

        def listens() -> bool:
            if programs.has_ended(process, 0):
                raise MeasurementError(f"{name} ended at once.")
            return bool(published.listeners(pid, port=port))

        what = f"{name} did not listen on port {port}"
        programs.wait_until(listens, LISTENS_S, what, pause_s=0.005)
        yield


@contextmanager
def balanced() -> Iterator[Balanced]:
    """Start a private engine with all replicas in it."""
    with private_engine() as engine, leases.leased() as lease:
        place = EnginePlace(engine, host={"network_mode": "host"})
        engine.image()
        made: list[EngineInstance] = []

        def started(number: int) -> None:
            script = f"exec replica serve {FIRST + number} {LOCK}"
            instance = place.create(Workload(script, programs=(REPLICA,)))
            made.append(instance)
            instance.start()

        try:
            _at_once(started, range(MANY))
            for number in range(MANY):
                _await(engine, FIRST + number)
            yield Balanced(engine, lease.run / "haproxy.cfg")
        finally:
            _at_once(EngineInstance.remove, made)


def _at_once(function: Callable, of: Iterable) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(function, of))


def _await(engine: Engine, port: int) -> None:
    what = f"No replica listened on port {port}"
    programs.wait_until(lambda: published.listeners(engine.pid, port=port), LISTENS_S, what)
