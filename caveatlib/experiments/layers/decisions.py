"""What the trials of `layers` decide of its claims."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims, stats
from caveatlib.experiments.layers.calibration import NULLS, arm
from caveatlib.experiments.layers.claims import CLAIMS, MORE, MOSTLY, PLANTED, PULLS, WORDS
from caveatlib.experiments.layers.tables import (
    FULL,
    IMAGES,
    LINKS,
    MINIMAL,
    REGISTRY,
    SCRATCH,
    moves,
)
from caveatlib.frames import UNAVAILABLE
from caveatlib.support.quantities import format_quantity

_CLAIM = {claim.id: claim for claim in CLAIMS}


def verdicts(trials: pd.DataFrame) -> claims.Verdicts:
    """Decide the claims, machine by machine; C22 and C28 as a whole and link by link.

    The effects are adjusted together: on each link what is pulled against the
    disk, and the share that grows with the bytes.
    """
    found = claims.Verdicts()
    for machine, rows in trials.groupby("machine", sort=True):
        where = {"machine": machine, "source": rows["source"].iloc[0]}
        table = moves(rows)
        effects = _effects(table)
        nulls = {link: stats.null_band(table, null) for link, null in NULLS.items()}
        by_disk = {
            f"{link}, {words}": _by_disk(rows, effects, nulls, link, what, where)
            for link in LINKS
            for what, words in WORDS.items()
        }
        grows = {link: _grows(rows, effects, link, where) for link in LINKS}
        planted = _planted(rows, where)
        found += [_olives(planted, where), planted]
        lead = "An image against a gzipped disk of the same files"
        found += [_whole("C22", by_disk, lead, _beside(rows), where), *by_disk.values()]
        found += [_never_opened(rows, where)]
        lead = "What grows with the bytes of a pull"
        found += [_whole("C28", grows, lead, _prices(rows), where), *grows.values()]
        found += [_surface(rows, where), _owned(rows, where), _static(rows, where)]
    return found


def _ratio(name: str, arm: dict, baseline: dict) -> stats.Contrast:
    return stats.Contrast(name, "slope_s_per_gb", arm, baseline, pairing="session")


def _effects(table: pd.DataFrame) -> dict[str, dict]:
    """Return the contrasts of one machine's moves by name, adjusted together."""
    if table.empty:
        return {}
    wanted = []
    least = {"threshold": MOSTLY, "pairing": "session", "kind": "difference"}
    for link, rate in LINKS.items():
        wanted += [
            _ratio(f"{what} {link}", arm(work, rate), arm("disk-gzip", rate))
            for what, work in PULLS.items()
        ]
        wanted += [stats.Contrast(f"bytes {link}", "byte_share", arm("pull", rate), None, **least)]
    return {row["name"]: row for row in stats.contrasts(table, wanted).to_dict("records")}


def _unmeasured(claim: str, rows: pd.DataFrame, work: tuple, places: tuple, where: dict, n: int):
    """Return the verdict where nothing of such work succeeded in some place, else None."""
    reason = "" if n else "No session in which all that is compared was measured."
    for place in places:
        tried = rows[(rows["place"] == place) & rows["work"].isin(work)]
        if not tried["ok"].any():
            error = tried["error"].iloc[0] if len(tried) else "it was not asked for"
            reason = f"No {place}: {error.removeprefix(UNAVAILABLE).rstrip('.')}."
            break
    return claims.not_measured(_CLAIM[claim], reason, **where) if reason else None


def _by_disk(
    rows: pd.DataFrame, effects: dict, nulls: dict, link: str, what: str, where: dict
) -> claims.Verdict:
    row = effects.get(f"{what} {link}", {"n": 0})
    claim = f"C22/{link}/{what}"
    work = (PULLS[what], "disk-gzip")
    none = _unmeasured(claim, rows, work, (REGISTRY,), where, row["n"])
    return none or claims.by_effect(
        _CLAIM[claim], row, direction="less", words=("Slower", "Faster"), null=nulls[link]
    )


def _grows(rows: pd.DataFrame, effects: dict, link: str, where: dict) -> claims.Verdict:
    row = effects.get(f"bytes {link}", {"n": 0})
    none = _unmeasured(f"C28/{link}", rows, ("pull",), (REGISTRY,), where, row["n"])
    if none:
        return none
    words, unit = ("More", "Less"), "of the time"
    return claims.by_effect(_CLAIM[f"C28/{link}"], row, direction="greater", words=words, unit=unit)


def _whole(
    claim: str, parts: dict[str, claims.Verdict], lead: str, said: str, where: dict
) -> claims.Verdict:
    """Return a claim's verdict over all its parts: that of each, if they agree."""
    agreed = {part.verdict for part in parts.values()}
    if agreed == {claims.NOT_MEASURED}:
        first = next(iter(parts.values()))
        return claims.not_measured(_CLAIM[claim], first.because, **where)
    fact = {claims.HOLDS: True, claims.FAILS: False}.get(*agreed) if len(agreed) == 1 else None
    mixed = {claims.HOLDS, claims.FAILS} <= agreed
    # its first sentence, the size: what else there is to say is on the part's own card
    sizes = {name: part.because.partition(". ")[0].rstrip(".") for name, part in parts.items()}
    by_part = "; ".join(f"{name}: {size}" for name, size in sizes.items())
    evidence = f"{'Mixed. ' if mixed else ''}{lead}: {by_part}. {said}".strip()
    n = max(part.n for part in parts.values())
    return claims.by_fact(_CLAIM[claim], fact, evidence=evidence, n=n, **where)


def _beside(rows: pd.DataFrame) -> str:
    """Say what else there is to compare a whole image with, as ratios of medians."""
    medians = _medians(rows)
    if not {"disk", "pull"} <= set(medians.columns):
        return ""
    ratios = _times(medians["pull"] / medians["disk"])
    return f"Most in one layer, over the disk as it is: {ratios}."


def _prices(rows: pd.DataFrame) -> str:
    medians, sizes = _medians(rows), rows["content_bytes"].loc[rows["content_bytes"] > 0]
    if "pull" not in medians.columns:
        return ""
    said = ", ".join(f"{value:.3g} s ({link})" for link, value in medians["pull"].items())
    measured = f"{sizes.min() / 1e6:.0f} to {sizes.max() / 1e6:.0f} MB"
    return (
        f"Per GB of files, measured over {measured}, most of an image in one layer: {said}. "
        f"The share is that of the largest image; of a smaller one it is less."
    )


def _times(ratios: pd.Series) -> str:
    return ", ".join(f"{value:.2g}x ({link})" for link, value in ratios.items())


def _medians(rows: pd.DataFrame) -> pd.DataFrame:
    """Return median seconds per 1e9 bytes of files, a row per link, a column per way."""
    found = moves(rows)
    found = found[found["ok"] & (found["replicate"] == 0)]
    table = found.pivot_table(
        index="link_bit_per_s", columns="work", values="slope_s_per_gb", aggfunc="median"
    )
    table = table.rename(index={rate: link for link, rate in LINKS.items()})
    return table.reindex([link for link in LINKS if link in table.index])


def _never_opened(rows: pd.DataFrame, where: dict) -> claims.Verdict:
    opened_well = rows[(rows["work"] == "opened") & (rows["place"] == FULL) & rows["ok"]]
    opened_well = opened_well[opened_well["served"] == 1]
    none = _unmeasured("C27", rows, ("opened",), (FULL,), where, len(opened_well))
    if none:
        return none
    share, files = opened_well["opened_byte_share"], opened_well["opened_file_share"].median()
    evidence = (
        f"Opened: {share.median():.1%} of the bytes of the full Debian image (files counted "
        f"whole) and {files:.2%} of its files, {share.min():.1%} to {share.max():.1%} of the bytes "
        f"in {len(share)} session{'' if len(share) == 1 else 's'}, against {MOSTLY:.0%}. "
        "Of one image of our making, asked for one page."
    )
    return claims.by_fact(_CLAIM["C27"], bool(share.max() < MOSTLY), evidence=evidence, **where)


def _values(rows: pd.DataFrame, work: str, place: str, column: str) -> pd.Series:
    kept = rows[(rows["work"] == work) & (rows["place"] == place) & rows["ok"]]
    return kept[column].dropna()


def _one(rows: pd.DataFrame, work: str, place: str, column: str) -> float | None:
    values = _values(rows, work, place, column)
    return float(values.iloc[-1]) if len(values) else None


def _olives(planted: claims.Verdict, where: dict) -> claims.Verdict:
    """Say that finding what was planted does not show how common it is."""
    if planted.verdict == claims.NOT_MEASURED:
        return claims.not_measured(_CLAIM["C12"], planted.because, **where)
    reason = "Images that people publish were not read. Of our own: "
    return claims.not_measured(_CLAIM["C12"], f"{reason}{planted.because}", **where)


def _planted(rows: pd.DataFrame, where: dict) -> claims.Verdict:
    planted = _one(rows, "planted", MINIMAL, "shell_olives")
    before = _one(rows, "contents", MINIMAL, "olives")
    known = planted is not None and before is not None
    none = _unmeasured(PLANTED.id, rows, ("contents", "planted"), (MINIMAL,), where, int(known))
    if none:
        return none
    others = {
        name: value
        for place, name in IMAGES.items()
        if (value := _one(rows, "contents", place, "olives")) is not None
    }
    said = ", ".join(f"{name} {value:.0f}" for name, value in others.items())
    evidence = (
        f"A script planted as /bin/sh was {'' if planted else 'not '}found by reading the image. "
        f"Files that differ from what their packages say, nothing planted: {said}."
    )
    fact = None if planted and before else bool(planted)  # one that cries always has found nothing
    return claims.by_fact(PLANTED, fact, evidence=evidence, **where)


def _surface(rows: pd.DataFrame, where: dict) -> claims.Verdict:
    counts = {
        place: {name: _one(rows, "contents", place, name) for name in MORE} for place in IMAGES
    }
    measured = counts[FULL]["packages"] is not None and counts[SCRATCH]["packages"] is not None
    none = _unmeasured("C29", rows, ("contents",), (FULL, SCRATCH), where, int(measured))
    if none:
        return none
    shown = {place: found for place, found in counts.items() if found["packages"] is not None}
    said = "; ".join(
        f"{words} " + ", ".join(f"{found[name]:.0f}" for found in shown.values())
        for name, words in MORE.items()
    )
    evidence = (
        f"{said} ({', '.join(IMAGES[p] for p in shown)}). Counts, not attacks; shells by name: "
        f"the one program on scratch, busybox, has one built in.{_tied(shown)}"
    )
    more = all(counts[FULL][name] > counts[SCRATCH][name] for name in MORE)
    return claims.by_fact(_CLAIM["C29"], more, evidence=evidence, **where)


def _tied(counts: dict) -> str:
    """Say in what a minimal Debian has no less than a full one."""
    if not {FULL, MINIMAL} <= counts.keys():
        return ""
    same = [w.lower() for name, w in MORE.items() if counts[FULL][name] == counts[MINIMAL][name]]
    return f" Full and minimal Debian tie in {_listed(same)}." if same else ""


def _owned(rows: pd.DataFrame, where: dict) -> claims.Verdict:
    shares = {place: _one(rows, "contents", place, "owned_share") for place in IMAGES}
    known = {place: share for place, share in shares.items() if share is not None}
    debians = [known[place] for place in (FULL, MINIMAL) if place in known]
    none = _unmeasured("C30", rows, ("contents",), (FULL, MINIMAL), where, len(debians) // 2)
    if none:
        return none
    said = ", ".join(f"{IMAGES[place]} {share:.1%}" for place, share in known.items())
    evidence = (
        f"Share of the bytes that a package owns: {said}. Nothing names the rest. Both Debians "
        "were made of packages, and a page was added."
    )
    return claims.by_fact(_CLAIM["C30"], min(debians) > MOSTLY, evidence=evidence, **where)


def _static(rows: pd.DataFrame, where: dict) -> claims.Verdict:
    tried = rows[(rows["work"] == "opened") & (rows["place"] == SCRATCH)]
    tried = tried[~tried["error"].str.startswith(UNAVAILABLE)]
    none = _unmeasured("C32", rows, ("opened",), (SCRATCH,), where, len(tried))
    if none and not len(tried):
        return none
    served = int((tried["ok"] & (tried["served"] == 1)).sum())
    plural = "" if len(tried) == 1 else "s"
    evidence = f"On scratch the page was served in {served} of {len(tried)} session{plural}"
    linked = _values(rows, "opened", FULL, "opened_others")
    if len(linked):
        evidence += (
            f"; on the full Debian the same server, linked, opened {linked.max():.0f} files "
            "besides program and page"
        )
    fact = served == len(tried)
    return claims.by_fact(_CLAIM["C32"], fact, evidence=f"{evidence}.", n=len(tried), **where)


def answer(trials: pd.DataFrame) -> str:
    """Say in a few sentences what the trials show, machine by machine."""
    several = trials["machine"].nunique() > 1
    said = []
    for machine, rows in trials.groupby("machine", sort=True):
        told = " ".join(filter(None, (_told_opened(rows), _told_moves(rows))))
        told = told or "Nothing could be measured."
        said.append(f"{machine}: {told}" if several else told)
    return " ".join(said)


def _told_opened(rows: pd.DataFrame) -> str:
    parts = []
    for place, name in IMAGES.items():
        share = _values(rows, "opened", place, "opened_byte_share")
        size = _values(rows, "opened", place, "opened_bytes")
        if len(share) and share.median():
            total = format_quantity(size.median() / share.median(), "B")
            parts.append(f"{share.median():.1%} of the {total} on {name}")
    return f"Files that a web server opens make up {_listed(parts)}." if parts else ""


def _told_moves(rows: pd.DataFrame) -> str:
    medians = _medians(rows)
    if "pull" not in medians.columns:
        return ""
    prices = _listed([f"{value:.3g} s ({link})" for link, value in medians["pull"].items()])
    said = [f"Pulling an image with most of its bytes in one layer takes {prices} per GB of files"]
    slow = medians.loc["100 Mbit/s"] if "100 Mbit/s" in medians.index else {}
    if {"pull-base-there", "disk-gzip"} <= set(slow.keys()):
        ratios = {way: slow[way] / slow["disk-gzip"] for way in _TOLD if way in slow}
        there = [f"{ratio:.2g} times {_TOLD[way]}" for way, ratio in ratios.items()]
        said.append(
            f"at 100 Mbit/s that is {slow['pull'] / slow['disk-gzip']:.2g} times as long as a "
            f"gzipped disk of the same files, {_listed(there)}"
        )
    return f"{'; '.join(said)}."


_TOLD = {"pull-even": "in eight even layers", "pull-base-there": "once that layer is there"}


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
