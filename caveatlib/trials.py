"""The one way to get trials: `open` a run, recorded, measured now, or of an earlier day.

`measure` measures an experiment: it opens places afresh for every session, runs
each design's arms in randomised complete blocks, and appends every trial to a
journal before the next one starts. An experiment brings the designs and a
function `trial` that does one trial; it never loops over measurements itself.
"""

from __future__ import annotations

import html
import inspect
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pandas as pd

from caveatlib import claims, store
from caveatlib.errors import UsageError
from caveatlib.measuring import live
from caveatlib.measuring.designs import Arm, Design
from caveatlib.measuring.experiment import Experiment, complete, doubts, model_of
from caveatlib.measuring.run import arms_here, cost, first_session_s, measure, require_new
from caveatlib.support import datapackage
from caveatlib.support.paths import display_path, storage_error
from caveatlib.support.text import escape_control_characters

__all__ = [
    "Arm",
    "Design",
    "Run",
    "arms_here",
    "cost",
    "first_session_s",
    "get",
    "measure",
    "open",
    "require_new",
    "source_of",
]


@dataclass(frozen=True, repr=False, eq=False)
class Run:
    """An experiment's trials from one source, and all that follows from them.

    Attributes
    ----------
    experiment : Experiment
        The module, with defaults for what it leaves out.
    source : str
        ``"recorded"``, ``"live"``, or the folder of a run as it may be shown.
    version : int or None
        Of recorded data.
    folder : pathlib.Path or None
        Where the tables lie; None of recorded data, which ship with caveatlib.
    """

    experiment: Experiment
    source: str
    version: int | None = None
    folder: Path | None = None
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict, init=False)

    @property
    def trials(self) -> pd.DataFrame:
        """The trials, one row each, see ``experiment.Trials``."""
        return self.table("trials")

    def table(self, name: str) -> pd.DataFrame:
        """Return a table of the run; all are validated once, this one is copied each time.

        Raises
        ------
        UsageError
            If there is no such table.
        DataError
            If a file does not agree with its checksum, a table with its model, or
            the tables with a guard.
        """
        model_of(self.experiment, name)
        if not self._tables:
            if self.folder is None:
                found = store.load(self.experiment, version=self.version)
            else:
                found = store.load_run(self.folder, self.experiment)
            self._tables.update(found)
        if name not in self._tables:
            raise UsageError(
                f"No table {name!r} in this run of {self.experiment.NAME!r}. Must be one of "
                f"{sorted(self._tables)}."
            )
        return self._tables[name].copy(deep=False)

    def conditions(self, *places: str) -> pd.DataFrame:
        """Return the facts of the run: of the machine, and of these places or else of all.

        Returns
        -------
        pandas.DataFrame
            Indexed by place (empty: the machine itself) and name, a column per
            machine. What differed between its runs is joined by " / ".
        """
        rows = self.table("conditions")
        if places:
            rows = rows[rows["place"].isin(["", *places])]
        return rows.pivot_table(
            index=["place", "name"],
            columns="machine",
            values="value",
            aggfunc=lambda values: " / ".join(dict.fromkeys(values)),
            sort=False,
        )

    def succeeded(self) -> pd.DataFrame:
        """Return how many of the trials succeeded, ``"20/20"``, by design, and in which places.

        Trials of several machines are counted apart.
        """
        rows = self.trials
        by = ["machine", "design"] if rows["machine"].nunique() > 1 else ["design"]
        counts = rows.groupby([*by, "place"], sort=False)["ok"].agg(["sum", "size"]).astype(str)
        told = (counts["sum"] + "/" + counts["size"]).rename("succeeded").reset_index()
        places = told.groupby([*by, "succeeded"], sort=False)["place"].agg(
            lambda names: ", ".join(sorted(names))
        )
        return places.rename("places").reset_index()

    def verdicts(self) -> claims.Verdicts:
        """Return the verdicts that these trials allow."""
        return claims.Verdicts(self.experiment.verdicts(self.trials))

    def calibration(self) -> pd.DataFrame:
        """Return what these trials read where the truth is known, and of the same arm twice."""
        return self.experiment.calibrate(self.trials)

    def doubts(self) -> pd.DataFrame:
        """Return what could mislead about the verdicts: a sentence each, and which it touches.

        The cards of the claims show the same, claim by claim; those of parts are in their claim.
        """
        table = doubts(self.experiment, self.trials, self.verdicts(), self.table("conditions"))
        whole = table[~table["claim"].str.contains("/")]
        by = ["machine", "doubt"] if whole["machine"].nunique() > 1 else ["doubt"]
        folded = whole.groupby(by, sort=False)["claim"].agg(", ".join)
        return folded.rename("touches").reset_index()

    def answer(self) -> str:
        """Return the experiment's answer in a sentence."""
        return self.experiment.answer(self.trials)

    def __repr__(self):
        where = {"recorded": f"recorded version {self.version}", "live": "measured live"}
        where = where.get(self.source, f"measured in {self.source!r}")
        machines = "; ".join(sorted(self.trials["machine"].unique())) or "no machine"
        failed = int((~self.trials["ok"]).sum())
        return escape_control_characters(
            f"{self.experiment.NAME}, {where}, on {machines}: "
            f"{len(self.trials):,} trials, {failed:,} of them without a result"
        )

    def _repr_html_(self):
        return f"<p>{html.escape(repr(self))}</p>"


def open(
    experiment: ModuleType,
    *,
    source: str | os.PathLike | None = None,
    version: int | None = None,
    **options,
) -> Run:
    """Return an experiment's run: recorded, measured now, or of an earlier day.

    Parameters
    ----------
    experiment : module
        One of `caveatlib.experiments.ALL`.
    source : {"recorded", "live"} or path, optional
        ``"recorded"`` reads the versioned data that ship with caveatlib,
        ``"live"`` measures on this machine, a folder is one that
        ``caveatlib measure`` wrote. Default: ``$CAVEATLIB_SOURCE`` or recorded;
        an experiment that the variable's folder lacks is recorded, too.
    version : int, optional
        Version of the recorded data, default the newest. What is measured now, or lies in a
        folder named here, has none.
    **options
        Given to `measure` when live: ``sessions``, ``budget_s``, ``places``,
        ``engine``, ``seed``. A live run is measured once per process and options.
        Other sources leave them alone, so that one cell serves all.

    Returns
    -------
    Run

    Raises
    ------
    UsageError
        If the source is neither of the words nor a folder with such a run,
        nothing is recorded, an option is unknown, or a version is asked of what has none.
    Unavailable
        If it is to be live and nothing of it can run here.
    """
    full = complete(experiment)
    if unknown := sorted(options.keys() - _OPTIONS):
        known = ", ".join(["source", "version", *_OPTIONS])
        raise UsageError(f"Unknown option {unknown[0]!r}. Must be one of {known}.")
    given, source = source, source_of(experiment, source)
    if source is None:
        raise UsageError(
            f"No run of {full.NAME!r} in {display_path(given)!r}. Must be a folder that "
            f"`caveatlib measure {full.NAME}` wrote."
        )
    if version is not None and source != "recorded" and (source == "live" or given):
        raise UsageError(
            f"Version {version!r} of {display_path(source)!r}. Must be left out: only recorded "
            "trials have versions."
        )
    if source == "live":
        return Run(full, source, folder=_live(experiment, options))
    if source != "recorded":
        return Run(full, display_path(source), folder=Path(source))
    return Run(full, source, version=store.version_of(full.NAME, version))


def get(
    experiment: ModuleType,
    *,
    source: str | os.PathLike | None = None,
    version: int | None = None,
    table: str = "trials",
    **options,
) -> pd.DataFrame:
    """Return one table of a run, see `open`."""
    return open(experiment, source=source, version=version, **options).table(table)


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
            found = {datapackage.read(folder)["name"]}
        else:
            inner = folder.iterdir() if folder.is_dir() else ()
            found = {f.name for f in inner if _is_run(f)}
    except OSError as error:
        raise storage_error("read", folder, error) from None
    if experiment.NAME in found:
        return source
    if found:
        return None if named else "recorded"
    raise UsageError(
        f"Unknown source {display_path(source)!r}. Must be 'recorded', 'live' or a folder that "
        "`caveatlib measure` wrote."
    )


def _is_run(folder: Path) -> bool:
    """Whether a folder is an experiment's part of a run, finished or not."""
    return (folder / datapackage.FILE).is_file() or (folder / "journal.jsonl").is_file()


_OPTIONS = {
    name: None
    for name, asked in inspect.signature(measure).parameters.items()
    if asked.kind is asked.KEYWORD_ONLY and name not in ("out", "resume")
}
"""What a live run can be given, in the order of `measure`."""

_LIVE: dict[tuple, Path] = {}


def _live(experiment: ModuleType, options: dict) -> Path:
    """Measure once per process and set of options; later calls get the same run."""
    key = (experiment.NAME, repr(sorted(options.items())))
    if key not in _LIVE:
        folder = live.folder()
        measure(experiment, out=folder, **options)
        _LIVE[key] = folder
    return _LIVE[key]
