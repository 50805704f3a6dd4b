"""What decides the claims of `trust`, and the answer in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from caveatlib import claims
from caveatlib.claims import DECIDED, Fact, Verdict, Whole
from caveatlib.experiments.kit.sentences import listed, per_machine
from caveatlib.experiments.trust import claims as stated
from caveatlib.experiments.trust import facts
from caveatlib.experiments.trust.designs import FETCHERS
from caveatlib.experiments.trust.tables import outcomes
from caveatlib.support.quantities import percent

Rows = pd.DataFrame
WORDS = {
    "layer": "a changed layer",
    "config": "a changed config",
    "digest": "a changed manifest or index, by digest",
    "manifest": "a changed manifest or index, by tag",
    "tag": "another image under the tag",
    "archive": "a changed part of a docker archive",
    "layout": "a changed part of an OCI layout",
    "rewritten": "an archive or a layout that was rewritten whole",
    "signature": "an unsigned or foreign image, where signatures are verified",
    "rollback": "an older signed image, where signatures are verified",
}
LABELS = {
    "layer": "layer",
    "config": "config",
    "digest": "manifest, by digest",
    "manifest": "manifest, by tag",
    "tag": "tag moved",
    "archive": "docker archive",
    "layout": "OCI layout",
    "rewritten": "all rewritten",
    "signature": "foreign signature",
    "rollback": "older, signed",
}
HIDDEN_BY_US = (
    "An image's history is what its maker wrote, and both histories here are ours. The images were "
    "made to hide something: this shows what the tools look at, not how often images of registries "
    "hide something."
)
CLASSIC_STORE = (
    "Docker is one engine (26.1.5 where we recorded) with its classic image store, which a setting "
    "of ours keeps: from Engine 29 new installations use containerd's (Docker Docs: 'containerd "
    "image store with Docker Engine'), which was not tried."
)
MADE_HERE = (
    "The packages are those of a minimal Debian made here from the main archive alone, not of an "
    "official image. Uploads that main does not have yet are not counted."
)
_NOTICED = {claims.HOLDS: "by every tool", claims.FAILS: "by no tool", claims.MIXED: "by some"}


def _noticed(what: str) -> Callable[[Rows, Verdict], str]:
    """Return what says by whom something is noticed."""

    def say(here: Rows, verdict: Verdict) -> str:
        by = _NOTICED.get(verdict.verdict)
        return f"{what[0].upper()}{what[1:]}: noticed {by}. {verdict.headline}." if by else ""

    return say


def _headline(here: Rows, verdict: Verdict) -> str:
    return f"{verdict.headline}." if verdict.verdict in DECIDED else ""


def _sum_up(here: Rows, parts: Mapping[str, Verdict]) -> str:
    """Say which changes every tool noticed, which some, which none."""
    of = {part: parts[claim.id].verdict for part, claim in stated.PARTS.items()}
    said = []
    for word, by in _NOTICED.items():
        if whats := [WORDS[part] for part, found in of.items() if found == word]:
            asked = f"{by} that fetched or verified" if word == claims.HOLDS else by
            said.append(f"Noticed {asked}: {'; '.join(whats)}.")
    return " ".join(said)


def _noticing(claim: claims.Claim, offers: tuple, what: str, label: str) -> Fact:
    return Fact(
        claim=claim,
        readings=facts.readings(offers),
        find=facts.all_noticed(offers),
        say=_noticed(what),
        label=label,
    )


DECISIONS = (
    Fact(
        claim=stated.TRUST,
        readings=facts.BY_DOCKER,
        find=facts.unnamed,
        qualify=lambda here, verdict: HIDDEN_BY_US,
        say=_headline,
        label="named by docker history and inspect",
    ),
    Whole(
        claim=stated.CONTENT,
        parts=tuple(claim.id for claim in stated.PARTS.values()),
        sum_up=_sum_up,
        qualify=lambda here, verdict: CLASSIC_STORE,
        labels=LABELS,
        label="attempts refused",
    ),
    *(
        _noticing(stated.PARTS[part], facts.OFFERS[part], what, LABELS[part])
        for part, what in WORDS.items()
    ),
    Fact(
        claim=stated.PATCHED,
        readings=facts.LACKING,
        find=facts.lacking,
        qualify=lambda here, verdict: MADE_HERE,
        say=_headline,
        label="days on which an update is lacking",
    ),
    Fact(
        claim=stated.MAIN_ALONE,
        readings=facts.TODAY,
        find=facts.main_alone,
        say=_headline,
        label="built today from main alone",
    ),
    Fact(
        claim=stated.READ,
        readings=facts.BY_READER,
        find=facts.read,
        say=_headline,
        label="named by reading the layers",
    ),
    _noticing(
        stated.PINNED,
        facts.BUT_OLDER,
        "all but an older signed image, where the verified digest is fetched",
        "verified, then by digest",
    ),
    _noticing(
        stated.UNREAD,
        facts.ALONE,
        "a changed layer or config, where a signature is verified and nothing fetched",
        "verified, nothing fetched",
    ),
    Fact(
        claim=stated.OLIVES,
        readings=facts.COMPARED,
        find=facts.others,
        say=_headline,
        label="published images that differ",
    ),
)


@per_machine
def answer(trials: Rows) -> str:
    """Say in a few sentences what the trials of each machine show."""
    said = [_answer_tampered(trials), _answer_planted(trials), _answer_aged(trials)]
    return " ".join(filter(None, said))


def _answer_tampered(here: Rows) -> str:
    table = outcomes(here)
    forms = {"by digest": "digest", "by tag": "tag", "in an archive": "docker-archive"}
    parts = []
    for words, form in forms.items():
        rows = table[(table["form"] == form) & table["place"].isin(FETCHERS)]
        if len(rows):
            parts.append(f"{percent(rows['refused'].mean())} {words}")
    if not parts:
        return ""
    return f"Of the attempts with a changed image, tools that fetch it refused {listed(parts)}."


def _answer_planted(here: Rows) -> str:
    found = claims.judge(here, [d for d in DECISIONS if d.claim is stated.TRUST])
    return " ".join(f"{v.headline}." for v in found if v.verdict in DECIDED)


def _answer_aged(here: Rows) -> str:
    found = claims.judge(here, [d for d in DECISIONS if d.claim is stated.PATCHED])
    return " ".join(f"{v.headline}." for v in found if v.verdict in DECIDED)
