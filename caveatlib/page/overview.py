"""The first screen: tally, tiles, what is not decided; and the forest of all ratios."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence, Set

from caveatlib import claims, scorecard
from caveatlib.claims import Effect, Verdict
from caveatlib.claims.model import first_sentence
from caveatlib.experiments import by_name
from caveatlib.experiments.kit.highlights import Highlight
from caveatlib.page.cards import PAGE, card, interval
from caveatlib.page.markup import LETTERS, chip, classes, link_to, prose, table, text
from caveatlib.page.sheet import NOTEBOOK
from caveatlib.scorecard import Entry

LEAST, MOST = 1e-3, 1e3
"""Ends of the forest's axis, in powers of ten that hold what is drawn, at most these."""
UNSEEN = 0.005
"""So many decades beyond an end of the axis are less than a pixel."""
CROWDED = 5
"""On an axis of so many decades every second one has a label."""

TINTS = {"h": "#0b62a4", "f": "#b93c09", "m": "#7d5800", "o": "#a87900", "n": "#77808c",
         "t": "#8a63c9", "y": "#77808c"}  # fmt: skip
HIDDEN = "position:absolute;width:1px;height:1px;overflow:hidden"
_INLINE = {
    "bars": "display:grid;grid-template-columns:7rem 1fr 5.6rem;gap:.15rem .5rem",
    "find": "display:flex;flex-direction:column",
    "row": "display:grid",
}
"""Style that elements of a notebook carry: JupyterLab drops a sheet that it does not trust."""


class Overview:
    """Entries as a notebook shows them: tiles, findings and cards, and lines in a terminal."""

    def __init__(self, listed: Sequence[Entry], highlights: Sequence[Highlight] = ()):
        self.entries, self.highlights = list(listed), list(highlights)

    def __repr__(self):
        frame = scorecard.as_table(self.entries)
        return "\n".join([scorecard.tally(self.entries), *scorecard.lines(frame)])

    def _repr_html_(self):
        return (
            f"<style>{NOTEBOOK}</style>"
            f'<div class="caveats"><p class="lead">{sentence(self.entries)}</p>'
            f"{strip(self.entries, inline=True)}{_inline(findings(self.highlights))}"
            f"{_inline(forest(self.entries))}{by_section(self.entries, data=False)}</div>"
        )


def _inline(html: str) -> str:
    """Return rows of bars and of the forest that are rows without a style sheet, too."""
    for name in _INLINE:
        html = re.sub(rf'class="{name}\b[^"]*"', rf'\g<0> style="{_INLINE[name]}"', html)
    return html


def sentence(listed: Sequence[Entry]) -> str:
    """Return the one sentence that says how the statements stand, as HTML."""
    post = scorecard.counts(listed)
    said = {
        claims.HOLDS: ("holds", "hold"),
        claims.MIXED: ("depends on the circumstances", "depend on the circumstances"),
        claims.FAILS: ("does not hold", "do not hold"),
        claims.OPEN: ("remains open", "remain open"),
        scorecard.SEVERAL: ("differs by machine", "differ by machine"),
    }
    found = {word: post[word] for word in said if post.get(word)}
    parts = [f"{n} {said[word][n > 1]}" for word, n in found.items()]
    joined = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)
    told = f"In April 2016 a post made {sum(post.values())} statements about containers. "
    if parts:
        tested = sum(found.values())
        told += f"{tested} {'was' if tested == 1 else 'were'} put to the test: <b>{joined}.</b>"
    if left := post.get(claims.NOT_MEASURED, 0):
        told += f" {left} {'is' if left == 1 else 'are'} not measured here."
    return told


def picks(listed: Sequence[Entry]) -> str:
    """Return the tally as radio buttons that filter tiles and cards, by style alone."""
    post = scorecard.counts(listed)
    buttons = [_pick("all", f"<b>{sum(post.values())}</b> all", "", checked=True)]
    for word, count in post.items():
        letter = LETTERS[word]
        sign = scorecard.ALL_SIGNS[word]
        label = f'<b>{count}</b> <span aria-hidden="true">{sign}</span> {text(word)}'
        buttons.append(_pick(classes(word).split()[-1], label, letter))
    return (
        '<fieldset class="tally"><legend class="vh">Show only</legend>'
        f"{''.join(buttons)}</fieldset>"
    )


def _pick(value: str, label: str, letter: str, *, checked: bool = False) -> str:
    on = " checked" if checked else ""
    return (
        f'<label class="pick {letter}"><input type="radio" name="f" id="f-{value}"{on}> '
        f"{label}</label>"
    )


def strip(listed: Sequence[Entry], *, inline: bool = False) -> str:
    """Return one tile per statement of the post, by section; each leads to its card.

    With `inline` each has its style itself: it is a tile where a style sheet is dropped.
    """
    groups = []
    for section, inside in sections(listed).items():
        if section == scorecard.OURS:
            continue
        tiles = "".join(_tile(entry, inline) for entry in inside)
        groups.append(f'<div class="grp"><span>{text(section)}</span><div>{tiles}</div></div>')
    return f'<nav class="strip" aria-label="Statements">{"".join(groups)}</nav>'


def _tile(entry: Entry, inline: bool) -> str:
    sign = scorecard.ALL_SIGNS[entry.word]
    style, hidden = "", ""
    if inline:
        style, hidden = f' style="{_tile_style(entry.word)}"', f' style="{HIDDEN}"'
    return (
        f'<a class="tile {classes(entry.word)}"{style} href="#{text(entry.id)}" '
        f'title="{text(entry.id)} {text(entry.word)}: {text(entry.quote)}">'
        f'<small>{text(entry.id.removeprefix("C"))}</small> <b aria-hidden="true">{sign}</b> '
        f'<span class="vh"{hidden}>{text(entry.word)}</span></a> '
    )


def _tile_style(word: str) -> str:
    """Return a tile's style without a sheet, in colours that are read on white and on black."""
    letter = LETTERS[word]
    colour = TINTS[letter]
    filled = letter in "hfm"
    line = "dashed" if letter == "y" else "solid"
    return (
        f"display:inline-block;width:2.15rem;height:2.5rem;margin:1px;line-height:1.1;"
        f"text-align:center;text-decoration:none;border-radius:5px;border:2px {line} {colour};"
        f"color:{'#ffffff' if filled else colour}"
        + (f";background-color:{colour}" if filled else "")
    )


def undecided(listed: Sequence[Entry]) -> str:
    """Return what is not decided here, and the command that would decide it."""
    found = [
        e
        for e in listed
        if e.section != scorecard.OURS and e.word in (claims.NOT_MEASURED, claims.OPEN)
    ]
    if not found:
        return ""
    links = ", ".join(link_to(entry.id) for entry in found)
    return (
        f'<p class="cannot"><b>Not decided here:</b> {links}; each card says why. To measure on '
        "your machine: <code>sudo make system report</code></p>"
    )


def findings(highlights: Sequence[Highlight]) -> str:
    """Return the headline findings: a number, one sentence and bars each; nothing of none."""
    found = "".join(_finding(h) for h in highlights)
    return f'<div class="finds">{found}</div>' if found else ""


def bars(highlight: Highlight) -> str:
    """Return a finding's bars, the longest as wide as there is room."""
    most = max((bar.value for bar in highlight.bars), default=0) or 1
    drawn = "".join(
        f'<span>{text(bar.label)}</span><i><u class="{"hi" if bar.marked else ""}" '
        f'style="width:{100 * bar.value / most:.2f}%"></u></i><em>{text(bar.text)}</em>'
        for bar in highlight.bars
    )
    return f'<div class="bars">{drawn}</div>'


def _finding(highlight: Highlight) -> str:
    said = " · ".join(filter(None, (highlight.claim, highlight.source)))
    return (
        f'<a class="find" href="#{text(highlight.claim)}"><strong>{text(highlight.number)}</strong>'
        f"<p>{text(highlight.sentence)}</p>"
        f"{bars(highlight)}<small>{text(said)} →</small></a>"
    )


def by_section(
    listed: Sequence[Entry], *, data: bool = True, address: str = PAGE, paper: bool = False
) -> str:
    """Return all cards that say something, section by section; see `cards.card`.

    For `paper` those of our own are a table besides, see `on_paper`: that alone is printed.
    """
    parts = []
    for section, inside in sections(listed).items():
        told = [entry for entry in inside if entry.word != scorecard.NOT_YET]
        cards = [card(entry, data=data, address=address) for entry in told]
        if cards:
            alone = " screen" if section == scorecard.OURS and paper else ""
            parts.append(
                f'<h3 class="sec">{text(section)}</h3>'
                f'<div class="cards{alone}">{"".join(cards)}</div>'
            )
    return "".join(parts) + (on_paper(listed) if paper else "")


def on_paper(listed: Sequence[Entry]) -> str:
    """Return the claims of our own as one table, which is printed instead of their cards."""
    rows = []
    for entry in listed:
        if entry.section == scorecard.OURS and entry.verdicts:
            first = next((v for v in entry.verdicts if v.verdict == entry.word), entry.verdicts[0])
            effect = interval(first) if first.unit == "x" and first.low > 0 else ""
            said = prose(f"{first_sentence(first.sentence)}.")
            rows.append([link_to(entry.id), chip(entry.word), effect, said])
    if not rows:
        return ""
    head = ["", "verdict", "ratio", "answer"]
    return f'<div class="paper">{table(head, rows, label=scorecard.OURS)}</div>'


def not_yet(listed: Sequence[Entry]) -> str:
    """Return the statements without an experiment, and what would decide each."""
    found = [entry for entry in listed if entry.word == scorecard.NOT_YET]
    items = "".join(
        f'<li id="{text(e.id)}"><a href="#{text(e.id)}">{text(e.id)}</a> “{text(e.quote)}”'
        f"<small>{text(e.tests)}</small></li>"
        for e in found
    )
    return f'<ul class="yet">{items}</ul>' if items else ""


def sections(listed: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return the entries by section, in order."""
    found: dict[str, list[Entry]] = {}
    for entry in listed:
        found.setdefault(entry.section, []).append(entry)
    return found


# ---- forest ---------------------------------------------------------------------------


def forest(listed: Sequence[Entry]) -> str:
    """Return all ratios with an interval on one logarithmic axis, a line a claim and machine."""
    rows = [(entry, v) for entry in listed for v in _ratios(entry)]
    if not rows:
        return ""
    ends = [x for _, v in rows for x in (v.low, v.high, v.threshold)]
    low = 10 ** math.floor(math.log10(min(ends)) + UNSEEN)
    low = min(max(LEAST, low), MOST / 10)
    high = 10 ** math.ceil(math.log10(max(ends)) - UNSEEN)
    high = max(min(MOST, high), 10 * low)  # a decade at least, if all is within a pixel of 1
    short = _told_apart({v.machine for _, v in rows})
    shown = []
    for name in dict.fromkeys(entry.experiment for entry, _ in rows):
        mine = [(entry, v) for entry, v in rows if entry.experiment == name]
        several = len({v.machine for _, v in mine}) > 1
        once = "" if several or len(short) == 1 else f" On {short[mine[0][1].machine]}."
        shown.append(f"<h3>{text(by_name(name).QUESTION + once)}</h3>")
        for entry, v in mine:
            shown.append(_line(entry, v, low, high, on=short[v.machine] if several else ""))
    return f'<div class="forest">{_axis(low, high)}{"".join(shown)}</div>'


def _told_apart(machines: Set[str]) -> dict[str, str]:
    """Return for each machine the shortest beginning of its description that no other has."""
    short = {}
    for machine in machines:
        parts = machine.split(", ")
        starts = [", ".join(parts[:n]) for n in range(1, len(parts) + 1)]
        others = [f"{other}, " for other in machines - {machine}]
        alone = (s for s in starts if not any(o.startswith(f"{s}, ") for o in others))
        short[machine] = next(alone, machine)
    return short


def _ratios(entry: Entry) -> list[Verdict]:
    """Return what an effect decided by a ratio; what should be equal is not such an effect."""
    if not entry.verdicts:
        return []
    effects = {d.claim.id for d in by_name(entry.experiment).DECISIONS if isinstance(d, Effect)}
    found = [*entry.verdicts, *(v for part in entry.parts.values() for v in part)]
    return [v for v in found if v.unit == "x" and v.low > 0 and v.claim in effects]


def _axis(low: float, high: float) -> str:
    first, last = round(math.log10(low)), round(math.log10(high))
    ticks = "".join(
        f'<i style="left:{_at(10.0**step, low, high)}'
        f'{"" if step in (first, last) else ";transform:translateX(-50%)"}">{_power(step)}</i>'
        for step in range(first, last + 1)
        if last - first < CROWDED or step % 2 == 0
    )
    return (
        '<div class="row axis"><span class="lab"></span>'
        f'<span class="ax" aria-hidden="true">{ticks}</span><span class="val"></span></div>'
    )


def _power(step: int) -> str:
    return "equal" if step == 0 else f"{10**step:,}×" if step > 0 else f"1/{10**-step:,}"


def _line(entry: Entry, v: Verdict, low: float, high: float, *, on: str) -> str:
    label = _label(entry, v.claim) + (f" ({on})" if on else "")
    if entry.section != scorecard.OURS:  # the ids of ours are too long for a line
        label = f"{entry.id} {label.removeprefix(entry.id).lstrip(' /')}"
    band = ""
    if not math.isnan(v.band_low):
        start, end = _share(v.band_low, low, high), _share(v.band_high, low, high)
        band = f'<i class="band" style="left:{start:.2f}%;width:{end - start:.2f}%"></i>'
    start, end = _share(v.low, low, high), _share(v.high, low, high)
    marks = (
        f'{band}<i class="th" style="left:{_at(v.threshold, low, high)}"></i>'
        f'<i class="ci" style="left:{start:.2f}%;width:{end - start:.2f}%"></i>'
        f'<i class="pt" style="left:{_at(v.effect, low, high)}"></i>'
    )
    letter = LETTERS[v.verdict]
    return (
        f'<a class="row {letter}" href="#{text(entry.id)}"><span class="lab">{text(label)}</span>'
        f'<span class="ax" aria-hidden="true">{marks}</span>'
        f'<span class="val">{interval(v)}</span><span class="w">{chip(v.verdict)}</span></a>'
    )


def _label(entry: Entry, claim: str) -> str:
    """Return a few words for what is compared, or else the claim's id."""
    for decision in by_name(entry.experiment).DECISIONS:
        if decision.claim.id == claim:
            return decision.label or claim
    return claim


def _share(value: float, low: float, high: float) -> float:
    inside = min(max(value, low), high)
    return 100 * math.log(inside / low) / math.log(high / low)


def _at(value: float, low: float, high: float) -> str:
    return f"{_share(value, low, high):.2f}%"
