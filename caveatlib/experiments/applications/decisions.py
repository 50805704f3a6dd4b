"""What decides the claims of `applications`, its controls, and the answer in words."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from caveatlib import stats
from caveatlib.claims import Fact, Verdict, Whole
from caveatlib.claims.calibration import Control, Known
from caveatlib.experiments.applications import claims as stated
from caveatlib.experiments.applications import facts
from caveatlib.experiments.applications.catalogue import MARKED
from caveatlib.experiments.applications.designs import FULL, LINKS, WORKLOAD
from caveatlib.experiments.kit.sentences import per_machine


def _parts(claims: dict) -> tuple[str, ...]:
    return tuple(claim.id for claim in claims.values())


def _said(
    tell: Callable[[pd.DataFrame], str],
) -> Callable[[pd.DataFrame, dict[str, Verdict]], str]:
    """Return what tells of a whole by the trials alone; its parts say the rest."""
    return lambda here, parts: tell(here)


DECISIONS = (
    Whole(claim=stated.NEVER_OPENED, parts=_parts(stated.SHARES), tell=_said(facts.summed_up)),
    *(
        Fact(claim=claim, readings=facts.shares_opened(column), find=facts.opened(column))
        for column, claim in stated.SHARES.items()
    ),
    Whole(claim=stated.SIZE, parts=_parts(stated.SLOWER), sum_up=_said(facts.took_longer)),
    *(
        Fact(claim=claim, readings=facts.deployed(link), find=facts.slower(link))
        for link, claim in stated.SLOWER.items()
    ),
    Whole(
        claim=stated.SURFACE,
        parts=_parts(stated.COUNTS),
        sum_up=_said(facts.counted),
        qualify=facts.on_one_pair,
    ),
    *(
        Fact(claim=claim, readings=facts.counts_of(column), find=facts.more(column))
        for column, claim in stated.COUNTS.items()
    ),
    Fact(
        claim=stated.USED,
        readings=facts.shares_owned(FULL),
        find=facts.owned(FULL),
        unfair=facts.built_in,
    ),
    Whole(claim=stated.OWNED, parts=_parts(stated.OWNS), sum_up=_said(facts.belongs)),
    *(
        Fact(claim=claim, readings=facts.shares_owned(base), find=facts.owned(base))
        for base, claim in stated.OWNS.items()
    ),
)


def asked(here: pd.DataFrame) -> pd.DataFrame:
    """Return the workloads that were asked, each as a block of its own."""
    rows = here[here["work"] == WORKLOAD].reset_index(drop=True)
    return rows.assign(block=range(len(rows)))


KNOWN = (
    Known(
        name="files opened on purpose that are reported, those of another container left out",
        contrast=stats.Contrast(
            "marks", "marks_seen", {"design": WORKLOAD}, None, kind="difference"
        ),
        truth=MARKED,
        within=0,
        table=asked,
    ),
)
CONTROLS = tuple(
    Control(name=facts.control(link).name, contrast=facts.control(link), table=facts.deployments)
    for link in LINKS
)


@per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say what the trials of each machine show."""
    told = (facts.summed_up, facts.took_longer, facts.counted, facts.belongs)
    return " ".join(filter(None, (tell(trials) for tell in told)))
