"""Sessions of randomised complete blocks of trials, each written down before the next."""

from __future__ import annotations

import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import numpy as np

from caveatlib import frames
from caveatlib.errors import FAILURES, MeasurementError
from caveatlib.frames import UNAVAILABLE
from caveatlib.measuring import machine
from caveatlib.measuring.clock import TimeOfDay
from caveatlib.measuring.designs import ENOUGH, Arm, Design
from caveatlib.measuring.experiment import tables_of
from caveatlib.measuring.journal import END, Journal, Record, plain, read
from caveatlib.measuring.orders import order
from caveatlib.measuring.plan import ended, spent_s
from caveatlib.places import spec
from caveatlib.support.privacy import scrub

ORDERS, TRIALS, WARMUPS = 1, 2, 3
"""What a stream of random numbers is for."""
_TRIED = ("trial", "warmup", "block")


class Loop:
    """Sessions of blocks of trials, and what has been done of them."""

    def __init__(self, experiment, journal, header, designs, specs, engine):
        self.experiment = experiment
        self.journal = journal
        self.header = header
        self.tables = tables_of(experiment)
        self.designs = [
            d.with_arms(arms)
            for d in designs
            if (arms := tuple(a for a in d.arms if a.place in specs))
        ]
        names = sorted({a.place for d in self.designs for a in d.arms})
        self.specs = {name: specs[name] for name in names}
        self.engine = engine
        self.on_trial: Callable[[], None] = lambda: None
        self.on_block: Callable[[], None] = lambda: None
        self.now = ""
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
        self.ended = ended(records)
        self.next = 1 + max((r.data["session"] for r in records if r.kind in _TRIED), default=-1)
        self._began = time.monotonic() - spent_s(records)
        self._day = TimeOfDay(_last(records))
        self._tried = 0
        self._passed_s, self._due_s = 0.0, 0.0
        self._opened = time.monotonic()

    def spent_s(self) -> float:
        """Return the seconds of measuring so far, those before an interruption included."""
        return round(time.monotonic() - self._began, 3)

    def sessions_done(self) -> float:
        """Return how many sessions are over, with the part of the one that runs, by its time."""
        return self.ended + (min(1.0, self._passed_s / self._due_s) if self._due_s else 0.0)

    def run(self, sessions: int | None, budget_s: float | None) -> None:
        """Run so many sessions in all, or until the budget is spent after a whole block."""
        with _noting(self.interrupts):
            self._run(sessions, budget_s)
            self.journal.append(END, {"spent_s": self.spent_s()})

    def _run(self, sessions: int | None, budget_s: float | None) -> None:
        deadline = None if budget_s is None else self._began + budget_s
        while sessions is None or self.ended < sessions:
            if deadline is not None and self.ended and time.monotonic() >= deadline:
                return
            with spec.opened(self.specs, engine=self.engine) as handles:
                self._opened = time.monotonic()
                self._state(handles)
                if all(isinstance(h, Exception) for h in handles.values()):
                    why = next(iter(handles.values()))
                    raise MeasurementError(f"No place could be opened: {why}")
                if not self._session(handles, deadline):
                    return

    def _session(self, handles: dict, deadline: float | None) -> bool:
        """Run what is due; return whether the budget allowed all of it."""
        session, self.next = self.next, self.next + 1
        due = self._designs_due(budgeted=deadline is not None)
        self._tried, self._passed_s = 0, 0.0
        self._due_s = sum(_trial_s(d) * d.trials_in(d.blocks_per_session) for d in due)
        for design in due:
            if design.warmup:
                for number, arm in enumerate(design.arms):
                    drawn = WARMUPS, session, number
                    self._trial("warmup", design, arm, handles, session, 0, 0, drawn)
        for design in due:
            for _ in range(design.blocks_per_session):
                now = time.monotonic()
                if deadline is not None and self.ended and now >= deadline:
                    return False
                if deadline is not None and design.optional and now + design.lasts_s() > deadline:
                    break  # what waited until now does not carry the run past its budget
                if self.done[design.name] < design.blocks_by(self.ended):
                    self._block(design, handles, session)
        self.journal.append("session", {"session": session, "spent_s": self.spent_s()})
        if not self._tried:
            self.next = session  # numbers have no gaps: one that is missing was taken out
        self.ended, self._due_s = self.ended + 1, 0.0
        return True

    def _designs_due(self, *, budgeted: bool) -> list[Design]:
        """Return the designs that take part in the next session.

        Under a budget the optional ones wait until the others have `ENOUGH` blocks.
        Then each catches up on the blocks that it missed meanwhile, those with the
        fewest first, so that one that takes part in the first session only has its turn.
        """
        if not budgeted:
            return [d for d in self.designs if d.due(self.ended)]
        main = [d for d in self.designs if not d.optional]
        steady = [d for d in main if d.every == 1 and d.sessions is None]
        due = [d for d in main if d.due(self.ended)]
        if any(self.done[d.name] < ENOUGH for d in steady):
            return due
        missed = [
            d for d in self.designs if d.optional and self.done[d.name] < d.blocks_by(self.ended)
        ]
        return due + sorted(missed, key=lambda d: self.done[d.name])

    def _block(self, design: Design, handles: dict, session: int) -> None:
        block = self.done[design.name]
        arms = [
            design.arms[i]
            for i in order(
                len(design.arms), block, lambda square: self._rng(design, ORDERS, square)
            )
        ]
        if design.lead_in:
            self._trial("warmup", design, arms[0], handles, session, block, len(arms))
        for position, arm in enumerate(arms):
            self._trial("trial", design, arm, handles, session, block, position)
        where = {"session": session, "design": design.name, "block": block}
        self.journal.append("block", where | {"spent_s": self.spent_s()})
        self.done[design.name] += 1
        self.on_block()

    def _trial(self, kind, design, arm, handles, session, block, position, drawn=None) -> None:
        where = {"session": session, "block": block, "position": position}
        age = {"age_s": round(time.monotonic() - self._opened, 3), "age_trials": self._tried}
        row = _row(self.header, design, arm, self._day.now(), **where, **age)
        drawn = drawn or (TRIALS, block, position)
        seed = int(self._rng(design, *drawn).integers(2**31))
        row["busy_per_cpu"], before = machine.busy_per_cpu(), machine.cpu_ticks()
        self.now = f"{design.name}: {arm.place}"
        self.on_trial()
        begun = time.monotonic()
        try:
            handle = handles[arm.place]
            if isinstance(handle, Exception):
                raise handle
            try:
                outcome = self.experiment.trial(handle, dict(arm.conditions), seed=seed)
            finally:
                row["lasted_s"] = round(time.monotonic() - begun, 6)
            row["stolen_share"] = machine.stolen_share(before, machine.cpu_ticks())
            measured = row | {"ok": True, "error": ""} | dict(outcome.measures)
            self._check(measured, outcome.measures)
            tables = {name: self._checked(name, row, rows) for name, rows in outcome.tables.items()}
            row = measured
        except FAILURES as error:
            tables = {}
            row |= {"ok": False, "error": scrub(error) or type(error).__name__}
        for table, rows in tables.items():
            if kind == "trial" and rows:
                self.journal.append(
                    "rows",
                    {
                        "table": table,
                        "session": session,
                        "design": design.name,
                        "block": block,
                        "rows": rows,
                    },
                )
        self.journal.append(kind, row)
        self._tried += 1
        self._passed_s += _trial_s(design)
        self.on_trial()
        if self.interrupts:
            raise KeyboardInterrupt

    def _check(self, row: dict, measures: Mapping[str, object]) -> None:
        """Validate a trial's measures against schema and guards.

        Raises
        ------
        DataError
            Names column, value and rule; the trial counts as failed.
        """
        model = self.experiment.Trials
        frames.check_values(measures, model)
        self.experiment.check_row(dict.fromkeys(frames.columns(model)) | row)

    def _checked(self, table: str, row: dict, rows: list[dict]) -> list[dict]:
        """Return a trial's rows for a further table as the journal holds them.

        All at once: of many rows one after the other takes longer.

        Raises
        ------
        DataError
            If one breaks the table's model, or cannot be written; the trial counts as failed.
        """
        where = {k: row[k] for k in ("run", "design", "block", "place")}
        held = plain([where | each for each in rows], repr(table))
        frames.from_rows(held, self.tables[table])
        return held

    def _rng(self, design: Design, kind: int, *where: int) -> np.random.Generator:
        """One stream per place in the run, so that a resumed run goes on as it would have.

        Orders, trials and warm-ups have streams of their own. NumPy takes ``[7, 1]`` and
        ``[7, 1, 0]`` for one seed: without their kind, which is never 0, the order of a square
        and the first trial of the block of its number would draw the same.
        """
        name = zlib.crc32(design.name.encode())
        return np.random.default_rng([self.header["seed"], name, kind, *where])

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
            for name, value in facts.items():
                write_fact(self.journal, self.header, place, name, value)


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


def _trial_s(design: Design) -> float:
    """Return about how many seconds a trial of the design takes."""
    return design.block_s / len(design.arms)


def _last(records: Sequence[Record]) -> datetime | None:
    """Return when the last trial of a journal was over; None if it has none."""
    rows = [record.data for record in records if record.kind in ("trial", "warmup")]
    over = [
        datetime.fromisoformat(row["started_at"]) + timedelta(seconds=row.get("lasted_s") or 0.0)
        for row in rows
    ]
    return max(over, default=None)


def _row(header: dict, design: Design, arm: Arm, at: datetime, **where) -> dict:
    return {
        "run": header["run"],
        "source": "live",
        "machine": header["machine"],
        "design": design.name,
        "place": arm.place,
        "started_at": at.isoformat(timespec="milliseconds"),
        **where,
        **arm.conditions,
    }


def write_fact(journal: Journal, header: dict, place: str, name: str, value: str) -> None:
    """Record what an opened place states of itself; it is true of the whole run."""
    row = {
        "run": header["run"],
        "machine": header["machine"],
        "place": place,
        "name": name,
        "value": scrub(value),
    }
    journal.append(
        "rows", {"table": "conditions", "session": 0, "design": "", "block": 0, "rows": [row]}
    )


def missing_rows(header: dict, designs, missing: dict[str, str]) -> list[dict]:
    """Return a row per arm that cannot be tried here, so that tables and verdicts can say why."""
    rows, at = [], datetime.now(UTC)
    for design in designs:
        for arm in design.arms:
            if arm.place in missing:
                row = _row(header, design, arm, at, session=0, block=0, position=0)
                reason = UNAVAILABLE + scrub(missing[arm.place])
                rows.append(row | {"ok": False, "error": reason})
    return rows
