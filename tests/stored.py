"""The tables of a small run, and an experiment of them that is asked for nothing but its data."""

import math
from types import SimpleNamespace

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.measuring import finish
from caveatlib.measuring.experiment import complete


class Trials(frames.Trials):
    """Trials with every kind of column."""

    first_output_s: Series[float] = frames.measure("start to first output", "s")
    tasks: Series[pd.Int64Dtype] = frames.measure("tasks that ran")
    note: Series[str] = frames.field("a remark, where there is one", nullable=True)


class Marks(frames.Table):
    """A further table."""

    run: Series[str] = frames.field("the run")
    source: Series[str] = frames.field("where the row comes from", isin=frames.SOURCES)
    at_s: Series[float] = frames.field("when", "s")


MODELS = {"trials": Trials, "marks": Marks}


def module(name="startup", **changes):
    """Return an experiment of these tables that is asked for nothing but its data."""
    said = {"NAME": name, "QUESTION": "How long?", "PLACES": {}, "DESIGNS": (), "trial": None}
    return complete(
        SimpleNamespace(**said | {"Trials": Trials, "TABLES": {"marks": Marks}} | changes)
    )


STARTUP = module()


def row(**changes):
    """Return one trial."""
    return {
        "run": "2026-03-01T10:00:00Z",
        "source": "live",
        "machine": "2 cores",
        "session": 0,
        "design": "quick",
        "block": 0,
        "position": 0,
        "place": "process",
        "started_at": "2026-03-01T10:00:01.000+00:00",
        "ok": True,
        "error": "",
        "first_output_s": 0.1,
        "tasks": 3,
        "note": "warm",
    } | changes


def tables(run="2026-03-01T10:00:00Z", count=2):
    """Return the tables of a small run; its last trial failed."""
    rows = [row(run=run, block=i, first_output_s=0.1 + i) for i in range(count)]
    failed = {"ok": False, "error": 'no, "it" didn\'t\r\n=1+1'}
    rows.append(row(run=run, block=count, first_output_s=None, tasks=None, note=None, **failed))
    marks = [{"run": run, "source": s, "at_s": 1e-7} for s in ("live", "simulated")]
    return {
        "trials": frames.from_rows(rows, Trials),
        "marks": frames.from_rows(marks, Marks),
    }


def write(folder, **changes):
    """Write a small run and return its tables."""
    written = changes.pop("tables", None) or tables()
    models = changes.pop("models", MODELS)
    summary = pd.DataFrame(
        {"n": [2], "median_s": [0.6], "high_s": [math.inf]},
        index=pd.Index(["process"], name="place"),
    )
    arguments = {"title": "How long?", "summary": summary, "verdicts": [{"low": math.nan}]}
    finish.write_package(folder, "startup", written, models, **(arguments | changes))
    return written
