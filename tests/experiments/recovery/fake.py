"""Fakes of the places of `recovery`: made-up services, each with the times of its keeper."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from unittest.mock import patch

import numpy as np
from places.fake import CLOCK, on_clock, spec

from caveatlib.experiments.recovery import places
from caveatlib.experiments.recovery.asking import RATE, Answer
from caveatlib.experiments.recovery.keepers import Price
from caveatlib.experiments.recovery.striking import AFTER_S, WATCH_S, Watched

BACK_S = {
    ("runsv", "crash"): 0.02,
    **{(policy, "crash"): 0.33 for policy in ("on-failure", "always", "unless-stopped")},
    ("swarm", "crash"): 0.9,
    ("autoheal", "hang"): 0.6,
    ("swarm", "hang"): 1.1,
    ("swarm", "node"): 2.0,
    ("swarm", "cut"): 2.2,
}
"""Until a made-up replica is back; keepers and faults that are not here bring none back."""
BEFORE_S = 0.6
MIB = 2.0**20
PRICES = {"nobody": (0, 0.0, 0), "runsv": (1, 0.8, 0), "swarm": (9, 230.0, 7)}
"""Processes, MiB and ports; others cost what an engine does."""
ENGINE = (3, 70.0, 0)
_number = count()


class FakePlace:
    """Stands for `striking.Place`; nothing runs."""

    def __init__(self, name: str):
        self.name = name

    def strike(self, keeper: str, fault: str, count: int, *, seed: int) -> Watched:
        """Return what would have been read."""
        rng = np.random.default_rng(next(_number))
        fault_s = float(100 + rng.uniform(0, 1))
        hit = set() if fault == "none" else set(range(1, max(1, count - 1) + 1))
        if fault in ("node", "cut"):
            hit = {1}
        took = BACK_S.get((keeper, fault))
        back = dict.fromkeys(hit, np.inf)
        if took is not None:
            back = {slot: fault_s + took * rng.normal(1, 0.02) for slot in hit}
        if fault == "pause":
            back = dict.fromkeys(hit, fault_s + 1.0)
        over = max(back.values(), default=np.inf)
        ended = over + AFTER_S[fault] if took is not None else fault_s + WATCH_S[fault]
        due = np.arange(fault_s - BEFORE_S, ended + 0.3, 1 / RATE).tolist()
        old = round((fault_s - 1.5) * 1e9)
        answers, tickets = [], dict.fromkeys(range(1, count + 1), 0)
        for number, at in enumerate(due):
            for slot in tickets:
                late = slot in hit and at >= fault_s
                if late and at < back[slot]:
                    continue
                replaced = late and fault != "pause"
                begun = round((back[slot] - 0.004) * 1e9) if replaced else old
                tickets[slot] += 1
                soon = float(at + rng.uniform(1e-4, 3e-4))
                answers.append(Answer(number, soon, "198.18.100.2", slot, begun, tickets[slot]))
        CLOCK.passes(20 * (ended - fault_s))  # time enough on a machine that is ten times slower
        processes, mib, ports = PRICES.get(keeper, ENGINE)
        found = Watched(
            replicas=count,
            ready_s=float(rng.uniform(0.4, 0.6)),
            fault_s=fault_s,
            ended_s=float(ended),
            hit=hit if fault != "pause" else set(),
            due=due,
            answers=answers,
            price=Price(processes, round(mib * MIB * rng.normal(1, 0.01)), ports),
            client_late_s=float(rng.uniform(1e-4, 1e-3)),
        )
        if took is not None and keeper != "runsv":
            found.noticed_s = fault_s + 0.4 * took
        if fault == "cut":
            found.inside = inside(found, old)
        found.written = [(a.slot, a.ticket, a.begun_ns) for a in (*answers, *found.inside)]
        return found

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}


def inside(found: Watched, old: int) -> list[Answer]:
    """Return what a replica that was cut off answers on its side until the end."""
    last = max(a.ticket for a in found.answers if a.begun_ns == old)
    moments = np.arange(found.fault_s, found.ended_s, 1 / RATE)
    return [Answer(n, float(at), "127.0.0.1", 1, old, last + 1 + n) for n, at in enumerate(moments)]


PLACES = {name: spec(FakePlace, name) for name in places.PLACES}


@contextmanager
def patched() -> Iterator[None]:
    """Let made-up trials begin one after the other, the same whatever was made up before."""
    with on_clock(), patch.object(sys.modules[__name__], "_number", count()):
        yield
