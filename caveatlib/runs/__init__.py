"""Runs of several machines: laid side by side, pooled, and checked before they are.

Seconds of two machines are never put together: what is compared and combined are ratios, each
of which comes from the trials of one machine.
"""

from caveatlib.runs.comparing import Comparison, comparable, compare
from caveatlib.runs.contributions import check, checked, folder_name, origin
from caveatlib.runs.finding import found, packages
from caveatlib.runs.pooling import Pool, pool, write
from caveatlib.runs.sides import Side, sides

__all__ = [
    "Comparison",
    "Pool",
    "Side",
    "check",
    "checked",
    "comparable",
    "compare",
    "folder_name",
    "found",
    "origin",
    "packages",
    "pool",
    "sides",
    "write",
]
