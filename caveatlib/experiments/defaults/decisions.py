"""What decides the claims of `defaults`, its controls, and the answer in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import pandas as pd

from caveatlib import claims
from caveatlib.claims import DECIDED, FAILS, HOLDS, Effect, Fact, Finding, Reading, Verdict, Whole
from caveatlib.experiments.defaults import claims as stated
from caveatlib.experiments.defaults import designs, facts, in_guests, prices
from caveatlib.experiments.defaults.claims import COSTS, MANY_FILES, PERCENT, PRICES, Price
from caveatlib.experiments.defaults.designs import CALLS
from caveatlib.experiments.kit.sentences import listed, per_machine
from caveatlib.support.quantities import format_quantity

Rows = pd.DataFrame
LABELS = {
    "seccomp": "seccomp",
    "user-namespaces": "user namespaces",
    "apparmor": "AppArmor",
    "apparmor-guest": "AppArmor, in a guest",
    **{part: price.label for part, price in PRICES.items()},
}
CHEAP = {"a getppid": "getppid_s", "opening a file": "open_s", "a start": "first_output_s"}


def _cost(claim: claims.Claim, price: Price, **more) -> Effect:
    return Effect(
        claim=claim,
        contrast=prices.contrast(price),
        direction="greater",
        null=prices.contrast(price, again=True),
        label=price.label,
        say=partial(prices.said, price=price),
        **{"words": ("Dearer", "Cheaper"), "qualify": prices.QUALIFIED.get(claim.id)} | more,
    )


def _headline(here: Rows, verdict: Verdict) -> str:
    return f"{verdict.headline}." if verdict.verdict in DECIDED else ""


def _takes(here: Rows, verdict: Verdict, *, on: Mapping, off: Mapping) -> str:
    """Say what a mechanism costs, in medians; the ratios are judged elsewhere, if at all."""
    said = []
    for what, measure in CHEAP.items():
        values = [claims.values_of(here, where, measure).median() for where in (on, off)]
        if pd.isna(values).any():
            return ""
        with_it, without = (format_quantity(value, "s") for value in values)
        said.append(f"{what} takes {with_it} with it and {without} without")
    return f"Medians: {listed(said)}."


def _fact(
    claim: claims.Claim,
    readings: tuple[Reading, ...],
    find: Callable[[Rows], Finding],
    label: str,
    **more,
) -> Fact:
    return Fact(claim=claim, readings=readings, find=find, say=_headline, label=label, **more)


def _protected(here: Rows, parts: Mapping[str, Verdict]) -> str:
    named = (stated.SECCOMP, stated.USER_NAMESPACES, stated.APPARMOR, stated.IN_GUEST)
    said = (parts[claim.id] for claim in named)
    return " ".join(f"{v.headline}." for v in said if v.verdict in DECIDED)


def _studied(here: Rows, parts: Mapping[str, Verdict]) -> str:
    found = {part: parts[claim.id] for part, claim in COSTS.items()}
    dear = [p for p, v in found.items() if v.verdict == HOLDS]
    cheap = [p for p, v in found.items() if v.verdict == FAILS]
    said = []
    if dear:
        priced = [f"{PRICES[p].says} ({prices.times(found[p].effect)})" for p in dear]
        said.append(f"More than {PERCENT:.0f} % dearer by default: {'; '.join(priced)}.")
    if cheap:
        said.append(
            f"Not more than {PERCENT:.0f} % dearer: {'; '.join(PRICES[p].says for p in cheap)}."
        )
    return " ".join(said)


PARTS = (
    _fact(
        stated.SECCOMP,
        facts.BY_SECCOMP,
        facts.by_seccomp,
        "the seccomp filter",
        qualify=partial(
            _takes, on=designs.where(CALLS), off=designs.where(CALLS, designs.WITHOUT_FILTER)
        ),
    ),
    _fact(
        stated.USER_NAMESPACES,
        facts.BY_USER_NAMESPACES,
        facts.by_user_namespaces,
        "user namespaces",
        qualify=partial(
            _takes, on=designs.where(CALLS, place=designs.USERNS), off=designs.where(CALLS)
        ),
    ),
    _fact(stated.APPARMOR, facts.BY_APPARMOR, facts.by_apparmor, "the AppArmor profile"),
    _fact(stated.IN_GUEST, facts.BY_PROFILE, facts.by_profile, "the profile, in a guest"),
)
DECISIONS = (
    Whole(
        claim=stated.PROTECTED,
        parts=tuple(part.claim.id for part in PARTS),
        labels=LABELS,
        sum_up=_protected,
        label="what confines a container by default",
    ),
    *PARTS,
    Whole(
        claim=stated.STUDIED,
        parts=tuple(claim.id for claim in COSTS.values()),
        labels=LABELS,
        sum_up=_studied,
        one_suffices=True,
        label="what a default costs",
    ),
    *(_cost(COSTS[part], price) for part, price in PRICES.items()),
    _cost(
        stated.OPEN_FILES,
        MANY_FILES,
        words=("Longer", "Shorter"),
        entitle=prices.limits,
        qualify=prices.stated_limit,
    ),
    _fact(
        stated.TOLD,
        facts.CLAIMED,
        facts.told_truly,
        "docker info",
        qualify=lambda here, verdict: facts.told_of_others(here),
    ),
    _fact(stated.SETUID, facts.RAISED, facts.raised, "a setuid program"),
    _fact(stated.ZOMBIES, facts.REAPED, facts.reaped, "zombies"),
    _fact(stated.FOUND, facts.RESOLVED, facts.resolved, "neighbours' names"),
    _fact(stated.KEPT, facts.KEPT, facts.kept, "100 MB of log"),
    _fact(stated.SERVED, in_guests.SERVED, in_guests.served, "a service's address, in a guest"),
    _fact(stated.SIZED, in_guests.SIZED, in_guests.sized, "a size limit, in a guest"),
)


@per_machine
def answer(trials: Rows) -> str:
    """Say what the trials of each machine show."""
    told = (stated.PROTECTED, stated.STUDIED, stated.SERVED, stated.SIZED)
    found = {v.claim: v for v in claims.judge(trials, DECISIONS)}
    said = [found[claim.id] for claim in told if claim.id in found]
    return " ".join(v.sentence for v in said if v.n)
