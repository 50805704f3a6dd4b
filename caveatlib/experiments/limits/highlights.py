"""What `limits` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.experiments.limits.claims import FIX
from caveatlib.experiments.limits.decisions import failures, share
from caveatlib.experiments.limits.designs import ALONE, BOMB, BOMB_LIMITED
from caveatlib.experiments.limits.places import PIDS

SHOWN = {"alone": ALONE, "beside a bomb": BOMB, "beside a limited bomb": BOMB_LIMITED}


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    values, words = {}, {}
    for name, arm in SHOWN.items():
        failed, requests = failures(here, arm.where())
        if not requests:
            return []
        values[name], words[name] = failed / requests, share((failed, requests))
    bars = [Bar(name, value, words[name], "limited" in name) for name, value in values.items()]
    sentence = (
        f"of requests fail beside a fork bomb with --pids-limit {PIDS}; without it "
        f"{words['beside a bomb']}. Docker sets no such limit by itself."
    )
    return [Highlight(FIX.id, words["beside a limited bomb"], sentence, tuple(bars))]
