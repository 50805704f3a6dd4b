"""What `quota` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims
from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.experiments.kit.sentences import listed
from caveatlib.experiments.quota.claims import MAGIC, THROTTLING
from caveatlib.experiments.quota.decisions import DECISIONS
from caveatlib.experiments.quota.designs import IDLE
from caveatlib.experiments.quota.tool_facts import telling
from caveatlib.support.quantities import percent


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    return [*_blind(here), *_throttled(here)]


def _blind(here: pd.DataFrame) -> list[Highlight]:
    """Tell how many programs ignore the limit; one with several functions counts once."""
    asked = telling(here)
    if asked.empty:
        return []
    by = asked.groupby("program")
    sees, says = by["sees_it"].all(), by["cpus_seen"].max()
    seeing = sorted(sees.index[sees])
    count = f"{(~sees).sum()} of {len(sees)}"
    said = f"{listed(seeing)} {'see' if len(seeing) > 1 else 'sees'} it." if seeing else ""
    limit = asked["quota_cpus"].max()
    bars = [Bar("limit", limit, f"{limit:g} CPUs", True)]
    bars += [Bar(name, value, f"{value:g} CPUs") for name, value in says.sort_values().items()]
    return [
        Highlight(
            MAGIC.id, count,
            f"programs ignore the CPU limit of the container that they run in. {said}".strip(),
            tuple(bars),
        )
    ]  # fmt: skip


def _throttled(here: pd.DataFrame) -> list[Highlight]:
    judged = {v.claim: v for v in claims.judge(here, DECISIONS)}
    found = judged.get(THROTTLING.id)
    if found is None or not found.n:
        return []
    used = claims.values_of(here, IDLE, "used_ratio").median()
    bars = (
        Bar("quota used", used, percent(used)),
        Bar("throttled", found.effect, percent(found.effect), True),
    )
    return [
        Highlight(
            THROTTLING.id,
            percent(found.effect),
            f"of the periods with work were throttled in a service that used {percent(used)} of "
            "its CPU limit, in bursts of twice what it allows in a period.",
            bars,
        )
    ]
