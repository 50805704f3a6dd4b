"""Statistics on tables of trials: frame in, frame out; nothing is read, drawn or deleted.

The effect of an arm against a baseline is the Hodges-Lehmann estimate over
pairs (log ratios or differences) with the exact Wilcoxon signed-rank interval.
Pairs are formed within a block, or between the medians of a session where the
session is what was started afresh.
"""

from caveatlib.stats.contrasts import (
    KEYS,
    KNOWN_COLUMNS,
    MIN_PAIRS,
    NULL_TOLERANCE,
    POWER,
    Contrast,
    compare,
    contrasts,
    jointly,
    match,
    met,
    null_band,
    pairs,
    same_twice,
)
from caveatlib.stats.describe import quality, summarize
from caveatlib.stats.ranks import hodges_lehmann, holm, share, signed_rank_p

__all__ = [
    "KEYS",
    "KNOWN_COLUMNS",
    "MIN_PAIRS",
    "NULL_TOLERANCE",
    "POWER",
    "Contrast",
    "compare",
    "contrasts",
    "hodges_lehmann",
    "holm",
    "jointly",
    "match",
    "met",
    "null_band",
    "pairs",
    "quality",
    "same_twice",
    "share",
    "signed_rank_p",
    "summarize",
]
