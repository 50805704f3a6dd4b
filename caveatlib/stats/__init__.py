"""Statistics on tables of trials: frame in, frame out; nothing is read, drawn or deleted.

The effect of an arm against a baseline is the Hodges-Lehmann estimate over
pairs (log ratios or differences) with the exact Wilcoxon signed-rank interval.
Pairs are formed within a block, or between the medians of a session where the
session is what was started afresh.
"""

from caveatlib.stats.contrasts import (
    BLUNT,
    KEYS,
    MIN_PAIRS,
    NULL_TOLERANCE,
    POWER,
    Contrast,
    aa_control,
    by_machine,
    compare,
    contrasts,
    failures,
    jointly,
    match,
    pairs,
    unchanged,
    vouches,
)
from caveatlib.stats.describe import (
    clock_step,
    drift,
    machine_doubts,
    quality,
    summarize,
    value_doubts,
)
from caveatlib.stats.missing import failure_doubts
from caveatlib.stats.order import (
    ageing,
    ageing_doubts,
    carry_over,
    carry_over_doubts,
    order_doubts,
)
from caveatlib.stats.ranks import detectable_share, hodges_lehmann, holm, share, signed_rank_p

__all__ = [
    "BLUNT",
    "KEYS",
    "MIN_PAIRS",
    "NULL_TOLERANCE",
    "POWER",
    "Contrast",
    "aa_control",
    "ageing",
    "ageing_doubts",
    "by_machine",
    "carry_over",
    "carry_over_doubts",
    "clock_step",
    "compare",
    "contrasts",
    "detectable_share",
    "drift",
    "failure_doubts",
    "failures",
    "hodges_lehmann",
    "holm",
    "jointly",
    "machine_doubts",
    "match",
    "order_doubts",
    "pairs",
    "quality",
    "share",
    "signed_rank_p",
    "summarize",
    "unchanged",
    "value_doubts",
    "vouches",
]
