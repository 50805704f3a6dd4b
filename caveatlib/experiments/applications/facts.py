"""What the trials of `applications` say: each fact over the applications, and what it is read from.

The application is the unit: of its trials the median counts. The interval is that of the signed
ranks, which is exact, over the applications.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import FAILS, HOLDS, OPEN, Finding, Reading, Verdict, values_of
from caveatlib.experiments.applications.catalogue import ALL, TITLES
from caveatlib.experiments.applications.claims import (
    COUNTED,
    LEVEL,
    MOSTLY,
    OF_THE_BASE,
    OPENED,
    OWNED,
)
from caveatlib.experiments.applications.designs import (
    CONTENTS,
    DEPLOYMENT,
    FULL,
    LINKS,
    MINIMAL,
    WORKLOAD,
    where,
)
from caveatlib.experiments.kit.sentences import listed

FEWEST = 9
"""Applications below which there is no interval at `claims.LEVEL`."""


class Spread(NamedTuple):
    """A measure over applications: median, interval of its centre, least, most, how many."""

    median: float
    low: float
    high: float
    least: float
    most: float
    n: int


def by_application(here: pd.DataFrame, reading: Reading) -> pd.Series:
    """Return the median of a reading for each application that has one."""
    values = values_of(here, reading.where, reading.column)
    medians = values.groupby(here.loc[values.index, "place"]).median()
    return medians.reindex([a.name for a in ALL if a.name in medians.index])


def spread(values: pd.Series) -> Spread:
    """Return how a measure is spread over applications."""
    numbers = values.to_numpy(dtype=float)
    _, low, high = (float(value) for value in stats.hodges_lehmann(numbers, LEVEL))
    return Spread(
        float(values.median()), low, high, float(values.min()), float(values.max()), len(values)
    )


def shares_opened(column: str) -> tuple[Reading, ...]:
    """Return what says how much is opened; on the minimal Debian it is only told."""
    return (
        Reading(where(WORKLOAD, FULL), column),
        Reading(where(WORKLOAD, MINIMAL), column, optional=True),
    )


def opened(column: str) -> Callable[[pd.DataFrame], Finding]:
    """Return what finds whether less than most is opened on the full Debian."""
    full, minimal = shares_opened(column)

    def find(here: pd.DataFrame) -> Finding:
        values = by_application(here, full)
        found = spread(values)
        line = (
            f"Of the {OPENED[column]} of an image on a full Debian {percent(found.median)} were "
            f"opened (median of {found.n} applications)"
        )
        said = [f"{line}.", _ends(values, percent), _interval(found, percent)]
        said.append(f"The claim needs less than {percent(MOSTLY)}.")
        beside = by_application(here, minimal)
        if len(beside):
            said.append(f"On a minimal Debian {percent(beside.median())} were.")
        word = _word(-found.high, -found.low, -MOSTLY)
        return Finding(word, line, _told(said, found), found.n)

    return find


def counts_of(column: str) -> tuple[Reading, ...]:
    """Return what says how many an image has on either base."""
    return tuple(Reading(where(CONTENTS, base), column) for base in (FULL, MINIMAL))


def more(column: str) -> Callable[[pd.DataFrame], Finding]:
    """Return what finds whether the full Debian has more of something than the minimal one."""
    readings = counts_of(column)

    def find(here: pd.DataFrame) -> Finding:
        held = pd.DataFrame({r.where["base"]: by_application(here, r) for r in readings}).dropna()
        differences = held[FULL] - held[MINIMAL]
        found = spread(differences)
        if not found.n:
            return Finding(OPEN, "", "No application was read on both bases.", 0)
        line = (
            f"A full Debian has {_count(held[FULL].median())} {COUNTED[column]}, a minimal one "
            f"{_count(held[MINIMAL].median())} (medians of {found.n} applications)"
        )
        said = [
            f"{line}.",
            f"The full one has {_from_to(found.least, found.most, _count)} more.",
            _interval(found, _count),
            _one_pair(column),
            "These are counts, not attacks.",
        ]
        return Finding(_word(found.low, found.high, 0), line, _told(said, found), found.n)

    return find


def _one_pair(*columns: str) -> str:
    """Say of what is counted that all images stand on one pair of bases."""
    said = "There is one pair of bases, the same for each application: the interval is conditional "
    said += "on it."
    theirs = [COUNTED[column] for column in columns if column in OF_THE_BASE]
    if theirs:
        said = f"Nearly all of the difference in {listed(theirs)} is that of the bases. {said}"
    return said


def on_one_pair(here: pd.DataFrame, verdict: Verdict) -> str:
    """Say the same of all that is counted."""
    return _one_pair(*COUNTED)


def shares_owned(base: str) -> tuple[Reading, ...]:
    """Return what says how many of the bytes packages own."""
    return (Reading(where(CONTENTS, base), "owned_share"),)


def owned(base: str) -> Callable[[pd.DataFrame], Finding]:
    """Return what finds whether packages own most of the bytes on a base."""

    def find(here: pd.DataFrame) -> Finding:
        values = by_application(here, *shares_owned(base))
        found = spread(values)
        line = (
            f"Packages own {percent(found.median)} of the bytes on a {base} (median of {found.n} "
            "applications)"
        )
        said = [f"{line}.", _ends(values, percent), _interval(found, percent)]
        said.append(f"The claim needs more than {percent(MOSTLY)}.")
        return Finding(_word(found.low, found.high, MOSTLY), line, _told(said, found), found.n)

    return find


def built_in(here: pd.DataFrame) -> str:
    """Say why no trial decides whether package managers are used."""
    return (
        "Apt installed every application here, so that packages own most of an image follows from "
        "how it was made. Images whose makers had the choice would decide it, and none was read; "
        f"what was measured decides {OWNED.id}, a claim of ours."
    )


def deployments(here: pd.DataFrame) -> pd.DataFrame:
    """Return what each application took to deploy, a block for each: bases, links, the control."""
    rows = here[(here["work"] == DEPLOYMENT) & here["ok"] & (here["deployed_s"] > 0)]
    keys = ["machine", "source", "place", "base", "link", "replicate"]
    medians = rows.groupby(keys, sort=False)[["deployed_s", "moved_bytes"]].median().reset_index()
    number = {application.name: block for block, application in enumerate(ALL)}
    where_in_run = {"run": "", "session": 0, "design": DEPLOYMENT, "ok": True}
    return medians.assign(block=medians["place"].map(number).astype(int), **where_in_run)


def _on_both(table: pd.DataFrame, link: str) -> pd.DataFrame:
    """Return seconds to deploy, a row for each application that was on both bases."""
    over = table[(table["link"] == link) & (table["replicate"] == 0)]
    took = over.pivot(index="place", columns="base", values="deployed_s")
    return took.reindex(columns=[FULL, MINIMAL]).dropna()


def control(link: str) -> stats.Contrast:
    """Return the A/A control of a link: the minimal Debian, deployed again."""
    again, first = ({"base": MINIMAL, "link": link, "replicate": n} for n in (1, 0))
    return stats.Contrast(f"a minimal Debian deployed again, {link}", "deployed_s", again, first)


def deployed(link: str) -> tuple[Reading, ...]:
    """Return what says how long deployments take over a link."""
    return tuple(
        Reading(where(DEPLOYMENT, base, link=link, replicate=again), "deployed_s")
        for base, again in ((FULL, 0), (MINIMAL, 0), (MINIMAL, 1))
    )


def slower(link: str) -> Callable[[pd.DataFrame], Finding]:
    """Return what finds whether the full Debian takes longer to deploy than the minimal one."""

    def find(here: pd.DataFrame) -> Finding:
        table = deployments(here)
        took = _on_both(table, link)
        if took.empty:
            return Finding(OPEN, "", "No application was deployed on both bases.", 0)
        ratios = took[FULL] / took[MINIMAL]
        logs = spread(np.log(ratios))
        found = logs._replace(low=math.exp(logs.low), high=math.exp(logs.high))
        line = (
            f"Deploying takes {took[FULL].median():.3g} s on a full Debian, "
            f"{took[MINIMAL].median():.3g} s on a minimal one (medians of {found.n} applications)"
        )
        said = [
            f"{line}.",
            f"Median of their ratios {ratios.median():.3g}x.",
            _ends(ratios, _times),
        ]
        said.append(_interval(found, _times))
        word = _word(found.low, found.high, 1)
        if doubt := _control_fails(table, link, np.log(ratios)):
            word = OPEN
            said.append(f"Not judged: {doubt}")
        return Finding(word, line, _told(said, found), found.n)

    return find


def _control_fails(table: pd.DataFrame, link: str, logs: pd.Series) -> str:
    """Say why the A/A control of a link vouches for no effect, by the rule for effects; else ""."""
    again = stats.aa_control(table, control(link)).iloc[0]
    if not again["passes"]:
        return str(again["note"])
    _, low, high = (math.exp(end) for end in stats.hodges_lehmann(logs.to_numpy()))
    blunt = claims.too_imprecise(again, (low, high), (low, high))
    return f"{blunt}." if blunt else ""


def _times(ratio: float) -> str:
    return f"{ratio:.3g}x"


def _word(low: float, high: float, threshold: float) -> str:
    """Return whether all of an interval lies above a threshold, at or below it, or neither."""
    if math.isnan(low):
        return OPEN
    return HOLDS if low > threshold else FAILS if high <= threshold else OPEN


def percent(share: float) -> str:
    """Return a share as it is read everywhere, ``"12.2 %"``."""
    return f"{share * 100:.3g} %"


def _count(number: float) -> str:
    """Return a count, or the middle of two with its half."""
    return f"{number:,.1f}".removesuffix(".0")


def _from_to(low: float, high: float, told: Callable[[float], str]) -> str:
    """Return both ends of a range, once where they read alike."""
    return " to ".join(dict.fromkeys((told(low), told(high))))


def _ends(values: pd.Series, told: Callable[[float], str]) -> str:
    """Name the applications with the least and the most."""
    least, most = values.idxmin(), values.idxmax()
    if told(values[least]) == told(values[most]):
        return f"{told(values[least])} for each."
    return (
        f"From {told(values[least])} ({TITLES[str(least)]}) to {told(values[most])} "
        f"({TITLES[str(most)]})."
    )


def _interval(found: Spread, told: Callable[[float], str]) -> str:
    if math.isnan(found.low):
        return ""
    ends = _from_to(found.low, found.high, told)
    return f"{LEVEL * 100:.3g} % CI of the pseudomedian (Hodges-Lehmann) {ends}."


def _told(said: list[str], found: Spread) -> str:
    if math.isnan(found.low):
        said = [*said, f"Too few for an interval: {FEWEST} are needed."]
    return " ".join(filter(None, said))


def summed_up(here: pd.DataFrame) -> str:
    """Say how much was opened on either base, a sentence for each; empty if nothing was."""
    told = []
    for base in (FULL, MINIMAL):
        medians = _medians_on(here, WORKLOAD, base, tuple(OPENED))
        shares = [f"{percent(m)} of the {OPENED[column]}" for column, m in medians.items()]
        if shares:
            n = len(by_application(here, Reading(where(WORKLOAD, base), next(iter(medians)))))
            line = f"opened {listed(shares)} of its image"
            line = f"On a {base} it {line}" if told else f"An application {line} on a {base}"
            told.append(f"{line} (medians of {n}).")
    return " ".join(told)


def counted(here: pd.DataFrame) -> str:
    """Say how many executables and so on images have on either base; empty if none was read."""
    told = []
    for base in (FULL, MINIMAL):
        medians = _medians_on(here, CONTENTS, base, tuple(COUNTED))
        counts = [f"{_count(m)} {COUNTED[column]}" for column, m in medians.items()]
        if counts:
            told.append(f"{listed(counts)} on a {base}")
    return f"An image has {'; '.join(told)} (medians)." if told else ""


def belongs(here: pd.DataFrame) -> str:
    """Say how many of the bytes packages own on either base; empty if no image was read."""
    told = []
    for base in (FULL, MINIMAL):
        for median in _medians_on(here, CONTENTS, base, ("owned_share",)).values():
            told.append(f"{percent(median)} on a {base}")
    return f"Of an image's bytes packages own {listed(told)} (medians)." if told else ""


def _medians_on(
    here: pd.DataFrame, work: str, base: str, columns: tuple[str, ...]
) -> dict[str, float]:
    """Return the median over applications of each column that has a value on a base."""
    found = {column: by_application(here, Reading(where(work, base), column)) for column in columns}
    return {column: float(values.median()) for column, values in found.items() if len(values)}


def took_longer(here: pd.DataFrame) -> str:
    """Say how long deploying on the full Debian takes over the minimal one, if anything was."""
    table, told = deployments(here), []
    for link in LINKS:
        took = _on_both(table, link)
        if len(took):
            than = "" if told else " as on a minimal one"
            ratio = (took[FULL] / took[MINIMAL]).median()
            told.append(f"{ratio:.3g} times as long{than} at {link}")
    return f"Deploying on a full Debian takes {listed(told)} (medians of ratios)." if told else ""
