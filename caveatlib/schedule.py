"""Which experiments a report measures, how long, in which order, and why it replays the rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from caveatlib import claims, host, prepare, scorecard, trials
from caveatlib.experiments import ALL
from caveatlib.measuring.experiment import complete
from caveatlib.support.quantities import format_span

TOTAL_S = 240.0
"""Seconds until the last experiment of a report begins to end: what is prepared is in them."""
LEAST_S = 60.0
"""With less an experiment decides nothing that is worth its place."""
HEADLINES = ("startup", "ports")
"""What the post is known for: their first verdicts come before what decides more per second."""


class Share(NamedTuple):
    """What a report does with one experiment.

    Attributes
    ----------
    experiment : module
    seconds : float
        Of measuring; 0 if it is replayed.
    places : tuple of str
        Those that are measured: all but emulated ones that decide nothing.
    reason : str
        Why it is replayed, or measured for less than its verdicts need.
    whole : bool
        Whether designs that wait under a budget are measured, too, and all is prepared for them.
    """

    experiment: object
    seconds: float
    places: tuple[str, ...]
    reason: str
    whole: bool = True


def shares(total_s: float = TOTAL_S) -> list[Share]:
    """Share seconds among the experiments by how many claims each decides per second here.

    First come the first verdicts of each, see `Experiment.FIRST_S`, then all of its verdicts.
    What is prepared comes before what is still to be prepared, and what is soon done before what
    lasts: the first verdict shall not wait for a download. The first that no longer fits gets
    what is left, if that is enough for something, and the others are replayed.

    Returns
    -------
    list of Share
        In the order of measuring, those that are replayed last.
    """
    found = sorted(((e, host.prospects(e)) for e in ALL), key=_price)
    first = _first(total_s)
    measured, replayed, left_s = [], [], total_s - sum(first.values())
    for experiment, prospects in found:
        begun_s = first.get(experiment.NAME, 0.0)
        needed_s = complete(experiment).VERDICT_S - begun_s
        lacks = [p.lacks for p in prospects if p.lacks]
        command = f"`caveatlib measure {experiment.NAME}`"
        if len(lacks) == len(prospects):
            # What most of its claims lack: one may lack what no machine has.
            most = max(lacks, key=lacks.count, default="")
            reason = f"nothing of it can be decided here: {most}" if most else "it has no claim"
            replayed.append(Share(experiment, 0.0, (), reason))
        elif left_s < min(needed_s, LEAST_S) or begun_s + left_s < first_session_s(experiment):
            if begun_s:
                places, reason = _first_places(experiment), f"{command} measures all of it"
                measured.append(Share(experiment, begun_s, places, reason, whole=False))
                continue
            reason = f"its verdicts need about {format_span(needed_s)} of measuring, {command}"
            replayed.append(Share(experiment, 0.0, (), reason))
        else:
            given_s = min(needed_s, left_s)
            left_s -= given_s
            reason = "" if given_s == needed_s else f"{command} measures all of it"
            places = host.worthwhile(experiment)
            measured.append(Share(experiment, begun_s + given_s, places, reason))
    measured.sort(key=lambda share: (share.whole and not _prepared(share), share.seconds))
    return measured + replayed


def left_s(share: Share, spent_s: float, total_s: float = TOTAL_S) -> float:
    """Return for how long an experiment is still measured; 0 if too little is left of its share.

    What was prepared before it, and sessions that were longer than a share, have taken some.
    """
    seconds = min(share.seconds, total_s - spent_s)
    return seconds if seconds >= share.seconds / 2 else 0.0


def _first(total_s: float) -> dict[str, float]:
    """Return how long experiments are measured for their first verdicts, as far as they fit."""
    offers = []
    for experiment in ALL:
        seconds = complete(experiment).FIRST_S
        decided = sum(not p.lacks for p in host.prospects(experiment, waiting=False))
        if seconds and decided:
            headline = experiment.NAME in HEADLINES
            offers.append((not headline, seconds / decided, experiment.NAME, seconds))
    given: dict[str, float] = {}
    for _, _, name, seconds in sorted(offers):
        if sum(given.values()) + seconds <= total_s:
            given[name] = seconds
    return given


def _first_places(experiment) -> tuple[str, ...]:
    """Return the places of the first verdicts: a session need not open any other."""
    designs = complete(experiment).designs(host.cores())
    first = {arm.place for design in designs if not design.optional for arm in design.arms}
    return tuple(name for name in host.worthwhile(experiment) if name in first)


def first_session_s(experiment) -> float:
    """Return about how long a first session takes here: it is measured whatever the budget."""
    return trials.first_session_s(*trials.arms_here(experiment))


def _price(found: tuple) -> float:
    """Return the seconds that a verdict of an experiment costs here."""
    experiment, prospects = found
    decided = sum(not p.lacks for p in prospects)
    return complete(experiment).VERDICT_S / decided if decided else float("inf")


def _prepared(share: Share) -> bool:
    return all(step.ready for step in prepare.plan(complete(share.experiment).ARTEFACTS))


def told(experiment, say: Callable[[str], None], began: float) -> Callable[[pd.DataFrame], None]:
    """Return what says each verdict as soon as the trials so far decide it, and each change.

    Parameters
    ----------
    experiment : module
    say : callable
    began : float
        `time.monotonic` when the report began.
    """
    known: dict[str, str] = {}

    def watch(trials: pd.DataFrame) -> None:
        for verdict in complete(experiment).verdicts(trials):
            name, word = verdict.claim, verdict.verdict
            if "/" in name or known.get(name, claims.OPEN) == word or word == claims.NOT_MEASURED:
                continue
            known[name] = word
            passed = f"{time.monotonic() - began:4.0f} s  "
            say(passed + scorecard.line(name, word, verdict.headline, width=70))

    return watch
