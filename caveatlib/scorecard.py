"""Every claim of the post on one page: its verdict, or why it has none.

Sits above the experiments: it asks each for its verdicts and lays them beside
the ledger. What nobody has measured yet says so; what is history has a card.
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Mapping

import pandas as pd

from caveatlib import claims, store, trials
from caveatlib.errors import CaveatError, Unavailable
from caveatlib.experiments import ALL
from caveatlib.support.text import escape_control_characters

NOT_YET, HISTORY = "not measured yet", "then and now"
SEVERAL = "with several answers"
COLUMNS = ("claim", "quote", "kind", "experiment", "verdict", "effect", "machine", "source")


def table(source: str | os.PathLike | Mapping | None = None) -> pd.DataFrame:
    """Return every row of the ledger, and our own claims, with their verdicts.

    Parameters
    ----------
    source : {"recorded", "live"} or path, optional
        Where the trials come from, see `trials.get`; default
        ``$CAVEATLIB_SOURCE`` or recorded. Live measures each experiment for its
        ``VERDICT_S``; in a folder given here, an experiment that the run left
        out stays without a verdict. A mapping gives each experiment's name a
        source of its own.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`; a claim has one row per verdict: per machine, and
        per tool where its experiment judges these apart.
    """
    found: dict[str, list[claims.Verdict]] = {}
    for verdict in verdicts(source):
        if "/" not in verdict.claim:  # parts of a claim are in its experiment's notebook
            found.setdefault(verdict.claim, []).append(verdict)
    rows = []
    for claim in claims.ledger().to_dict("records"):
        for verdict in found.pop(claim["id"], [None]):
            rows.append(_row(claim["id"], claim["quote"], claim["kind"], claim, verdict))
    ours = {c.id: c for experiment in ALL for c in experiment.CLAIMS}
    for name, own in found.items():
        for verdict in own:
            rows.append(_row(name, ours[name].text, ours[name].kind, {}, verdict))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def verdicts(source: str | os.PathLike | Mapping | None = None) -> claims.Verdicts:
    """Return the verdicts of all experiments that have trials in this source."""
    sources = source if isinstance(source, Mapping) else {e.NAME: source for e in ALL}
    return claims.Verdicts(v for e in ALL if e.NAME in sources for v in _of(e, sources[e.NAME]))


HEADS = (
    ("Claim", 4),
    ("In the post of 11 April 2016, or ours", 14),
    ("Verdict", 8),
    ("Because", 24),
    ("Source", 8),
)
"""Columns of the page, and the least width of each in em."""


class Scorecard:
    """The table as a page: text in a terminal, a table with the reasons in a notebook."""

    def __init__(self, frame: pd.DataFrame):
        self.frame = frame

    def __repr__(self):
        return "\n".join(lines(self.frame))

    def _repr_html_(self):
        head = "".join(
            f'<th style="text-align:left;min-width:{width}em">{name}</th>' for name, width in HEADS
        )
        rows, before = "", None
        for row in self.frame.to_dict("records"):
            rows += _html_row(row, again=row["claim"] == before)
            before = row["claim"]
        return (
            f'<p>{html.escape(tally(self.frame))}</p><table class="scorecard">'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )


def tally(frame: pd.DataFrame) -> str:
    """Say in a sentence how many statements of the post hold, do not, or are open."""
    answers = frame.groupby("claim", sort=False)["verdict"].unique()
    answers = answers.map(lambda found: found[0] if len(found) == 1 else SEVERAL)
    own = answers.index.isin(frame.loc[frame["kind"] == "ours", "claim"])
    said = [
        f"{len(part)} {whose}: " + ", ".join(f"{v} {n}" for v, n in _counted(part))
        for part, whose in ((answers[~own], "statements of the post"), (answers[own], "of ours"))
        if len(part)
    ]
    return f"{'; '.join(said)}."


def _counted(answers: pd.Series) -> list[tuple[str, int]]:
    order = (*claims.VERDICTS, SEVERAL, HISTORY, NOT_YET)
    counts = answers.value_counts()
    return [(verdict, int(counts[verdict])) for verdict in order if verdict in counts.index]


def lines(frame: pd.DataFrame) -> Iterable[str]:
    """Yield the scorecard as text, one line per row; nothing in it steers a terminal."""
    for row in frame.to_dict("records"):
        effect = f": {row['effect']}" if row["effect"] else ""
        where = f" [{row['machine']}; {row['source']}]" if row["machine"] else ""
        line = f"{row['claim']:<20} {row['verdict']:<18} {_quoted(row)}{effect}{where}"
        yield escape_control_characters(line)


def _quoted(row: Mapping) -> str:
    """Return the statement, and whose it is unless the post says it in these words."""
    whose = f" ({row['kind']})" if row["kind"] in ("derived", "ours") else ""
    return f"“{row['quote']}”{whose}"


def _html_row(row: dict, *, again: bool) -> str:
    """Return a row of the page; a claim with several verdicts is named once."""
    texts = {name: html.escape(str(value)) for name, value in row.items()}
    where = "<br>".join(t for t in (texts["source"], texts["machine"]) if t)
    cells = (
        "" if again else texts["claim"],
        "" if again else html.escape(_quoted(row)),
        f"<b>{texts['verdict']}</b>",
        texts["effect"],
        where,
    )
    body = "".join(f'<td style="text-align:left;vertical-align:top">{c}</td>' for c in cells)
    return f'<tr class="{texts["verdict"].replace(" ", "-")}">{body}</tr>'


def _of(experiment, source) -> list[claims.Verdict]:
    source = trials.source_of(experiment, source)
    if source is None or (source == "recorded" and not store.versions(experiment.NAME)):
        return []
    budget = {"budget_s": experiment.VERDICT_S} if source == "live" else {}
    try:
        return trials.open(experiment, source=source, **budget).verdicts()
    except Unavailable:
        return []


def _row(name: str, quote: str, kind: str, claim: dict, verdict: claims.Verdict | None) -> dict:
    row = {"claim": name, "quote": quote, "kind": kind, "experiment": claim.get("experiment", "")}
    if verdict is not None:
        return row | {
            "claim": verdict.claim,
            "experiment": verdict.experiment,
            "verdict": verdict.verdict,
            "effect": verdict.because,
            "machine": verdict.machine,
            "source": verdict.source,
        }
    try:
        card = claims.then_and_now(name) if kind == "then-now" else None
    except CaveatError:
        card = None
    if card is not None:
        return row | {
            "verdict": HISTORY,
            "effect": f"{card.now} ({card.source})",
            "machine": "",
            "source": "literature",
        }
    return row | {"verdict": NOT_YET, "effect": "", "machine": "", "source": ""}
