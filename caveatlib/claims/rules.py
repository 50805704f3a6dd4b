"""How a verdict follows from an interval, a share or a finding, and how it is worded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from caveatlib import stats
from caveatlib.claims.model import (
    FAILS,
    HOLDS,
    LONGEST_HEADLINE,
    MIXED,
    NOT_MEASURED,
    OPEN,
    Claim,
    Verdict,
)
from caveatlib.errors import UsageError
from caveatlib.support.quantities import MOST_DIGITS, digits_apart, percent, scale

SIGNIFICANT = 4
"""Digits that tell an interval, where they tell its ends apart; and the most after the point."""


def by_effect(
    claim: Claim,
    row: Mapping,
    *,
    direction: str,
    words: tuple[str, str],
    null: pd.DataFrame | None = None,
    label: str = "",
    unit: str = "",
    margin: bool = False,
) -> Verdict:
    """Decide by an effect with an interval against the contrast's threshold.

    Parameters
    ----------
    claim : Claim
    row : mapping
        A row of `stats.contrasts`.
    direction : {"greater", "less"}
        Side of the threshold on which the claim holds.
    words : tuple of two str
        What an effect above and below no effect is called, ``("Slower",
        "Faster")``; the card leads with the one that the data show, but only
        where they decide.
    null : pandas.DataFrame, optional
        From `stats.aa_control`. Where it does not pass, nothing is judged, and the
        card says why; where it passes, the effect's own interval decides, unless
        the control is too imprecise to vouch for it.
    label : str
        What is compared, ``"A pull against a copy"``; the card begins with it.
    unit : str
        Of a difference; a ratio has ``"x"``.
    margin : bool
        Whether the threshold is a margin up to which an effect counts as none.

    Returns
    -------
    Verdict
    """
    if direction not in ("greater", "less"):
        raise UsageError(f"Unknown direction {direction!r}. Must be 'greater' or 'less'.")
    row = dict(row)
    unit = "x" if row["kind"] == "ratio" else unit
    base = _base(claim, row["machine"], row["source"]) | {"n": int(row["n"]), "unit": unit}
    if not row["n"]:
        return Verdict(**base, verdict=NOT_MEASURED, because=row["note"])
    low, high = row["low_adjusted"], row["high_adjusted"]
    base |= {"effect": row["estimate"], "low": low, "high": high}
    if math.isnan(low):
        line, size = _sized(row, unit, label, "Undecided")
        said = [size, row["note"]]
        return Verdict(**base, verdict=OPEN, headline=line, because=_join(said))
    threshold = row["threshold"]
    ends, doubt = _control(row, null)
    base |= {"threshold": threshold, "band_low": ends[0], "band_high": ends[1]}
    inside = low <= threshold <= high
    if not inside and not doubt:
        holds = (low > threshold) == (direction == "greater")
        lead, turned = _lead(row, words, margin=margin and high < threshold)
        line, size = _sized(turned, unit, label, lead)
        said = [size, stats.failures(row)]
        word = HOLDS if holds else FAILS
        return Verdict(**base, verdict=word, headline=line, because=_join(said))
    lead = "Not judged" if doubt else "No difference detected" if _is_none(row) else "Undecided"
    line, size = _sized(row, unit, label, lead)
    found = "" if doubt else _detectable(row, unit, direction)
    said = [size, doubt, found, stats.failures(row)]
    return Verdict(**base, verdict=OPEN, headline=line, because=_join(said))


def by_equality(claim: Claim, row: Mapping, *, tolerance: float, what: str) -> Verdict:
    """Decide by a ratio that should equal its threshold within a tolerance.

    Holds if the whole adjusted interval lies within ``threshold * (1 +-
    tolerance)``, does not hold if all of it lies outside.

    Parameters
    ----------
    claim : Claim
    row : mapping
        A row of `stats.contrasts` of kind ratio.
    tolerance : float
        Relative, in (0, 1).
    what : str
        What the ratio is, ``"Used of the allowed CPU time"``.
    """
    row = dict(row)
    base = _base(claim, row["machine"], row["source"]) | {"n": int(row["n"]), "unit": "x"}
    if row["kind"] != "ratio" or not 0 < tolerance < 1:
        raise UsageError(f"Invalid tolerance {tolerance!r}. Must be in (0, 1), for a ratio.")
    if not row["n"]:
        return Verdict(**base, verdict=NOT_MEASURED, because=row["note"])
    low, high = row["low_adjusted"], row["high_adjusted"]
    least, most = row["threshold"] * (1 - tolerance), row["threshold"] * (1 + tolerance)
    verdict = OPEN
    if least <= low and high <= most:
        verdict = HOLDS
    elif low > most or high < least:
        verdict = FAILS
    marks = (least, most)
    said = [f"{what}: {_counted(row, 'x', marks=marks, against=False)}."]
    said.append(f"Values from {least:.3g} to {most:.3g} count as equal.")
    if math.isnan(low):
        said.append(row["note"])
    else:
        far = row["detectable"] / row["threshold"]
        found = f"Values below {least / far:.3g} or above {most * far:.3g} are found unequal at "
        found += f"{percent(stats.POWER)} power."
        said += [found if verdict == OPEN else "", stats.failures(row)]
    base |= {"effect": row["estimate"], "low": low, "high": high}
    base |= {"threshold": row["threshold"], "band_low": least, "band_high": most}
    line = f"{what}: {_brief(row, 'x', marks=marks)}"
    return Verdict(**base, verdict=verdict, headline=line, because=_join(said))


def by_share(
    claim: Claim,
    found: int,
    n: int,
    *,
    at_least: float,
    what: str,
    machine: str,
    source: str,
    level: float = 0.95,
) -> Verdict:
    """Decide by a share of trials, with its exact interval, against a least share.

    Parameters
    ----------
    claim : Claim
    found, n : int
        Trials in which it was so, of how many.
    at_least : float
        In [0, 1]. Holds if the interval lies at or above it, does not hold if
        all of it lies below.
    what : str
        What was counted, ``"Neighbours that survived"``.
    machine, source : str
    level : float
    """
    base = _base(claim, machine, source) | {"n": int(n), "unit": "1"}
    if n == 0:
        return Verdict(**base, verdict=NOT_MEASURED, because=f"{what}: no trial.")
    effect, low, high = stats.share(found, n, level=level)
    verdict = HOLDS if low >= at_least else FAILS if high < at_least else OPEN
    ends = ", ".join(_percent(end, at_least) for end in (low, high))
    least = percent(at_least)
    line = f"{what}: {found} of {n}, {percent(effect)} [{ends}], against {least}"
    base |= {"effect": effect, "low": low, "high": high}
    said = ""
    if verdict == OPEN:
        most = stats.detectable_share(n, at_least, level=level)
        said = f"A true share of {percent(most)} or less would be detected as below {least}, with "
        said += f"{percent(stats.POWER)} power."
        if not most > 0:
            said = f"{counted(n, 'trial')} {'is' if n == 1 else 'are'} too few to detect any share "
            said += "below it."
    return Verdict(**base, verdict=verdict, headline=line, because=_join([f"{line}.", said]))


def _percent(end: float, edge: float) -> str:
    """Return the end of a share's interval with the digits that tell it from the least share."""
    digits = 0
    while digits < MOST_DIGITS and end != edge and percent(end, digits) == percent(edge, digits):
        digits += 1
    return percent(end, digits)


def by_finding(claim: Claim, finding, *, machine: str, source: str) -> Verdict:
    """Return the verdict of a `claims.Finding`."""
    return Verdict(**_base(claim, machine, source), **finding._asdict())


def not_measured(
    claim: Claim, reason: str, *, machine: str = "", source: str = "", **seen
) -> Verdict:
    """Say why there is nothing fair to compare here; `seen` may show effect, unit and n."""
    return Verdict(**_base(claim, machine, source), verdict=NOT_MEASURED, because=reason, **seen)


def qualified(verdict: Verdict, sentence: str) -> Verdict:
    """Return the verdict with a sentence that qualifies it; an empty one changes nothing."""
    return replace(verdict, because=_join([verdict.because, sentence])) if sentence else verdict


class Sides(NamedTuple):
    """Which parts of a claim came out how: in one line, and with each part's headline."""

    short: str
    long: str


_SIDES = {
    HOLDS: "holds for",
    FAILS: "not for",
    MIXED: "mixed for",
    OPEN: "undecided for",
    NOT_MEASURED: "not measured for",
}


def sides(claim: str, parts: Mapping[str, Verdict]) -> Sides:
    """Return which parts hold and which do not, named without the claim's own id.

    Parameters
    ----------
    claim : str
        Id of the whole, ``"C22"``.
    parts : mapping
        Id of the part -> its verdict.
    """
    named = {name.removeprefix(f"{claim}/"): verdict for name, verdict in parts.items()}
    short, counts, long = [], [], []
    for word, lead in _SIDES.items():
        found = {name: v for name, v in named.items() if v.verdict == word}
        if found:
            short.append(f"{lead} {', '.join(found)}")
            counts.append(f"{lead} {len(found)} of {len(named)} parts")
            long += [f"{name}: {v.headline}" for name, v in found.items()]
    line = "; ".join(short)
    if len(line) > LONGEST_HEADLINE:
        line = "; ".join(counts)
    return Sides(line[0].upper() + line[1:], "; ".join(long))


def counted(n: int, unit: str) -> str:
    """Return ``"1 session"`` or ``"9 sessions"``."""
    return f"{n} {unit}" + ("" if n == 1 else "s")


def too_imprecise(
    control: Mapping,
    plain: tuple[float, float],
    adjusted: tuple[float, float],
    threshold: float = 1.0,
) -> str:
    """Say that an A/A control which passes is too imprecise for an effect, without a full stop.

    Empty where it vouches for the effect (`stats.vouches`), where the effect lies beyond all
    that the control shows, and where its adjusted interval holds the threshold.

    Parameters
    ----------
    control : mapping
        Row of `stats.aa_control`.
    plain, adjusted : tuple of two float
        Intervals of the effect, a ratio; the adjusted one decides.
    threshold : float
    """
    far = max(control["high"], 1 / control["low"])
    beyond = adjusted[0] > threshold * far or adjusted[1] < threshold / far
    inside = adjusted[0] <= threshold <= adjusted[1]
    if inside or beyond or stats.vouches(control, *plain):
        return ""
    return f"The A/A control is too imprecise for effects below {far:.3g}x"


def _base(claim: Claim, machine: str, source: str) -> dict:
    return {
        "claim": claim.id,
        "experiment": claim.experiment,
        "machine": machine,
        "source": source,
        "quote": claim.text,
        "kind": claim.kind,
        "decides": claim.decides,
    }


def _control(row: dict, null: pd.DataFrame | None) -> tuple[tuple[float, float], str]:
    """Return the ends of the A/A control around the threshold, and why it vouches for nothing.

    The sentence is empty where there is no control, and where it passes and is precise
    enough, or the effect lies beyond all that it shows.
    """
    threshold = row["threshold"]
    if null is None or row["kind"] != "ratio":
        return (threshold, threshold), ""
    if row["machine"] not in null.index:
        return (math.nan, math.nan), "The A/A control was not measured."
    control = null.loc[row["machine"]]
    low, high = float(control["low"]), float(control["high"])
    ends = threshold * low, threshold * high
    if math.isnan(low):
        return ends, str(control["note"])
    n = counted(int(control["n"]), control["pairing"])
    told = f"{control['estimate']:.3f}x, 95 % CI {low:.3f} to {high:.3f}, n = {n}"
    told = f"{control['name']}, which should be equal, {told}"
    if not control["passes"]:
        return ends, f"The A/A control differs from 1x: {told}."
    adjusted = row["low_adjusted"], row["high_adjusted"]
    blunt = too_imprecise(control, (row["low"], row["high"]), adjusted, threshold)
    return ends, f"{blunt}: {told}." if blunt else ""


def _lead(row: dict, words: tuple[str, str], *, margin: bool) -> tuple[str, dict]:
    """Return the word that leads, ``"Faster"``, and the row from 1x (or 0) upwards."""
    if margin:
        return "No more than the margin", row
    if not _is_none(row):  # turned round, it would be laid against another threshold
        return "", row
    none = _none(row)
    if row["estimate"] >= none:
        return words[0], row
    turn = (lambda v: 1 / v) if row["kind"] == "ratio" else (lambda v: -v)
    turned = {
        "estimate": turn(row["estimate"]),
        "low": turn(row["high"]),
        "high": turn(row["low"]),
        "low_adjusted": turn(row["high_adjusted"]),
        "high_adjusted": turn(row["low_adjusted"]),
    }
    return words[1], row | turned


def _sized(row: dict, unit: str, label: str, lead: str) -> tuple[str, str]:
    """Return the headline and the first sentence: ``"A pull against a copy: slower, 8.2x ..."``."""
    if label:
        opening = f"{label[0].upper()}{label[1:]}: " + (
            f"{lead[0].lower()}{lead[1:]}, " if lead else ""
        )
    else:
        opening = f"{lead}: " if lead else ""
    return f"{opening}{_brief(row, unit)}", f"{opening}{_counted(row, unit)}."


def _detectable(row: dict, unit: str, direction: str) -> str:
    """Return how large an effect would have had to be to be found by the whole verdict.

    Against no effect at all it is told upwards, else on the side on which the claim holds.
    Empty where all readings are equal: how far others would lie is not known.
    """
    if row["low_adjusted"] == row["high_adjusted"]:
        return ""
    size, threshold = row["detectable"], row["threshold"]
    if direction == "less" and not _is_none(row):
        size = threshold**2 / size if row["kind"] == "ratio" else 2 * threshold - size
    return f"Minimum detectable effect {_value(size, unit)} at {percent(stats.POWER)} power."


def _none(row: dict) -> float:
    return 1.0 if row["kind"] == "ratio" else 0.0


def _is_none(row: dict) -> bool:
    """Whether the threshold is no effect at all."""
    return row["threshold"] == _none(row)


def _counted(row: dict, unit: str, *, marks=(), against: bool = True) -> str:
    """Return ``8.2x (95 % CI 7.5 to 9.0, n = 20 blocks)``, with the threshold if it is one.

    An interval that several claims have widened is called adjusted.
    """
    n = f"n = {counted(row['n'], row['pairing'])}"
    estimate, low, high = _rounded(row, unit, marks)
    versus = "" if _is_none(row) or not against else f", threshold {_value(row['threshold'], unit)}"
    wider = any(row[f"{end}_adjusted"] != row[end] for end in ("low", "high"))
    interval = f"{'adjusted ' if wider else ''}95 % CI {low} to {high}, " if low else ""
    return f"{estimate} ({interval}{n}{versus})"


def _brief(row: dict, unit: str, *, marks=()) -> str:
    """Return ``8.2x [7.5, 9.0], n = 20``."""
    estimate, low, high = _rounded(row, unit, marks)
    return f"{estimate}{f' [{low}, {high}]' if low else ''}, n = {row['n']}"


def _rounded(row: dict, unit: str, marks=()) -> tuple[str, str, str]:
    """Return estimate with its unit, low and high, with the digits that the interval is worth.

    Low and high are empty where there is no interval.
    """
    factor, mark = _mark(row["estimate"], unit)
    estimate, low, high = (
        row[name] / factor for name in ("estimate", "low_adjusted", "high_adjusted")
    )
    if math.isnan(low):
        return f"{estimate:.3g}{mark}", "", ""
    digits = _digits(estimate, low, high)
    # a bound that is not the threshold must not be rounded to it
    for bound in (low, high):
        for edge in (row["threshold"] / factor, *marks):
            digits = digits_apart(bound, edge, digits)
    return f"{estimate:,.{digits}f}{mark}", f"{low:,.{digits}f}", f"{high:,.{digits}f}"


def _digits(estimate: float, low: float, high: float) -> int:
    """Return how many digits after the point an interval is worth.

    No more than make `SIGNIFICANT` of the larger end, unless both ends would print alike.
    """
    width, largest = (high - low) / 2 or abs(estimate) / 100, max(abs(low), abs(high))
    digits = -math.floor(math.log10(width)) if width else 0
    if largest:
        digits = min(digits, SIGNIFICANT - 1 - math.floor(math.log10(largest)))
    return digits_apart(low, high, max(0, min(MOST_DIGITS, digits)))


def _value(value: float, unit: str) -> str:
    factor, mark = _mark(value, unit)
    return f"{value / factor:.3g}{mark}"


def _mark(value: float, unit: str) -> tuple[float, str]:
    """Return the divisor and the mark with which a value of a unit is best read."""
    if unit == "x":
        return 1.0, "x"
    factor, name = scale(value, unit)
    return factor, f" {name}" if name else ""


def _join(sentences: list[str]) -> str:
    return " ".join(s for s in sentences if s)
