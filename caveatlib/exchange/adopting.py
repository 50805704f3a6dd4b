"""Files of hyperfine and pyperf as runs."""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from caveatlib import frames
from caveatlib.errors import CaveatError, DataError, UsageError
from caveatlib.exchange import imported
from caveatlib.measuring import finish
from caveatlib.measuring.experiment import complete, tables_of
from caveatlib.measuring.machine import cpu_class
from caveatlib.measuring.plan import run_name
from caveatlib.support.paths import display_path, exists, storage_error
from caveatlib.support.privacy import scrub
from caveatlib.trials import Run

LARGEST = 64 * 2**20
"""Bytes of a file that are read; hyperfine writes about 25 per run."""
COLUMNS = {"second": "took_s", "byte": "size_bytes"}


class Sample(NamedTuple):
    """One value of another tool's file: of which benchmark and process, warm-up or failed."""

    benchmark: str
    process: int
    value: float
    unit: str = "second"
    warmup: bool = False
    error: str = ""


def adopt(path: str | os.PathLike, out: str | os.PathLike) -> Run:
    """Make a run of a file that hyperfine or pyperf wrote.

    Names of benchmarks are scrubbed of folders and addresses; of the machine no more is kept
    than an experiment of ours would. A run of a command that failed is a failed trial.

    Parameters
    ----------
    path : path
        ``hyperfine --export-json``, or pyperf's ``-o``.
    out : path
        Folder of the run; a folder ``imported`` is made in it.

    Returns
    -------
    trials.Run

    Raises
    ------
    DataError
        If it is neither, or holds what cannot be a measurement.
    UsageError
        If the folder holds such a run already.
    StorageError
        If the file cannot be read, or the run not be written.
    """
    experiment = complete(imported)
    folder = Path(out) / imported.NAME
    if exists(folder):
        raise UsageError(f"Folder {display_path(folder)!r} exists. Choose another.")
    where = display_path(path)
    try:
        tool, facts, samples = _read(Path(path), where)
    except CaveatError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError):
        raise DataError(f"File {where!r} is not what hyperfine or pyperf writes.") from None
    run = run_name()
    machine = _machine(facts)
    rows = list(_rows(samples, {"run": run, "machine": machine, "tool": tool}))
    about = {"run": run, "machine": machine, "place": ""}
    told = {"imported_from": tool} | facts
    models = tables_of(experiment)
    kept = {
        "trials": [row for row, warmup in rows if not warmup],
        "warmups": [row for row, warmup in rows if warmup],
        "conditions": [about | {"name": name, "value": value} for name, value in told.items()],
    }
    if not kept["trials"]:
        raise DataError(f"File {where!r} holds no value.")
    tables = {name: frames.from_rows(kept.get(name, []), models[name]) for name in models}
    finish.write_package(
        folder,
        imported.NAME,
        tables,
        models,
        title=imported.QUESTION,
        summary=experiment.summarize(tables["trials"]),
        verdicts=[],
    )
    return Run(experiment, display_path(out), folder=folder)


def _read(path: Path, where: str) -> tuple[str, dict[str, str], list[Sample]]:
    """Return which tool wrote a file, facts of its machine, and the values."""
    try:
        with path.open("rb") as file:  # a pipe or a device does not say how much it will give
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise storage_error("read", path, error) from None
    if len(content) > LARGEST:
        raise DataError(f"File {where!r} is larger than {LARGEST:,} bytes. Must be smaller.")
    try:
        found = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        said = str(error).partition(":")[0] if isinstance(error, ValueError) else "nested too deep"
        raise DataError(f"File {where!r} is not JSON: {said}.") from None
    if "results" in found:
        return "hyperfine", {}, list(_hyperfine(found))
    return "pyperf", _facts(found), list(_pyperf(found))


def _no_number(word: str):
    raise ValueError(f"{word} is not a number")


def _hyperfine(found: dict) -> Iterator[Sample]:
    """Yield the runs of each command; each is a process."""
    for result in found["results"]:
        codes = result.get("exit_codes") or [0] * len(result["times"])
        for number, (value, code) in enumerate(zip(result["times"], codes, strict=True)):
            if not isinstance(code, int | None):
                raise TypeError
            error = "" if code == 0 else "ended by a signal" if code is None else "failed with"
            error += f" exit status {code}" if code else ""
            yield Sample(_text(result["command"]), number, value, error=error)


def _pyperf(found: dict) -> Iterator[Sample]:
    """Yield warm-ups and values of each benchmark; a run of pyperf is a process.

    Runs that only calibrate have no value, and are left out. Warm-ups are kept where every
    process had some, as ours do.
    """
    if found["version"] != "1.0":
        raise DataError(f"Version {found['version']!r} of pyperf's format. Must be '1.0'.")
    for benchmark in found["benchmarks"]:
        shared = {**found.get("metadata", {}), **benchmark.get("metadata", {})}
        measured = [run for run in benchmark["runs"] if run.get("values")]
        warm = all(run.get("warmups") for run in measured)
        for number, run in enumerate(measured):
            about = {**shared, **run.get("metadata", {})}
            unit, name = about.get("unit", "second"), _text(about["name"])
            if unit not in COLUMNS:
                raise DataError(f"Unit {unit!r} of {scrub(name)!r}. Must be 'second' or 'byte'.")
            for _, value in run["warmups"] if warm else ():
                yield Sample(name, number, value, unit, warmup=True)
            for value in run["values"]:
                yield Sample(name, number, value, unit)


def _facts(found: dict) -> dict[str, str]:
    """Return what pyperf tells of the machine, as far as `measuring.machine` would tell it."""
    parts = [found.get("metadata", {})]
    for benchmark in found["benchmarks"]:
        parts += [
            benchmark.get("metadata", {}),
            *(r.get("metadata", {}) for r in benchmark["runs"]),
        ]
    shared = {name: value for part in reversed(parts) for name, value in part.items()}
    cpus = re.fullmatch(r"\d{1,5}", str(shared.get("cpu_count", "")))
    python = re.match(r"\d+(?:\.\d+)*(?:(?:a|b|rc)\d+)?\+?", str(shared.get("python_version", "")))
    kernel = re.match(r"([A-Za-z]+)-(\d+(?:\.\d+)*)", str(shared.get("platform", "")))
    facts = {
        "cpu_model": scrub(shared.get("cpu_model_name", "")),
        "cpus": cpus.group() if cpus else "",
        "kernel": " ".join(kernel.groups()) if kernel else "",
        "python": python.group() if python else "",
    }
    return {name: value for name, value in facts.items() if value}


def _machine(facts: dict[str, str]) -> str:
    parts = [cpu_class(facts.get("cpu_model", "")), facts.get("cpus") and f"{facts['cpus']} CPUs"]
    return ", ".join(filter(None, [*parts, facts.get("kernel")])) or "not told"


def _rows(samples: list[Sample], shared: dict) -> Iterator[tuple[dict, bool]]:
    """Yield a row of trials for each value, and whether it is a warm-up.

    Each benchmark is a design of its own and each process a session of its own: one benchmark
    was finished before the next began, so no two belong together.
    """
    names = _names(samples)
    sessions: dict[tuple[str, int], int] = {}
    blocks: Counter[tuple[str, bool]] = Counter()
    for sample in samples:
        name = names[sample.benchmark]
        block, blocks[name, sample.warmup] = (
            blocks[name, sample.warmup],
            blocks[name, sample.warmup] + 1,
        )
        yield (
            shared
            | {
                "source": "imported",
                "session": sessions.setdefault((name, sample.process), len(sessions)),
                "design": name,
                "block": block,
                "position": 0,
                "place": name,
                "started_at": "",
                "ok": not sample.error,
                "error": sample.error,
                COLUMNS[sample.unit]: math.nan if sample.error else _number(sample.value, name),
            },
            sample.warmup,
        )


def _names(samples: list[Sample]) -> dict[str, str]:
    """Return what each benchmark may be called, no two the same."""
    names: dict[str, str] = {}
    for sample in samples:
        name, number = scrub(sample.benchmark), 2
        while sample.benchmark not in names:
            if name not in names.values():
                names[sample.benchmark] = name
            name, number = f"{scrub(sample.benchmark)} ({number})", number + 1
    return names


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"Value {value!r} of {name!r}. Must be a number.")
    try:
        number = float(value)
    except OverflowError:  # of a whole number with more than 308 digits
        number = math.inf
    if not 0 <= number < math.inf:
        raise DataError(f"Value {number!r} of {name!r}. Must be finite, and >= 0.")
    return number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
