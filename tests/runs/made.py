"""Runs of the sample experiment on machines that do not exist, as data packages."""

from pathlib import Path

import numpy as np
import pandas as pd
from experiments.sample import sample

from caveatlib import experiments, frames
from caveatlib.measuring import finish
from caveatlib.measuring.experiment import complete, tables_of
from caveatlib.runs import finding

EXPERIMENT = complete(sample)
KERNEL = "Linux 6.12.1"


def machine(number: int) -> str:
    """Return a class of machines that is told from others by its number."""
    return f"CPU {number}, 4 CPUs, 16 GiB, Linux 6.12, cgroup v2"


def run(
    folder: Path,
    *,
    ratio: float = 1.5,
    machine: str = "AMD EPYC 7763, 4 CPUs, 16 GiB, Linux 6.12, cgroup v2",
    day: int = 1,
    blocks: int = 15,
    noise: float = 0.02,
    again: float = 1.0,
    source: str = "live",
    version: str = "0.1.0",
    facts: dict[str, str] | None = None,
    error: str = "",
    rename: dict | None = None,
) -> Path:
    """Write a run in which new namespaces take `ratio` times as long; return its folder.

    Parameters
    ----------
    ratio, noise : float
        True ratio, and the standard deviation of the logs.
    again : float
        Ratio of the A/A control, which is 1 on a machine that measures well.
    error : str
        Why the last trial failed; empty if it did not.
    rename : dict, optional
        Condition -> value in all trials in namespaces.
    """
    begun = f"2027-01-{day:02}T10:00:00Z"
    rng = np.random.default_rng(day)
    rows = []
    for block in range(blocks):
        arms = sample.DESIGNS[0].arms
        for position, number in enumerate(rng.permutation(len(arms))):
            arm = arms[number]
            took = arm.conditions["asked_s"] + 0.001
            took *= np.exp(rng.normal(0, noise)) * (ratio if arm.place == "namespaces" else 1)
            took *= again if arm.conditions["replicate"] else 1
            rows.append(
                {
                    "run": begun,
                    "source": source,
                    "machine": machine,
                    "session": block,
                    "design": "pauses",
                    "block": block,
                    "position": position,
                    "place": arm.place,
                    "started_at": f"2027-01-{day:02}T10:{block:02}:{position:02}.000+00:00",
                    "ok": True,
                    "error": "",
                    "busy_per_cpu": 0.25,
                    "stolen_share": 0.0,
                    **arm.conditions,
                    "took_s": max(took, arm.conditions["asked_s"]),
                }
            )
            if arm.place == "namespaces":
                rows[-1] |= rename or {}
    if error:
        rows[-1] |= {"ok": False, "error": error, "took_s": np.nan}
    told = {"caveatlib": version, "kernel": KERNEL, "cpus": "4"} | (facts or {})
    about = {"run": begun, "machine": machine, "place": ""}
    conditions = [about | {"name": n, "value": v} for n, v in told.items() if v]
    models = tables_of(EXPERIMENT)
    tables = {name: frames.empty(model) for name, model in models.items()}
    tables["trials"] = trials = frames.from_rows(rows, sample.Trials)
    tables["conditions"] = frames.from_rows(conditions, models["conditions"])
    finish.write_package(
        folder / "sample",
        "sample",
        tables,
        models,
        title=EXPERIMENT.QUESTION,
        summary=EXPERIMENT.summarize(trials),
        verdicts=[v.as_dict() for v in EXPERIMENT.verdicts(trials)],
    )
    return folder / "sample"


def known(monkeypatch) -> None:
    """Let the sample be one of the experiments."""
    monkeypatch.setattr(experiments, "ALL", (*experiments.ALL, sample))


def opened(folder: Path):
    """Return the run of a folder."""
    return finding.found(folder.parent)["sample"]


def names(frame: pd.DataFrame) -> list[str]:
    """Return the claims of a table, each once."""
    return list(dict.fromkeys(frame["claim"]))
