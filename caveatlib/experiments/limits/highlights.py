"""What `limits` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.experiments.limits.claims import FIX
from caveatlib.experiments.limits.decisions import failures
from caveatlib.experiments.limits.designs import ALONE, BOMB, BOMB_LIMITED
from caveatlib.experiments.limits.places import PIDS

SHOWN = {"alone": ALONE, "beside a bomb": BOMB, "beside a limited bomb": BOMB_LIMITED}


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    shares = {}
    for name, arm in SHOWN.items():
        failed, requests = failures(here, arm.where())
        if not requests:
            return []
        shares[name] = failed / requests
    bars = [Bar(name, share, f"{share:.0%}", "limited" in name) for name, share in shares.items()]
    number = f"{shares['beside a limited bomb'] * 100:.2g} %"
    sentence = (
        f"of requests fail beside a fork bomb with --pids-limit {PIDS}; without it "
        f"{shares['beside a bomb'] * 100:.2g} %. Docker sets no such limit by itself."
    )
    return [Highlight(FIX.id, number, sentence, tuple(bars))]
