"""The claims of `layers`, and what its trials say: summaries, figures, verdicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from caveatlib import claims, plots, stats
from caveatlib.designs import UNAVAILABLE

NAME = "layers"
FULL, MINIMAL, SCRATCH, REGISTRY = "app-full", "app-minimal", "app-scratch", "registry"
IMAGES = {FULL: "full Debian", MINIMAL: "minimal Debian", SCRATCH: "scratch"}
LINKS = {"unshaped": 0.0, "1 Gbit/s": 1e9, "100 Mbit/s": 1e8}
SLOW = LINKS["100 Mbit/s"]
MOVES = {
    "pull": "image, nothing there",
    "pull-base-there": "image, base layer there",
    "disk": "disk as it is",
    "disk-gzip": "disk packed",
}
GB = 1e9
MOSTLY = 0.5
"""Share of an image's bytes below which most of it is never opened (ours)."""
MORE = ("setuid_files", "shells", "executables", "packages")

CLAIMS = (
    claims.from_ledger(
        "C12", decides="a script planted as /bin/sh of a built image is found by reading the image"
    ),
    claims.from_ledger(
        "C22",
        decides="seconds to pull an image against fetching an unpacked disk with the same files, "
        "ratio below 1, link by link",
    ),
    claims.from_ledger(
        "C27",
        decides="share of the full Debian image's bytes in files that the application opens, "
        f"below {MOSTLY:g} (ours)",
    ),
    claims.from_ledger("C28", decides="seconds of a pull per GB of files, above 0, link by link"),
    claims.from_ledger(
        "C29",
        decides="the full Debian image has more setuid files, shells, executables and packages "
        "than the one on scratch (counts, not attacks)",
    ),
    claims.from_ledger(
        "C30", decides="packages own most bytes of both Debian images, and none of scratch's"
    ),
    claims.from_ledger(
        "C32",
        decides="on scratch the page is served and nothing but program and page is opened",
    ),
    claims.Claim(
        "layers-base-there",
        "with the base layer already there, a pull costs less",
        "ours",
        "seconds over all sizes at 100 Mbit/s, base layer there over nothing there, below 1",
        NAME,
    ),
)
_CLAIM = {claim.id: claim for claim in CLAIMS}
_KEYS = ["machine", "source", "run", "session", "design", "block", "place"]
_ARM = ["work", "link_bit_per_s", "replicate"]


def moves(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what moving took, one row per session, way and link.

    Returns
    -------
    pandas.DataFrame
        `slope_s_per_gb`: seconds per 1e9 bytes of files, least squares over
        the sizes; `total_s` and `total_bytes`: over all sizes together; `ok`
        if every size was moved, else the three are empty.
    """
    rows = trials[trials["design"] == "moving"]
    sizes = rows["content_bytes"].nunique()
    found = []
    for key, group in rows.groupby([*_KEYS, *_ARM], sort=True):
        row = dict(zip([*_KEYS, *_ARM], key, strict=True))
        whole = bool(group["ok"].all()) and len(group) == sizes and sizes > 1
        row |= {"ok": whole, "slope_s_per_gb": np.nan, "total_s": np.nan, "total_bytes": np.nan}
        if whole:
            slope, _ = np.polyfit(group["content_bytes"] / GB, group["moved_s"], 1)
            row |= {"slope_s_per_gb": float(slope)}
            row |= {"total_s": group["moved_s"].sum(), "total_bytes": group["moved_bytes"].sum()}
        found.append(row)
    measured = ["ok", "slope_s_per_gb", "total_s", "total_bytes"]
    return pd.DataFrame(found, columns=[*_KEYS, *_ARM, *measured])


def summarize(trials: pd.DataFrame) -> pd.DataFrame:
    """Summarise what moving took, one row per way and link, sessions replicated.

    Returns
    -------
    pandas.DataFrame
        n sessions, failed; medians with intervals of the seconds per 1e9 bytes
        of files, and of the seconds and bytes of all sizes together.
    """
    rows = moves(trials)
    rows = rows[rows["replicate"] == 0]
    named = rows.assign(
        link=rows["link_bit_per_s"].map({rate: name for name, rate in LINKS.items()}),
        moved=rows["work"].map(MOVES),
    )
    measures = ["slope_s_per_gb", "total_s", "total_bytes"]
    table = stats.summarize(named, measures, by=["moved", "link"], unit="session")
    order = {name: number for number, name in enumerate((*MOVES.values(), *LINKS))}
    table = table.drop(columns=[c for c in table if c.endswith(("_p10", "_p90", "_p99"))])
    return table.sort_index(key=lambda level: level.map(lambda x: order.get(x, x)))


def contents(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each image holds: counts, bytes and shares, one column per image."""
    rows = trials[(trials["work"] == "contents") & trials["ok"]]
    columns = ["size_bytes", "files", "executables", "setuid_files", "shells"]
    columns += ["package_managers", "interpreters", "packages", "owned_share"]
    columns += ["extras_share", "olives"]
    table = rows.groupby("place")[columns].median()
    return table.reindex([p for p in IMAGES if p in table.index]).rename(IMAGES).T


def opened(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each image's application opened, medians of the sessions, per image."""
    rows = trials[(trials["work"] == "opened") & trials["ok"]]
    columns = ["opened_files", "opened_bytes", "opened_file_share", "opened_byte_share"]
    columns += ["opened_others", "served"]
    table = rows.groupby("place")[columns].median()
    return table.reindex([p for p in IMAGES if p in table.index]).rename(IMAGES)


def plot(trials: pd.DataFrame, ax=None):
    """Draw the seconds of a pull over the size of the files, one line per link and start."""
    shown = trials[(trials["design"] == "moving") & (trials["replicate"] == 0) & trials["ok"]]
    shown = shown[shown["work"].isin(["pull", "pull-base-there"])]
    link = shown["link_bit_per_s"].map({rate: name for name, rate in LINKS.items()})
    shown = shown.assign(
        size_mb=shown["content_bytes"] / 1e6, way=link + ", " + shown["work"].map(_SHORT)
    )
    order = [f"{name}, {way}" for name in reversed(LINKS) for way in _SHORT.values()]
    shown = shown.sort_values("way", key=lambda c: c.map(order.index), kind="stable")
    return plots.lines(
        shown,
        "size_mb",
        "moved_s",
        by="way",
        unit="s",
        xlabel="files in the image (MB)",
        ylabel="time to pull",
        ax=ax,
    )


_SHORT = {"pull": "nothing there", "pull-base-there": "base there"}


def plot_opened(trials: pd.DataFrame, ax=None):
    """Draw each image's bytes: in files that were opened, and in those never opened."""
    rows = trials[(trials["work"] == "opened") & trials["ok"]]
    table = rows.groupby("place")[["opened_bytes", "opened_byte_share"]].median()
    table = table.reindex([p for p in IMAGES if p in table.index]).rename(IMAGES)
    never = table["opened_bytes"] * (1 / table["opened_byte_share"] - 1)
    parts = pd.DataFrame({"opened": table["opened_bytes"], "never opened": never})
    return plots.stacked(parts, unit="B", label="bytes in the files of the image", ax=ax)


def verdicts(trials: pd.DataFrame) -> claims.Verdicts:
    """Decide the claims, machine by machine; C22 and C28 once per link.

    The effects are adjusted together: three slopes, three ratios of image to
    disk, the base layer, and the share of bytes opened.
    """
    found = claims.Verdicts()
    for machine, rows in trials.groupby("machine", sort=True):
        where = {"machine": machine, "source": rows["source"].iloc[0]}
        effects = _effects(rows)
        found += [_olive(rows, where)]
        found += [_by_disk(rows, effects, name, where) for name in LINKS]
        found += [_never_opened(rows, effects, where)]
        found += [_slope(rows, effects, name, where) for name in LINKS]
        found += [_surface(rows, where), _owned(rows, where), _static(rows, where)]
        found += [_base(rows, effects, where)]
    return found


def _of(work: str, rate: float, replicate: int = 0) -> dict:
    return {"work": work, "link_bit_per_s": rate, "replicate": replicate}


def _ratio(name: str, arm: dict, baseline: dict) -> stats.Contrast:
    return stats.Contrast(name, "total_s", arm, baseline, unit="session")


def _effects(rows: pd.DataFrame) -> dict[str, dict]:
    """Return the contrasts of one machine by name, adjusted together."""
    # One table: a session's moves and its run of the full image are rows of it.
    table = pd.concat([moves(rows), rows[rows["work"] == "opened"]], ignore_index=True)
    if table.empty:
        return {}
    table = table.astype({"ok": bool})  # without moves pandas takes it for any objects
    share = {"work": "opened", "place": FULL}
    least = {"threshold": MOSTLY, "unit": "session", "kind": "difference"}
    wanted = [
        stats.Contrast("opened", "opened_byte_share", share, None, **least),
        _ratio("base", _of("pull-base-there", SLOW), _of("pull", SLOW)),
    ]
    for name, rate in LINKS.items():
        slope = {"unit": "session", "kind": "difference"}
        wanted.append(
            stats.Contrast(f"slope {name}", "slope_s_per_gb", _of("pull", rate), None, **slope)
        )
        wanted.append(_ratio(f"disk {name}", _of("pull", rate), _of("disk", rate)))
    return {row["name"]: row for row in stats.contrasts(table, wanted).to_dict("records")}


def _null(rows: pd.DataFrame, rate: float) -> pd.DataFrame:
    again = _ratio("again", _of("pull", rate, 1), _of("pull", rate))
    return stats.null_band(moves(rows), again)


def _missing(rows: pd.DataFrame, *places: str) -> str:
    """Return why there is nothing to judge by: the first error of a place that has no trial."""
    for place in places:
        tried = rows[rows["place"] == place]
        if tried["ok"].any():
            continue
        error = tried["error"].iloc[0] if len(tried) else "it was not asked for"
        return f"No {place}: {error.removeprefix(UNAVAILABLE).rstrip('.')}."
    return ""


def _unmeasured(claim: str, rows: pd.DataFrame, places: tuple, where: dict, n: int):
    reason = _missing(rows, *places)
    if not reason and not n:
        reason = "No session in which all that is compared was measured."
    return claims.not_measured(_CLAIM[claim], reason, **where) if reason else None


def _by_disk(rows: pd.DataFrame, effects: dict, name: str, where: dict) -> claims.Verdict:
    row = effects.get(f"disk {name}", {"n": 0})
    none = _unmeasured("C22", rows, (REGISTRY,), where, row["n"])
    if none:
        return none
    rate = LINKS[name]
    found = claims.by_effect(
        _CLAIM["C22"], row, direction="less", words=("Slower", "Faster"), null=_null(rows, rate)
    )
    sent = {
        work: moves(rows).query("work == @work and link_bit_per_s == @rate and ok")["total_bytes"]
        for work in ("pull", "disk", "disk-gzip")
    }
    ratio = sent["pull"].median() / sent["disk"].median()
    said = f"The image is {ratio:.2f} times the disk's bytes on the link"
    if len(sent["disk-gzip"]):
        said += (
            f", {sent['pull'].median() / sent['disk-gzip'].median():.2f} times the packed disk's"
        )
    return replace(found, because=f"{_link(name)}: {found.because} {said}.")


def _slope(rows: pd.DataFrame, effects: dict, name: str, where: dict) -> claims.Verdict:
    row = effects.get(f"slope {name}", {"n": 0})
    none = _unmeasured("C28", rows, (REGISTRY,), where, row["n"])
    if none:
        return none
    words = ("Slower by", "Faster by")
    found = claims.by_effect(
        _CLAIM["C28"], row, direction="greater", words=words, unit="s per GB of files"
    )
    return replace(found, because=f"{_link(name)}: {found.because}")


def _link(name: str) -> str:
    return "Unshaped link" if name == "unshaped" else f"Link of {name}"


def _base(rows: pd.DataFrame, effects: dict, where: dict) -> claims.Verdict:
    row = effects.get("base", {"n": 0})
    none = _unmeasured("layers-base-there", rows, (REGISTRY,), where, row["n"])
    return none or claims.by_effect(
        _CLAIM["layers-base-there"],
        row,
        direction="less",
        words=("Slower", "Faster"),
        null=_null(rows, SLOW),
    )


def _never_opened(rows: pd.DataFrame, effects: dict, where: dict) -> claims.Verdict:
    row = effects.get("opened", {"n": 0})
    none = _unmeasured("C27", rows, (FULL,), where, row["n"])
    if none:
        return none
    found = claims.by_effect(
        _CLAIM["C27"], row, direction="less", words=("Opened", "Opened"), unit="of the bytes"
    )
    files = _values(rows, "opened", FULL, "opened_file_share").median()
    return replace(
        found, because=f"Opened by the application: {found.because} Of the files {files:.2%}."
    )


def _values(rows: pd.DataFrame, work: str, place: str, column: str) -> pd.Series:
    kept = rows[(rows["work"] == work) & (rows["place"] == place) & rows["ok"]]
    return kept[column].dropna()


def _one(rows: pd.DataFrame, work: str, place: str, column: str) -> float | None:
    values = _values(rows, work, place, column)
    return float(values.iloc[-1]) if len(values) else None


def _olive(rows: pd.DataFrame, where: dict) -> claims.Verdict:
    planted = _values(rows, "planted", MINIMAL, "shell_olives")
    none = _unmeasured("C12", rows, (MINIMAL,), where, len(planted))
    if none:
        return none
    others = {
        name: found
        for place, name in IMAGES.items()
        if (found := _one(rows, "contents", place, "olives")) is not None
    }
    said = ", ".join(f"{name} {found:.0f}" for name, found in others.items())
    evidence = (
        f"A script planted as /bin/sh was {'' if planted.all() else 'not '}found by reading the "
        f"image. Files that differ from what their packages say, nothing planted: {said or 'none'}."
    )
    return claims.by_fact(
        _CLAIM["C12"], bool(planted.all()), evidence=evidence, n=len(planted), **where
    )


def _surface(rows: pd.DataFrame, where: dict) -> claims.Verdict:
    counts = {
        place: {name: _one(rows, "contents", place, name) for name in MORE} for place in IMAGES
    }
    measured = counts[FULL]["packages"] is not None and counts[SCRATCH]["packages"] is not None
    none = _unmeasured("C29", rows, (FULL, SCRATCH), where, int(measured))
    if none:
        return none
    said = [f"{_WORDS[name]} " + _joined(counts, name) for name in MORE]
    more = all(counts[FULL][name] > counts[SCRATCH][name] for name in MORE)
    return claims.by_fact(
        _CLAIM["C29"],
        more,
        evidence=f"{'; '.join(said)} ({_shown(counts)}). Counts, not attacks.",
        **where,
    )


_WORDS = {
    "setuid_files": "Setuid files",
    "shells": "shells",
    "executables": "executables",
    "packages": "packages",
}


def _joined(counts: dict, name: str) -> str:
    values = (counts[place][name] for place in IMAGES)
    return ", ".join(f"{value:.0f}" for value in values if value is not None)


def _shown(counts: dict) -> str:
    return ", ".join(IMAGES[p] for p in IMAGES if counts[p]["packages"] is not None)


def _owned(rows: pd.DataFrame, where: dict) -> claims.Verdict:
    shares = {place: _one(rows, "contents", place, "owned_share") for place in IMAGES}
    known = {place: share for place, share in shares.items() if share is not None}
    none = _unmeasured("C30", rows, tuple(IMAGES), where, int(len(known) == len(IMAGES)))
    if none:
        return none
    holds = min(known[FULL], known[MINIMAL]) > MOSTLY and known[SCRATCH] == 0
    said = ", ".join(f"{IMAGES[place]} {share:.1%}" for place, share in known.items())
    evidence = f"Share of the bytes that a package owns: {said}. Nothing names the rest."
    return claims.by_fact(_CLAIM["C30"], bool(holds), evidence=evidence, **where)


def _static(rows: pd.DataFrame, where: dict) -> claims.Verdict:
    served = _values(rows, "opened", SCRATCH, "served")
    others = _values(rows, "opened", SCRATCH, "opened_others")
    none = _unmeasured("C32", rows, (SCRATCH,), where, len(served))
    if none:
        return none
    evidence = (
        f"On scratch the page was served in {int(served.sum())} of {len(served)} "
        f"session{'' if len(served) == 1 else 's'}; besides program and page it opened "
        f"{others.max():.0f} files"
    )
    linked = _values(rows, "opened", FULL, "opened_others")
    if len(linked):
        evidence += f", the linked program on the full Debian {linked.max():.0f}"
    fact = bool(served.all() and not others.any())
    return claims.by_fact(_CLAIM["C32"], fact, evidence=f"{evidence}.", n=len(served), **where)


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
            total = plots.in_words(size.median() / share.median(), "B")
            parts.append(f"{share.median():.2g} of the {total} on {name}")
    return f"A web server opens files with {_listed(parts)}." if parts else ""


def _told_moves(rows: pd.DataFrame) -> str:
    found = moves(rows)
    found = found[found["ok"] & (found["replicate"] == 0)]
    medians = found.groupby(["work", "link_bit_per_s"])[["slope_s_per_gb", "total_s"]].median()
    prices = [
        f"{medians.loc[('pull', rate), 'slope_s_per_gb']:.3g} s ({name})"
        for name, rate in LINKS.items()
        if ("pull", rate) in medians.index
    ]
    said = [f"A pull takes {_listed(prices)} per GB of files"] if prices else []
    if {("pull", SLOW), ("disk", SLOW)} <= set(medians.index):
        ratio = medians.loc[("pull", SLOW), "total_s"] / medians.loc[("disk", SLOW), "total_s"]
        said.append(f"at 100 Mbit/s an image takes {ratio:.2g} times as long as a disk")
    return f"{', '.join(said)}." if said else ""


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
