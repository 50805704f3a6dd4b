"""The claims of `limits`: what decides each, how it reads, and the controls."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims
from caveatlib.claims import Claim, Count, Effect, Sentence, Text, Whole, fact
from caveatlib.claims.calibration import Control, Known, aa_controls
from caveatlib.claims.readings import count, least, median, most, number, share, total
from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.experiments.kit.sentences import answer_of
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
from caveatlib.experiments.limits.places import CAP, CPUS, MEMORY_BYTES, PIDS, WRITE_BYTES_PER_S
from caveatlib.stats import Contrast
from caveatlib.support.quantities import format_quantity

NAME = "limits"
LIMIT = format_quantity(MEMORY_BYTES, "B")
FIX = claims.from_ledger(
    "C09",
    decides="whether a fork bomb does harm without --pids-limit, is contained with it, and leaves "
    "its neighbour and a newcomer unharmed",
)


def failed(where) -> claims.readings.Value:
    """Return the reading: the share of a neighbour's requests that failed."""
    return share("failed", where, of="requests")


_FAILS_ALONE = Sentence(
    "{failed:.0f} of {requests:.0f} requests fail alone, too.",
    given=total("failed", ALONE) > 0,
    failed=total("failed", ALONE),
    requests=total("requests", ALONE),
)
_WITHOUT = (
    "Without it, below the outer cap on all containers, {failed} of {requests} failed{either}, "
    "and the hog was killed in {killed} of {n} trials, at {taken} at most."
)
_FREE = {
    "requests": total("requests", MEMORY),
    "killed": count("killed", MEMORY),
    "n": number("killed", MEMORY),
    "taken": most("taken_bytes", MEMORY),
}
WITHOUT = Text(
    Sentence(
        _WITHOUT,
        given=(total("failed", MEMORY).equals(0), total("failed", MEMORY_LIMITED).equals(0)),
        failed="none",
        either=" either",
        **_FREE,
    ),
    Sentence(_WITHOUT, failed=total("failed", MEMORY), either="", **_FREE),
    first=True,
)
DECISIONS = (
    Whole(
        claim=FIX,
        parts=("C09/harm", "C09/contained", "C09/spared", "C09/newcomer"),
        labels={
            "harm": "a bomb does harm without",
            "contained": "the limit contains it",
            "spared": "neighbour spared",
            "newcomer": "new containers start",
        },
        sum_up=Sentence(
            "Beside a fork bomb {free:%} of its neighbour's requests fail; "
            "with --pids-limit {limit}, {bound:%}.",
            free=failed(BOMB),
            bound=failed(BOMB_LIMITED),
            limit=PIDS,
        ),
    ),
    Count(
        claim=FIX.part(
            "harm",
            "without a limit of its own a fork bomb takes all tasks that are left, and a "
            "neighbour's requests fail",
            "the neighbour's requests that failed, at least 1, where only an outer cap of "
            f"{CAP.tasks} tasks holds the bomb",
        ),
        where=BOMB.where(),
        column="failed",
        least=1,
        what="Failed requests beside a bomb without a limit",
        unfair=_FAILS_ALONE,
    ),
    Count(
        claim=FIX.part(
            "contained",
            f"with --pids-limit {PIDS} a fork bomb gets that many tasks",
            f"tasks of the bomb, exactly {PIDS}",
        ),
        where=BOMB_LIMITED.where(),
        column="tasks",
        least=PIDS,
        most=PIDS,
        what=f"Tasks of a bomb with --pids-limit {PIDS}",
    ),
    Count(
        claim=FIX.part(
            "spared",
            f"beside a fork bomb with --pids-limit {PIDS} no request of a neighbour fails",
            "the neighbour's requests that failed, at most 0",
        ),
        where=BOMB_LIMITED.where(),
        column="failed",
        most=0,
        what="Failed requests beside a bomb with a limit",
        unfair=_FAILS_ALONE,
    ),
    Count(
        claim=FIX.part(
            "newcomer",
            f"beside a fork bomb with --pids-limit {PIDS} a new container starts",
            "whether it started, at least 1",
        ),
        where=BOMB_LIMITED.where(),
        column="newcomer",
        least=1,
        what="Containers started beside a bomb with a limit",
    ),
    fact(
        Claim(
            "limits-memory",
            f"with --memory {LIMIT} a neighbour that takes all memory is killed, and no request "
            "of the other fails",
            "ours",
            f"whether the neighbour was killed before it had more than {LIMIT}, and the other's "
            "failures",
            NAME,
        ),
        least("killed", MEMORY_LIMITED) > 0,
        most("taken_bytes", MEMORY_LIMITED) <= MEMORY_BYTES,
        total("failed", MEMORY_LIMITED).equals(0),
        line=Sentence(
            "With --memory {limit} a memory hog was killed in {killed} of {n} trials, at {taken} "
            "at most; {failed} requests of the other failed.",
            limit=LIMIT,
            killed=count("killed", MEMORY_LIMITED),
            n=number("killed", MEMORY_LIMITED),
            taken=most("taken_bytes", MEMORY_LIMITED),
            failed=total("failed", MEMORY_LIMITED),
        ),
        beside=(total("failed", MEMORY),),
        qualify=WITHOUT,
        say=Sentence("{because}", measured=True),
    ),
    Effect(
        claim=Claim(
            "limits-cpu",
            f"limiting a computing neighbour to {CPUS:g} CPUs lowers the latency of the other",
            "ours",
            f"p90 of latency beside a neighbour with --cpus {CPUS:g} over one without, ratio "
            "below 1",
            NAME,
        ),
        contrast=COMPUTE_LIMITED.over(COMPUTE, "p90_s", "limits-cpu"),
        direction="less",
        words=("Slower", "Faster"),
        null=COMPUTE_AGAIN.over(COMPUTE, "p90_s", "the same computing neighbour twice"),
        say=Sentence(
            "Beside a neighbour that computes on every CPU, 90 % of requests are answered within "
            "{free}; with a CPU limit on it, within {bound}.",
            free=median("p90_s", COMPUTE),
            bound=median("p90_s", COMPUTE_LIMITED),
        ),
        label="requests: computing neighbour limited, over not",
    ),
)
answer = answer_of(DECISIONS)
KNOWN = (
    Known(
        name=f"tasks under --pids-limit {PIDS}",
        contrast=BOMB_LIMITED.over(None, "tasks"),
        truth=PIDS,
        within=0.001,
    ),
    Known(
        name="written under a device limit",
        contrast=WRITE_LIMITED.over(None, "wrote_bit_per_s", "written"),
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
            contrast=Contrast(name, "p90_s", QUIET | one.where(), QUIET | ALONE.where()),
        )
        for name, one in (("alone twice", ALONE_AGAIN), ("an idle neighbour", IDLE))
    ),
)
SHOWN = {"alone": ALONE, "beside a bomb": BOMB, "beside a limited bomb": BOMB_LIMITED}


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    values = {name: failed(arm).of(here) for name, arm in SHOWN.items()}
    if None in values.values():
        return []
    texts = {name: Sentence("{it:%}", it=failed(arm))(here) for name, arm in SHOWN.items()}
    bars = [Bar(name, value, texts[name], "limited" in name) for name, value in values.items()]
    sentence = (
        f"of requests fail beside a fork bomb with --pids-limit {PIDS}; without it "
        f"{texts['beside a bomb']}. Docker sets no such limit by itself."
    )
    return [Highlight(FIX.id, texts["beside a limited bomb"], sentence, tuple(bars))]
