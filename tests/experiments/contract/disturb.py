"""What a decision must answer to: its card, and effects that are exchanged or moved.

`problems` returns what is wrong with a decision in sentences. The trials are of one machine; of
what cannot be measured in them (see `measured_in`) nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
from experiments.contract import values
from experiments.contract.judging import (
    derived,
    judged,
    judged_as_it_is,
    measured_in,
    scaled,
    shifted,
    with_table,
)

from caveatlib import claims, stats
from caveatlib.claims import FAILS, HOLDS, OPEN

FAR = 10.0
"""Factor by which an effect is moved to be clearly on one side of its threshold."""


def problems(experiment, rows: pd.DataFrame, decision: claims.Decision) -> Iterator[str]:
    """Yield in which ways a decision does not follow what it declares, the cheapest first."""
    for sentence in _problems(experiment, rows, decision):
        yield f"{decision.claim.id}: {sentence}"


def _problems(experiment, rows: pd.DataFrame, decision: claims.Decision) -> Iterator[str]:
    yield from _card(decision)
    if isinstance(decision, claims.Whole):
        yield from values.whole(decision, experiment.DECISIONS)
    elif not measured_in(rows, decision):
        return
    elif isinstance(decision, claims.Fact):
        yield from values.fact(experiment, rows, decision)
    elif isinstance(decision, claims.Share | claims.Count):
        yield from values.counted(rows, decision)
    else:
        now = judged_as_it_is(rows, decision)
        yield from _exchanged(rows, decision, now)
        if isinstance(decision, claims.Equality):
            yield from _off(rows, decision, now)
        else:
            yield from _both_sides(rows, decision, now)
            yield from _null(rows, decision, now)


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
        ends = {f"at least {least:g}": least, f"at most {most:g}": most}
        return " and ".join(words for words, end in ends.items() if np.isfinite(end)) or "bounds"
    if isinstance(decision, claims.Whole) and decision.one_suffices:
        return "at least one"
    return ""


# Effects and equalities


def _moved(decision, now: claims.Verdict, target: float):
    """Return the decision over trials in which its estimate is another, its control as before."""
    contrast = decision.contrast
    null = getattr(decision, "null", None)
    in_band = [null.arm, null.baseline] if null else []
    ratio = contrast.kind == "ratio"
    size = target / now.effect if ratio else target - now.effect
    change = scaled if ratio else shifted
    if contrast.arm in in_band and contrast.baseline is not None:
        if contrast.baseline in in_band:
            raise AssertionError("both arms are those of the A/A control")
        return derived(decision, change(contrast.baseline, contrast.measure,
                                         1 / size if ratio else -size))  # fmt: skip
    return derived(decision, change(contrast.arm, contrast.measure, size))


def _exchanged(rows: pd.DataFrame, decision, before: claims.Verdict) -> Iterator[str]:
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

    after = judged(rows, derived(decision, exchange))
    inverse = 1 / before.effect if decision.contrast.kind == "ratio" else -before.effect
    if not np.isclose(after.effect, inverse, rtol=1e-6):
        yield f"exchanged arms have the effect {after.effect:g}, not {inverse:g}"
    none = decision.tested().threshold in (0.0, 1.0)
    if before.verdict in (HOLDS, FAILS) and none and after.verdict == before.verdict:
        yield f"it {before.verdict}, and so it does with its arms exchanged"


def _both_sides(rows: pd.DataFrame, decision: claims.Effect, now: claims.Verdict) -> Iterator[str]:
    """Clearly beyond the threshold it holds, clearly short of it it does not."""
    decision = _with_its_control(rows, decision)
    threshold = decision.tested().threshold
    reach = FAR * (now.high - now.low + abs(threshold))
    ends = {"greater": threshold + reach, "less": threshold - reach}
    if decision.contrast.kind == "ratio":
        wide = FAR * threshold * now.high / now.low
        ends = {"greater": wide, "less": threshold**2 / wide}
    for side, target in ends.items():
        word = judged(rows, _moved(decision, now, target)).verdict
        wanted = HOLDS if side == decision.direction else FAILS
        if word != wanted:
            yield f"an effect of {target:g} is {word!r}, not {wanted!r}"


def _with_its_control(rows: pd.DataFrame, decision: claims.Effect) -> claims.Effect:
    """Return the decision over trials in which the estimate of its A/A control is 1."""
    null = decision.null
    if null is None:
        return decision
    decision = with_table(decision)
    table = decision.table(rows) if decision.table else rows
    off = float(stats.aa_control(table, null)["estimate"].iloc[0])
    return derived(decision, scaled(null.arm, null.measure, 1 / off)) if off == off else decision


def _null(rows: pd.DataFrame, decision: claims.Effect, now: claims.Verdict) -> Iterator[str]:
    """With an A/A control that is off, and without it, nothing is decided."""
    null = decision.null
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


def _off(rows: pd.DataFrame, decision: claims.Equality, now: claims.Verdict) -> Iterator[str]:
    """Equal to its threshold it does not fail; a few tolerances off it does not hold."""
    threshold, few = decision.contrast.threshold, 5 * decision.tolerance
    if (word := judged(rows, _moved(decision, now, threshold)).verdict) == FAILS:
        yield f"a ratio of {threshold:g} is {word!r}"
    for target in (threshold * (1 + few), threshold / (1 + few)):
        if (word := judged(rows, _moved(decision, now, target)).verdict) != FAILS:
            yield f"a ratio of {target:g} is {word!r}"
