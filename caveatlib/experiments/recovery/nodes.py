"""Machines that can be lost: namespaces on a bridge, with a Docker engine each, or a swarm of them.

A node is a network, mount and process-id namespace. To lose its power, its link goes down and its
first process is killed: the kernel ends all others there, and none says goodbye. To cut it off, its
link goes down. What a node shares with the others is the kernel, and the folder that stands for
shared storage. Everything ends with whoever opened it.
"""

from __future__ import annotations

import io
import signal
import tarfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from caveatlib.errors import CaveatError, EngineError, MeasurementError
from caveatlib.experiments.recovery.service import SERVE
from caveatlib.places import compiled, leases, netns, privileges, rootfs
from caveatlib.places.base import Capability
from caveatlib.places.engines import apart, private_engine
from caveatlib.places.engines.engine import Engine
from caveatlib.support import processes, programs

NETWORK = "198.18.100.{}"
"""Of the range that is kept for benchmarks (RFC 2544); the client is number 254."""
POOL = ["198.18.128.0/17"]
"""For the networks of a swarm, which must not meet those of its engines."""
IMAGE = "caveatlib/served:1"
OPENED_S, JOINED_S, ENDED_S = 15.0, 20.0, 5.0
MANAGER_PORT = 2377


@cache
def probe() -> Capability:
    """Return whether machines can be made of namespaces, and joined, by making such a link."""
    missing = [name for name in ("unshare", "nsenter", "ip") if programs.find(name) is None]
    if missing:
        return Capability("nodes", False, f"missing: {', '.join(missing)}", rootfs.SYSTEM_FIX)
    link = "ip link add hub type bridge && ip link add node type veth peer name uplink"
    try:
        programs.run(["unshare", *apart.UNSHARE, "sh", "-c", link])
    except CaveatError as error:
        reason = f"the kernel refuses its namespaces or links: {error}"
        return privileges.refused("nodes", reason, needs=["CAP_SYS_ADMIN", "CAP_NET_ADMIN"])
    return Capability("nodes", True, "namespaces and links found")


@dataclass
class Node:
    """One machine.

    Attributes
    ----------
    number : int
        From 1 on; the manager of a swarm is the first.
    pid : int
        Its first process.
    engine : Engine or None
    opened : ExitStack
        Ends it.
    lost : bool
        Whether it was killed or cut off.
    member : str
        Its name in the swarm.
    """

    number: int
    pid: int
    engine: Engine | None
    opened: ExitStack
    lost: bool = False
    member: str = ""

    @property
    def address(self) -> str:
        """Return where the others reach it."""
        return NETWORK.format(self.number)


class Site:
    """Nodes on a bridge, a client beside them, and the volume that they share.

    Attributes
    ----------
    hub : int
        A process in the client's network namespace.
    nodes : list of Node
        In the order of their numbers.
    volume : Path
    folder : Path
        For what is made for single trials.
    """

    def __init__(self, hub: int, folder: Path, count: int, *, engines: bool, swarm: bool):
        self.hub, self.folder = hub, folder
        self.volume = folder / "volume"
        self.volume.mkdir()
        self.volume.chmod(0o777)
        self.nodes: list[Node] = []
        self._numbers = range(1, count + 1)
        self._engines, self._swarm = engines, swarm
        self._gone: list[str] = []
        client = NETWORK.format(254)
        _ip(hub, "link add hub type bridge", "link set hub up", f"address add {client}/24 dev hub")

    @property
    def manager(self) -> Engine:
        """Return the engine of the first node."""
        engine = self.nodes[0].engine
        assert engine is not None  # whoever asks has opened engines
        return engine

    def at(self, address: str) -> Node:
        """Return the node that has an address."""
        return next(node for node in self.nodes if node.address == address)

    def mend(self) -> None:
        """Open the nodes that are not there yet, and new ones in the places of those lost.

        Raises
        ------
        Unavailable, MeasurementError
            If one cannot be opened, or does not join.
        """
        for node in [node for node in self.nodes if node.lost]:
            self.nodes.remove(node)
            self._gone += [node.member] if node.member else []
            with suppress(MeasurementError):  # the link of a killed one goes by itself
                _ip(self.hub, f"link delete node{node.number}")
            node.opened.close()
        there = {node.number for node in self.nodes}
        for node in self._open([number for number in self._numbers if number not in there]):
            node.lost = True  # until it has joined
            self._link(node)
            if self._swarm:
                self._join(node)
            node.lost = False
        while self._gone:
            self.manager.call("node", self.manager.api.remove_node, self._gone[0], force=True)
            del self._gone[0]

    def lose(self, node: Node, *, killed: bool) -> float:
        """Cut a node off, or take its power away; return when."""
        node.lost = True
        at = time.monotonic()
        _ip(self.hub, f"link set node{node.number} down")
        if killed:
            processes.signal_all(lambda: [node.pid], signal.SIGKILL, wait_s=ENDED_S)
        return at

    def close(self) -> None:
        """End all nodes, the manager last."""
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node.opened)
        self.nodes.clear()

    def _open(self, numbers: Sequence[int]) -> list[Node]:
        """Open machines side by side; those that opened are kept, even if another did not."""
        found: list[Future[Node]] = []
        with ThreadPoolExecutor() as pool:
            try:
                found += [pool.submit(_machine, number, self._engines) for number in numbers]
            finally:
                pool.shutdown()
                fresh = [each.result() for each in found if each.exception() is None]
                self.nodes = sorted([*self.nodes, *fresh], key=lambda node: node.number)
        for each in found:
            each.result()
        return fresh

    def _link(self, node: Node) -> None:
        name = f"node{node.number}"
        _ip(
            self.hub,
            f"link add {name} type veth peer name uplink netns {node.pid}",
            f"link set {name} master hub",
            f"link set {name} up",
        )
        _ip(
            node.pid,
            # Always the same, so that nobody asks a dead one's.
            f"link set uplink address 02:00:00:00:00:{node.number:02x}",
            f"address add {node.address}/24 dev uplink",
            "link set uplink up",
        )

    def _join(self, node: Node) -> None:
        """Begin a swarm, or join it, and wait until the manager says that the node is ready."""
        assert node.engine is not None
        api, call = node.engine.api, node.engine.call
        where = {"advertise_addr": node.address, "listen_addr": f"{node.address}:{MANAGER_PORT}"}
        if node.number == 1:
            call("swarm", api.init_swarm, default_addr_pool=POOL, subnet_size=24, **where)
        else:
            token = self.manager.call("swarm", self.manager.api.inspect_swarm)["JoinTokens"]
            managers = [f"{self.nodes[0].address}:{MANAGER_PORT}"]
            call("join", api.join_swarm, remote_addrs=managers, join_token=token["Worker"], **where)
        node.member = node.engine.info()["Swarm"]["NodeID"]
        manager = self.manager if node.number > 1 else node.engine

        def ready() -> bool:
            known = manager.call("nodes", manager.api.nodes)
            return any(n["ID"] == node.member and n["Status"]["State"] == "ready" for n in known)

        what = f"Node {node.number} of the swarm was not ready"
        programs.wait_until(ready, JOINED_S, what, pause_s=0.05)


def _machine(number: int, engine: bool) -> Node:
    """Open the namespaces of a node, with an engine in them or with nothing."""
    opened = ExitStack()
    try:
        if not engine:
            return Node(number, opened.enter_context(empty()), None, opened)
        its = opened.enter_context(private_engine.private_engine())
        assert its.pid is not None  # a private engine has one
        _load(its)
        return Node(number, its.pid, its, opened)
    except BaseException:
        opened.close()
        raise


@contextmanager
def empty() -> Iterator[int]:
    """Open namespaces in which nothing runs; yield their first process."""
    with leases.leased() as lease:
        argv = [programs.need("busybox"), "sleep", "86400"]
        with apart.running(argv, lease) as process:
            what = "No namespaces were made for a node"
            yield programs.wait_until(lambda: apart.first(process), OPENED_S, what, pause_s=0.005)


@contextmanager
def site(count: int, *, engines: bool = False, swarm: bool = False) -> Iterator[Site]:
    """Open so many nodes.

    Raises
    ------
    Unavailable
        If none can be made here.
    MeasurementError
        If one does not open, or join.
    """
    leases.sweep()
    with leases.leased() as lease, empty() as hub:
        here = Site(hub, lease.data, count, engines=engines, swarm=swarm)
        try:
            here.mend()
            yield here
        finally:
            here.close()


def _ip(pid: int, *commands: str) -> None:
    """Run commands of ip(8) in the network namespace of a process."""
    text = "".join(f"{command}\n" for command in commands)
    argv = netns.argv_in(pid, ["ip", "-batch", "-"])
    programs.run(argv, what=f"ip {commands[0]}", input=text)


def _load(engine: Engine) -> None:
    """Give an engine the image of the service."""
    repository, _, tag = IMAGE.partition(":")
    load = engine.api.import_image_from_data
    said = engine.call("import", load, _image(), repository=repository, tag=tag)
    if '"error"' in said:
        raise EngineError("import: the engine refused the image of the service")


@cache
def _image() -> bytes:
    """Return an image of the service and nothing else, as a tar."""
    program, packed = compiled.path(SERVE).read_bytes(), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo(compiled.name(SERVE))
        info.size, info.mode = len(program), 0o755
        tar.addfile(info, io.BytesIO(program))
    return packed.getvalue()
