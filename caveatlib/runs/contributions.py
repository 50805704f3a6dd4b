"""Runs that others contribute: where they lie, and what they must fulfil before they are read.

A contribution is the data package of one run, in
``data/community/<experiment>/<date>-<class of the machine>/``.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from caveatlib import frames
from caveatlib.claims.rules import counted
from caveatlib.errors import DataError
from caveatlib.measuring import finish
from caveatlib.measuring.experiment import tables_of
from caveatlib.measuring.plan import RUN
from caveatlib.runs.finding import found, opened, packages
from caveatlib.support import datapackage, privacy
from caveatlib.support.paths import display_path, storage_error
from caveatlib.trials import Run

OURS, COMMUNITY = "ours", "community"
FOLDER = Path("data") / COMMUNITY


def origin(folder: str | os.PathLike | None) -> str:
    """Return whose run lies in a folder: the community's, or `OURS`; None is recorded data."""
    if folder is None:
        return OURS
    parts = Path(folder).absolute().parts
    return COMMUNITY if FOLDER.parts in itertools.pairwise(parts) else OURS


def checked(sources: Sequence[str | os.PathLike]) -> list[list[tuple[Run, str]]]:
    """Return the runs of several sources with their origins, those of each experiment together.

    Parameters
    ----------
    sources : sequence of "recorded" or path
        Folders that hold data packages, at whatever depth. What the community contributed is
        checked as a contribution first.

    Raises
    ------
    UsageError
        If a source holds no run.
    DataError
        If a contribution does not pass, see `check`.
    """
    given: dict[str, list[tuple[Run, str]]] = {}
    for source in sources:
        recorded = os.fspath(source) == "recorded"
        for run in found(source).values() if recorded else map(opened, packages(source)):
            if origin(run.folder) == COMMUNITY:
                for _ in check(run.folder):
                    pass
            given.setdefault(run.experiment.NAME, []).append((run, origin(run.folder)))
    return list(given.values())


def folder_name(run: Run) -> Path:
    """Return where a run belongs as a contribution.

    Returns
    -------
    pathlib.Path
        ``data/community/startup/2026-11-24-intel-xeon-2-cpus-24-gib-linux-6-18-cgroup-v1``.
    """
    trials = run.trials
    machine = re.sub(r"[^a-z0-9]+", "-", trials["machine"].iloc[0].lower()).strip("-")
    return FOLDER / run.experiment.NAME / f"{min(trials['run'])[:10]}-{machine}"


def check(folder: str | os.PathLike) -> Iterator[str]:
    """Check one data package as a contribution, step by step.

    Parameters
    ----------
    folder : path
        Of one experiment's data package.

    Yields
    ------
    str
        What was found in order, a sentence for each step.

    Raises
    ------
    DataError
        At the first step that fails: files that are not the package's, a checksum, the
        schema, a guard, what a contribution must be of, a run that was interrupted, what is
        private, its place.
    StorageError
        If a file cannot be read.
    """
    folder = Path(folder)
    package = datapackage.read(folder)
    _check_description(folder, package)
    left = _check_files(folder, package)
    yield f"Files: {len(package['resources']) + 1}, all of them as their checksums say."
    run = opened(folder)
    tables = {name: run.table(name) for name in tables_of(run.experiment)}
    _check_schema(run, package)
    yield f"Schema and guards: {counted(len(run.trials), 'trial')} in {len(tables)} tables."
    _check_kind(run)
    yield f"Machine: {run.trials['machine'].iloc[0]}."
    yield _ended(run, folder)
    _check_private(tables, folder, package)
    yield "Privacy: no address, host, home folder, secret or name that is known here."
    yield _controls(run)
    place = folder_name(run)
    if origin(folder) == COMMUNITY and not folder.absolute().match(f"*/{place}"):
        raise DataError(
            f"Folder {display_path(folder)!r} is another's place. Must be {str(place)!r}."
        )
    without = f", without {', '.join(left)}" if left else ""
    yield f"Place of the contribution: {place}{without}"


def _check_description(folder: Path, package: dict) -> None:
    """Require a description that holds what `caveatlib measure` writes, and nothing else."""
    whole = json.loads(datapackage.describe("", "", "0.0.0", {}, []))
    known = [(package, set(whole))]
    try:
        for resource in package["resources"]:
            table = "schema" in resource
            empty = datapackage.guessed_schema(pd.DataFrame()) if table else None
            known.append((resource, set(datapackage.resource("x", b"", empty))))
            told = {"name", "type"} if resource["name"] in datapackage.DERIVED else _FIELD
            known += [(field, told) for field in resource["schema"]["fields"]] if table else []
        extra = sorted({key for found, keys in known for key in found.keys() - keys})
        extra += [key for key in ("profile", "version") if package.get(key) != whole[key]]
    except (LookupError, TypeError, AttributeError):
        extra = ["schema"]
    if extra:
        raise DataError(
            f"Key {extra[0]!r} in the description of {display_path(folder)!r} is not as "
            "`caveatlib measure` writes it. Must be left as it was."
        )


_FIELD = {"name", "type", "unit", "description"}


def _check_files(folder: Path, package: dict) -> list[str]:
    """Require the files of the package, unchanged; return what else lies there, e.g. a journal.

    Of a contribution that is refused.
    """
    for resource in package["resources"]:
        datapackage.check_name(resource["name"])
        content = datapackage.check_resource(folder, resource)
        _check_resource(folder, resource, content)
    known = {datapackage.file_name(r) for r in package["resources"]} | {datapackage.FILE}
    try:
        extra = sorted({path.name for path in folder.iterdir()} - known)
    except OSError as error:
        raise storage_error("read", folder, error) from None
    if extra and origin(folder) == COMMUNITY:
        raise DataError(
            f"File {extra[0]!r} in {display_path(folder)!r} is not of the package. "
            "Must be left out of a contribution."
        )
    return extra


def _check_resource(folder: Path, resource: dict, content: bytes) -> None:
    """Require of a file's entry what follows from the file: no path, text or key beside it."""
    schema = resource.get("schema")
    expected = datapackage.resource(resource["name"], content, schema)
    wrong = [
        key
        for key, value in expected.items()
        if resource.get(key) != value
        and not (key == "bytes" and isinstance(resource.get(key), int))
    ]
    if schema is not None and schema != {"fields": schema["fields"], "missingValues": [""]}:
        wrong.append("schema")
    if wrong:
        raise DataError(
            f"Key {wrong[0]!r} of {datapackage.file_name(resource)!r} in the description of "
            f"{display_path(folder)!r} is changed. Must be as `caveatlib measure` wrote it."
        )


def _check_schema(run: Run, package: dict) -> None:
    """Require the columns as the experiment has them today, and its own words beside them.

    Those that came later may be missing: a contribution stays sound when its experiment grows.
    """
    found = datapackage.schemas(package)
    there = {name: [f.get("name") for f in schema["fields"]] for name, schema in found.items()}
    models = tables_of(run.experiment)
    expected = {name: frames.table_schema(m, of=there.get(name)) for name, m in models.items()}
    if found != expected:
        raise DataError(
            f"Schema of data package {run.source!r} differs from that of {run.experiment.NAME!r}. "
            "Must be measured with this version of caveatlib."
        )
    told = (package["title"], package["licenses"])
    if told != (run.experiment.QUESTION, [datapackage.LICENCE]):
        raise DataError(
            f"Title or licence of data package {run.source!r} is changed. "
            "Must be as `caveatlib measure` wrote them."
        )


def _check_kind(run: Run) -> None:
    """Require one run, measured live, on one machine, by a version that is known."""
    trials, facts = run.trials, run.table("conditions")
    found = {name: sorted(trials[name].unique()) for name in ("run", "machine", "source")}
    for name in ("run", "machine"):
        if len(found[name]) != 1:
            raise DataError(
                f"Package {run.source!r} holds {len(found[name])} {name}s. Must be of one."
            )
    if found["source"] != ["live"]:
        raise DataError(
            f"Source {', '.join(found['source'])!r} of {run.source!r}. Must be 'live': measured."
        )
    if not RUN.fullmatch(found["run"][0]):
        raise DataError(f"Run {found['run'][0]!r}. Must be named by its start in UTC.")
    if strange := set(trials["place"]) - set(run.experiment.PLACES):
        raise DataError(
            f"Place {min(strange)!r} of {run.source!r} is not the experiment's. "
            f"Must be one of {', '.join(run.experiment.PLACES)}."
        )
    if not ((facts["place"] == "") & (facts["name"] == "caveatlib")).any():
        raise DataError(
            f"Package {run.source!r} does not say which caveatlib measured. "
            "Must be measured by one that says so."
        )
    if not trials["ok"].any():
        raise DataError(f"Package {run.source!r} has no trial that succeeded.")


def _ended(run: Run, folder: Path) -> str:
    """Say how much of its plan the run measured: a budget may end it, an interruption may not.

    A contribution from before runs said so stays sound.
    """
    facts = run.table("conditions")
    if told := finish.interrupted(facts):
        raise DataError(
            f"Run {run.source!r} was interrupted: {told}. Must be ended first: "
            f"{finish.how_to_end(folder, run.experiment.NAME)}"
        )
    facts = facts[facts["place"] == ""]
    said = dict(zip(facts["name"], facts["value"], strict=True))
    if "complete" not in said:
        return "Run: it does not say whether it was measured to its end."
    if said["complete"] != "yes":
        return f"Run: {said['complete'].removeprefix(finish.NO)}."
    if sessions := said.get("sessions"):
        return f"Run: {sessions} of {sessions} sessions."
    return "Run: the budget was spent, as planned."


def _check_private(tables: dict, folder: Path, package: dict) -> None:
    """Refuse text that would tell of a person, a machine or a network."""
    texts = [
        (
            text,
            f"column {column!r} in row {table.index[table[column] == text][0]} of table {name!r}",
        )
        for name, table in tables.items()
        for column in table.select_dtypes(include=["str", "object"]).columns
        for text in table[column].dropna().unique()
    ]
    for resource in package["resources"]:
        name = datapackage.file_name(resource)
        if resource["name"] in datapackage.DERIVED:
            content = datapackage.check_resource(folder, resource).decode("utf-8", "replace")
            texts += [(line, f"file {name!r}") for line in content.splitlines()]
            fields = resource.get("schema", {"fields": []})["fields"]
            texts += [(str(field), "the description") for field in fields]
        elif resource["name"] not in tables:
            raise DataError(
                f"Table {resource['name']!r} in {display_path(folder)!r} is not the experiment's. "
                "Must be left out of a contribution."
            )
    for text, where in texts:
        if marks := privacy.marks(text):
            raise DataError(
                f"Text {privacy.scrub(text)!r} of {where} held {', '.join(marks)}. "
                "Must be measured anew, or left out of the contribution."
            )


def _controls(run: Run) -> str:
    """Say how the harness measured itself: noise limits what is judged, and refuses nothing."""
    found = run.calibration()
    if found.empty:
        return "Calibration: the experiment has none."
    words = {
        word: list(found.loc[found["passes"] == word, "check"])
        for word in ("yes", "no", "undecided", "not measured")
    }
    said = f"Calibration: {len(words['yes'])} of {len(found)} known answers and A/A controls pass"
    leads = {"no": "failed", "undecided": "undecided", "not measured": "not measured"}
    for word, lead in leads.items():
        if words[word]:
            said += f"; {lead}: {', '.join(words[word])}"
    return f"{said}."
