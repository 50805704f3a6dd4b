"""The one measuring loop, and the one way to get trials: `get`.

`measure` opens places afresh for every session, runs each design's arms in
randomised complete blocks, and appends every trial to a journal before the
next one starts. An experiment brings the designs and a function `trial` that
does one trial; it never loops over measurements itself.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from caveatlib import frames, host, store
from caveatlib.backends import places as real_places
from caveatlib.backends.base import Outcome
from caveatlib.errors import CaveatError, MeasurementError, Unavailable, UsageError
from caveatlib.journal import Journal, read
from caveatlib.privacy import scrub

ENOUGH = 6
"""Blocks below which no interval exists (RIGOR: "fewer than 6 pairs")."""

UNAVAILABLE = "unavailable: "
"""How the error of an arm begins that this machine could not even try."""


@dataclass(frozen=True)
class Arm:
    """A place and the conditions of a trial in it."""

    place: str
    conditions: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Design:
    """Arms that are compared with each other: each once per block, in random order.

    Attributes
    ----------
    name : str
    arms : tuple of Arm
    block_s : float
        About how many seconds one block takes, to announce it.
    blocks_per_session : int
        Blocks in each session it takes part in.
    every : int
        It takes part in every so-manieth session.
    sessions : int, optional
        It takes part in so many sessions only.
    warmup : bool
        Whether each session begins with a trial of each arm that is kept apart.
    spare : bool
        Under a time budget it waits until the others have `ENOUGH` blocks.
    """

    name: str
    arms: tuple[Arm, ...]
    block_s: float
    blocks_per_session: int = 1
    every: int = 1
    sessions: int | None = None
    warmup: bool = False
    spare: bool = False

    def due(self, session: int) -> bool:
        """Whether the design takes part in this session."""
        within = self.sessions is None or session // self.every < self.sessions
        return within and session % self.every == 0

    def blocks_by(self, session: int) -> int:
        """Return how many blocks there are once this session is over."""
        return self.blocks_per_session * sum(self.due(s) for s in range(session + 1))


class Conditions(frames.Table):
    """What held throughout a run: one row per fact."""

    run: frames.Series[str] = frames.field("the run, as its start in UTC")
    machine: frames.Series[str] = frames.field("the machine, by its class")
    place: frames.Series[str] = frames.field("the place it is a fact of; empty for the machine")
    name: frames.Series[str] = frames.field("what is stated")
    value: frames.Series[str] = frames.field("what was found")


def get(
    experiment: ModuleType,
    *,
    source: str | os.PathLike | None = None,
    version: int,
    table: str = "trials",
    **options,
) -> pd.DataFrame:
    """Return a table of an experiment: recorded, measured now, or of an earlier run.

    Parameters
    ----------
    experiment : module
        One of `caveatlib.experiments.ALL`.
    source : {"recorded", "live"} or path, optional
        ``"recorded"`` reads the versioned data that ship with caveatlib,
        ``"live"`` measures on this machine, a folder is one that
        ``caveatlib measure`` wrote. Default: ``$CAVEATLIB_SOURCE`` or recorded.
    version : int
        Version of the recorded data; live data have none.
    table : str, optional
        Which table of the run; a live run is measured once per process.
    **options
        Given to `measure` when live: ``blocks``, ``budget_s``, ``places``,
        ``engine``, ``seed``.

    Returns
    -------
    pandas.DataFrame
        Validated rows of the table, see ``experiment.Trials``.

    Raises
    ------
    UsageError
        If the source is neither of the words nor a folder.
    Unavailable
        If it is to be live and nothing of it can run here.
    """
    model = model_of(experiment, table)
    source = os.fspath(source or os.environ.get("CAVEATLIB_SOURCE") or "recorded")
    if source == "recorded":
        return store.load(experiment.NAME, version=version, table=table, model=model)
    if source == "live":
        return store.load_run(_live(experiment, options), experiment.NAME, table=table, model=model)
    if not Path(source).is_dir():
        raise UsageError(
            f"Unknown source {source!r}. Must be 'recorded', 'live' or a folder that "
            "`caveatlib measure` wrote."
        )
    return store.load_run(source, experiment.NAME, table=table, model=model)


def model_of(experiment: ModuleType, table: str) -> type[frames.Table]:
    """Return the model of one of the experiment's tables.

    Raises
    ------
    UsageError
        If the experiment has no such table.
    """
    models = tables_of(experiment)
    if table not in models:
        raise UsageError(f"Unknown table {table!r}. Must be one of {sorted(models)}.")
    return models[table]


def tables_of(experiment: ModuleType) -> dict[str, type[frames.Table]]:
    """Return all tables of the experiment's data package with their models."""
    return {
        "trials": experiment.Trials,
        "warmups": experiment.Trials,
        "interrupted": experiment.Trials,
        "conditions": Conditions,
        **getattr(experiment, "TABLES", {}),
    }


_LIVE: dict[tuple, str] = {}


def _live(experiment: ModuleType, options: dict) -> str:
    """Measure once per process and set of options; later tables come from the same run."""
    key = (experiment.NAME, repr(sorted(options.items())))
    if key not in _LIVE:
        folder = tempfile.mkdtemp(prefix="caveatlib-live-")
        measure(experiment, out=folder, **options)
        _LIVE[key] = folder
    return _LIVE[key]


def arms_here(
    experiment: ModuleType,
    *,
    places: list[str] | None = None,
    engine: str | None = None,
    catalogue: ModuleType = real_places,
) -> tuple[tuple[Design, ...], dict[str, str]]:
    """Return the designs and which of their places this machine lacks.

    Parameters
    ----------
    experiment : module
    places : list of str, optional
        Only these; default all that the experiment knows.
    engine : {"own", "private"} or URL, optional
    catalogue : module, optional
        Knows the places; tests hand in `caveatlib.backends.fake`.

    Returns
    -------
    designs : tuple of Design
        All designs, limited to the wanted places.
    missing : dict
        Place -> why it cannot run here.

    Raises
    ------
    UsageError
        If a place is none of the experiment's.
    """
    unknown = [p for p in places or () if p not in experiment.PLACES]
    if unknown:
        raise UsageError(
            f"Unknown place {unknown[0]!r}. Must be one of {', '.join(experiment.PLACES)}."
        )
    wanted = tuple(places or experiment.PLACES)
    if hasattr(experiment, "DESIGNS"):
        designs = experiment.DESIGNS
    else:
        designs = experiment.designs(host.cores())
    kept = []
    for design in designs:
        arms = tuple(a for a in design.arms if a.place in wanted)
        if arms:
            kept.append(_with_arms(design, arms))
    return tuple(kept), catalogue.missing(wanted, engine=engine)


def cost(
    experiment: ModuleType,
    *,
    places: list[str] | None = None,
    blocks: int | None = None,
    budget_s: float | None = None,
    engine: str | None = None,
) -> tuple[float, int]:
    """Return about how many seconds and bytes of disk `measure` will need here."""
    designs, missing = arms_here(experiment, places=places, engine=engine)
    seconds = budget_s or 0.0
    if not budget_s:
        for design in designs:
            here = sum(a.place not in missing for a in design.arms) / len(design.arms)
            count = sum(design.due(s) for s in range(blocks or experiment.BLOCKS))
            seconds += here * design.block_s * count * (design.blocks_per_session + design.warmup)
    return seconds, experiment.DISK_BYTES


def measure(
    experiment: ModuleType,
    *,
    out: str | os.PathLike,
    places: list[str] | None = None,
    blocks: int | None = None,
    budget_s: float | None = None,
    seed: int | None = None,
    engine: str | None = None,
    resume: bool = False,
    catalogue: ModuleType = real_places,
    progress: bool = True,
) -> Path:
    """Measure an experiment on this machine and write its data package.

    Parameters
    ----------
    experiment : module
    out : path
        Folder of the run; the experiment gets a folder of its name in it.
    places : list of str, optional
        Only these places.
    blocks : int, optional
        Number of sessions; default ``experiment.BLOCKS`` unless there is a budget.
    budget_s : float, optional
        Seconds after which no further block begins. At least one session runs.
    seed : int, optional
        Seed of every random order; default a fresh one, stored either way.
    engine : {"own", "private"} or URL, optional
        Which Docker engine; default a private one where possible.
    resume : bool, optional
        Go on with the interrupted run in `out`, with its seed and places.
    catalogue : module, optional
        Knows and opens places; tests hand in `caveatlib.backends.fake`.
    progress : bool, optional
        Whether to show a progress bar on stderr.

    Returns
    -------
    pathlib.Path
        The experiment's folder.

    Raises
    ------
    UsageError
        If a number is out of range, or there is nothing to resume.
    Unavailable
        If none of the places can run here.
    MeasurementError
        If a session could open no place at all.
    """
    if blocks is not None and blocks < 1:
        raise UsageError(f"Invalid number of blocks {blocks}. Must be >= 1.")
    if budget_s is not None and budget_s <= 0:
        raise UsageError(f"Invalid budget {budget_s} s. Must be > 0.")
    folder = Path(out) / experiment.NAME
    journal_path = folder / "journal.jsonl"
    if resume:
        if not journal_path.is_file():
            raise UsageError(f"Nothing to resume in {str(out)!r}. Must hold {experiment.NAME}/.")
        header = read(journal_path).records[0].data
        places, seed, engine = header["places"], header["seed"], header["engine"]
    elif folder.exists():
        raise UsageError(f"Folder {str(folder)!r} exists. Choose another, or --resume it.")
    engine = catalogue.check_engine(engine)
    designs, missing = arms_here(experiment, places=places, engine=engine, catalogue=catalogue)
    runnable = sorted({a.place for d in designs for a in d.arms} - set(missing))
    if not runnable:
        reasons = "; ".join(f"{place}: {why}" for place, why in missing.items())
        raise Unavailable(f"Nothing of {experiment.NAME!r} can run here. {reasons}")
    store.make_folder(folder)
    sessions = blocks or (None if budget_s else experiment.BLOCKS)
    with Journal(journal_path) as journal:
        if not resume:
            seed = secrets.randbelow(2**31) if seed is None else seed
            header = _header(experiment, seed, places, engine)
            journal.append("run", header)
            for name, value in host.describe().items():
                _fact(journal, header, "", name, value)
            _note_missing(journal, header, designs, missing)
        loop = _Loop(experiment, journal, header, designs, missing, engine, catalogue)
        try:
            with _bar(loop, sessions, budget_s, progress):
                loop.run(sessions, budget_s)
            journal.append("end", {})
        finally:
            finish(experiment, out)
    return folder


def finish(experiment: ModuleType, out: str | os.PathLike) -> Path:
    """Write the data package of whatever the journal in `out` holds.

    Raises
    ------
    DataError
        If the journal is damaged in its middle.
    """
    folder = Path(out) / experiment.NAME
    tables = from_journal(experiment, folder / "journal.jsonl")
    trials = tables["trials"]
    store.write_run(
        folder,
        experiment.NAME,
        tables,
        tables_of(experiment),
        title=experiment.QUESTION,
        summary=experiment.summarize(trials) if len(trials) else pd.DataFrame(),
        verdicts=[v.as_dict() for v in experiment.verdicts(trials)] if len(trials) else [],
    )
    return folder


def from_journal(experiment: ModuleType, path: Path) -> dict[str, pd.DataFrame]:
    """Return the tables that a journal holds.

    Only whole blocks are trials; those of a block that was cut short are in
    the table ``interrupted``, because the block's arms no longer share a time.
    """
    rows: dict[str, list[dict]] = {name: [] for name in tables_of(experiment)}
    records = read(path).records
    whole = {_block_key(r.data) for r in records if r.kind == "block"}
    for record in records:
        if record.kind == "trial":
            name = "trials" if _block_key(record.data) in whole else "interrupted"
            rows[name].append(record.data)
        elif record.kind == "warmup":
            rows["warmups"].append(record.data)
        elif record.kind == "unavailable":
            rows["trials"].append(record.data)
        elif record.kind == "rows":
            kept = _block_key(record.data) in whole or record.data["design"] == ""
            if kept:
                rows[record.data["table"]].extend(record.data["rows"])
    return {
        name: frames.from_rows(rows[name], model) for name, model in tables_of(experiment).items()
    }


def _block_key(data: dict) -> tuple:
    return data["session"], data["design"], data["block"]


def _with_arms(design: Design, arms: tuple[Arm, ...]) -> Design:
    return Design(**{**design.__dict__, "arms": arms})


def _header(experiment, seed, places, engine) -> dict:
    from caveatlib import __version__

    return {
        "run": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "experiment": experiment.NAME,
        "caveatlib": __version__,
        "machine": host.machine(),
        "seed": seed,
        "places": places,
        "engine": engine,
    }


def _fact(journal: Journal, header: dict, place: str, name: str, value: object) -> None:
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


def _note_missing(journal: Journal, header: dict, designs, missing: dict[str, str]) -> None:
    """One row per arm that cannot be tried here, so that tables and verdicts can say why."""
    for design in designs:
        for arm in design.arms:
            if arm.place in missing:
                row = _row(header, design, arm, session=0, block=0, position=0)
                reason = UNAVAILABLE + scrub(missing[arm.place])
                journal.append("unavailable", row | {"ok": False, "error": reason})


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


_TRIED = ("trial", "warmup", "block")


class _Loop:
    """Sessions of blocks of trials, and what has been done of them."""

    def __init__(self, experiment, journal, header, designs, missing, engine, catalogue):
        self.experiment = experiment
        self.journal = journal
        self.header = header
        self.designs = [
            _with_arms(d, arms)
            for d in designs
            if (arms := tuple(a for a in d.arms if a.place not in missing))
        ]
        self.names = sorted({a.place for d in self.designs for a in d.arms})
        self.engine = engine
        self.catalogue = catalogue
        self.stated: set[str] = set()
        self.on_trial: Callable[[], None] = lambda: None
        records = read(journal.path).records
        blocks = [r.data["design"] for r in records if r.kind == "block"]
        self.done = {d.name: blocks.count(d.name) for d in self.designs}
        self.ended = sum(r.kind == "session" for r in records)
        self.next = 1 + max((r.data["session"] for r in records if r.kind in _TRIED), default=-1)

    def run(self, sessions: int | None, budget_s: float | None) -> None:
        deadline = None if budget_s is None else time.monotonic() + budget_s
        first = self.ended
        while sessions is None or self.ended < sessions:
            if deadline and self.ended > first and time.monotonic() >= deadline:
                return
            with self.catalogue.opened(self.names, engine=self.engine) as handles:
                if all(isinstance(h, Exception) for h in handles.values()):
                    raise MeasurementError(f"No place could be opened: {handles[self.names[0]]}")
                self._state(handles)
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
                if deadline and may_stop and time.monotonic() >= deadline:
                    return False
                if self.done[design.name] < design.blocks_by(self.ended):
                    self._block(design, handles, session)
        self.journal.append("session", {"session": session})
        self.ended += 1
        return True

    def _waits(self, design: Design, deadline: float | None) -> bool:
        if deadline is None or not design.spare:
            return False
        return any(self.done[d.name] < ENOUGH for d in self.designs if not d.spare and d.every == 1)

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
        try:
            handle = handles[arm.place]
            if isinstance(handle, Exception):
                raise handle
            outcome = self.experiment.trial(handle, dict(arm.conditions), seed=seed)
            measured = row | {"ok": True, "error": ""} | dict(outcome.measures)
            frames.from_rows([measured], self.experiment.Trials)
            row = measured
        except (CaveatError, OSError, subprocess.SubprocessError) as error:
            outcome = Outcome({})
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

    def _rng(self, design: Design, *where: int) -> np.random.Generator:
        """One stream per place in the run, so that a resumed run goes on as it would have."""
        return np.random.default_rng(
            [self.header["seed"], zlib.crc32(design.name.encode()), *where]
        )

    def _state(self, handles: dict) -> None:
        """Write down each opened place's facts, once per run."""
        for place, handle in handles.items():
            if place in self.stated or isinstance(handle, Exception):
                continue
            self.stated.add(place)
            for name, value in handle.facts().items():
                _fact(self.journal, self.header, place, name, value)


@contextmanager
def _bar(loop: _Loop, sessions: int | None, budget_s: float | None, show: bool) -> Iterator[None]:
    total = None
    if sessions is not None and budget_s is None:
        total = sum(
            len(d.arms) * (d.blocks_per_session + d.warmup)
            for s in range(loop.ended, sessions)
            for d in loop.designs
            if d.due(s)
        )
    seen = "ipykernel" in sys.modules or sys.stderr.isatty()
    with tqdm(
        total=total, unit=" trials", desc=loop.experiment.NAME, disable=not (show and seen)
    ) as bar:
        loop.on_trial = bar.update
        yield
