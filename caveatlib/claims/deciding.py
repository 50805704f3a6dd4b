"""How a verdict follows from an interval, a share or a fact."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from caveatlib import stats
from caveatlib.claims.cards import FAILS, HOLDS, NOT_MEASURED, OPEN, Claim, Verdict
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
        "Slower")``; the card leads with the one that the data show.
    null : pandas.DataFrame, optional
        From `stats.null_band`; no verdict is drawn inside its band.
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
    base |= {"effect": row["estimate"], "low": row["low_adjusted"], "high": row["high_adjusted"]}
    said = [_size(row, words, unit), row["note"]]
    if math.isnan(row["low_adjusted"]):
        return Verdict(**base, verdict=OPEN, because=_join(said))
    below, above, noise = _band(row, null)
    if math.isnan(above):
        return Verdict(**base, verdict=OPEN, because=_join([*said, noise]))
    low, high, threshold = row["low_adjusted"], row["high_adjusted"], row["threshold"]
    if below <= high and low <= above:
        if low > threshold or high < threshold:
            said.append(f"Inside the band in which the same arm twice moves. {noise}".rstrip())
        return Verdict(**base, verdict=OPEN, because=_join(said))
    holds = (low > above) == (direction == "greater")
    return Verdict(**base, verdict=HOLDS if holds else FAILS, because=_join(said))


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
    threshold = row["threshold"]
    if null is None or row["kind"] != "ratio":
        return threshold, threshold, ""
    if row["machine"] not in null.index:
        return math.nan, math.nan, "The harness's own noise was not measured."
    band = null.loc[row["machine"]]
    return threshold * band["band_low"], threshold * band["band_high"], str(band["note"])


def _size(row: dict, words: tuple[str, str], unit: str) -> str:
    """Return ``Faster: 8.2x [7.5, 9.0] (20 blocks).``, from 1x upwards."""
    ratio = row["kind"] == "ratio"
    none = 1.0 if ratio else 0.0
    plural = "" if row["n"] == 1 else "s"
    if row["threshold"] != none:  # turned round, it would be laid against another threshold
        against = f"{row['threshold']:.3g}{'x' if ratio else f' {unit}'}"
        return f"{_interval(row, unit)} against {against} ({row['n']} {row['unit']}{plural})."
    word, shown = words[0] if row["estimate"] >= none else words[1], row
    if row["estimate"] < none:
        turn = (lambda v: 1 / v) if ratio else (lambda v: -v)
        shown = row | {
            "estimate": turn(row["estimate"]),
            "low_adjusted": turn(row["high_adjusted"]),
            "high_adjusted": turn(row["low_adjusted"]),
        }
    return f"{word}: {_interval(shown, unit)} ({row['n']} {row['unit']}{plural})."


def _interval(row: dict, unit: str, marks=()) -> str:
    """Return ``8.2x [7.5, 9.0]`` with as many digits as the interval is worth."""
    low, high = row["low_adjusted"], row["high_adjusted"]
    mark = "x" if unit == "x" else f" {unit}" if unit else ""
    if math.isnan(low):
        return f"{row['estimate']:.3g}{mark}"
    width = (high - low) / 2 or abs(row["estimate"]) / 100
    digits = max(0, min(9, -math.floor(math.log10(width)))) if width else 0
    # a bound that is not the threshold must not be rounded to it
    for bound in (low, high):
        for edge in (row["threshold"], *marks):
            while digits < 9 and bound != edge and round(bound, digits) == round(edge, digits):
                digits += 1
    estimate, low, high = (f"{v:,.{digits}f}" for v in (row["estimate"], low, high))
    return f"{estimate}{mark} [{low}, {high}]"


def _join(sentences: list[str]) -> str:
    return " ".join(s for s in sentences if s)
