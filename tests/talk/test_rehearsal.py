"""The live part of a slide as on stage: a real engine, and a verdict before the audience tires."""

import os
import time

import pytest

from caveatlib import talk
from caveatlib.claims import DECIDED
from caveatlib.talk.stage import LIMIT_S, LIVE

RUNS = int(os.environ.get("CAVEATLIB_REHEARSALS", "6"))
"""Set CAVEATLIB_REHEARSALS=20 before a talk: each starts an engine, so CI has fewer."""
LEAST = 0.9


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.timed
def test_rehearsal(require, bars):
    """Nine of ten live parts end in a live verdict in time; the others say why not."""
    require("private-engine")
    scenes, seconds = [], []
    for _ in range(RUNS):
        began = time.monotonic()
        scenes.append(talk.live("limit", source="live"))
        seconds.append(time.monotonic() - began)
    live = [s for s in scenes if s.kind == LIVE]
    bars.append(("rehearsal: live verdicts", f"{len(live)} of {RUNS}", ">= 90 %"))
    bars.append(("rehearsal: slowest", f"{max(seconds):.1f} s", f"<= {LIMIT_S:.0f} s"))
    assert len(live) >= LEAST * RUNS, [s.reason for s in scenes]
    for scene in live:
        (verdict,) = (v for v in scene.run.verdicts() if v.claim == "C07")
        assert verdict.verdict in DECIDED
        assert verdict.source == "live"
    for scene in scenes:
        assert scene.kind == LIVE or scene.reason


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.timed
def test_the_race_is_live(require):
    """The other live part: four places, each with a first output."""
    require("private-engine")
    scene = talk.live("race", source="live")
    assert scene.kind == LIVE, scene.reason
    assert scene.trials.groupby("place")["first_output_s"].count().min() >= 1
