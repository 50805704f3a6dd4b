"""What a run is to do, as it was asked for, and as an interrupted one goes on with it."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from caveatlib.errors import UsageError
from caveatlib.measuring import machine
from caveatlib.measuring.journal import Record, read
from caveatlib.support.arguments import check_number
from caveatlib.support.paths import display_path, exists

RUN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ(-[0-9a-f]{6})?")
"""How a run is named; names from before had no random end."""
NAMED = "named"
"""Stands for an engine that was named by its URL: an address is never stored."""
BY_DEFAULT = "sessions_by_default"
"""Whether the number of sessions is the experiment's own, since none was asked for."""
_SPENT = ("block", "session", "end")


@dataclass(frozen=True)
class Plan:
    """What was asked for; None is "nothing was said".

    Attributes
    ----------
    places : sequence of str, optional
        Only these; default all of the experiment's.
    sessions : int, optional
    budget_s : float, optional
    seed : int, optional
    engine : {"own", "private"} or URL, optional

    Raises
    ------
    UsageError
        If a number is out of range, or the places are one text.
    """

    places: Sequence[str] | None = None
    sessions: int | None = None
    budget_s: float | None = None
    seed: int | None = None
    engine: str | None = None

    def __post_init__(self):
        if isinstance(self.places, str):  # a sequence of letters
            raise UsageError(f"Places {self.places!r}. Must be a list: [{self.places!r}].")
        if self.sessions is not None:
            check_number("number of sessions", self.sessions, least=1, whole=True)
        if self.budget_s is not None:
            check_number("budget in seconds", self.budget_s, above=0)
        if self.seed is not None:
            check_number("seed", self.seed, least=0, most=2**32 - 1, whole=True)

    def header(self) -> dict:
        """Return the plan as a run's journal keeps it."""
        return asdict(self) | {"engine": kind_of(self.engine)}


def run_name() -> str:
    """Return the name of a run that begins now: hosts of a fleet begin in the same second."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}-{secrets.token_hex(3)}"


def kind_of(engine: str | None) -> str | None:
    """Return what may be stored of an engine: one that is named by its URL is only `NAMED`."""
    return NAMED if engine and "://" in engine else engine


def resumed(name: str, out: str | os.PathLike, given: Plan) -> tuple[dict | None, Plan]:
    """Return what an experiment of an interrupted run goes on with.

    Parameters
    ----------
    name : str
        The experiment.
    out : path
        Folder of the run.
    given : Plan
        What is asked for now: sessions and a budget replace those of the run, an
        engine must be of the run's kind, places and seed the run's own if they are given.

    Returns
    -------
    header : dict or None
        How the experiment began, with `ended`, how many sessions have, and `spent_s`, how
        long they took; None if it had not begun when the run was interrupted.
    plan : Plan
        What is left to be said of it: its own plan, or what was asked for of the run's other
        experiments. If that was no number of sessions, each has its own.

    Raises
    ------
    UsageError
        If the folder holds no run, or the run was of another caveatlib, on another
        machine, on another engine, or of other places or another seed.
    """
    header = _begun(Path(out) / name)
    others = sorted(p.parent for p in Path(out).glob("*/journal.jsonl") if p.parent.name != name)
    like = header or next(filter(None, map(_begun, others)), None)
    if like is None:
        raise UsageError(
            f"Nothing to resume in {display_path(out)!r}. Must hold a run that has begun."
        )
    _check_same(like, out)
    _check_kept("places", given.places, like["places"], out)
    _check_kept("seed", given.seed, like["seed"], out)
    # In journals from before, a default is a number like one that was asked for.
    default = header is None and like.get(BY_DEFAULT, False)
    plan = Plan(
        places=like["places"],
        sessions=given.sessions or (None if default else like["sessions"]),
        budget_s=given.budget_s or like["budget_s"],
        seed=like["seed"],
        engine=_engine(like["engine"], given.engine, out),
    )
    return header, plan


def _begun(folder: Path) -> dict | None:
    """Return the header of an experiment's journal; None if it was not written yet.

    How long it is to last is what was asked for last: who resumes a run may have changed that.
    """
    path = folder / "journal.jsonl"
    records = read(path).records if exists(path) else []
    if not records:
        return None
    asked = [record.data for record in records if record.kind == "plan"]
    plan: dict = {}
    for data in asked:
        plan |= data
    return records[0].data | plan | {"ended": ended(records), "spent_s": spent_s(records)}


def ended(records: Sequence[Record]) -> int:
    """Return how many sessions a journal has the end of."""
    return sum(record.kind == "session" for record in records)


def spent_s(records: Sequence[Record]) -> float:
    """Return for how many seconds a run had been measured when its journal was last written."""
    return max((record.data["spent_s"] for record in records if record.kind in _SPENT), default=0.0)


def _check_same(header: dict, out: str | os.PathLike) -> None:
    from caveatlib import __version__

    run = f"Run {display_path(out)!r}"
    if header["caveatlib"] != __version__:
        raise UsageError(
            f"{run} is of caveatlib {header['caveatlib']}, this is {__version__}. "
            "Must be resumed with the same version, or measured anew."
        )
    if header["machine"] != (here := machine.label()):
        raise UsageError(
            f"{run} is of another machine ({header['machine']}; this one: {here}). "
            "Must be resumed where it began, or measured anew."
        )


def _check_kept(name: str, given: Any, begun: Any, out: str | os.PathLike) -> None:
    """Refuse to go on with other places, or another seed, than the run began with."""
    if given is not None and _in_any_order(given) != _in_any_order(begun):
        raise UsageError(
            f"The {name} {given!r} for run {display_path(out)!r} of {begun!r}. "
            "Must be the same, or left out."
        )


def _in_any_order(value: Any) -> Any:
    """Return a list of names by the alphabet; who asks need not list them as the run does."""
    return value if value is None or isinstance(value, int) else sorted(value)


def _engine(begun: str | None, given: str | None, out: str | os.PathLike) -> str | None:
    """Return the engine to go on with, which is the run's kind of engine."""
    if begun == NAMED and kind_of(given) != NAMED:
        raise UsageError(
            f"Run {display_path(out)!r} was on an engine named by its URL, which is not stored. "
            "Must be named again: --engine URL"
        )
    if given is not None and kind_of(given) != begun:
        raise UsageError(f"Engine {given!r} for a run on {begun!r}. Must be the same, or left out.")
    return given or begun
