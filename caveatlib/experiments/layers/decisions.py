"""What decides the claims of `layers`, and the answer in words."""

from __future__ import annotations

import math

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import NOT_MEASURED, OPEN, Effect, Fact, Whole
from caveatlib.experiments.kit.sentences import listed, per_machine
from caveatlib.experiments.layers import claims as stated
from caveatlib.experiments.layers import facts
from caveatlib.experiments.layers.claims import AGAINST_DISK, GROWS, MOSTLY, ON_BASES, PULLED
from caveatlib.experiments.layers.designs import LINKS, REGISTRY, on_link
from caveatlib.experiments.layers.tables import MOVED, moves, opened, prices, slopes, way
from caveatlib.support.quantities import format_quantity, percent

PULLS = {"even": "pull-even", "one": "pull", "base": "pull-base-there"}
"""What is pulled, and the work that does it."""
SPREAD = {what: MOVED[work].removeprefix("image, ") for what, work in PULLS.items()}
DISK, DISK_ON_BASE = "disk-gzip", "disk-base-there"


def contrast(name: str, measure: str, one: dict, other: dict | None, **settings) -> stats.Contrast:
    """Return a contrast of `moves` over sessions, each of which has an engine of its own."""
    return stats.Contrast(name, measure, one, other, pairing="session", **settings)


NULLS = {
    link: contrast(
        f"the same pull twice, {link}", "slope_s_per_gb", way("pull", rate, 1), way("pull", rate)
    )
    for link, rate in LINKS.items()
}


def _against_disk(link: str, what: str) -> Effect:
    label = f"{SPREAD[what]} over a gzipped disk, {link}"
    ways = way(PULLS[what], LINKS[link]), way(DISK, LINKS[link])
    return Effect(
        claim=AGAINST_DISK[link, what],
        label=label,
        contrast=contrast(label, "slope_s_per_gb", *ways),
        direction="less",
        words=("Slower", "Faster"),
        null=NULLS[link],
        table=moves,
        needs=[{"place": REGISTRY} | one for one in ways],
    )


def _on_bases(link: str) -> Effect:
    label = f"Base there on both sides, {link}"
    ways = way(PULLS["base"], LINKS[link]), way(DISK_ON_BASE, LINKS[link])
    return Effect(
        claim=ON_BASES[link],
        label=label,
        contrast=contrast(label, "slope_s_per_gb", *ways),
        direction="less",
        words=("Slower", "Faster"),
        null=NULLS[link],
        table=moves,
        needs=[{"place": REGISTRY} | one for one in ways],
    )


def _grows(link: str) -> Effect:
    label = f"Share of a pull that grows with its bytes, {link}"
    pulled = way("pull", LINKS[link])
    half = {"threshold": MOSTLY, "kind": "difference"}
    return Effect(
        claim=GROWS[link],
        label=label,
        contrast=contrast(label, "byte_share", pulled, None, **half),
        direction="greater",
        words=("More", "Less"),
        unit="of the time",
        table=moves,
        needs=[{"place": REGISTRY} | pulled],
    )


def _tell_links(here: pd.DataFrame, parts: dict[str, claims.Verdict]) -> str:
    """Tell link by link, the slowest first, how each image compares with a gzipped disk."""
    said = []
    for link in reversed(LINKS):
        found = {what: parts[AGAINST_DISK[link, what].id] for what in PULLS}
        if any(verdict.verdict != NOT_MEASURED for verdict in found.values()):
            times = [f"{SPREAD[what]} {_times(verdict)}" for what, verdict in found.items()]
            against = (
                f"{link[0].upper()}{link[1:]}"
                if said
                else f"Time over that of a gzipped disk, {link}"
            )
            said.append(f"{against}: {', '.join(times)}.")
    both = [
        f"{link} {_times(part)}"
        for link in reversed(LINKS)
        if (part := parts[ON_BASES[link].id]).verdict != NOT_MEASURED
    ]
    said += [f"With the base there on both sides: {', '.join(both)}."] if both else []
    moved = moves(here)
    said += [totals] if (totals := _totals(moved)) else []
    medians = slopes(moved)
    if {"disk", "pull"} <= set(medians.columns):
        ratios = (medians["pull"] / medians["disk"]).dropna()
        unpacked = listed([f"{ratio:.2g}x {on_link(link)}" for link, ratio in ratios.items()])
        said.append(f"One big layer over a disk that is not packed: {unpacked}.")
    said.append(facts.tell_published(here))
    return " ".join(filter(None, said))


def _totals(rows: pd.DataFrame) -> str:
    """Tell the other estimand: whole moves of all sizes together, fixed costs included."""
    rows = rows[rows["ok"] & (rows["replicate"] == 0)]
    medians = rows.groupby(["link_bit_per_s", "work"])["total_s"].median().unstack()
    if DISK not in medians.columns:
        return ""
    told = []
    for link, rate in LINKS.items():
        if rate not in medians.index:
            continue
        row = medians.loc[rate]
        ratios = {SPREAD[what]: row.get(work, math.nan) / row[DISK] for what, work in PULLS.items()}
        each = [f"{name} {ratio:.2g}x" for name, ratio in ratios.items() if ratio > 0]
        told += [f"{listed(each)} {on_link(link)}"] if each else []
    if not told:
        return ""
    return (
        "These are ratios by the byte. Whole moves, fixed costs included, over those of a "
        f"gzipped disk: {'; '.join(told)}."
    )


def _times(part: claims.Verdict) -> str:
    if part.verdict in (NOT_MEASURED, OPEN):
        return {OPEN: "undecided"}.get(part.verdict, "not measured")
    return f"{part.effect:.2g}x"


def _tell_growth(here: pd.DataFrame, parts: dict[str, claims.Verdict]) -> str:
    """Tell which share of a pull grows with its bytes, and what a gigabyte costs."""
    found = {link: parts[claim.id] for link, claim in GROWS.items()}
    shares = {link: v.effect for link, v in found.items() if v.verdict != NOT_MEASURED}
    each = [f"{percent(share, 1)} {on_link(link)}" for link, share in shares.items()]
    mb = here.loc[here["content_bytes"] > 0, "content_bytes"] / 1e6
    return (
        f"Of the time of the largest pull {listed(each)} grow with its bytes; the claim needs more "
        f"than {percent(MOSTLY)}, and of a smaller pull it is less. Per GB of files, measured "
        f"over {mb.min():.0f} to {mb.max():.0f} MB, an image with most of its bytes in one layer "
        f"takes {_priced(prices(here))}."
    )


def _priced(medians: pd.DataFrame) -> str:
    pulled = medians["pull"].dropna()
    return listed([f"{value:.3g} s {on_link(link)}" for link, value in pulled.items()])


def _effects(link: str) -> list[Effect]:
    return [*(_against_disk(link, what) for what in PULLS), _on_bases(link), _grows(link)]


DECISIONS = (
    Fact(claim=stated.PLANTED, readings=facts.OLIVES, find=facts.planted),
    Whole(
        claim=stated.MOVING,
        parts=tuple(claim.id for claim in (*AGAINST_DISK.values(), *ON_BASES.values())),
        labels=SPREAD | {"both": "base there on both sides"},
        tell=_tell_links,
    ),
    Whole(
        claim=stated.SIZE,
        parts=tuple(claim.id for claim in GROWS.values()),
        tell=_tell_growth,
    ),
    *(effect for link in LINKS for effect in _effects(link)),
    Fact(claim=stated.PUBLISHED, readings=facts.PUBLISHED, find=facts.published),
    Fact(claim=stated.NEVER_OPENED, readings=facts.OPENED, find=facts.share_opened),
    Fact(claim=stated.SURFACE, readings=facts.SURFACE, find=facts.surface),
    Fact(claim=stated.OWNED, readings=facts.OWNED, find=facts.owned),
    Fact(claim=stated.STATIC, readings=facts.STATIC, find=facts.static),
)


@per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say in a few sentences what the trials of each machine show."""
    said = (_answer_opened(trials), _answer_moved(trials), facts.tell_published(trials))
    return " ".join(filter(None, said))


def _answer_opened(here: pd.DataFrame) -> str:
    table = opened(here)
    parts = [
        f"{percent(row.opened_byte_share, 1)} of the "
        f"{format_quantity(row.opened_bytes / row.opened_byte_share, 'B')} on {row.Index}"
        for row in table[table["opened_byte_share"] > 0].itertuples()
    ]
    return f"Files that a web server opens make up {listed(parts)}." if parts else ""


def _answer_moved(here: pd.DataFrame) -> str:
    medians = prices(here)
    if "pull" not in medians.columns:
        return ""
    said = (
        "Per GB of files, pulling an image with most of its bytes in one layer takes "
        f"{_priced(medians)}."
    )
    slowest = medians.iloc[-1]
    ratios = slowest / slowest.get(DISK, math.nan)
    times = {
        image: f"{ratios[PULLS[what]]:.2g} times"
        for what, image in PULLED.items()
        if pd.notna(ratios.get(PULLS[what]))
    }
    if times:
        first, *others = times
        compared = f"{first} takes {times[first]} as long as a gzipped disk of the same files"
        others = [f"{image} {times[image]}" for image in others]
        link = on_link(slowest.name)
        said += f" {link[0].upper()}{link[1:]}, {listed([compared, *others])}."
    return said
