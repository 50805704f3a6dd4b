"""What decides the claims of `limits`, its controls, and the answer in words."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import FAILS, HOLDS, Count, Effect, Fact, Finding, Reading, Whole
from caveatlib.claims.calibration import Control, Known, aa_controls
from caveatlib.experiments.kit.sentences import per_machine
from caveatlib.experiments.limits.claims import (
    CONTAINED,
    CPU_LATENCY,
    FIX,
    HARM,
    MEMORY_KILLED,
    NEWCOMER,
    SPARED,
)
from caveatlib.experiments.limits.designs import (
    ALONE,
    ALONE_AGAIN,
    BOMB,
    BOMB_LIMITED,
    COMPUTE,
    COMPUTE_AGAIN,
    COMPUTE_LIMITED,
    IDLE,
    MEMORY,
    MEMORY_LIMITED,
    WRITE_LIMITED,
)
from caveatlib.experiments.limits.places import MEMORY_BYTES, PIDS, WRITE_BYTES_PER_S
from caveatlib.support.quantities import format_quantity


def failures(here: pd.DataFrame, where: dict) -> tuple[int, int]:
    """Return how many requests of a filter's trials failed, of how many."""
    return tuple(int(claims.values_of(here, where, n).sum()) for n in ("failed", "requests"))


def _fails_alone(here: pd.DataFrame) -> str:
    failed, requests = failures(here, ALONE.where())
    return f"{failed} of {requests} requests fail alone, too." if failed else ""


def _say(here: pd.DataFrame, parts: dict) -> str:
    free, bound = (failures(here, arm.where()) for arm in (BOMB, BOMB_LIMITED))
    if not (free[1] and bound[1]):
        return ""
    return (
        f"Beside a fork bomb {share(free)} of its neighbour's requests fail; "
        f"with --pids-limit {PIDS}, {share(bound)}."
    )


def share(of: tuple[int, int]) -> str:
    """Return the share of what failed as it is read everywhere, ``"0.42 %"``."""
    return f"{of[0] / of[1] * 100:.2g} %"


def _say_cpu(here: pd.DataFrame, verdict: claims.Verdict) -> str:
    p90 = [claims.values_of(here, a.where(), "p90_s").median() for a in (COMPUTE, COMPUTE_LIMITED)]
    if pd.isna(p90).any():
        return ""
    free, bound = (format_quantity(value, "s") for value in p90)
    return (
        f"Beside a neighbour that computes on every CPU, 90 % of requests are answered within "
        f"{free}; with a CPU limit on it, within {bound}."
    )


_MEMORY = {n: Reading(MEMORY_LIMITED.where(), n) for n in ("killed", "taken_bytes", "failed")}


def _killed_alone(here: pd.DataFrame) -> Finding:
    killed, taken, failed = (claims.values_of(here, r.where, r.column) for r in _MEMORY.values())
    line = (
        f"With --memory {format_quantity(MEMORY_BYTES, 'B')} a memory hog was killed in "
        f"{int((killed > 0).sum())} of {len(killed)} trials, at "
        f"{format_quantity(taken.max(), 'B')} at most; {failed.sum():.0f} requests of the other "
        "failed"
    )
    good = (killed > 0).all() and taken.max() <= MEMORY_BYTES and not failed.any()
    return Finding(HOLDS if good else FAILS, "", f"{line}.", len(killed))


def _without(here: pd.DataFrame, verdict: claims.Verdict) -> str:
    """Say what became of the hog and of the other without the limit."""
    killed, taken = (claims.values_of(here, MEMORY.where(), n) for n in ("killed", "taken_bytes"))
    failed, requests = failures(here, MEMORY.where())
    if killed.empty or taken.empty or not requests:
        return ""
    either = not (failed or failures(here, MEMORY_LIMITED.where())[0])
    return (
        f"Without it, below the outer cap on all containers, {'none' if either else failed} of "
        f"{requests:,} failed{' either' if either else ''}, and the hog was killed in "
        f"{int((killed > 0).sum())} of {len(killed)} trials, at "
        f"{format_quantity(taken.max(), 'B')} at most."
    )


def _say_memory(here: pd.DataFrame, verdict: claims.Verdict) -> str:
    said = _without(here, verdict)
    return f"{verdict.headline}. {said}" if said and verdict.n else ""


def _contrast(name: str, measure: str, one, other=None) -> stats.Contrast:
    return stats.Contrast(name, measure, one.where(), other.where() if other else None)


DECISIONS = (
    Whole(
        claim=FIX,
        parts=(HARM.id, CONTAINED.id, SPARED.id, NEWCOMER.id),
        labels={
            "harm": "a bomb does harm without",
            "contained": "the limit contains it",
            "spared": "neighbour spared",
            "newcomer": "new containers start",
        },
        sum_up=_say,
    ),
    Count(
        claim=HARM,
        where=BOMB.where(),
        column="failed",
        least=1,
        what="Failed requests beside a bomb without a limit",
        unfair=_fails_alone,
    ),
    Count(
        claim=CONTAINED,
        where=BOMB_LIMITED.where(),
        column="tasks",
        least=PIDS,
        most=PIDS,
        what=f"Tasks of a bomb with --pids-limit {PIDS}",
    ),
    Count(
        claim=SPARED,
        where=BOMB_LIMITED.where(),
        column="failed",
        most=0,
        what="Failed requests beside a bomb with a limit",
        unfair=_fails_alone,
    ),
    Count(
        claim=NEWCOMER,
        where=BOMB_LIMITED.where(),
        column="newcomer",
        least=1,
        what="Containers started beside a bomb with a limit",
    ),
    Fact(
        claim=MEMORY_KILLED,
        readings=(*_MEMORY.values(), Reading(MEMORY.where(), "failed", optional=True)),
        find=_killed_alone,
        qualify=_without,
        say=_say_memory,
    ),
    Effect(
        claim=CPU_LATENCY,
        contrast=_contrast("limits-cpu", "p90_s", COMPUTE_LIMITED, COMPUTE),
        direction="less",
        words=("Slower", "Faster"),
        null=_contrast("the same computing neighbour twice", "p90_s", COMPUTE_AGAIN, COMPUTE),
        say=_say_cpu,
        label="requests: computing neighbour limited, over not",
    ),
)
KNOWN = (
    Known(
        name=f"tasks under --pids-limit {PIDS}",
        contrast=_contrast("tasks", "tasks", BOMB_LIMITED),
        truth=PIDS,
        within=0.001,
    ),
    Known(
        name="written under a device limit",
        contrast=_contrast("written", "wrote_bit_per_s", WRITE_LIMITED),
        truth=8.0 * WRITE_BYTES_PER_S,
        within=0.1,
    ),
)
QUIET = {"design": "quiet"}
"""Who is alone is so in two designs."""
CONTROLS = (
    *aa_controls(DECISIONS),
    *(
        Control(
            name=name,
            contrast=stats.Contrast(name, "p90_s", QUIET | one.where(), QUIET | ALONE.where()),
        )
        for name, one in (("alone twice", ALONE_AGAIN), ("an idle neighbour", IDLE))
    ),
)


@per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say what the trials of each machine show; what is undecided only if nothing is decided."""
    found = [v for v in claims.judge(trials, DECISIONS) if "/" not in v.claim and v.n]
    decided = [v for v in found if v.verdict in claims.DECIDED]
    return " ".join(v.sentence for v in decided or found)
