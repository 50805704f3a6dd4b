"""Statistics on tables of trials: frame in, frame out; nothing is read, drawn or deleted.

The effect of an arm against a baseline is the Hodges-Lehmann estimate over
pairs (log ratios or differences) with the exact Wilcoxon signed-rank interval.
Pairs are formed within a block, or between the medians of a session where the
session is what was started afresh.
"""

from caveatlib.stats.contrasts import (
    KEYS,
    MIN_PAIRS,
    NULL_TOLERANCE,
    POWER,
    Contrast,
    by_machine,
    compare,
    contrasts,
    failures,
    jointly,
    match,
    null_band,
    pairs,
)
from caveatlib.stats.describe import quality, summarize
from caveatlib.stats.ranks import hodges_lehmann, holm, share, signed_rank_p

__all__ = [
    "KEYS",
    "MIN_PAIRS",
    "NULL_TOLERANCE",
    "POWER",
    "Contrast",
    "by_machine",
    "compare",
    "contrasts",
    "failures",
    "hodges_lehmann",
    "holm",
    "jointly",
    "match",
    "null_band",
    "pairs",
    "quality",
    "share",
    "signed_rank_p",
    "summarize",
]
