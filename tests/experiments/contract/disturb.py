"""What a decision must answer to: each function returns what is wrong with it, in sentences.

The trials are of one machine. Where a decision cannot be measured in them, nothing is said of
it: `measured` tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from caveatlib import claims, frames, stats
from caveatlib.claims import FAILS, HOLDS, NOT_MEASURED, OPEN
from caveatlib.experiments.kit.calibration import Control, Known, calibrate

Change = Callable[[pd.DataFrame], pd.DataFrame]
FAR = 10.0
"""Factor by which an effect is moved to be clearly on one side of its threshold."""


def problems(experiment, rows: pd.DataFrame, decision: claims.Decision) -> list[str]:
    """Return in which ways a decision does not follow what it declares."""
    wrong = list(_card(decision))
    if isinstance(decision, claims.Whole):
        return wrong + list(_whole(decision, experiment.DECISIONS))
    if not measured_in(rows, decision):
        return wrong
    if isinstance(decision, claims.Effect):
        wrong += [*_exchanged(rows, decision), *_both_sides(rows, decision), *_null(rows, decision)]
    elif isinstance(decision, claims.Equality):
        wrong += [*_exchanged(rows, decision), *_off(rows, decision)]
    elif isinstance(decision, claims.Fact):
        wrong += _fact(experiment, rows, decision)
    else:
        wrong += _counted(rows, decision)
    return [f"{decision.claim.id}: {sentence}" for sentence in wrong]


def judged(rows: pd.DataFrame, decision: claims.Decision) -> claims.Verdict:
    """Return the verdict of one decision alone, whether that is fair or not."""
    (found,) = claims.judge(rows, [replace(decision, unfair=None)])
    return found


def measured_in(rows: pd.DataFrame, decision: claims.Decision) -> bool:
    """Whether these trials hold what the decision needs, and enough of it."""
    if isinstance(decision, claims.Whole):
        return True
    found = judged(rows, decision)
    interval = not isinstance(decision, claims.Effect | claims.Equality) or found.low == found.low
    return found.verdict != NOT_MEASURED and interval


def signature(rows: pd.DataFrame, decision: claims.Decision) -> tuple:
    """Return what is kept of a decision: word, effect and n, rounded to what is compared."""
    found = judged(rows, decision)
    return found.verdict, f"{found.effect:.6g}", found.n


# What the card says


def _card(decision: claims.Decision) -> Iterator[str]:
    if (rule := _rule(decision)) and rule not in re.sub(r"\s+", " ", decision.claim.decides):
        yield f"the card does not say what decides, {rule!r}: {decision.claim.decides!r}"


def _rule(decision: claims.Decision) -> str:
    """Return the words in which the card must state the threshold."""
    if isinstance(decision, claims.Effect):
        side = {"greater": "above", "less": "below"}[decision.direction]
        return f"{side} {decision.tested().threshold:g}"
    if isinstance(decision, claims.Equality):
        return f"within {decision.tolerance * 100:g} % of {decision.contrast.threshold:g}"
    if isinstance(decision, claims.Share):
        return f"at least {decision.at_least * 100:g} %"
    if isinstance(decision, claims.Count):
        least, most = decision.least, decision.most
        if least == most:
            return f"exactly {least:g}"
        ends = [f"at least {least:g}"] * np.isfinite(least) + [f"at most {most:g}"] * np.isfinite(
            most
        )
        return " and ".join(ends) or "bounds"
    return ""


# Effects and equalities


def derived(decision, change: Change):
    """Return the decision over its table, or the trials, changed."""
    table = decision.table or (lambda rows: rows)
    return replace(decision, table=lambda rows: change(table(rows).copy()))


def scaled(where, column: str, factor: float) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[stats.match(table, where), column] *= factor
        return table

    return change


def shifted(where, column: str, by: float) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[stats.match(table, where), column] += by
        return table

    return change


def _moved(rows, decision, target: float):
    """Return the decision over trials in which its estimate is another, its A/A band the same."""
    contrast, now = decision.contrast, judged(rows, decision).effect
    null = getattr(decision, "null", None)
    in_band = [null.arm, null.baseline] if null else []
    ratio = contrast.kind == "ratio"
    size = target / now if ratio else target - now
    change = scaled if ratio else shifted
    if contrast.arm in in_band and contrast.baseline is not None:
        if contrast.baseline in in_band:
            raise AssertionError("both arms are those of the A/A control")
        return derived(decision, change(contrast.baseline, contrast.measure,
                                         1 / size if ratio else -size))  # fmt: skip
    return derived(decision, change(contrast.arm, contrast.measure, size))


def _exchanged(rows: pd.DataFrame, decision) -> Iterator[str]:
    """The effect of exchanged arms is the inverse; what was decided is so no more."""
    arm, baseline = decision.contrast.arm, decision.contrast.baseline
    if baseline is None:
        return

    def exchange(table: pd.DataFrame) -> pd.DataFrame:
        one, other = stats.match(table, arm), stats.match(table, baseline)
        for here, there in ((one, baseline), (other, arm)):
            for name in set(arm) & set(baseline):
                table.loc[here, name] = there[name]
        return table

    before, after = judged(rows, decision), judged(rows, derived(decision, exchange))
    inverse = 1 / before.effect if decision.contrast.kind == "ratio" else -before.effect
    if not np.isclose(after.effect, inverse, rtol=1e-6):
        yield f"exchanged arms have the effect {after.effect:g}, not {inverse:g}"
    none = decision.tested().threshold in (0.0, 1.0)
    if before.verdict in (HOLDS, FAILS) and none and after.verdict == before.verdict:
        yield f"it {before.verdict}, and so it does with its arms exchanged"


def _both_sides(rows: pd.DataFrame, decision: claims.Effect) -> Iterator[str]:
    """Clearly beyond the threshold it holds, clearly short of it it does not."""
    threshold, now = decision.tested().threshold, judged(rows, decision)
    reach = FAR * (now.high - now.low + abs(threshold))
    ends = {"greater": threshold + reach, "less": threshold - reach}
    if decision.contrast.kind == "ratio":
        wide = FAR * threshold * now.high / now.low * _band(rows, decision)
        ends = {"greater": wide, "less": threshold**2 / wide}
    for side, target in ends.items():
        word = judged(rows, _moved(rows, decision, target)).verdict
        wanted = HOLDS if side == decision.direction else FAILS
        if word != wanted:
            yield f"an effect of {target:g} is {word!r}, not {wanted!r}"


def _band(rows: pd.DataFrame, decision: claims.Effect) -> float:
    if decision.null is None:
        return 1.0
    band = stats.null_band(decision.table(rows) if decision.table else rows, decision.null)
    return float(band["band_high"].iloc[0])


def _null(rows: pd.DataFrame, decision: claims.Effect) -> Iterator[str]:
    """Within the band of an A/A control that is off, and without it, nothing is decided."""
    null, now = decision.null, judged(rows, decision)
    if null is None:
        return
    away = now.effect / decision.tested().threshold
    off = FAR * max(away, 1 / away) * now.high / now.low
    noisy = derived(decision, scaled(null.arm, null.measure, off))
    if (word := judged(rows, noisy).verdict) != OPEN:
        yield f"with an A/A control of {off:g}x it is {word!r}"
    gone = derived(decision, lambda table: table[~stats.match(table, null.arm)])
    if (word := judged(rows, gone).verdict) != OPEN:
        yield f"without its A/A control it is {word!r}"


def _off(rows: pd.DataFrame, decision: claims.Equality) -> Iterator[str]:
    """Equal to its threshold it does not fail; a few tolerances off it does not hold."""
    threshold, few = decision.contrast.threshold, 5 * decision.tolerance
    if (word := judged(rows, _moved(rows, decision, threshold)).verdict) == FAILS:
        yield f"a ratio of {threshold:g} is {word!r}"
    for target in (threshold * (1 + few), threshold / (1 + few)):
        if (word := judged(rows, _moved(rows, decision, target)).verdict) != FAILS:
            yield f"a ratio of {target:g} is {word!r}"


# Facts, shares, counts, wholes


def _told(found: claims.Verdict) -> tuple[str, str, str]:
    return found.verdict, found.headline, found.because


def _fact(experiment, rows: pd.DataFrame, decision: claims.Fact) -> Iterator[str]:
    """Other values of any reading are told; of one at least they change the word."""
    before = judged(rows, decision)
    words = set()
    for reading in decision.readings:
        after = [judged(other, decision) for other in _other_values(experiment, rows, reading)]
        words |= {found.verdict for found in after}
        if not reading.optional and all(_told(found) == _told(before) for found in after):
            yield f"whatever {reading.column!r} of {dict(reading.where)} is, it says the same"
    if words <= {before.verdict, NOT_MEASURED}:
        yield f"whatever is read, it is {before.verdict!r}"


def _other_values(experiment, rows: pd.DataFrame, reading) -> Iterator[pd.DataFrame]:
    """Yield the trials with other values of a reading, in all of its trials and in the first."""
    chosen = stats.match(rows, reading.where) & rows["ok"] & rows[reading.column].notna()
    if not chosen.any():
        return
    values = rows.loc[chosen, reading.column]
    first = chosen & (chosen.cumsum() == 1)
    for other in _others(experiment, rows, reading.column, values):
        yield _with(rows, reading.column, other)
        if chosen.sum() > 1:
            yield _with(rows, reading.column, other[first[chosen]])
    if reading.failures:
        tables = frames.measures(experiment.Trials)
        failed = rows.copy()
        failed.loc[chosen, tables] = np.nan
        failed.loc[chosen, ["ok", "error"]] = [False, "It broke."]
        yield failed


def _with(rows: pd.DataFrame, column: str, values: pd.Series) -> pd.DataFrame:
    rows = rows.copy()
    rows.loc[values.index, column] = values
    return rows


def _others(experiment, rows: pd.DataFrame, column: str, values: pd.Series) -> Iterator[pd.Series]:
    if pd.api.types.is_numeric_dtype(values):
        if values.between(0, 1).all():
            yield 1 - values
        yield values * 0
        yield values * 100 + 1
        return
    allowed = [
        check.statistics["allowed_values"]
        for check in frames.columns(experiment.Trials)[column].checks
        if "allowed_values" in (check.statistics or {})
    ]
    known = dict.fromkeys([*rows[column].dropna(), *(v for some in allowed for v in some)])
    for text in known:
        if (values != text).any():
            yield pd.Series(text, index=values.index)


def _counted(rows: pd.DataFrame, decision) -> Iterator[str]:
    """A share of none is not one of all; a count beyond its bounds does not hold."""
    chosen = stats.match(rows, decision.where) & rows["ok"] & rows[decision.column].notna()

    def word(value: float) -> str:
        return judged(_with(rows, decision.column, rows.loc[chosen, decision.column] * 0 + value),
                      decision).verdict  # fmt: skip

    if isinstance(decision, claims.Share):
        if word(0) != FAILS:
            yield f"a share of none is {word(0)!r}"
        if word(decision.of) == FAILS:
            yield f"a share of all is {word(decision.of)!r}"
        return
    beyond = [v for v in (decision.least - 1, decision.most + 1) if np.isfinite(v)]
    if not beyond:
        yield "any count is within its bounds"
    for value in beyond:
        if word(value) != FAILS:
            yield f"a count of {value:g} is {word(value)!r}"


def _whole(decision: claims.Whole, decisions) -> Iterator[str]:
    """Its parts are the decisions that are named after it, each once."""
    named = [d.claim.id for d in decisions if d.claim.id.startswith(f"{decision.claim.id}/")]
    if sorted(decision.parts) != sorted(named):
        yield f"its parts are {decision.parts}, not {named}"


# Calibration


def miscalibrated(rows: pd.DataFrame, case: Known | Control) -> list[str]:
    """Return in which ways a case of the calibration does not see a reading that is off."""
    before = _passes(rows, case)
    if before == "not measured":
        return []
    known = isinstance(case, Known)
    wrong = []
    for factor in (2.0, 0.5) if known else (1.2, 1 / 1.2):
        off = derived(case, scaled(case.contrast.arm, case.contrast.measure, factor))
        if _passes(rows, off) != "no":
            wrong.append(f"{case.name}: with its arm {factor:.3g} times as large it passes")
    return wrong


def reading(rows: pd.DataFrame, case: Known | Control) -> tuple[str, str]:
    """Return what is kept of a case: whether it passes, and its estimate."""
    known = isinstance(case, Known)
    (row,) = calibrate(rows, [case] if known else [], [] if known else [case]).to_dict("records")
    return row["passes"], f"{row['estimate']:.6g}"


def _passes(rows: pd.DataFrame, case: Known | Control) -> str:
    return reading(rows, case)[0]


def calibrated(rows: pd.DataFrame, case: Known | Control) -> bool:
    """Whether these trials hold what the case needs."""
    return _passes(rows, case) != "not measured"
