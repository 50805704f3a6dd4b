"""Claims, and how a verdict follows from an interval; knows no experiment.

An effect holds if its whole Holm-adjusted interval lies beyond the threshold,
does not hold if the whole interval lies short of it, and is inconclusive
otherwise, or if its A/A control fails.
"""

from caveatlib.claims import calibration, doubts, readings
from caveatlib.claims.judging import (
    Count,
    Decision,
    Effect,
    Equality,
    Fact,
    Finding,
    Reading,
    Share,
    Whole,
    evidence,
    judge,
    values_of,
)
from caveatlib.claims.model import (
    DECIDED,
    FAILS,
    HOLDS,
    MIXED,
    NOT_MEASURED,
    OPEN,
    SIGNS,
    VERDICTS,
    Claim,
    Prediction,
    ThenAndNow,
    Verdict,
    Verdicts,
    card,
)
from caveatlib.claims.readings import Sentence, Text, fact
from caveatlib.claims.reasons import why_not
from caveatlib.claims.rules import (
    by_effect,
    by_equality,
    by_share,
    counted,
    not_measured,
    too_imprecise,
)
from caveatlib.claims.statements import QUOTED_ON, from_ledger, ledger, predicted, then_and_now

__all__ = [
    "DECIDED",
    "FAILS",
    "HOLDS",
    "MIXED",
    "NOT_MEASURED",
    "OPEN",
    "QUOTED_ON",
    "SIGNS",
    "VERDICTS",
    "Claim",
    "Count",
    "Decision",
    "Effect",
    "Equality",
    "Fact",
    "Finding",
    "Prediction",
    "Reading",
    "Sentence",
    "Share",
    "Text",
    "ThenAndNow",
    "Verdict",
    "Verdicts",
    "Whole",
    "by_effect",
    "by_equality",
    "by_share",
    "calibration",
    "card",
    "counted",
    "doubts",
    "evidence",
    "fact",
    "from_ledger",
    "judge",
    "ledger",
    "not_measured",
    "predicted",
    "readings",
    "then_and_now",
    "too_imprecise",
    "values_of",
    "why_not",
]
