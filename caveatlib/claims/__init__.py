"""Claims, and how a verdict follows from an interval; knows no experiment.

An effect holds if its whole Holm-adjusted interval lies beyond the threshold
and outside the band in which the harness itself moves, does not hold if the
whole interval lies short of it, and is inconclusive otherwise.
"""

from caveatlib.claims.model import (
    FAILS,
    HOLDS,
    NOT_MEASURED,
    OPEN,
    VERDICTS,
    Claim,
    ThenAndNow,
    Verdict,
    Verdicts,
    card,
    escape_control_characters,
)
from caveatlib.claims.rules import by_effect, by_equality, by_fact, by_share, not_measured
from caveatlib.claims.statements import from_ledger, ledger, then_and_now

__all__ = [
    "FAILS",
    "HOLDS",
    "NOT_MEASURED",
    "OPEN",
    "VERDICTS",
    "Claim",
    "ThenAndNow",
    "Verdict",
    "Verdicts",
    "by_effect",
    "by_equality",
    "by_fact",
    "by_share",
    "card",
    "escape_control_characters",
    "from_ledger",
    "ledger",
    "not_measured",
    "then_and_now",
]
