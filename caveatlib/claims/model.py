"""Claims, verdicts and then-and-now cards as values that show themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from html import escape

from caveatlib.errors import UsageError
from caveatlib.support.text import escape_control_characters

HOLDS, FAILS, MIXED = "holds", "does not hold", "mixed"
OPEN, NOT_MEASURED = "inconclusive", "not measured here"
VERDICTS = (HOLDS, FAILS, MIXED, OPEN, NOT_MEASURED)
DECIDED = (HOLDS, FAILS, MIXED)
"""Verdicts that answer; ``mixed`` holds on some parts and not on others."""
SIGNS = {HOLDS: "✓", FAILS: "✗", MIXED: "±", OPEN: "?", NOT_MEASURED: "–"}
LONGEST_HEADLINE = 120
KINDS = ("quoted", "derived", "ours")


@dataclass(frozen=True)
class Claim:
    """A statement that can be decided.

    Attributes
    ----------
    id : str
        ``"C23"`` in the ledger, any other name for our own.
    text : str
        The quotation, or the statement.
    kind : {"quoted", "derived", "ours"}
    decides : str
        Sentence that says what decides it.
    experiment : str
    """

    id: str
    text: str
    kind: str
    decides: str
    experiment: str

    def __post_init__(self):
        if self.kind not in KINDS:
            raise UsageError(f"Unknown kind {self.kind!r} of claim {self.id}. Must be {KINDS}.")

    def part(self, name: str, text: str, decides: str) -> Claim:
        """Return the claim that is a part of this one, ``"C09/harm"``."""
        return Claim(f"{self.id}/{name}", text, "derived", decides, self.experiment)


@dataclass(frozen=True, repr=False)
class Verdict:
    """What was found about a claim, on one machine.

    Attributes
    ----------
    claim, experiment : str
    verdict : str
        One of `VERDICTS`.
    effect, low, high : float
        Effect with its adjusted interval in `unit`; NaN where there is none.
    unit : str
        ``"x"`` for a ratio.
    n : int
        Pairs, sessions or trials behind it.
    machine, source : str
    headline : str
        Effect, interval and n, or the fact, in one line of at most `LONGEST_HEADLINE` characters.
    because : str
        Sentences, the headline's among them.
    sentence : str
        The answer as one would say it aloud; the headline if it has none of its own.
    threshold, band_low, band_high : float
        What a ratio or difference is held against, and the interval of its A/A control (the
        tolerance of an equality) around it; NaN where there is none. Shown, not stored.
    quote, kind, decides : str
        Of the claim; shown, not stored.
    """

    claim: str
    experiment: str
    verdict: str
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    unit: str = ""
    n: int = 0
    machine: str = ""
    source: str = ""
    headline: str = ""
    because: str = ""
    sentence: str = ""
    threshold: float = math.nan
    band_low: float = math.nan
    band_high: float = math.nan
    quote: str = ""
    kind: str = ""
    decides: str = ""

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise UsageError(f"Unknown verdict {self.verdict!r}. Must be one of {VERDICTS}.")
        object.__setattr__(self, "n", int(self.n))
        if not self.headline:
            object.__setattr__(self, "headline", _cut(first_sentence(self.because)))
        if not self.sentence:
            told = self.headline if self.headline[-1:] != "…" else first_sentence(self.because)
            object.__setattr__(self, "sentence", f"{told}.")
        for name in ("effect", "low", "high"):  # null in JSON
            if getattr(self, name) is None:
                object.__setattr__(self, name, math.nan)

    def as_dict(self) -> dict:
        """Return the verdict as JSON takes it; what is not finite is None."""
        names = [f.name for f in fields(self) if f.name not in _SHOWN]
        return {name: _plain(getattr(self, name)) for name in names}

    def __repr__(self):
        origin = ", ".join(part for part in (self.experiment, self.source, self.machine) if part)
        lines = [f"{self.claim} {self.verdict}. {self.because}"]
        lines += [f"  What decides: {self.decides}."] if self.decides else []
        return "\n".join(escape_control_characters(line) for line in [*lines, f"  ({origin})"])

    def _repr_html_(self):
        origin = " · ".join(p for p in (self.experiment, self.source, self.machine) if p)
        quote = f"“{self.quote}” ({self.kind})" if self.quote else ""
        asked = f"What decides: {self.decides}." if self.decides else ""
        title = f"{SIGNS[self.verdict]} {self.claim} {self.verdict}"
        return card(title, quote, [self.because], origin, self.verdict, asked=asked)


_SHOWN = ("headline", "sentence", "threshold", "band_low", "band_high", "quote", "kind", "decides")


class Verdicts(list):
    """A list of verdicts that a notebook shows as cards, a terminal as lines."""

    def __repr__(self):
        return "\n".join(map(repr, self))

    def _repr_html_(self):
        return "".join(verdict._repr_html_() for verdict in self)


@dataclass(frozen=True)
class Prediction:
    """An interval for the effect of a claim, written down before any machine had measured it.

    Attributes
    ----------
    claim : str
    of : str
        What the ratio is of, in words.
    low, high : float
        In which 9 of 10 machines are expected to lie.
    reasoning : str
    made_on : str
        Day, ``"2026-11-28"``.
    """

    claim: str
    of: str
    low: float
    high: float
    reasoning: str
    made_on: str

    def met(self, low: float, high: float) -> str:
        """Say how a measured interval lies to it: inside, outside or across its end."""
        if self.low <= low and high <= self.high:
            return "inside"
        return "outside" if high < self.low or self.high < low else "across its end"


@dataclass(frozen=True, repr=False)
class ThenAndNow:
    """A statement of 2016 beside today's state, with sources and no measurement."""

    claim: str
    quote: str
    date: str
    then: str
    now: str
    source: str

    def __repr__(self):
        head = f"{self.claim} then and now ({self.date}: {self.quote!r})."
        lines = [head, f"  Then: {self.then}", f"  Now: {self.now}", f"  ({self.source})"]
        return "\n".join(escape_control_characters(line) for line in lines)

    def _repr_html_(self):
        lines = [f"Then: {self.then}", f"Now: {self.now}"]
        quote = f"“{self.quote}” ({self.date})"
        return card(f"{self.claim} then and now", quote, lines, self.source)


def first_sentence(text: str) -> str:
    """Return what stands before the first full stop that ends a sentence."""
    return text.partition(". ")[0].rstrip(".")


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST_HEADLINE else line[: LONGEST_HEADLINE - 1] + "…"


def _plain(value):
    if isinstance(value, str):
        return value
    value = float(value) if not isinstance(value, int) else value
    return value if math.isfinite(value) else None


_COLOURS = {
    HOLDS: "#0072B2",
    FAILS: "#D55E00",
    MIXED: "#CC79A7",
    OPEN: "#9a7d00",
    NOT_MEASURED: "#7a7f87",
}
"""Told apart by colour-blind eyes (Okabe and Ito, 2008); the sign says the same."""


def card(
    title: str, quote: str, lines: list[str], origin: str, verdict: str = "", asked: str = ""
) -> str:
    """Return a small card as HTML; all text is escaped, colours work on light and dark."""
    colour = _COLOURS.get(verdict, "#4c78a8")
    small = '<div style="font-size:0.85em;opacity:0.75">'
    body = "".join(f"<div>{_markup(line)}</div>" for line in lines)
    said = "".join(f"{small}{_markup(text)}</div>" for text in (quote, asked) if text)
    return (
        f'<div style="border:1px solid {colour};border-left:6px solid {colour};'
        'border-radius:4px;padding:6px 10px;margin:4px 0;color:inherit;background:transparent">'
        f"<b>{_markup(title)}</b>{said}{body}{small}{_markup(origin)}</div></div>"
    )


def _markup(text: str) -> str:
    return escape(escape_control_characters(text))
