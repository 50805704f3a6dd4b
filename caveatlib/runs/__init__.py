"""Runs of several machines: laid side by side, pooled, and checked before they are.

Seconds of two machines are never put together: what is compared and combined are ratios, each
of which comes from the trials of one machine.
"""

from caveatlib.runs.comparing import Comparison, beside, comparable, compare
from caveatlib.runs.contributions import check, checked, folder_name, origin
from caveatlib.runs.finding import found, packages
from caveatlib.runs.gathering import everything
from caveatlib.runs.pooling import Pool, pool, write
from caveatlib.runs.sides import Side, sides
from caveatlib.runs.travelling import across, agreement, predictions, told, widest

__all__ = [
    "Comparison",
    "Pool",
    "Side",
    "across",
    "agreement",
    "beside",
    "check",
    "checked",
    "comparable",
    "compare",
    "everything",
    "folder_name",
    "found",
    "origin",
    "packages",
    "pool",
    "predictions",
    "sides",
    "told",
    "widest",
    "write",
]
