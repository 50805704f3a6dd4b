"""Every claim with its verdicts, or why it has none: as entries, as a table, as lines.

Sits above the experiments: it asks each for its verdicts and lays them beside
the ledger. What nobody has measured yet says so; what is history has a card.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from caveatlib import claims, store, trials
from caveatlib.claims import SIGNS, Decision, Prediction, ThenAndNow, Verdict, Verdicts, Whole
from caveatlib.errors import CaveatError, Unavailable
from caveatlib.experiments import ALL
from caveatlib.measuring.experiment import complete, doubts
from caveatlib.support.text import escape_control_characters, shorten
from caveatlib.trials import Run

NOT_YET, HISTORY, SEVERAL = "no experiment yet", "then and now", "differs by machine"
WORDS = (*claims.VERDICTS, SEVERAL, HISTORY, NOT_YET)
"""What an entry can come to, in the order of a tally."""
ALL_SIGNS = SIGNS | {SEVERAL: "≠", HISTORY: "→", NOT_YET: "·"}
OURS = "Claims of our own"
LONGEST = 78
"""Characters of a line: an old terminal shows it whole."""
LONGEST_ID = 26
"""Letters of the longest id of a claim of ours."""
REPR = 120
"""Characters of an entry's repr."""
COLUMNS = (
    "claim",
    "quote",
    "kind",
    "experiment",
    "verdict",
    "headline",
    "reason",
    "machine",
    "source",
    "doubts",
)


@dataclass(frozen=True, repr=False)
class Entry:
    """A statement of the post, or a claim of ours, and all that is known of it.

    Attributes
    ----------
    id, section, quote, kind, experiment : str
        As in the ledger; a claim of ours has the section `OURS`.
    tests : str
        What decides it, or would.
    verdicts : tuple of Verdict
        One per machine.
    parts : mapping of str to tuple of Verdict
        Id of each part -> its verdicts, one per machine.
    recorded : tuple of Verdict
        The recorded verdicts, where `verdicts` are another run's.
    undecided : tuple of Verdict
        Those of a run that left the claim undecided, where `verdicts` are recorded instead.
    history : ThenAndNow, optional
    prediction : Prediction, optional
        What was expected before any machine had measured it.
    decision : Decision, optional
    evidence : mapping of str to pandas.DataFrame
        Id of the claim or part -> the rows that it was decided by.
    doubts : mapping of str to tuple of str
        Machine -> what could mislead about its verdict, see `claims.doubts`.
    """

    id: str
    section: str
    quote: str
    kind: str
    experiment: str
    tests: str
    verdicts: tuple[Verdict, ...] = ()
    parts: Mapping[str, tuple[Verdict, ...]] = field(default_factory=dict)
    recorded: tuple[Verdict, ...] = ()
    undecided: tuple[Verdict, ...] = ()
    history: ThenAndNow | None = None
    prediction: Prediction | None = None
    decision: Decision | None = None
    evidence: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    doubts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __repr__(self):
        headlines = "; ".join(verdict.headline for verdict in self.verdicts)
        return escape_control_characters(
            shorten(f"{self.id} {self.word}: {headlines or self.quote}", REPR)
        )

    @property
    def word(self) -> str:
        """What it comes to, one of `WORDS`; a machine that measured nothing of it has no say."""
        every = {verdict.verdict for verdict in self.verdicts}
        found = every - {claims.NOT_MEASURED} or every
        if len(found) > 1:
            return SEVERAL
        if found:
            return found.pop()
        return HISTORY if self.history and self.kind == "then-now" else NOT_YET


def entries(source: str | os.PathLike | Mapping | None = None) -> list[Entry]:
    """Return every row of the ledger, then the claims of ours, with what was found.

    Parameters
    ----------
    source : {"recorded", "live"} or path, optional
        Where the trials come from, see `trials.get`; default
        ``$CAVEATLIB_SOURCE`` or recorded. Live measures each experiment for its
        ``VERDICT_S``. What a folder given here lacks, or this machine, or what is not
        recorded yet is not measured: each verdict says why, or which command decides it. A
        mapping gives each experiment's name a source of its own; one that it leaves out
        stays without a verdict.
    """
    sources = source if isinstance(source, Mapping) else {e.NAME: source for e in ALL}
    found: dict[str, Entry] = {}
    for experiment in map(complete, ALL):
        measured = None
        if experiment.NAME in sources:
            measured = _read(experiment, sources[experiment.NAME])
        judged = measured.verdicts() if measured else _left_out(experiment, sources)
        found |= {entry.id: entry for entry in _entries(experiment, measured, judged)}
    listed = [_of_ledger(row, found.pop(row["id"], None)) for row in _ledger()]
    return listed + list(found.values())


def filled(listed: Sequence[Entry], recorded: Sequence[Entry]) -> list[Entry]:
    """Return entries in which a claim that a run left undecided has its recorded verdicts.

    Those that decide it, or, where the run measured nothing of it, that measured anything. They
    say that they are recorded, and keep those of the run as `Entry.undecided`.
    """
    known = {entry.id: entry for entry in recorded}
    return [
        replace(known[entry.id], undecided=entry.verdicts)
        if entry.verdicts and _says_more(known.get(entry.id, entry), entry)
        else entry
        for entry in listed
    ]


def _says_more(known: Entry, entry: Entry) -> bool:
    if not _undecided(entry):
        return False
    return not _undecided(known) or (_measured(known) and not _measured(entry))


def _measured(entry: Entry) -> bool:
    return any(verdict.n for each in (entry.verdicts, *entry.parts.values()) for verdict in each)


def _undecided(entry: Entry) -> bool:
    return not {verdict.verdict for verdict in entry.verdicts} & set(claims.DECIDED)


def of_run(run: trials.Run) -> list[Entry]:
    """Return the claims that a run's experiment decides, with what its trials allow."""
    rows = {row["id"]: row for row in _ledger()}
    found = _entries(run.experiment, run, run.verdicts())
    return [_of_ledger(rows[e.id], e) if e.id in rows else e for e in found]


def _entries(experiment, measured: Run | None, judged: Sequence[Verdict]) -> list[Entry]:
    """Return an entry per claim of an experiment that is not a part of another."""
    another = any(v.source not in ("recorded", "") for v in judged)
    recorded = _recorded(experiment) if another else []
    decisions = {decision.claim.id: decision for decision in experiment.DECISIONS}
    doubted = _doubted(measured, judged)
    found: list[Entry] = []
    derived: dict = {}
    for name, decision in decisions.items():
        if "/" in name:
            continue
        parts = decision.parts if isinstance(decision, Whole) else ()
        evidence = {}
        if measured is not None:
            rows = measured.trials
            evidence = {p: claims.evidence(rows, decisions[p], derived) for p in (name, *parts)}
        found.append(
            Entry(
                name,
                OURS,
                decision.claim.text,
                decision.claim.kind,
                experiment.NAME,
                decision.claim.decides,
                verdicts=_of(judged, name),
                parts={part: _of(judged, part) for part in parts},
                recorded=_of(recorded, name),
                decision=decision,
                evidence=evidence,
                doubts=doubted.get(name, {}),
            )
        )
    return found


def _doubted(measured: Run | None, judged: Sequence[Verdict]) -> dict[str, dict[str, tuple]]:
    """Return what could mislead: claim -> machine -> sentences."""
    found: dict[str, dict[str, tuple]] = {}
    if measured is not None:
        facts = measured.table("conditions")
        table = doubts(measured.experiment, measured.trials, judged, facts)
        for (claim, machine), rows in table.groupby(["claim", "machine"], sort=False):
            found.setdefault(str(claim), {})[str(machine)] = tuple(rows["doubt"])
    return found


def controls() -> pd.DataFrame:
    """Return what every experiment's recorded trials read where the truth is known.

    Returns
    -------
    pandas.DataFrame
        One row per positive control and A/A control, as `claims.calibration.calibrate`, with
        a column `experiment` before; those that do not pass come first.
    """
    found = []
    for experiment in map(complete, ALL):
        measured = _read(experiment, "recorded")
        if measured is not None:
            read = measured.calibration()
            found.append(read.assign(experiment=experiment.NAME))
    table = pd.concat(found, ignore_index=True)
    table = table.sort_values("passes", kind="stable")
    return table[["experiment", *(c for c in table if c != "experiment")]]


def table(source: str | os.PathLike | Mapping | None = None) -> pd.DataFrame:
    """Return `entries` as a table, one row per claim and machine.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`.
    """
    return as_table(entries(source))


def as_table(listed: Sequence[Entry]) -> pd.DataFrame:
    """Return entries as a table, one row per claim and machine, with columns `COLUMNS`."""
    rows = [row for entry in listed for row in _rows(entry)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def verdicts(source: str | os.PathLike | Mapping | None = None) -> Verdicts:
    """Return the verdicts of all experiments that have trials in this source, parts included."""
    sources = source if isinstance(source, Mapping) else {e.NAME: source for e in ALL}
    found = Verdicts()
    for experiment in map(complete, ALL):
        if experiment.NAME in sources:
            measured = _read(experiment, sources[experiment.NAME])
            found += measured.verdicts() if measured else []
    return found


def counts(listed: Sequence[Entry]) -> dict[str, int]:
    """Return how many statements of the post came to each word, in the order of `WORDS`."""
    words = [entry.word for entry in listed if entry.section != OURS]
    return {word: words.count(word) for word in WORDS if word in words}


def tally(listed: Sequence[Entry]) -> str:
    """Say in a sentence how the statements of the post stand, and how ours do."""
    post = counts(listed)
    own = [entry.word for entry in listed if entry.section == OURS]
    said = f"{sum(post.values())} statements of the post: " + ", ".join(
        f"{word} {n}" for word, n in post.items()
    )
    if own:
        ours = ", ".join(f"{word} {own.count(word)}" for word in WORDS if word in own)
        said += f"; {len(own)} of ours: {ours}"
    return f"{said}."


def lines(frame: pd.DataFrame, *, width: int = LONGEST) -> Iterable[str]:
    """Yield the scorecard as text: one line per claim and machine, none wider than `width`.

    Nothing in a line steers a terminal. Several machines are told apart by a number,
    which the last lines explain.
    """
    machines = [m for m in dict.fromkeys(frame["machine"]) if m]
    for row in frame.to_dict("records"):
        number = (
            f"[{machines.index(row['machine']) + 1}] "
            if len(machines) > 1 and row["machine"]
            else ""
        )
        text = number + (row["headline"] or f"“{row['quote']}”")
        yield line(row["claim"], row["verdict"], text, width=width)
    for number, machine in enumerate(machines, start=1):
        sources = ", ".join(dict.fromkeys(frame.loc[frame["machine"] == machine, "source"]))
        yield _cut(f"{f'[{number}] ' if len(machines) > 1 else ''}{machine} ({sources})", width)


def line(claim: str, word: str, text: str, *, width: int = LONGEST) -> str:
    """Return a claim, what it came to and the rest as one line, in columns."""
    verdict = f"{ALL_SIGNS[word]} {word}"
    apart = 4 if len(claim) <= 4 else LONGEST_ID
    return _cut(f"{claim:<{apart}} {verdict:<19} {text}", width)


def _cut(line: str, width: int) -> str:
    line = escape_control_characters(line)
    return shorten(line, width)


def _ledger() -> list[dict]:
    return claims.ledger().to_dict("records")


def _of_ledger(row: dict, entry: Entry | None) -> Entry:
    told = {name: row[name] for name in ("section", "quote", "kind")}
    told["prediction"] = claims.predicted(row["id"])
    try:
        history = claims.then_and_now(row["id"])
    except CaveatError:  # measured without a history, or its card is still to be written
        history = None
    if entry is not None:
        return replace(entry, history=history, **told)
    return Entry(
        row["id"], experiment=row["experiment"], tests=row["tests"], history=history, **told
    )


def _of(judged: Sequence[Verdict], claim: str) -> tuple[Verdict, ...]:
    return tuple(v for v in judged if v.claim == claim)


def _recorded(experiment) -> Verdicts:
    measured = _read(experiment, "recorded")
    return measured.verdicts() if measured else Verdicts()


def _left_out(experiment, sources: Mapping) -> Verdicts:
    """Say of each claim of an experiment without trials in its source why it has none there."""
    if experiment.NAME not in sources:
        return Verdicts()
    source = trials.source_of(experiment, sources[experiment.NAME])
    if source is None:
        reason = f"Not in this run: `caveatlib measure {experiment.NAME}` measures it."
    elif source == "live":
        reason = "Nothing of it can be measured here: `caveatlib doctor` says what it lacks."
    elif store.versions(experiment.NAME):
        return Verdicts()
    else:
        command = f"`sudo .venv/bin/caveatlib measure {experiment.NAME}`"
        reason = f"Not recorded yet: {command} decides it where it can be measured."
    return Verdicts(claims.not_measured(d.claim, reason) for d in experiment.DECISIONS)


def _read(experiment, source) -> Run | None:
    """Return an experiment's run of a source, or None if it has none there."""
    source = trials.source_of(experiment, source)
    if source is None or (source == "recorded" and not store.versions(experiment.NAME)):
        return None
    budget = {"budget_s": experiment.VERDICT_S} if source == "live" else {}
    try:
        return trials.open(experiment, source=source, **budget)
    except Unavailable:
        return None


def _rows(entry: Entry) -> list[dict]:
    row = {name: getattr(entry, name) for name in ("quote", "kind", "experiment")}
    row |= {"claim": entry.id, "verdict": entry.word, "machine": "", "source": "", "doubts": ""}
    if entry.verdicts:
        return [
            row
            | {
                "verdict": v.verdict,
                "headline": v.headline,
                "reason": v.because,
                "machine": v.machine,
                "source": v.source,
                "doubts": " ".join(entry.doubts.get(v.machine, ())),
            }
            for v in entry.verdicts
        ]
    if entry.history and entry.word == HISTORY:
        now = entry.history.now
        reason = f"{now} ({entry.history.source})"
        return [
            row | {"headline": now.partition(". ")[0], "reason": reason, "source": "literature"}
        ]
    return [row | {"headline": "", "reason": ""}]
