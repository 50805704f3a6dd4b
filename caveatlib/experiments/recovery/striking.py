"""What one trial does: a service is kept and asked, something happens to it, and all is read."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from caveatlib.errors import MeasurementError
from caveatlib.experiments.recovery.asking import LATE_S, Answer, Asking, asking
from caveatlib.experiments.recovery.keepers import KEEPERS, Kept, Price
from caveatlib.experiments.recovery.nodes import Node, Site
from caveatlib.experiments.recovery.service import Service, numbered, replicas
from caveatlib.support import processes, programs

READY_S = 30.0
"""Until all replicas answer."""
SETTLED_S = {"health": 2.2, "autoheal": 2.2, "swarm": 2.2}
"""Of answers before the fault, at least, so that a health check has passed; else `USUAL_S`."""
USUAL_S = 1.2
"""runsv waits a second before it starts what ran for less than one; what is hit ran for longer."""
PHASE_S = {"node": 5.0, "cut": 5.0}
"""The fault comes at a random moment of so many seconds, the heartbeat's; else of one."""
WATCH_S = {"none": 2.0, "pause": 3.0, "crash": 8.0, "hang": 14.0, "node": 30.0, "cut": 30.0}
"""After a fault, for as long as it takes at most; what is not back by then has not recovered."""
AFTER_S = dict.fromkeys(WATCH_S, 1.0) | {"cut": 1.5}
"""Once all replicas are back: two writers need a while to be seen."""
PAUSE_S = 1.0 + LATE_S
"""Of the control: what is due in its first second is not answered in time."""
LOOK_S = 0.1
STOPPED_S = 0.5


@dataclass
class Watched:
    """What was read of one trial; times are of the monotonic clock.

    Attributes
    ----------
    replicas : int
        How many were desired.
    ready_s : float
        Start until all of them answered.
    fault_s, ended_s : float
        When the fault happened, and the watch ended.
    hit : set of int
        The slots that it hit.
    due : list of float
        When each request from outside was due.
    answers, inside : list of Answer
        To who asked from outside, and on a node that was cut off.
    price : Price
    noticed_s : float, optional
        When the keeper noticed; None if nothing tells.
    written : list of tuple
        Slot, ticket and writer of all that was on the volume afterwards.
    client_late_s : float
        By how much the client was late at worst.
    """

    replicas: int
    ready_s: float
    fault_s: float
    ended_s: float
    hit: set[int]
    due: list[float]
    answers: list[Answer]
    price: Price
    noticed_s: float | None = None
    written: list[tuple[int, int, int]] = field(default_factory=list)
    inside: list[Answer] = field(default_factory=list)
    client_late_s: float = 0.0


class Place:
    """A site, on which trial follows trial."""

    def __init__(self, site: Site):
        self._site = site
        self._trials = 0

    def strike(self, keeper: str, fault: str, count: int, *, seed: int) -> Watched:
        """Keep a service of so many replicas, let a fault happen, and watch.

        Raises
        ------
        DeadlineExceeded
            If not all replicas answer in the beginning.
        MeasurementError
            If a node, a service or a keeper fails otherwise than by the fault.
        """
        rng, site = np.random.default_rng(seed), self._site
        site.mend()
        service = numbered(self._trials, count, site.volume)
        self._trials += 1
        with ExitStack() as stack:
            begun = time.monotonic()
            kept = stack.enter_context(KEEPERS[keeper](site, service))
            addresses = [(n.address, service.port + s) for n in site.nodes for s in service.slots]
            client = stack.enter_context(asking(site.hub, addresses))
            what = f"{count} replicas did not answer, kept by {keeper!r},"
            programs.wait_until(lambda: len(client.there()) == count, READY_S, what)
            ready_s = time.monotonic() - begun
            settled_s = SETTLED_S.get(keeper, USUAL_S)
            time.sleep(settled_s + rng.uniform(0, PHASE_S.get(fault, 1.0)))
            price = kept.price()
            found = self._stricken(stack, kept, client, service, fault, rng)
        found.written = service.written()
        found.ready_s, found.price = ready_s, price
        return found

    def metadata(self) -> dict[str, str]:
        """Return what the nodes are."""
        engine = self._site.nodes[0].engine
        facts = engine.metadata() if engine is not None else {}
        return facts | {"nodes": str(len(self._site.nodes))}

    def _stricken(
        self,
        stack: ExitStack,
        kept: Kept,
        client: Asking,
        service: Service,
        fault: str,
        rng: np.random.Generator,
    ) -> Watched:
        """Let the fault happen and read on until all replicas are back, or the watch is over."""
        before = client.there()
        if len(before) != service.replicas:
            raise MeasurementError(f"{len(before)} replicas answered just before the fault.")
        node = self._drawn(before, rng) if fault in ("node", "cut") else None
        hit = _hit(before, fault, node, rng)
        look, within = kept.watch(hit), None
        if fault == "cut":
            here = [("127.0.0.1", service.port + slot) for slot in sorted(hit)]
            within = stack.enter_context(asking(node.pid, here))
        if node is not None:
            fault_s = self._site.lose(node, killed=fault == "node")
        else:
            running = replicas(service, [node.pid for node in self._site.nodes])
            fault_s = _struck(running, fault, hit)
        until = fault_s + WATCH_S[fault]
        back = not hit
        while time.monotonic() < until:
            look()
            now = client.there()
            if not back and all(s in now and now[s].begun_ns != before[s].begun_ns for s in hit):
                back, until = True, time.monotonic() + AFTER_S[fault]
            time.sleep(LOOK_S)
        ended_s = time.monotonic()
        time.sleep(LATE_S)
        for asked in filter(None, (client, within)):
            asked.stop()
        return Watched(
            replicas=service.replicas,
            ready_s=0.0,
            fault_s=fault_s,
            ended_s=ended_s,
            hit=hit if fault != "pause" else set(),
            due=client.due,
            answers=client.answers,
            price=Price(0, 0, 0),
            noticed_s=kept.noticed(fault_s) if hit else None,
            inside=within.answers if within else [],
            client_late_s=client.late_s,
        )

    def _drawn(self, before: dict[int, Answer], rng: np.random.Generator) -> Node:
        """Return one of the nodes that replicas are on, but never the manager's."""
        hosts = sorted({told.host for told in before.values()} - {self._site.nodes[0].address})
        if not hosts:
            raise MeasurementError("All replicas are on the node of the swarm's manager.")
        return self._site.at(str(rng.choice(hosts)))


def _hit(before: dict[int, Answer], fault: str, node: Node | None, rng) -> set[int]:
    """Return the slots that a fault hits: all on a node, else two of three, or the only one."""
    if fault == "none":
        return set()
    if node is not None:
        return {slot for slot, told in before.items() if told.host == node.address}
    slots = sorted(before)
    return set(map(int, rng.choice(slots, size=max(1, len(slots) - 1), replace=False)))


def _struck(running: dict[int, int], fault: str, hit: set[int]) -> float:
    """Signal the processes of the slots that are hit; return when."""
    number = signal.SIGKILL if fault == "crash" else signal.SIGSTOP
    if not hit <= running.keys():
        raise MeasurementError("A replica ended before its fault.")
    handles = [processes.Handle(running[slot]) for slot in sorted(hit)]
    try:
        fault_s = time.monotonic()
        sent = [handle.send(number) for handle in handles]
        if not all(sent):
            raise MeasurementError("A replica ended before its fault.")
        if number == signal.SIGSTOP:
            _require_stopped(handles)
        if fault == "pause":
            time.sleep(max(0.0, fault_s + PAUSE_S - time.monotonic()))
            for handle in handles:
                handle.send(signal.SIGCONT)
        return fault_s
    finally:
        for handle in handles:
            handle.close()


def _require_stopped(handles: Sequence[processes.Handle]) -> None:
    """Require that processes are stopped: one that only was to be is not a fault."""

    def stopped() -> bool:
        # "4242 (serve) T 1 ..."
        told = [Path(f"/proc/{handle.pid}/stat").read_text() for handle in handles]
        return all(text.rpartition(")")[2].split()[0] == "T" for text in told)

    programs.wait_until(stopped, STOPPED_S, "A replica did not stop", pause_s=0.001)
