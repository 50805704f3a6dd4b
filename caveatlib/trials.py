"""The one measuring loop, and the one way to get trials: `get`.

`measure` opens places afresh for every session, runs each design's arms in
randomised complete blocks, and appends every trial to a journal before the
next one starts. An experiment brings the designs and a function `trial` that
does one trial; it never loops over measurements itself.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pandas as pd
from tqdm.auto import tqdm

from caveatlib import store
from caveatlib.errors import Unavailable, UsageError
from caveatlib.measuring import finish, machine
from caveatlib.measuring.designs import Arm, Design, model_of
from caveatlib.measuring.journal import Journal
from caveatlib.measuring.loop import Loop, write_fact, write_missing
from caveatlib.places import cache, spec
from caveatlib.places.engines import choice
from caveatlib.places.spec import Spec
from caveatlib.support import datapackage
from caveatlib.support.paths import display_path, storage_error

__all__ = [
    "Arm",
    "Design",
    "arms_here",
    "cost",
    "get",
    "measure",
    "source_of",
]


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
        ``caveatlib measure`` wrote. Default: ``$CAVEATLIB_SOURCE`` or recorded;
        an experiment that the variable's folder lacks is recorded, too.
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
        If the source is neither of the words nor a folder with such a run.
    Unavailable
        If it is to be live and nothing of it can run here.
    """
    if isinstance(experiment, str):
        raise UsageError(
            f"Experiment {experiment!r} is text. Must be a module: "
            "from caveatlib.experiments import startup"
        )
    model = model_of(experiment, table)
    given, source = source, source_of(experiment, source)
    if source is None:
        raise UsageError(
            f"No run of {experiment.NAME!r} in {display_path(given)!r}. Must be a folder that "
            f"`caveatlib measure {experiment.NAME}` wrote."
        )
    if source == "recorded":
        return store.load(experiment.NAME, version=version, table=table, model=model)
    if source == "live":
        return store.load_run(_live(experiment, options), experiment.NAME, table=table, model=model)
    return store.load_run(source, experiment.NAME, table=table, model=model)


def source_of(experiment: ModuleType, source: str | os.PathLike | None = None) -> str | None:
    """Return where an experiment's trials come from.

    Parameters
    ----------
    experiment : module
    source : {"recorded", "live"} or path, optional
        Default: ``$CAVEATLIB_SOURCE`` or recorded.

    Returns
    -------
    str or None
        ``"recorded"``, ``"live"``, or the folder of a run. A run of other
        experiments only is None; if the variable names it, ``"recorded"``,
        because it is meant for all notebooks at once.

    Raises
    ------
    UsageError
        If the source is neither of the words nor the folder of a run.
    """
    named = source is not None and os.fspath(source) != ""
    source = os.fspath(source) if named else os.environ.get("CAVEATLIB_SOURCE") or "recorded"
    if source in ("recorded", "live"):
        return source
    folder = Path(source)
    try:
        if (folder / datapackage.FILE).is_file():  # one experiment's part of a run
            held = {datapackage.read(folder)["name"]}
        else:
            held = {f.name for f in folder.iterdir() if _holds_run(f)} if folder.is_dir() else set()
    except OSError as error:
        raise storage_error("read", folder, error) from None
    if experiment.NAME in held:
        return source
    if held:
        return None if named else "recorded"
    raise UsageError(
        f"Unknown source {display_path(source)!r}. Must be 'recorded', 'live' or a folder that "
        "`caveatlib measure` wrote."
    )


def _holds_run(folder: Path) -> bool:
    """Whether a folder is an experiment's in a run, finished or not."""
    return (folder / datapackage.FILE).is_file() or (folder / "journal.jsonl").is_file()


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
    specs: Mapping[str, Spec] | None = None,
) -> tuple[tuple[Design, ...], dict[str, str]]:
    """Return the designs and which of their places this machine lacks.

    Parameters
    ----------
    experiment : module
    places : list of str, optional
        Only these; default all that the experiment knows.
    engine : {"own", "private"} or URL, optional
    specs : mapping of str to Spec, optional
        How each place is opened; default ``experiment.PLACES``.

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
        designs = experiment.designs(machine.cores())
    kept = []
    for design in designs:
        arms = tuple(a for a in design.arms if a.place in wanted)
        if arms:
            kept.append(design.with_arms(arms))
    specs = experiment.PLACES if specs is None else specs
    return tuple(kept), spec.missing({name: specs[name] for name in wanted}, engine=engine)


def cost(
    experiment: ModuleType,
    *,
    places: list[str] | None = None,
    blocks: int | None = None,
    budget_s: float | None = None,
    engine: str | None = None,
) -> tuple[float, int]:
    """Return about how many seconds and bytes of disk `measure` will need here.

    Raises
    ------
    UsageError, Unavailable
        As `measure` does of these settings.
    """
    _check_amount(blocks, budget_s)
    designs, missing = arms_here(experiment, places=places, engine=engine)
    _check_runnable(experiment, designs, missing)
    seconds = budget_s or 0.0
    if not budget_s:
        for design in designs:
            here = sum(a.place not in missing for a in design.arms) / len(design.arms)
            count = sum(design.due(s) for s in range(blocks or experiment.SESSIONS))
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
    specs: Mapping[str, Spec] | None = None,
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
        Number of sessions; default ``experiment.SESSIONS`` unless there is a budget.
    budget_s : float, optional
        Seconds after which no further block begins. At least one session runs.
    seed : int, optional
        Seed of every random order, from 0 to 2**32 - 1; default a fresh one,
        stored either way.
    engine : {"own", "private"} or URL, optional
        Which Docker engine; default a private one where possible.
    resume : bool, optional
        Go on with the interrupted run in `out`, with its seed, places and
        engine, see `finish.begun`.
    specs : mapping of str to Spec, optional
        How each place is opened; default ``experiment.PLACES``. Tests hand in fakes.
    progress : bool, optional
        Whether to show a progress bar on stderr.

    Returns
    -------
    pathlib.Path
        The experiment's folder.

    Raises
    ------
    UsageError
        If a number is out of range, there is nothing to resume, or the run to
        resume was on another engine.
    Unavailable
        If none of the places can run here.
    MeasurementError
        If a session could open no place at all.
    """
    _check_amount(blocks, budget_s)
    if seed is not None and not 0 <= seed < 2**32:
        raise UsageError(f"Invalid seed {seed}. Must be from 0 to {2**32 - 1}.")
    folder = Path(out) / experiment.NAME
    if resume:
        header = finish.begun(experiment, out, engine=engine)
        places, engine = header["places"], header["engine"]
    elif folder.exists():
        raise UsageError(f"Folder {display_path(folder)!r} exists. Choose another, or --resume it.")
    engine = choice.checked(engine)
    specs = experiment.PLACES if specs is None else specs
    designs, missing = arms_here(experiment, places=places, engine=engine, specs=specs)
    _check_runnable(experiment, designs, missing)
    made = _first_missing(folder)
    store.make_folder(folder)
    sessions = blocks or (None if budget_s else experiment.SESSIONS)
    with _handed_back(made), Journal(folder / "journal.jsonl") as journal:
        if not resume:
            seed = secrets.randbelow(2**31) if seed is None else seed
            header = _header(experiment, seed, places, engine)
            journal.append("run", header)
            # A package leaves its journal behind, and must say by itself how to repeat it.
            repeat = {"caveatlib": header["caveatlib"], "seed": str(header["seed"])}
            for name, value in (repeat | machine.describe()).items():
                write_fact(journal, header, "", name, value)
            write_missing(journal, header, designs, missing)
        here = {name: specs[name] for name in specs if name not in missing}
        loop = Loop(experiment, journal, header, designs, here, engine)
        try:
            with _bar(loop, sessions, budget_s, progress):
                loop.run(sessions, budget_s)
            journal.append("end", {})
        except BaseException:
            with contextlib.suppress(Exception):  # what ended the run says more
                finish.finish(experiment, out)
            raise
        return finish.finish(experiment, out)


def _check_amount(blocks: int | None, budget_s: float | None) -> None:
    if blocks is not None and blocks < 1:
        raise UsageError(f"Invalid number of blocks {blocks}. Must be >= 1.")
    if budget_s is not None and budget_s <= 0:
        raise UsageError(f"Invalid budget {budget_s} s. Must be > 0.")


def _check_runnable(experiment: ModuleType, designs, missing: dict[str, str]) -> None:
    if not {a.place for d in designs for a in d.arms} - set(missing):
        whys = {why: [p for p in missing if missing[p] == why] for why in missing.values()}
        reasons = "; ".join(f"{', '.join(places)}: {why}" for why, places in whys.items())
        raise Unavailable(f"Nothing of {experiment.NAME!r} can run here. {reasons}")


def _first_missing(folder: Path) -> Path:
    """Return the topmost of a folder and its parents that is still to be made."""
    while not folder.parent.exists():
        folder = folder.parent
    return folder


@contextlib.contextmanager
def _handed_back(made: Path) -> Iterator[None]:
    """Give what is measured under sudo to whoever called it, however it ends."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # a file system without owners, say
            cache.hand_back(made)


def _header(experiment, seed, places, engine) -> dict:
    from caveatlib import __version__

    return {
        "run": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "experiment": experiment.NAME,
        "caveatlib": __version__,
        "machine": machine.label(),
        "seed": seed,
        "places": places,
        "engine": finish.kind_of(engine),
    }


@contextlib.contextmanager
def _bar(loop: Loop, sessions: int | None, budget_s: float | None, show: bool) -> Iterator[None]:
    total = None
    if sessions is not None and budget_s is None:
        total = sum(
            len(d.arms) * (d.blocks_per_session + d.warmup)
            for s in range(loop.ended, sessions)
            for d in loop.designs
            if d.due(s)
        )
    seen = sys.stderr.isatty() or _in_notebook()
    with tqdm(
        total=total, unit=" trials", desc=loop.experiment.NAME, disable=not (show and seen)
    ) as bar:
        loop.on_trial = bar.update
        yield


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return hasattr(shell, "kernel")
