"""Sentences made from numbers: lists, ranges, and one answer per machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import wraps

import pandas as pd

from caveatlib import claims, stats

CLASSIC_STORE = (
    "engines are private ones with Docker's classic image store (recorded: Docker 26.1.5); new "
    "installations of Docker 29 and later have containerd's, of which nothing was measured"
)
"""Said where an engine's version or its image store may decide (Docker Docs, "containerd image
store with Docker Engine", docs.docker.com/engine/storage/containerd)."""


def listed(parts: Sequence[str], word: str = "and") -> str:
    """Return ``"a, b and c"``, or with another word; empty for nothing."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def ranged(values: Collection[float], digits: str) -> str:
    """Return the least and the most of some values, ``"1.5 to 2.9"``; once where they read alike.

    `digits` says how each is written, as in ``format(value, ".1f")``; empty for nothing.
    """
    ends = [min(values), max(values)] if values else []
    return " to ".join(dict.fromkeys(format(value, digits) for value in ends))


def per_machine(answer: Callable[[pd.DataFrame], str]) -> Callable[[pd.DataFrame], str]:
    """Let a function that tells of one machine's trials tell of each machine by its name.

    One that finds nothing to tell, and a table without rows, give "Nothing was measured."
    """

    @wraps(answer)
    def whole(trials: pd.DataFrame) -> str:
        told = {machine: answer(rows) for machine, rows in stats.by_machine(trials)}
        said = {machine: text or "Nothing was measured." for machine, text in told.items()}
        if len(said) > 1:
            return " ".join(f"{machine}: {text}" for machine, text in said.items())
        return next(iter(said.values()), "Nothing was measured.")

    return whole


def answer_of(
    decisions: Sequence[claims.Decision], *, last: Collection[str] = ()
) -> Callable[[pd.DataFrame], str]:
    """Return an experiment's `answer`: the sentences of its claims that are decided, not of parts.

    Where none is decided, those that were measured; claims in `last` only if there is no other.
    """

    def answer(trials: pd.DataFrame) -> str:
        """Answer the question from the trials of each machine."""
        found = [v for v in claims.judge(trials, decisions) if "/" not in v.claim and v.n]
        decided = [v for v in found if v.verdict in claims.DECIDED] or found
        others = [v for v in decided if v.claim not in last]
        return " ".join(v.sentence for v in others or decided)

    return per_machine(answer)
