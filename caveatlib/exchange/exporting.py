"""A measure of a run in the formats of hyperfine, pyperf and ReBench."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence

from caveatlib.errors import DataError, UsageError
from caveatlib.exchange.series import Series, of_run
from caveatlib.trials import Run

UNITS = {"s": "second", "B": "byte", "": "integer"}
"""Our units in pyperf's words."""
REBENCH = (
    "invocation",
    "iteration",
    "value",
    "unit",
    "criterion",
    "benchmark",
    "executor",
    "suite",
)
REBENCH += ("extraArgs", "cores", "inputSize", "varValue", "tag", "machine", "runId")


def export(run: Run, form: str, *, measure: str) -> tuple[bytes, int]:
    """Return a measure of every arm in the format of another tool.

    Parameters
    ----------
    run : trials.Run
        Of one machine.
    form : str
        One of `FORMATS`.
    measure : str
        Column of the trials.

    Returns
    -------
    content : bytes
    failed : int
        How many trials of the run failed: they have no value, and no place in these formats.

    Raises
    ------
    UsageError
        If there is no such format or measure, the measure has no unit that the format
        knows, or the run is of several machines.
    DataError
        If no trial has a value, or one has a value that the format cannot have.
    """
    if form not in FORMATS:
        raise UsageError(f"Unknown format {form!r}. Must be one of {', '.join(FORMATS)}.")
    arms, unit = of_run(run, measure)
    return FORMATS[form](run, arms, measure, unit).encode(), int((~run.trials["ok"]).sum())


def _hyperfine(run: Run, arms: Sequence[Series], measure: str, unit: str) -> str:
    """Return what ``hyperfine --export-json`` writes: its scripts plot it."""
    if unit != "s":
        raise UsageError(f"Measure {measure!r} in {unit or 'no unit'!r}. hyperfine has seconds.")
    results = [
        {
            "command": arm.name,
            "mean": statistics.fmean(arm.values),
            "stddev": statistics.stdev(arm.values) if len(arm.values) > 1 else None,
            "median": statistics.median(arm.values),
            "user": None,  # not measured: the workload's process is often another's child
            "system": None,
            "min": min(arm.values),
            "max": max(arm.values),
            "times": arm.values,
            "exit_codes": [0] * len(arm.values),
            "parameters": {name: str(value) for name, value in arm.conditions.items()},
        }
        for arm in arms
    ]
    return json.dumps({"results": results}, indent=2) + "\n"


def _pyperf(run: Run, arms: Sequence[Series], measure: str, unit: str) -> str:
    """Return pyperf's JSON: a run of it is a session, what was started afresh."""
    if unit not in UNITS:
        raise UsageError(f"Measure {measure!r} in {unit!r}. pyperf has seconds, bytes and counts.")
    benchmarks = []
    for arm in arms:
        if least := [value for value in arm.values if value <= 0]:
            raise DataError(f"Value {least[0]:g} of {measure!r}, {arm.name}. pyperf has only > 0.")
        runs: list[dict] = [{"values": values} for values in arm.sessions]
        for found, warm in zip(runs, arm.warmups, strict=True):
            if warm:
                found["warmups"] = [[1, value] for value in warm]
        about = {"name": arm.name, "unit": UNITS[unit], "loops": 1}
        benchmarks.append({"metadata": about, "runs": runs})
    whole = {"benchmarks": benchmarks, "metadata": _about(run), "version": "1.0"}
    return json.dumps(whole, indent=2) + "\n"


def _about(run: Run) -> dict[str, object]:
    """Return what is known of the machine under pyperf's names."""
    facts = run.conditions("")
    known = facts.iloc[:, 0].loc[""].to_dict() if len(facts) else {}
    names = {"cpu_model": "cpu_model_name", "kernel": "platform", "python": "python_version"}
    about: dict[str, object] = {new: known[old] for old, new in names.items() if old in known}
    if known.get("cpus", "").isdigit():
        about["cpu_count"] = int(known["cpus"])
    return about


def _rebench(run: Run, arms: Sequence[Series], measure: str, unit: str) -> str:
    """Return ReBench's data file: an invocation is a session, an iteration a trial in it."""
    suite = {
        "name": run.experiment.NAME,
        "command": "%(benchmark)s",
        "executor": {"name": "caveatlib", "executable": "caveatlib", "action": "benchmark",
                     "runDetails": {}, "variables": {}},
    }  # fmt: skip
    lines = [f"# Execution Start: {min(run.trials['run'])}", "\t".join(REBENCH)]
    for number, arm in enumerate(arms):
        name = " ".join(arm.name.split())  # a tab would begin another column
        benchmark = {"name": name, "command": name, "runDetails": {}, "variables": {}}
        lines.append(f"# benchmark: {number}={json.dumps(benchmark | {'suite': suite})}")
        known = {"cmdline": name, "benchmark_id": number}
        lines.append(f"# run_id: {number}={json.dumps(known)}")
        for invocation, values in enumerate(arm.sessions, start=1):
            for iteration, value in enumerate(values, start=1):
                row = [invocation, iteration, repr(value), unit or "1", "total", name, "caveatlib"]
                lines.append("\t".join(map(str, [*row, suite["name"], *[""] * 6, number])))
    return "\n".join(lines) + "\n"


FORMATS: dict[str, Callable[[Run, Sequence[Series], str, str], str]] = {
    "hyperfine": _hyperfine,
    "pyperf": _pyperf,
    "rebench": _rebench,
}
