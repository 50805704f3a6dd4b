"""Mistakes that an author could make in a declaration; the contract must see each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
from experiments.contract.judging import derived, scaled

from caveatlib import claims
from caveatlib.claims import FAILS, HOLDS
from caveatlib.claims.calibration import Control, Known


def mutants(rows: pd.DataFrame, decision: claims.Decision) -> Iterator[tuple[str, object]]:
    """Yield what is wrong, and the decision that is wrong so."""
    if isinstance(decision, claims.Effect):
        yield from _of_effect(decision)
    elif isinstance(decision, claims.Equality):
        yield from _of_arms(decision)
        yield "always true", replace(decision, tolerance=0.999)
    elif isinstance(decision, claims.Share):
        yield from _elsewhere(rows, decision)
        yield "always true", replace(decision, at_least=0.0)
    elif isinstance(decision, claims.Count):
        yield from _elsewhere(rows, decision)
        yield "always true", replace(decision, least=-math.inf, most=math.inf)
    elif isinstance(decision, claims.Fact):
        yield from _of_fact(decision)
    elif isinstance(decision, claims.Whole):
        yield "a part left out", replace(decision, parts=decision.parts[1:])
        if not decision.one_suffices:
            yield "one of them suffices", replace(decision, one_suffices=True)


def _of_arms(decision) -> Iterator[tuple[str, object]]:
    contrast = decision.contrast
    if contrast.baseline is not None:
        turned = replace(contrast, arm=contrast.baseline, baseline=contrast.arm)
        yield "arms exchanged", replace(decision, contrast=turned)


def _of_effect(decision: claims.Effect) -> Iterator[tuple[str, object]]:
    yield from _of_arms(decision)
    other = {"greater": "less", "less": "greater"}[decision.direction]
    yield "direction turned round", replace(decision, direction=other)
    threshold = decision.tested().threshold
    ratio = decision.contrast.kind == "ratio"
    turned = 1 / threshold if ratio else -threshold
    far = {"greater": 1e-9, "less": 1e9} if ratio else {"greater": -1e15, "less": 1e15}
    for what, value in (
        ("threshold turned round", turned),
        ("always true", far[decision.direction]),
    ):
        if value != threshold:
            if decision.at_most is not None:
                yield what, replace(decision, at_most=value)
            else:
                yield what, replace(decision, contrast=replace(decision.contrast, threshold=value))


def _of_fact(decision: claims.Fact) -> Iterator[tuple[str, object]]:
    opposite = {HOLDS: FAILS, FAILS: HOLDS}

    def flipped(rows):
        found = decision.find(rows)
        return found._replace(verdict=opposite.get(found.verdict, HOLDS))

    yield "flipped", replace(decision, find=flipped)
    always = claims.Finding(HOLDS, "It is so", "It is so.")
    yield "always true", replace(decision, find=lambda rows: always)


def _elsewhere(rows: pd.DataFrame, decision) -> Iterator[tuple[str, object]]:
    """Take a share or a count over the arms of another place."""
    for place in rows.loc[rows[decision.column].notna() & rows["ok"], "place"].unique():
        if place != decision.where.get("place"):
            yield f"taken in {place}", replace(decision, where=decision.where | {"place": place})


def miscalibrations(case: Known | Control) -> Iterator[tuple[str, object]]:
    """Yield what is wrong, and the case of the calibration that is wrong so."""
    contrast = case.contrast
    if contrast.baseline is not None:
        yield (
            "an arm against itself",
            replace(case, contrast=replace(contrast, arm=contrast.baseline)),
        )
    if isinstance(case, Known):
        yield "always passes", replace(case, within=1e9)
        broken = scaled(contrast.arm, contrast.measure, 3.0)
        yield "its reading broken", derived(case, broken)
