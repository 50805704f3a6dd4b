"""From a run's journal to the data package that it becomes."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from caveatlib import frames
from caveatlib.errors import UsageError
from caveatlib.measuring.experiment import Experiment, check_tables, tables_of
from caveatlib.measuring.journal import Records, read
from caveatlib.support import datapackage
from caveatlib.support.paths import display_path, make_folder, write_files

NO, SPENT = "no: ", ", the budget was spent"
"""How the fact `complete` begins where the plan was not measured, and ends where time was up."""


def finish(experiment: Experiment, out: str | os.PathLike) -> Path:
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
    check_tables(experiment, tables)
    write_package(
        folder,
        experiment.NAME,
        tables,
        tables_of(experiment),
        title=experiment.QUESTION,
        summary=experiment.summarize(trials) if len(trials) else pd.DataFrame(),
        verdicts=[v.as_dict() for v in experiment.verdicts(trials)] if len(trials) else [],
    )
    return folder


def from_journal(experiment: Experiment, path: Path) -> dict[str, pd.DataFrame]:
    """Return the tables that a journal holds.

    Only whole blocks are trials; those of a block that was cut short are in
    the table ``interrupted``, because the block's arms no longer share a time.
    """
    rows: dict[str, list[dict]] = {name: [] for name in tables_of(experiment)}
    found = read(path)
    records = found.records
    whole = {_block_key(r.data) for r in records if r.kind == "block"}
    for record in records:
        if record.kind == "run":
            about = {"run": record.data["run"], "machine": record.data["machine"], "place": ""}
            facts = record.data["facts"] | _plan(found)
            rows["conditions"] += [about | {"name": n, "value": v} for n, v in facts.items()]
            rows["trials"] += record.data["unavailable"]
        elif record.kind == "trial":
            name = "trials" if _block_key(record.data) in whole else "interrupted"
            rows[name].append(record.data)
        elif record.kind == "warmup":
            rows["warmups"].append(record.data)
        elif record.kind == "rows":
            kept = _block_key(record.data) in whole or record.data["design"] == ""
            if kept:
                rows[record.data["table"]].extend(record.data["rows"])
    return {
        name: frames.from_rows(rows[name], model) for name, model in tables_of(experiment).items()
    }


def _plan(found: Records) -> dict[str, str]:
    """Return what was planned, and whether all of it was measured: "yes", or "no: " and how much.

    A run with a budget alone is complete when that is spent.
    """
    plan: dict = {}
    for record in found.records:
        if record.kind in ("run", "plan"):  # who resumes a run may ask for more
            plan |= {name: record.data.get(name) for name in ("sessions", "budget_s")}
    sessions, budget_s = plan["sessions"], plan["budget_s"]
    ended = sum(record.kind == "session" for record in found.records)
    facts = {"sessions": f"{sessions}"} if sessions else {}
    facts |= {"budget_s": f"{budget_s:g}"} if budget_s else {}
    if found.complete and ended >= (sessions or 0):
        return facts | {"complete": "yes"}
    told = f"{ended} of {sessions} sessions" if sessions else f"interrupted in session {ended + 1}"
    told += SPENT if found.complete else ""
    return facts | {"complete": f"{NO}{told}"}


def interrupted(conditions: pd.DataFrame) -> str:
    """Return how far an interrupted run got, ``"0 of 2 sessions"``; empty if none was interrupted.

    A run that spent its budget came to its end, whatever it left out. What was recorded before
    runs said so counts as ended.

    Parameters
    ----------
    conditions : DataFrame
        The table of that name, of one run or of several.
    """
    facts = conditions[(conditions["place"] == "") & (conditions["name"] == "complete")]
    cut = [v for v in facts["value"] if v.startswith(NO) and not v.endswith(SPENT)]
    return cut[0].removeprefix(NO) if cut else ""


def how_to_end(folder: Path, name: str) -> str:
    """Return the command that ends an interrupted run, from its experiment's folder."""
    run = display_path(folder.parent) if folder.name == name else "DIR"
    return f"caveatlib measure {name} --resume {run}"


def _block_key(data: dict) -> tuple:
    return data["session"], data["design"], data["block"]


def write_package(
    folder: str | os.PathLike,
    name: str,
    tables: dict[str, pd.DataFrame],
    models: dict[str, type[frames.Table]],
    *,
    title: str,
    summary: pd.DataFrame,
    verdicts: list[dict],
) -> Path:
    """Write what a run measured as a data package, all of it or nothing.

    Parameters
    ----------
    folder : path
        The experiment's folder in the run; made if missing. Files of an earlier
        `write_package` are replaced, others are left alone.
    name : str
        The experiment.
    tables : dict of DataFrame
        Each becomes ``<table>.csv``.
    models : dict
        The model of each table.
    title : str
        One sentence, the experiment's question.
    summary : DataFrame
        Becomes ``summary.csv``; its index too, if it has a name.
    verdicts : list of dict
        Becomes ``verdicts.json``; what is not finite becomes null.

    Returns
    -------
    pathlib.Path
        The ``datapackage.json``.

    Raises
    ------
    DataError
        If a table breaks its model, or holds text that would not read back.
    UsageError
        If a name cannot be one.
    StorageError
        If something cannot be written; then nothing of it is there.
    """
    datapackage.check_name(name)
    files, resources = {}, []
    for table, frame in tables.items():
        if table in datapackage.DERIVED:
            raise UsageError(f"Invalid table name {table!r}. Must not be {datapackage.DERIVED}.")
        rows = datapackage.to_rows(table, frame, models[table])
        files[f"{table}.csv"] = content = datapackage.to_csv(table, *rows)
        resources.append(datapackage.resource(table, content, frames.table_schema(models[table])))
    if any(level is not None for level in summary.index.names):
        summary = summary.copy().reset_index()  # in one piece: pandas warns of many columns
    files["summary.csv"] = content = datapackage.to_csv("summary", *datapackage.as_text(summary))
    resources.append(datapackage.resource("summary", content, datapackage.guessed_schema(summary)))
    files["verdicts.json"] = content = datapackage.to_json(verdicts)
    resources.append(datapackage.resource("verdicts", content, None))
    files[datapackage.FILE] = datapackage.describe(
        name, title, "0.0.0", datapackage.LICENCE, resources
    )
    write_files(make_folder(folder), files)
    return Path(folder) / datapackage.FILE
