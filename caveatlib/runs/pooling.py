"""Runs of many machines as one data set: ratios of each machine first, then pooled."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from caveatlib import frames
from caveatlib.claims import Decision
from caveatlib.claims.rules import counted
from caveatlib.errors import UsageError
from caveatlib.frames import Series, field, measure
from caveatlib.measuring import integrity
from caveatlib.measuring.experiment import Experiment
from caveatlib.runs.contributions import COMMUNITY, OURS
from caveatlib.runs.sides import Side, effects, is_ratio, measured_with, sides
from caveatlib.stats import machines
from caveatlib.support import datapackage
from caveatlib.support.paths import make_folder, write_folder
from caveatlib.trials import Run

UNKNOWN = "of a version not recorded"
KEYS = ["claim", "label", "release", "conditions"]
"""Columns of what may be combined, see `_Key`."""


class _Key(frames.Table):
    """What may be combined: one claim, measured by one release under the same conditions."""

    claim: Series[str] = field("Claim that the ratio decides")
    label: Series[str] = field("What is compared, in a few words")
    release: Series[str] = field("Release of caveatlib that measured, without its last number")
    conditions: Series[str] = field("Conditions that differ between the machines of the data set")


class Ratios(_Key):
    """A ratio of each claim and machine, from the trials of that machine alone."""

    machine: Series[str] = field("Class of the machine: CPU, memory, kernel, cgroup version")
    origin: Series[str] = field("Whose run it is", isin=(OURS, COMMUNITY))
    runs: Series[str] = field("Runs that the ratio is of, named by their starts in UTC")
    verdict: Series[str] = field("Verdict on the claim on this machine")
    estimate: Series[float] = measure("Hodges-Lehmann estimate of the ratio")
    low: Series[float] = measure("Lower end of its plain 95 % interval")
    high: Series[float] = measure("Upper end of its plain 95 % interval")
    n: Series[int] = field("Pairs that the ratio is of", ge=0)
    note: Series[str] = field("Why the ratio is not pooled; empty if it may be")


class Lines(_Key):
    """The random-effects estimate of each claim over the machines."""

    k: Series[int] = field("Machines in the estimate; one that both measured has our ratio", ge=0)
    estimate: Series[float] = measure("Ratio at the centre of the machines")
    low: Series[float] = measure("Lower end of its 95 % interval")
    high: Series[float] = measure("Upper end of its 95 % interval")
    predict_low: Series[float] = measure("Lower end of the 95 % prediction interval of one machine")
    predict_high: Series[float] = measure("Upper end of the same")
    tau: Series[float] = measure("Standard deviation between machines of the log ratio")
    i2: Series[float] = measure("Share of the variance that lies between machines", le=1)
    note: Series[str] = field("Why there is no estimate; empty if there is one")


@dataclass(frozen=True, eq=False)
class Pool:
    """The ratios of one experiment on many machines.

    Attributes
    ----------
    experiment : Experiment
    ratios : pandas.DataFrame
        See `Ratios`; ours first.
    lines : pandas.DataFrame
        See `Lines`; one row for each claim, release and set of conditions.
    sides : tuple of Side
        The trials that the ratios are of, machine by machine; ours first.
    """

    experiment: Experiment
    ratios: pd.DataFrame
    lines: pd.DataFrame
    sides: tuple[Side, ...] = ()

    def forest(self, claim: str, *, ax=None):
        """Draw a claim's ratio on each machine, ours apart, and the line where there is one.

        Raises
        ------
        UsageError
            If no machine has a ratio of that claim.
        """
        from caveatlib import plots

        rows = self.ratios[(self.ratios["claim"] == claim) & self.ratios["estimate"].notna()]
        if rows.empty:
            known = ", ".join(dict.fromkeys(self.ratios.dropna(subset="estimate")["claim"]))
            raise UsageError(f"No ratio of claim {claim!r}. Must be one of {known or 'none'}.")
        lines = self.lines[(self.lines["claim"] == claim) & self.lines["estimate"].notna()]
        (decision,) = (d for d in self.experiment.DECISIONS if d.claim.id == claim)
        several = [key for key in ("release", "conditions") if rows[key].nunique() > 1]
        return plots.forest(
            rows.set_axis([named(row["machine"], row, several) for _, row in rows.iterrows()]),
            lines.set_axis([named("all machines", row, several) for _, row in lines.iterrows()]),
            group="origin",
            label=rows["label"].iloc[0],
            threshold=decision.tested().threshold,
            ax=ax,
        )


def named(name: str, row: Mapping, several: Sequence[str]) -> str:
    """Return the name of a row with what keeps it apart from others of the same name."""
    words = {"release": f"caveatlib {row['release']}", "conditions": row["conditions"]}
    return ", ".join(filter(None, [name, *(words[key] for key in several)]))


def pool(runs: Sequence[tuple[Run, str]]) -> Pool:
    """Put runs of one experiment into one data set.

    The trials of a machine are those of all its runs by one release; the ratio is of these
    alone, so seconds of two machines are never put together. Machines of one class count as
    one machine.

    Parameters
    ----------
    runs : sequence of (trials.Run, str)
        Each with its origin: `contributions.OURS` or `contributions.COMMUNITY`.

    Returns
    -------
    Pool

    Raises
    ------
    UsageError
        If there is no run, the experiments differ, or a run is given twice.
    DataError
        If a table is damaged, or breaks its model or a guard.
    Unavailable
        If there are enough machines for a line and statsmodels is not installed.
    """
    if not runs:
        raise UsageError("No run to pool. Must be one at least.")
    names = sorted({run.experiment.NAME for run, _ in runs})
    if len(names) > 1:
        raise UsageError(f"Runs of {', '.join(map(repr, names))}. Must be of one experiment.")
    experiment = runs[0][0].experiment
    joined = _machines(runs)
    _check_together(experiment, runs)
    tables = [effects(side).set_index("claim") for side, _, _ in joined]
    decisions = [d for d in experiment.DECISIONS if is_ratio(d)]
    rows = [row for decision in decisions for row in _ratios(decision, joined, tables)]
    ratios = frames.from_rows(rows, Ratios)
    lines = frames.from_rows(list(_lines(ratios)), Lines)
    return Pool(experiment, ratios, lines, tuple(side for side, _, _ in joined))


def write(pooled: Pool, folder: str | os.PathLike) -> Path:
    """Write a pool as a data package of two tables, with a figure for each claim.

    Parameters
    ----------
    pooled : Pool
    folder : path
        Where the experiment's folder is made.

    Returns
    -------
    pathlib.Path
        The experiment's folder.

    Raises
    ------
    StorageError
        If it holds something already, or cannot be written.
    """
    from matplotlib import pyplot as plt

    from caveatlib import plots

    target = make_folder(folder) / pooled.experiment.NAME
    files, resources = {}, []
    for name, model in (("ratios", Ratios), ("lines", Lines)):
        rows = datapackage.to_rows(name, getattr(pooled, name), model)
        files[f"{name}.csv"] = content = datapackage.to_csv(name, *rows)
        resources.append(datapackage.resource(name, content, frames.table_schema(model)))
    for claim in dict.fromkeys(pooled.ratios.dropna(subset="estimate")["claim"]):
        ax = pooled.forest(claim)
        files[f"forest-{re.sub('[^A-Za-z0-9]+', '-', claim)}.svg"] = plots.as_svg(ax).encode()
        plt.close(ax.figure)
    title = f"{pooled.experiment.QUESTION} Ratios of {pooled.ratios['machine'].nunique()} machines"
    files[datapackage.FILE] = datapackage.describe(
        f"{pooled.experiment.NAME}-pooled", title, "0.0.0", datapackage.LICENCE, resources
    )
    write_folder(target, files)
    return target


def _check_together(experiment: Experiment, runs: Sequence[tuple[Run, str]]) -> None:
    """Guard against trials that are in several packages, e.g. a run under another name.

    Two machines may have begun in the same second, and names from before tell no more, so a run
    is named by its machine, too.
    """
    tables = {}
    for name in ("trials", "warmups", "interrupted"):
        parts = [run.table(name) for run, _ in runs]
        whole = pd.concat(parts, ignore_index=True)
        tables[name] = whole.assign(run=whole["run"] + " on " + whole["machine"])
    integrity.check_tables(tables, experiment.Trials)


def _machines(runs: Sequence[tuple[Run, str]]) -> list[tuple[Side, str, str]]:
    """Return each machine with its release and origin, the trials of its runs together."""
    found: dict[tuple, list[Side]] = {}
    seen: set[tuple[str, str]] = set()
    for run, origin in runs:
        for side in sides(run):
            held = {(run, side.machine) for run in side.trials["run"].unique()}
            if twice := seen & held:
                raise UsageError(f"Run {min(twice)[0]!r} is given twice. Must be pooled once.")
            seen |= held
            releases = sorted({version.rpartition(".")[0] for version in side.versions})
            release = ", ".join(releases) or UNKNOWN
            found.setdefault((origin != OURS, side.machine, release, origin), []).append(side)
    return [
        (_together(parts), release, origin)
        for (_, _, release, origin), parts in sorted(found.items(), key=lambda item: item[0])
    ]


def _together(parts: list[Side]) -> Side:
    if len(parts) == 1:
        return parts[0]
    trials = pd.concat([side.trials for side in parts], ignore_index=True)
    # Recorded and live rows of one machine class are both measured; ours are all recorded.
    trials = trials.assign(source=trials["source"].iloc[0])
    name = ", ".join(dict.fromkeys(side.name for side in parts))
    return replace(parts[0], name=name, trials=trials)


def _ratios(
    decision: Decision, joined: list[tuple[Side, str, str]], tables: list[pd.DataFrame]
) -> Iterator[dict]:
    """Yield the row of a claim on each machine."""
    name = decision.claim.id
    conditions = _conditions([measured_with(side, decision) for side, _, _ in joined])
    for (side, release, origin), table, words in zip(joined, tables, conditions, strict=True):
        row = table.loc[name]
        yield {
            "claim": name,
            "release": release,
            "conditions": words,
            "machine": side.machine,
            "origin": origin,
            "runs": " ".join(sorted(side.trials["run"].unique())),
            "note": row["note"] or _too_few(row),
        } | {key: row[key] for key in ("label", "verdict", "estimate", "low", "high", "n")}


def _too_few(row: Mapping) -> str:
    return f"{counted(row['n'], row['pairing'])}: no interval." if math.isnan(row["low"]) else ""


def _conditions(measured: list[dict]) -> list[str]:
    """Return of each machine the conditions of a claim that are not the same on all."""
    flat = [{(arm, c): v for arm, of in found.items() for c, v in of.items()} for found in measured]
    keys = sorted({key for found in flat for key in found})
    differ = [k for k in keys if len({found[k] for found in flat if k in found}) > 1]
    words = []
    for found in flat:
        told = {f"{k[1]} {', '.join(map(str, found[k]))}": None for k in differ if k in found}
        words.append("; ".join(told))
    return words


def _lines(ratios: pd.DataFrame) -> Iterator[dict]:
    """Yield the line of each claim, release and set of conditions."""
    for key, rows in ratios.groupby(KEYS, sort=False):
        # Ours come first: what others measured on the same class of machine is not another machine.
        fit = rows[rows["note"] == ""].drop_duplicates("machine")
        line = dict(zip(KEYS, key, strict=True)) | {"k": len(fit), "note": ""}
        if len(fit) < machines.MIN_MACHINES:
            line["note"] = f"{len(fit)} of {machines.MIN_MACHINES} machines that pooling needs."
        else:
            line |= machines.random_effects(fit)
        yield line
