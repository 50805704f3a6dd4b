"""How a verdict follows from an interval, a share or a fact."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from caveatlib import stats
from caveatlib.claims.model import FAILS, HOLDS, NOT_MEASURED, OPEN, Claim, Verdict
from caveatlib.errors import UsageError


def by_effect(
    claim: Claim,
    row: Mapping,
    *,
    direction: str,
    words: tuple[str, str],
    null: pd.DataFrame | None = None,
    unit: str = "",
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
        What an effect above and below no effect is called, ``("Faster",
        "Slower")``; the card leads with the one that the data show, but only
        where they decide.
    null : pandas.DataFrame, optional
        From `stats.null_band`; no verdict is drawn inside its band, and the
        card says so where the band is wide or stands in the way.
    unit : str
        Of a difference; a ratio has ``"x"``.

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
        said = [f"Undecided: {_counted(row, unit)}.", row["note"]]
        return Verdict(**base, verdict=OPEN, because=_join(said))
    below, above, noise = _band(row, null)
    if low > above or high < below:
        holds = (low > above) == (direction == "greater")
        said = [_size(row, words, unit), _failures(row), noise]
        return Verdict(**base, verdict=HOLDS if holds else FAILS, because=_join(said))
    said = [_undecided(row, unit, above), _failures(row), noise]
    return Verdict(**base, verdict=OPEN, because=_join(said))


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
    said = [f"{what}: {_interval(row, 'x', marks=(least, most))}."]
    said.append(f"Equal means {least:.3g} to {most:.3g}.")
    if math.isnan(low):
        said.append(row["note"])
    elif failed := row["failed_arm"] + row["failed_baseline"]:
        said.append(f"{failed} trial{'' if failed == 1 else 's'} failed.")
    base |= {"effect": row["estimate"], "low": low, "high": high}
    return Verdict(**base, verdict=verdict, because=_join(said))


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
    because = (
        f"{what}: {found} of {n}, {effect:.0%} [{low:.0%}, {high:.0%}], against {at_least:.0%}."
    )
    base |= {"effect": effect, "low": low, "high": high}
    return Verdict(**base, verdict=verdict, because=because)


def by_fact(
    claim: Claim, fact: bool | None, *, evidence: str, machine: str, source: str, n: int = 1
) -> Verdict:
    """Decide by a yes or no with its evidence; None is inconclusive."""
    verdict = {True: HOLDS, False: FAILS, None: OPEN}[None if fact is None else bool(fact)]
    return Verdict(**_base(claim, machine, source), verdict=verdict, n=n, because=evidence)


def not_measured(
    claim: Claim, reason: str, *, machine: str = "", source: str = "", **seen
) -> Verdict:
    """Say why there is nothing fair to compare here; `seen` may show effect, unit and n."""
    return Verdict(**_base(claim, machine, source), verdict=NOT_MEASURED, because=reason, **seen)


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


def _band(row: dict, null: pd.DataFrame | None) -> tuple[float, float, str]:
    """Return within which ends nothing is decided, and the sentence on the harness's noise."""
    threshold = row["threshold"]
    if null is None or row["kind"] != "ratio":
        return threshold, threshold, ""
    if row["machine"] not in null.index:
        return math.nan, math.nan, "The harness's own noise was not measured."
    band = null.loc[row["machine"]]
    below, above = threshold * band["band_low"], threshold * band["band_high"]
    low, high = row["low_adjusted"], row["high_adjusted"]
    stands_in_the_way = threshold < low <= above or below <= high < threshold
    noise = str(band["note"])
    if stands_in_the_way and not noise:
        noise = (
            f"The same arm twice reads {band['estimate']:.2f}x "
            f"[{band['low']:.2f}, {band['high']:.2f}]."
        )
    return below, above, noise


def _size(row: dict, words: tuple[str, str], unit: str) -> str:
    """Return ``Faster: 8.2x [7.5, 9.0] (20 blocks).``, from 1x upwards."""
    ratio = row["kind"] == "ratio"
    none = _none(row)
    if row["threshold"] != none:  # turned round, it would be laid against another threshold
        return f"{_counted(row, unit)}."
    word, shown = words[0] if row["estimate"] >= none else words[1], row
    if row["estimate"] < none:
        turn = (lambda v: 1 / v) if ratio else (lambda v: -v)
        shown = row | {
            "estimate": turn(row["estimate"]),
            "low_adjusted": turn(row["high_adjusted"]),
            "high_adjusted": turn(row["low_adjusted"]),
        }
    return f"{word}: {_counted(shown, unit)}."


def _undecided(row: dict, unit: str, above: float) -> str:
    """Return what was not found, and how large it would have had to be.

    A verdict needs the whole interval outside of the null band, so the band's
    width comes on top of what the spread allows to detect.
    """
    if math.isnan(above):
        return f"Undecided: {_counted(row, unit)}."
    detectable = row["detectable"] + above - row["threshold"]
    if row["kind"] == "ratio":
        detectable = row["detectable"] * above / row["threshold"]
    found = f"one of {_value(detectable, unit)} would have been found in four of five such runs"
    if row["threshold"] != _none(row):
        return f"Undecided: {_counted(row, unit)}; {found}."
    inside = row["low_adjusted"] <= row["threshold"] <= row["high_adjusted"]
    beyond = "" if inside else " beyond the harness's own noise"
    return f"No difference found{beyond}: {_counted(row, unit)}, {found}."


def _none(row: dict) -> float:
    return 1.0 if row["kind"] == "ratio" else 0.0


def _counted(row: dict, unit: str) -> str:
    """Return ``8.2x [7.5, 9.0] against 2x (20 blocks)``; against no effect is not said."""
    against = ""
    if row["threshold"] != _none(row):
        against = f" against {_value(row['threshold'], unit)}"
    units = row["pairing"] + ("" if row["n"] == 1 else "s")
    return f"{_interval(row, unit)}{against} ({row['n']} {units})"


def _failures(row: dict) -> str:
    said = []
    for arm in ("arm", "baseline"):
        if failed := row[f"failed_{arm}"]:
            said.append(f"{failed} trial{'s' * (failed > 1)} of the {arm} failed.")
    return " ".join(said)


def _interval(row: dict, unit: str, marks=()) -> str:
    """Return ``8.2x [7.5, 9.0]`` with as many digits as the interval is worth."""
    factor, mark = _mark(row["estimate"], unit)
    estimate, low, high = (
        row[name] / factor for name in ("estimate", "low_adjusted", "high_adjusted")
    )
    if math.isnan(low):
        return f"{estimate:.3g}{mark}"
    width = (high - low) / 2 or abs(estimate) / 100
    digits = max(0, min(9, -math.floor(math.log10(width)))) if width else 0
    # a bound that is not the threshold must not be rounded to it
    for bound in (low, high):
        for edge in (row["threshold"] / factor, *marks):
            while digits < 9 and bound != edge and round(bound, digits) == round(edge, digits):
                digits += 1
    estimate, low, high = (f"{v:,.{digits}f}" for v in (estimate, low, high))
    return f"{estimate}{mark} [{low}, {high}]"


def _value(value: float, unit: str) -> str:
    factor, mark = _mark(value, unit)
    return f"{value / factor:.3g}{mark}"


def _mark(value: float, unit: str) -> tuple[float, str]:
    """Return the divisor and the mark with which a value of a unit is best read."""
    if unit == "B" and abs(value) >= 1e6:
        return 1e6, " MB"
    return 1.0, "x" if unit == "x" else f" {unit}" if unit else ""


def _join(sentences: list[str]) -> str:
    return " ".join(s for s in sentences if s)
