"""From a run's journal to its data package."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pandas as pd

from caveatlib import frames, store
from caveatlib.designs import tables_of
from caveatlib.journal import read


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
