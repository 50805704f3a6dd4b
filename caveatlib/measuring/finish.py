"""From a run's journal: how the run began, and the data package that it becomes."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pandas as pd

from caveatlib import frames, store
from caveatlib.errors import UsageError
from caveatlib.measuring.designs import tables_of
from caveatlib.measuring.journal import read
from caveatlib.support.paths import display_path

NAMED = "named"
"""Stands for an engine that was named by its URL: an address is never stored."""


def begun(experiment: ModuleType, out: str | os.PathLike, *, engine: str | None = None) -> dict:
    """Return what an interrupted run began with, and so goes on with.

    Parameters
    ----------
    experiment : module
    out : path
        Folder of the run.
    engine : {"own", "private"} or URL, optional
        Default the run's own, unless that was named by its URL: then it must be
        named again.

    Returns
    -------
    dict
        ``places``, ``seed``, ``engine`` and the other settings of the run.

    Raises
    ------
    UsageError
        If there is no such run, or the engine is not of the run's kind.
    """
    path = Path(out) / experiment.NAME / "journal.jsonl"
    records = read(path).records if path.is_file() else []
    if not records:
        raise UsageError(
            f"Nothing to resume in {display_path(out)!r}. Must hold a run of {experiment.NAME!r}."
        )
    header = records[0].data
    kind = kind_of(header["engine"])
    if kind == NAMED and (engine is None or kind_of(engine) != NAMED):
        raise UsageError(
            f"Run {display_path(out)!r} was on an engine named by its URL, which is not stored. "
            "Must be named again: --engine URL"
        )
    if engine is not None and kind_of(engine) != kind:
        raise UsageError(f"Engine {engine!r} for a run on {kind!r}. Must be the same, or left out.")
    return header | {"engine": engine or kind}


def kind_of(engine: str) -> str:
    """Return what may be stored of an engine: one that is named by its URL is only `NAMED`."""
    return NAMED if "://" in engine else engine


def finish(experiment: ModuleType, out: str | os.PathLike) -> Path:
    """Write the data package of whatever the journal in `out` holds.

    Raises
    ------
    DataError
        If the journal is damaged in its middle, or the trials break a guard of
        the experiment; the journal stays.
    """
    folder = Path(out) / experiment.NAME
    tables = from_journal(experiment, folder / "journal.jsonl")
    trials = tables["trials"]
    if hasattr(experiment, "check"):  # each row was held alone; some guards lay rows side by side
        experiment.check(trials)
    judge = getattr(experiment, "verdicts", lambda _: [])  # the noise floor decides no claim
    store.write_run(
        folder,
        experiment.NAME,
        tables,
        tables_of(experiment),
        title=experiment.QUESTION,
        summary=experiment.summarize(trials) if len(trials) else pd.DataFrame(),
        verdicts=[v.as_dict() for v in judge(trials)] if len(trials) else [],
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
