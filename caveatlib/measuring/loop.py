"""Sessions of randomised complete blocks of trials, each written down before the next."""

from __future__ import annotations

import math
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from caveatlib import frames
from caveatlib.errors import FAILURES, DataError, MeasurementError
from caveatlib.frames import UNAVAILABLE
from caveatlib.measuring import machine
from caveatlib.measuring.designs import ENOUGH, Arm, Design
from caveatlib.measuring.journal import Journal, read
from caveatlib.places import spec
from caveatlib.places.base import TrialResult
from caveatlib.support.privacy import scrub

_TRIED = ("trial", "warmup", "block")


class Loop:
    """Sessions of blocks of trials, and what has been done of them."""

    def __init__(self, experiment, journal, header, designs, specs, engine):
        self.experiment = experiment
        self.journal = journal
        self.header = header
        self.designs = [
            d.with_arms(arms)
            for d in designs
            if (arms := tuple(a for a in d.arms if a.place in specs))
        ]
        names = sorted({a.place for d in self.designs for a in d.arms})
        self.specs = {name: specs[name] for name in names}
        self.engine = engine
        self.on_trial: Callable[[], None] = lambda: None
        self.interrupts: list[int] = []
        records = read(journal.path).records
        self.stated = {
            fact["place"]
            for record in records
            if record.kind == "rows" and record.data["table"] == "conditions"
            for fact in record.data["rows"]
        }
        blocks = [r.data["design"] for r in records if r.kind == "block"]
        self.done = {d.name: blocks.count(d.name) for d in self.designs}
        self.ended = sum(r.kind == "session" for r in records)
        self.next = 1 + max((r.data["session"] for r in records if r.kind in _TRIED), default=-1)

    def run(self, sessions: int | None, budget_s: float | None) -> None:
        """Run so many sessions in all, or until the budget is spent after a whole block."""
        with _noting(self.interrupts):
            self._run(sessions, budget_s)

    def _run(self, sessions: int | None, budget_s: float | None) -> None:
        deadline = None if budget_s is None else time.monotonic() + budget_s
        first = self.ended
        while sessions is None or self.ended < sessions:
            if deadline and self.ended > first and time.monotonic() >= deadline:
                return
            with spec.opened(self.specs, engine=self.engine) as handles:
                self._state(handles)
                if all(isinstance(h, Exception) for h in handles.values()):
                    why = next(iter(handles.values()))
                    raise MeasurementError(f"No place could be opened: {why}")
                if not self._session(handles, deadline, may_stop=self.ended > first):
                    return

    def _session(self, handles: dict, deadline: float | None, *, may_stop: bool) -> bool:
        """Run what is due; return whether the budget allowed all of it."""
        session, self.next = self.next, self.next + 1
        due = [d for d in self.designs if d.due(self.ended) and not self._waits(d, deadline)]
        for design in due:
            if design.warmup:
                for arm in design.arms:
                    self._trial("warmup", design, arm, handles, session, 0, 0)
        for design in due:
            for _ in range(design.blocks_per_session):
                now = time.monotonic()
                if deadline and may_stop and now >= deadline:
                    return False
                if deadline and design.optional and now + design.block_s > deadline:
                    break  # what waited until now does not carry the run past its budget
                if self.done[design.name] < design.blocks_by(self.ended):
                    self._block(design, handles, session)
        self.journal.append("session", {"session": session})
        self.ended += 1
        return True

    def _waits(self, design: Design, deadline: float | None) -> bool:
        if deadline is None or not design.optional:
            return False
        main = [d for d in self.designs if not d.optional and d.every == 1 and d.sessions is None]
        return any(self.done[d.name] < ENOUGH for d in main)

    def _block(self, design: Design, handles: dict, session: int) -> None:
        block = self.done[design.name]
        order = self._rng(design, block).permutation(len(design.arms))
        for position, index in enumerate(order):
            self._trial("trial", design, design.arms[index], handles, session, block, position)
        self.journal.append("block", {"session": session, "design": design.name, "block": block})
        self.done[design.name] += 1

    def _trial(self, kind, design, arm, handles, session, block, position) -> None:
        row = _row(self.header, design, arm, session=session, block=block, position=position)
        seed = int(self._rng(design, block, position).integers(2**31))
        row["busy_per_cpu"], before = machine.busy_per_cpu(), machine.cpu_ticks()
        try:
            handle = handles[arm.place]
            if isinstance(handle, Exception):
                raise handle
            outcome = self.experiment.trial(handle, dict(arm.conditions), seed=seed)
            row["stolen_share"] = machine.stolen_share(before, machine.cpu_ticks())
            measured = row | {"ok": True, "error": ""} | dict(outcome.measures)
            _check(measured, outcome.measures, self.experiment)
            row = measured
        except FAILURES as error:
            outcome = TrialResult({})
            row |= {"ok": False, "error": scrub(error) or type(error).__name__}
        where = {k: row[k] for k in ("run", "design", "block", "place")}
        for table, rows in outcome.tables.items():
            if kind == "trial" and rows:
                self.journal.append(
                    "rows",
                    {
                        "table": table,
                        "session": session,
                        "design": design.name,
                        "block": block,
                        "rows": [where | r for r in rows],
                    },
                )
        self.journal.append(kind, row)
        self.on_trial()
        if self.interrupts:
            raise KeyboardInterrupt

    def _rng(self, design: Design, *where: int) -> np.random.Generator:
        """One stream per place in the run, so that a resumed run goes on as it would have."""
        return np.random.default_rng(
            [self.header["seed"], zlib.crc32(design.name.encode()), *where]
        )

    def _state(self, handles: dict) -> None:
        """Write down each opened place's facts, once per run.

        A place that cannot state them counts as one that cannot be opened.
        """
        for place, handle in handles.items():
            if place in self.stated or isinstance(handle, Exception):
                continue
            try:
                facts = handle.metadata()
            except FAILURES as error:
                handles[place] = error
                continue
            self.stated.add(place)
            for name, value in facts.items():  # said by an engine or a program
                write_fact(self.journal, self.header, place, name, scrub(value))


@contextmanager
def _noting(interrupts: list[int]) -> Iterator[None]:
    """Note each Ctrl-C besides raising it.

    Python drops the exception where it comes within a callback of the garbage
    collector, which imports are full of; the run would go on.
    """
    default = signal.default_int_handler
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not default:
        yield
        return

    def note(number, frame):
        interrupts.append(number)
        default(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, default)


def _check(row: dict, stated: Mapping, experiment) -> None:
    """Hold what a trial stated against its model, its row against its experiment's guards.

    What breaks them is no number.

    Raises
    ------
    DataError
        Names column, value and rule.
    """
    frames.check_values(dict(stated), experiment.Trials)
    for name, value in stated.items():
        if isinstance(value, float) and math.isinf(value):
            raise DataError(f"Value {value} of {name!r}. Must be finite, or empty.")
    if hasattr(experiment, "check"):
        experiment.check(pd.DataFrame([row], columns=list(frames.columns(experiment.Trials))))


def _row(header: dict, design: Design, arm: Arm, **where) -> dict:
    return {
        "run": header["run"],
        "source": "live",
        "machine": header["machine"],
        "design": design.name,
        "place": arm.place,
        "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        **where,
        **arm.conditions,
    }


def write_fact(journal: Journal, header: dict, place: str, name: str, value: str) -> None:
    """Write down a fact of the machine, or of a place, that held throughout the run.

    Facts from an allow-list are written as they are: scrubbed, a kernel
    5.15.167.4 would become an address. Scrub what others have said.
    """
    row = {
        "run": header["run"],
        "machine": header["machine"],
        "place": place,
        "name": name,
        "value": value,
    }
    journal.append(
        "rows", {"table": "conditions", "session": 0, "design": "", "block": 0, "rows": [row]}
    )


def write_missing(journal: Journal, header: dict, designs, missing: dict[str, str]) -> None:
    """One row per arm that cannot be tried here, so that tables and verdicts can say why."""
    for design in designs:
        for arm in design.arms:
            if arm.place in missing:
                row = _row(header, design, arm, session=0, block=0, position=0)
                reason = UNAVAILABLE + scrub(missing[arm.place])
                journal.append("unavailable", row | {"ok": False, "error": reason})
