"""One card per claim: quotation, verdict, one sentence, and the rest folded."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Sequence

from caveatlib import __version__, claims, scorecard
from caveatlib.claims import QUOTED_ON, Verdict, Whole
from caveatlib.experiments import by_name
from caveatlib.page.markup import (
    LETTERS,
    chip,
    classes,
    download,
    link_to,
    prose,
    table,
    text,
)
from caveatlib.scorecard import Entry
from caveatlib.support.quantities import digits_apart

SHORT = {
    claims.HOLDS: "yes",
    claims.FAILS: "no",
    claims.MIXED: "in part",
    claims.OPEN: "undecided",
    claims.NOT_MEASURED: "not measured",
}
"""Verdict -> its word in a table of parts."""
SLASH = re.compile(r"/(?!s(?:/|$))")
"""Between the segments of a part's id, not within a rate ("1 Gbit/s")."""
SHARE = "1"
"""Unit of a share of trials."""
MOST_UNMEASURED = 3
"""So many rows of parts that were not measured are shown; more are counted."""
MOST_SINGLE = 3
"""So many rows of a table of parts may have but one and the same column."""
PAGE = "report/index.html"
"""Where a card is found, unless the page's owner has said where on the web it will be."""


def card(entry: Entry, *, data: bool = True, traps: bool = True, address: str = PAGE) -> str:
    """Return the card of a claim as an HTML article with the claim's id.

    Parameters
    ----------
    entry : Entry
    data : bool
        Whether it carries the rows that decided it, as files to save.
    traps : bool
        Whether it says what would mislead a reader of its experiment, see `misleading`.
    address : str
        Of the page that the card is on.
    """
    answers, compared = _answers(entry), _compared(entry)
    wide = " span" if "<table" in answers or compared else ""
    body = "".join(
        (
            _history(entry),
            answers,
            compared,
            _predicted(entry),
            _not_yet(entry),
            _fold(entry, data, traps, address),
        )
    )
    return (
        f'<article id="{text(entry.id)}" class="card {classes(entry.word)}{wide}">'
        f"<h3>{link_to(entry.id)} {chip(entry.word)}</h3>{_quotation(entry)}{body}</article>"
    )


def _quotation(entry: Entry) -> str:
    if entry.section == scorecard.OURS:
        return f'<p class="ours">{text(entry.quote)}</p>'
    whose = " (derived from it)" if entry.kind == "derived" else ""
    return f"<blockquote>“{text(entry.quote)}”{whose} <cite>{QUOTED_ON}</cite></blockquote>"


def _history(entry: Entry) -> str:
    """Return today's state, which answers where nothing is measured."""
    if not entry.history or entry.verdicts:
        return ""
    return f'<p class="a">{text(entry.history.now)}</p>'


def _not_yet(entry: Entry) -> str:
    if entry.word != scorecard.NOT_YET:
        return ""
    return f'<p class="a">What would decide it: {text(entry.tests)}.</p>'


def _answers(entry: Entry) -> str:
    """Return what was found, machine by machine, and the matrix of the parts."""
    several = len(entry.verdicts) > 1
    said = []
    for verdict in entry.verdicts:
        where = f"{chip(verdict.verdict)} {text(verdict.machine)}: " if several else ""
        said.append(f'<p class="a">{where}{prose(verdict.sentence)}</p>')
        said.append(_matrix(entry, verdict.machine))
    return "".join(said)


def _compared(entry: Entry) -> str:
    """Return this run's answer beside the recorded one, whichever of them is the card's."""
    here = entry.undecided or (entry.recorded and entry.verdicts)
    if not here:
        return ""
    rows = [["this run", *_brief(v)] for v in here]
    rows += [["recorded", *_brief(v)] for v in entry.recorded or entry.verdicts]
    head = ["", "verdict", "measured", "machine"]
    return table(head, rows, label=f"{entry.id}: this run against the recorded one")


BEFOREHAND = "from what was recorded by then and before any machine had measured it"


def _predicted(entry: Entry) -> str:
    """Return how what was measured lies to what was predicted."""
    told = entry.prediction
    if told is None:
        return ""
    met = [
        f" Measured: {interval(v)}, {told.met(v.low, v.high)}."
        for v in entry.verdicts
        if v.verdict in (*claims.DECIDED, claims.OPEN) and not math.isnan(v.low)
    ]
    if not met:
        return ""  # the fold has it
    return (
        f"<p><b>Predicted</b> on {text(told.made_on)}, {BEFOREHAND}: {told.low:g} to "
        f"{told.high:g}, {text(told.of)}.{text(''.join(met))}</p>"
    )


def _brief(verdict: Verdict) -> list[str]:
    return [chip(verdict.verdict), text(verdict.headline), text(verdict.machine)]


def _of_machine(entry: Entry, machine: str) -> dict[str, Verdict]:
    every = [verdict for part in entry.parts.values() for verdict in part]
    return {verdict.claim: verdict for verdict in every if verdict.machine == machine}


def _matrix(entry: Entry, machine: str) -> str:
    """Return the parts of a claim as a table: one row per first segment of their ids.

    Nothing where none was measured: that is said once. Many rows without a measurement
    are counted.
    """
    parts = _of_machine(entry, machine)
    told = {verdict.verdict for verdict in parts.values()} - {claims.NOT_MEASURED}
    if not told or not isinstance(entry.decision, Whole):
        return ""
    labels = entry.decision.labels
    split = {name: SLASH.split(name.removeprefix(f"{entry.id}/")) for name in parts}
    measured = [s for n, s in split.items() if parts[n].verdict != claims.NOT_MEASURED]
    columns = list(dict.fromkeys(s[1] for s in measured if len(s) > 1))
    rows = list(dict.fromkeys(s[0] for s in split.values()))
    empty = [r for r in rows if _unmeasured([parts[n] for n, s in split.items() if s[0] == r])]
    empty = empty if len(empty) > MOST_UNMEASURED else []
    shown, apart = [], []
    single: dict[str, list] = {}
    for row in (r for r in rows if r not in empty):
        name = text(labels.get(row, row))
        mine = [(s, parts[n]) for n, s in split.items() if s[0] == row]
        alone = [v for s, v in mine if s == [row] or _unmeasured([w for _, w in mine])]
        if alone:
            apart.append([name, _cell(alone[0])])
        else:
            found = {s[1]: v for s, v in mine}
            shown.append([name, *(_cell(found[c]) if c in found else "–" for c in columns)])
            if len(found) == 1:
                single.setdefault(next(iter(found)), []).append(shown[-1])
    heads = {c: text(labels.get(c, c)) for c in columns}
    # Many rows of one and the same column need no others beside it.
    many = {c: lines for c, lines in single.items() if len(lines) > MOST_SINGLE}
    wide = [line for line in shown if not any(line in lines for lines in many.values())]
    tables = table(["", *heads.values()], wide, label=f"{entry.id}: its parts") if wide else ""
    for column, lines in many.items():
        only = [[line[0], line[1 + columns.index(column)]] for line in lines]
        tables += table(["", heads[column]], only, label=f"{entry.id}: its parts, {heads[column]}")
    if apart:  # of no column, so below none of their heads
        tables += table(["", "found"], apart, label=f"{entry.id}: its parts by themselves")
    more = f"<p>Not measured: {len(empty)} rows more.</p>" if empty else ""
    left = {s[1] for s in split.values() if len(s) > 1} - set(columns)
    if left:
        named = ", ".join(text(labels.get(c, c)) for c in sorted(left))
        more += f"<p>Not measured for any: {named}.</p>"
    return tables + more


def _unmeasured(verdicts: Sequence[Verdict]) -> bool:
    return all(v.verdict == claims.NOT_MEASURED for v in verdicts)


def _cell(verdict: Verdict) -> str:
    """Return a part's sign with its ratio, or else its word; its headline is at hand."""
    sign, letter = scorecard.ALL_SIGNS[verdict.verdict], LETTERS[verdict.verdict]
    words = f'<span class="vh">{text(verdict.verdict)}: </span>'
    value = words + (_size(verdict) or SHORT[verdict.verdict])
    return (
        f'<span class="{letter} cell" title="{text(verdict.headline)}">'
        f'<b aria-hidden="true">{sign}</b> {value}</span>'
    )


def _size(v: Verdict) -> str:
    """Return a ratio with its interval, or of how many trials it was so; else nothing."""
    if v.unit == SHARE:
        return f"{round(v.effect * v.n)} of {v.n}" if v.n and not math.isnan(v.effect) else ""
    return interval(v) if v.low > 0 else ""


def interval(v: Verdict) -> str:
    """Return ``0.58× [0.53, 0.63]``, with the digits that the interval is worth.

    These are three decimals at most, or two digits of a smaller effect; more where an end that is
    not the threshold would be rounded to it.
    """
    digits = -math.floor(math.log10(max((v.high - v.low) / 2, 1e-9)))
    most = max(3, 1 - math.floor(math.log10(abs(v.effect) or 1)))
    digits = min(max(digits, 0), most)
    for end in (v.low, v.high):
        digits = digits_apart(end, v.threshold, digits)
    mark = "×" if v.unit == "x" else ""
    return f"{v.effect:.{digits}f}{mark} [{v.low:.{digits}f}, {v.high:.{digits}f}]"


def _fold(entry: Entry, data: bool, traps: bool, address: str) -> str:
    """Return all that stands behind the answer, in one fold."""
    topics = ["how, numbers, doubts"] if entry.verdicts else []
    if entry.history:
        topics.append("then and now, sources" if entry.verdicts else "then, and sources")
    if not topics:
        return ""
    summary = ", ".join(topics).capitalize()
    inner = _how(entry, data, traps, address) + _then(entry)
    return f"<details><summary>{summary}</summary>{inner}</details>"


def _then(entry: Entry) -> str:
    """Return the state of 2016 with its sources, and today's where the answer is a measurement."""
    if not entry.history:
        return ""
    inner = f"<p><b>Then:</b> {text(entry.history.then)}</p>"
    if entry.verdicts:
        inner += f"<p><b>Now:</b> {text(entry.history.now)}</p>"
    return inner + f"<p>Sources: {_linked(entry.history.source)}</p>"


def _how(entry: Entry, data: bool, traps: bool, address: str) -> str:
    if not entry.verdicts:
        return ""
    pieces = [f"<p><b>What decides:</b> {text(entry.tests or '')}.</p>"]
    pieces += [f"<p>{prose(v.because)}</p>" for v in entry.verdicts if v.because != v.sentence]
    if entry.prediction:
        told = entry.prediction
        pieces.append(
            f"<p><b>Predicted</b> on {text(told.made_on)}, {BEFOREHAND}: {told.low:g} to "
            f"{told.high:g}, {text(told.of)}. {text(told.reasoning)}</p>"
        )
    pieces.append(_parts_told(entry))
    pieces.append(_doubts(entry))
    pieces.append(misleading(entry.experiment) if traps else "")
    pieces.append(_origin(entry))
    pieces.append(_downloads(entry) if data else "")
    pieces.append(f'<p class="paste"><b>To quote:</b> {text(quotable(entry, address))}</p>')
    return "".join(pieces)


def _parts_told(entry: Entry) -> str:
    told = [
        f"<li>{text(v.claim)}: {prose(v.because)}</li>"
        for part in entry.parts.values()
        for v in part
    ]
    return f"<ul>{''.join(told)}</ul>" if told else ""


def _doubts(entry: Entry) -> str:
    """Return what these trials raise against the verdict, machine by machine."""
    several = len(entry.verdicts) > 1
    said = [
        f"<li>{text(f'{machine}: ' if several else '')}{text(doubt)}</li>"
        for machine, doubts in entry.doubts.items()
        for doubt in doubts
    ]
    if not said:
        return ""
    return f"<p><b>Doubts that these trials raise:</b></p><ul>{''.join(said)}</ul>"


def _linked(source: str) -> str:
    """Return a source with its addresses as links, named by their hosts."""
    pieces = re.split(r"(https://[^\s;,]+)", source)
    return "".join(
        f'<a href="{text(p)}" rel="noreferrer">{text(p.split("/")[2])}</a>' if i % 2 else text(p)
        for i, p in enumerate(pieces)
    )


def misleading(name: str) -> str:
    """Return what an experiment's docstring says would mislead a reader, as a list."""
    found = re.search(r"What would mislead you: (.+?)\.?(?:\n\n|\Z)", by_name(name).__doc__, re.S)
    if not found:
        return ""
    apart = r"; (?:and )?(?![^(]*\))"  # not within parentheses
    told = re.split(apart, " ".join(found[1].split()))  # before an escaped letter has one
    coded = (re.sub(r"(`{1,2})(.+?)\1", r"<code>\2</code>", text(trap)) for trap in told)
    items = "".join(f"<li>{trap}</li>" for trap in coded)
    return f"<p><b>What would mislead you in <code>{text(name)}</code>:</b></p><ul>{items}</ul>"


def _origin(entry: Entry) -> str:
    said = []
    for v in entry.verdicts:
        n = f"n = {v.n}" if v.n else ""
        days = _measured_on(entry)
        parts = [v.source, v.machine, n, f"measured {days}" if days else ""]
        said.append(" · ".join(text(p) for p in parts if p))
    again = f"sudo .venv/bin/caveatlib measure {entry.experiment}"
    return (
        f'<p class="src">{"<br>".join(said)}<br>To repeat it on your machine: '
        f"<code>{text(again)}</code></p>"
    )


def _measured_on(entry: Entry) -> str:
    """Return the days on which the runs began."""
    frame = entry.evidence.get(entry.id)
    frames = [frame] if frame is not None and len(frame) else list(entry.evidence.values())
    days = sorted({str(run)[:10] for f in frames if "run" in f for run in f["run"]})
    return ", ".join(days)


def _downloads(entry: Entry) -> str:
    verdicts = [v.as_dict() for v in entry.verdicts]
    verdicts += [v.as_dict() for part in entry.parts.values() for v in part]
    as_json = _zipped(json.dumps(verdicts, indent=1), f"{entry.id}.json", "JSON")
    as_csv = [
        _zipped(frame.to_csv(index=False, lineterminator="\n"), f"{name}.csv", name)
        for name, frame in entry.evidence.items()
        if len(frame)
    ]
    trials = f"; trials as CSV: {', '.join(as_csv)}" if as_csv else ""
    return f'<p class="src">To save, gzipped: verdicts as {as_json}{trials}</p>'


def _zipped(content: str, name: str, words: str) -> str:
    """Return a link that holds a gzipped file."""
    return download(
        gzip.compress(content.encode(), mtime=0),
        kind="application/gzip",
        name=f"{_file_name(name)}.gz",
        words=words,
    )


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)


def quotable(entry: Entry, address: str = PAGE) -> str:
    """Return a sentence to paste: statement, verdict, answer, origin and where it is found."""
    said = spoken(entry)
    sources = ", ".join(dict.fromkeys(v.source for v in entry.verdicts))
    whose = "caveatlib" if entry.section == scorecard.OURS else f"Docker Caveats, {QUOTED_ON}"
    days = _measured_on(entry)
    trials = f", {sources} trials of {days}" if days else ""
    return (
        f"“{entry.quote}” ({whose}): {entry.word}. {said} caveatlib {__version__}{trials}; "
        f"{address}#{entry.id}"
    )


def spoken(entry: Entry) -> str:
    """Return what was found in sentences; of several machines, each says which it is."""
    several = len(entry.verdicts) > 1
    return " ".join(
        f"On {v.machine}: {v.sentence}" if several else v.sentence for v in entry.verdicts
    )
