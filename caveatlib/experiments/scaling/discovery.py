"""A container that comes, is found by clients, serves and is killed, beside one that stays."""

from __future__ import annotations

import http.client
import itertools
import json
import math
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from caveatlib.errors import MeasurementError
from caveatlib.experiments.scaling.balancing import REPLICA, listening
from caveatlib.experiments.scaling.client import (
    KEYS,
    NAME,
    Client,
    Finder,
    Request,
    by_dns,
    by_etcd,
    by_list,
)
from caveatlib.experiments.scaling.designs import DNS, ETCD, TTLS
from caveatlib.places import leases, netns
from caveatlib.places.base import Workload
from caveatlib.places.engines.containers import EngineInstance, EnginePlace
from caveatlib.places.engines.engine import Engine
from caveatlib.places.engines.private_engine import private_engine
from caveatlib.places.output import text_to_end
from caveatlib.support import programs

SUBNET = "198.19.200"
GATEWAY, RESIDENT, ASKING = (f"{SUBNET}.{n}" for n in (1, 10, 11))
NEWCOMERS = range(20, 250)
"""Last numbers of addresses; each newcomer has one that none had for long."""
ETCD_PORT, WEB = 2379, 80
BEGUN_S, SERVED_S, SERVES_S, WATCHED_S, ENDED_S = 10.0, 20.0, 0.4, 1.2, 10.0
"""Until the client is ready and is served; how long the newcomer serves; how long after its kill
and its time to live the client is watched; until the client has ended."""
RETRY_MS = 20
"""How soon the client asks again who has an address that nobody answered for."""
_RETRIES = Path("/proc/sys/net/ipv4/neigh/eth0/retrans_time_ms")
_REGISTERS = """
replica serve {port} 0 &
until wget -q -O /dev/null http://127.0.0.1:{port}/0/0; do sleep 0.01; done
ask() {{ wget -q -T 2 -O - --post-data "$2" http://{gateway}:{etcd}/v3/$1; }}
lease=$(ask lease/grant '{{"TTL":{ttl_s}}}' | sed 's/.*"ID":"\\([0-9]*\\)".*/\\1/')
ask kv/put "{{\\"key\\":\\"$(printf {key} | base64)\\",\\"lease\\":\\"$lease\\"}}" >/dev/null
while ask lease/keepalive "{{\\"ID\\":\\"$lease\\"}}" >/dev/null; do
    echo renewed $EPOCHREALTIME
    sleep {pause_s:.2f}
done
"""
"""What a container does that registers itself: its agent renews the lease three times a TTL."""


class Watched(NamedTuple):
    """What was seen of a newcomer.

    Attributes
    ----------
    started_s, killed_s : float
        Just before the engine was told to start and to kill it, on the client's clock.
    requests : list of Request
    expiry_s : float
        From the last renewal of its lease until the client was told that it is over.
    dns_ttl_s : float
        What the DNS states as time to live; either is NaN where there is none.
    """

    started_s: float
    killed_s: float
    requests: list[Request]
    expiry_s: float = math.nan
    dns_ttl_s: float = math.nan


class Discovery:
    """The place where newcomers come and go.

    Parameters
    ----------
    engine : Engine
        A private one, etcd running in its namespaces.
    network : str
    asking : int
        A process in the network namespace of the container that the client stands for.
    """

    def __init__(self, engine: Engine, network: str, asking: int):
        self._engine, self._network, self._asking = engine, network, asking
        self._numbers = itertools.cycle(NEWCOMERS)

    def watch(
        self, found_by: str, ttl_s: int, *, start_after_s: float = 0.0, kill_after_s: float = 0.0
    ) -> Watched:
        """Start a container, let it serve a while, kill it, and watch until its TTL is over.

        Parameters
        ----------
        found_by : str
        ttl_s : int
        start_after_s : float, optional
            How long to wait once the client would notice it. One that asks the DNS has just had
            an answer then.
        kill_after_s : float, optional
            How long to wait once it has served for `SERVES_S`.
        """
        address = f"{SUBNET}.{next(self._numbers)}"
        client = Client(RESIDENT, address, _finder(found_by, ttl_s), port=WEB)
        newcomer = _created(self._engine, self._network, address, _script(found_by, ttl_s, address))
        try:
            with _running(client, self._asking) as work:
                time.sleep(start_after_s)
                started_s = time.monotonic()
                newcomer.start()
                _await(client.served, work, SERVED_S, "No request to the container was answered")
                time.sleep(SERVES_S + kill_after_s)
                killed_s = time.monotonic()
                newcomer.signal("KILL")
                time.sleep(ttl_s + WATCHED_S)
            renewed = re.findall(r"renewed (\d+\.\d+)", text_to_end(newcomer.output, ENDED_S))
        finally:
            newcomer.remove()
        expiry_s = client.expired_at - float(renewed[-1]) if renewed else math.nan
        return Watched(started_s, killed_s, client.requests, expiry_s, client.dns_ttl_s)

    def metadata(self) -> dict[str, str]:
        """Return the engine's facts, the version of etcd, and what the client was set to."""
        version = programs.run([programs.need("etcd"), "--version"]).splitlines()[0]
        return self._engine.metadata() | {"etcd": version, "neighbour_retry_ms": str(RETRY_MS)}


def _finder(found_by: str, ttl_s: int) -> Finder:
    if found_by == ETCD:
        return by_etcd((GATEWAY, ETCD_PORT))
    return by_dns(ttl_s) if found_by == DNS else by_list


def _script(found_by: str, ttl_s: int, address: str) -> str:
    if found_by != ETCD:
        return f"exec replica serve {WEB} 0"
    key, pause_s = KEYS + address, ttl_s / 3
    return _REGISTERS.format(
        port=WEB, gateway=GATEWAY, etcd=ETCD_PORT, ttl_s=ttl_s, key=key, pause_s=pause_s
    )


def _created(engine: Engine, network: str, address: str, script: str) -> EngineInstance:
    """Create a container with an address, which all but the client's own share a name for."""
    endpoint: dict[str, object] = {"IPAMConfig": {"IPv4Address": address}}
    if address != ASKING:
        endpoint["Aliases"] = [NAME]
    place = EnginePlace(engine, host={"network_mode": network}, endpoint=endpoint)
    return place.create(Workload(script, programs=(REPLICA,)))


@contextmanager
def _running(client: Client, pid: int) -> Iterator[Future]:
    """Run a client in a process's network namespace; raises what it fails of."""
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(netns.call_in, pid, client.run)
        try:
            _await(client.ready, work, BEGUN_S, "The client was not ready")
            yield work
        finally:
            client.stop()
        work.result(ENDED_S)


def _await(event, work: Future, timeout_s: float, what: str) -> None:
    programs.wait_until(lambda: event.is_set() or work.done(), timeout_s, what, pause_s=0.002)
    if work.done():
        work.result()
        raise MeasurementError("The client ended before it was told to.")


@contextmanager
def discovery() -> Iterator[Discovery]:
    """Start a private engine with a network, etcd, a container that stays, and the client's."""
    with private_engine() as engine, leases.leased() as lease, ExitStack() as stack:
        network = engine.create_network(subnet=f"{SUBNET}.0/24", gateway=GATEWAY)
        stack.enter_context(listening(engine, _etcd(lease.data / "etcd"), ETCD_PORT))
        assert engine.pid is not None  # a private engine has one
        netns.call_in(engine.pid, _check_leases)
        resident, asking = (
            _created(engine, network, address, script)
            for address, script in (
                (RESIDENT, f"exec replica serve {WEB} 0"),
                (ASKING, "exec sleep 86400"),
            )
        )
        for instance in (resident, asking):
            stack.callback(instance.remove)
            instance.start()
        pid = _inside(engine, asking)
        netns.call_in(pid, lambda: _RETRIES.write_text(str(RETRY_MS)))
        yield Discovery(engine, network, pid)


def _etcd(data: Path) -> list[str]:
    return [
        programs.need("etcd", "etcd-server"), "--data-dir", str(data), "--log-level", "error",
        "--listen-client-urls", f"http://0.0.0.0:{ETCD_PORT}",
        "--advertise-client-urls", f"http://127.0.0.1:{ETCD_PORT}",
        "--listen-peer-urls", "http://127.0.0.1:2380",
        # By its defaults, which are made for members far apart, it grants no lease below 2 s.
        "--heartbeat-interval", "10", "--election-timeout", "100",
    ]  # fmt: skip


def _check_leases() -> None:
    """Require that etcd grants leases as short as are asked for."""
    least = min(TTLS)
    connection = http.client.HTTPConnection("127.0.0.1", ETCD_PORT, timeout=BEGUN_S)
    try:
        connection.request("POST", "/v3/lease/grant", json.dumps({"TTL": least}))
        said = connection.getresponse().read()
        granted = int(json.loads(said)["TTL"])
    except (http.client.HTTPException, ValueError, KeyError, TypeError):
        raise MeasurementError("etcd granted no lease.") from None
    finally:
        connection.close()
    if granted != least:
        raise MeasurementError(f"etcd granted a lease of {granted} s. Must be {least} s.")


def _inside(engine: Engine, instance: EngineInstance) -> int:
    """Return a process in a container's network namespace, as the host counts it."""

    def space(pid: int | str | None) -> int:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino

    own = space(engine.pid)
    found = next((pid for pid in instance.pids() if space(pid) != own), None)
    if found is None:
        raise MeasurementError("The client's container has ended.")
    return found
