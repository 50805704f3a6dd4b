"""What a trial of `limits` does: a victim, then a hog beside it, and what both tell."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np
import pandas as pd

from caveatlib.errors import FAILURES, MeasurementError
from caveatlib.experiments.kit.workloads import created
from caveatlib.experiments.limits.neighbours import BEAT, HOG, beats
from caveatlib.instruments import heartbeat
from caveatlib.places.base import TrialResult, Workload
from caveatlib.places.output import await_lines, text_to_end
from caveatlib.support.processes import readable

RATE, BEFORE_S, BESIDE_S, AFTER_S = 100, 0.3, 1.6, 0.9
"""Requests a second; how long the victim is alone, beside the hog, and alone again, at least."""
NEWCOMER_S, ENDED_S, TICK_S = 5, 5, 0.02
SCRIPTS = {
    "idle": "exec sleep 60",
    "fork": "exec hog fork 5000",
    "memory": f"exec hog memory {4 << 30}",
    "compute": f"exec hog compute {2 * (os.cpu_count() or 1)}",
    "write": f"exec hog write /tmp/written {BESIDE_S - 0.6:g}",
}


def beside(place, conditions: Mapping) -> TrialResult:
    """Let a victim serve, a hog run beside it for a while, and read what became of both."""
    hog, limited = conditions["hog"], bool(conditions["limited"])
    place.require_cap()
    with ExitStack() as stack:
        gaps = stack.enter_context(heartbeat.gaps(TICK_S))
        seconds = BEFORE_S + BESIDE_S + AFTER_S
        victim = created(stack, place, Workload(f"exec beat {RATE} {seconds:g}", programs=(BEAT,)))
        victim.start()
        began = time.monotonic()
        time.sleep(BEFORE_S)
        found, window = _hog_runs(stack, place, hog, limited=limited)
        answered = beats(text_to_end(victim.output, began + seconds + ENDED_S - time.monotonic()))
    found |= _of_victim(answered, seconds, window) | {"machine_gap_s": max(gaps, default=0.0)}
    if not conditions["sampled"]:
        return TrialResult(found)
    rows = answered.assign(t_s=answered["due_s"] - window[0])[["t_s", "latency_s"]]
    key = {"hog": hog, "limited": conditions["limited"]}
    return TrialResult(found, {"beats": [key | row for row in rows.to_dict("records")]})


def _hog_runs(stack: ExitStack, place, hog: str, *, limited: bool) -> tuple[dict, tuple]:
    """Let a hog run and end; return what it had and told, and when it began and ended."""
    begun, found = time.monotonic(), {}
    if hog == "none":
        time.sleep(BESIDE_S)
        return found, (begun, time.monotonic())
    workload = Workload(SCRIPTS[hog], programs=(HOG,))
    neighbour = created(stack, place, workload, limit=hog if limited else "")
    neighbour.start()
    begun = time.monotonic()
    if limited:  # a hog pauses before it begins
        place.require_limit(neighbour, hog)
    time.sleep(BESIDE_S)
    ended = time.monotonic()
    found["killed"] = float(place.was_killed(neighbour))
    if not found["killed"]:
        found["tasks"] = place.tasks(neighbour)
    if hog == "fork":
        found["newcomer"] = float(_newcomer_starts(place))
    said = _available(neighbour.output)
    removed = time.monotonic()
    neighbour.remove()
    found["removed_s"] = time.monotonic() - removed
    if told := re.search(r"begun (\d+\.\d+)", said):
        begun = float(told[1])
    return found | _told(said, begun), (begun, ended)


def _told(said: str, begun: float) -> dict[str, float]:
    """Return what a hog told of itself."""
    found = {}
    if refused := re.search(r"refused (\d+\.\d+) ", said):
        found["refused_s"] = float(refused[1]) - begun
    if took := re.findall(r"took (\d+)", said):
        found["taken_bytes"] = float(took[-1])
    if wrote := re.search(r"wrote (\d+\.\d+) (\d+)", said):
        found["wrote_bit_per_s"] = 8 * int(wrote[2]) / float(wrote[1])
    return found


def _of_victim(answered: pd.DataFrame, seconds: float, window: tuple) -> dict[str, float]:
    """Return what became of the requests that were due while the hog ran.

    Those that a dead victim no longer told of have failed, too.
    """
    if answered.empty:
        raise MeasurementError("The victim answered nothing, from its start.")
    due = answered["due_s"].iloc[0] + np.arange(round(RATE * seconds)) / RATE
    requests = int(np.sum((due >= window[0]) & (due <= window[1])))
    latency = answered.loc[answered["due_s"].between(*window), "latency_s"].dropna()
    found = {"requests": float(requests), "failed": float(max(0, requests - len(latency)))}
    if len(latency):
        found |= {"p50_s": latency.median(), "p90_s": latency.quantile(0.9)}
    return found


def _available(file: int) -> str:
    """Return what can be read now."""
    said = b""
    while readable(file, 0) and (more := os.read(file, 65536)):
        said += more
    return said.decode(errors="replace")


def _newcomer_starts(place) -> bool:
    """Return whether one more container can be started."""
    try:
        with ExitStack() as stack:
            newcomer = created(stack, place, Workload("echo on"))
            newcomer.start()
            await_lines(newcomer.output, ["on"], NEWCOMER_S)
    except FAILURES:
        return False
    return True
