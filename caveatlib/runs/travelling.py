"""Whether ratios hold on other machines: how far they lie apart, and what was predicted of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from caveatlib import claims
from caveatlib.claims.rules import counted
from caveatlib.runs.pooling import KEYS, Pool, named
from caveatlib.runs.telling import ratio

MOST_ROWS = 12
"""Rows of a figure that are seen at once."""
AGREEMENT = ["experiment", "claim", "label", "machines", "smallest", "largest", "apart", "verdicts"]
PREDICTED = ["claim", "of", "predicted", "made_on", "machine", "came", "measured", "why"]


def widest(pools: Sequence[Pool]) -> Pool:
    """Return the pool of most machines; of several the one with most ratios on them.

    Parameters
    ----------
    pools : sequence of Pool
        At least one.
    """

    def width(pooled: Pool) -> tuple[int, int]:
        rows = _measured(pooled)
        return rows["machine"].nunique(), len(rows)

    return max(pools, key=width)


def agreement(pools: Sequence[Pool]) -> pd.DataFrame:
    """Return how far the ratios of a claim lie apart from machine to machine.

    Returns
    -------
    pandas.DataFrame
        One row per claim, release and set of conditions, those on most machines first:
        `experiment`, `claim`, `label`, the number of `machines`, the `smallest` and the
        `largest` ratio, how many times they lie `apart` (NaN on one machine), and the
        `verdicts`, each once.
    """
    rows = []
    for pooled in pools:
        for _, of in _measured(pooled).groupby(KEYS, sort=False):
            first, count = of.iloc[0], of["machine"].nunique()
            least, most = of["estimate"].min(), of["estimate"].max()
            told = {"machines": count, "smallest": least, "largest": most}
            told |= {"apart": most / least if count > 1 and least > 0 else math.nan}
            told |= {"verdicts": "; ".join(dict.fromkeys(of["verdict"]))}
            label = named(first["label"], first, ["conditions"])
            about = {"experiment": pooled.experiment.NAME, "claim": first["claim"], "label": label}
            rows.append(about | told)
    table = pd.DataFrame(rows, columns=AGREEMENT)
    return table.sort_values("machines", ascending=False, kind="stable", ignore_index=True)


def told(pools: Sequence[Pool]) -> str:
    """Say in a sentence or two whether the ratios agree from machine to machine."""
    table = agreement(pools)
    count = counted(len(table), "ratio")
    shared = table[table["machines"] > 1]
    if shared.empty:
        return (
            f"{count}, none of which was measured on two machines yet: whether another machine "
            "gives the same is not known."
        )
    same = int((~shared["verdicts"].str.contains("; ")).sum())
    apart = shared["apart"].dropna()
    were = "was" if len(shared) == 1 else "were"
    said = f"Of {count}, {len(shared)} {were} measured on two machines or more; for {same} of "
    said += "these the verdict is the same on all machines."
    if len(apart):
        ends = " to ".join(dict.fromkeys(f"{end:.3g}" for end in (apart.min(), apart.max())))
        said += f" The largest ratio of a claim is {ends} times the smallest."
    return said


def across(pooled: Pool, *, ax=None):
    """Draw the ratios of an experiment on each machine, claim below claim.

    Claims on most machines come first, no more of them than are seen at once; `Pool.forest`
    draws any other.

    Parameters
    ----------
    pooled : Pool
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    from caveatlib import plots

    rows, lines = _measured(pooled), pooled.lines.dropna(subset="estimate")
    rows = rows[rows["claim"].isin(_shown(rows))]
    lines = lines[lines["claim"].isin(rows["claim"])]
    several = [key for key in ("release", "conditions") if rows[key].nunique() > 1]
    keyed = [named(row["label"], row, several) for _, row in rows.iterrows()]
    rows = rows.assign(on=_told_apart(rows)).set_axis(keyed)
    names = [named(f"all machines: {row['label']}", row, several) for _, row in lines.iterrows()]
    return plots.forest(
        rows,
        lines.set_axis(names),
        group="on",
        label="One arm over the other",
        title=pooled.experiment.QUESTION,
        ax=ax,
    )


def _shown(rows: pd.DataFrame) -> list[str]:
    """Return the claims that there is room for; the first in any case."""
    counts = rows.groupby("claim", sort=False)["machine"].agg(["nunique", "size"])
    counts = counts.sort_values("nunique", ascending=False, kind="stable")
    fit = counts["size"].cumsum() <= MOST_ROWS
    return list(counts.index[fit]) or list(counts.index[:1])


def _told_apart(rows: pd.DataFrame) -> list[str]:
    """Return of each row's machine the CPU, what not all machines share, and whose run it is."""
    parts = {name: name.split(", ") for name in rows["machine"]}
    shared = set.intersection(*map(set, parts.values())) if parts else set()
    short = {
        name: ", ".join(part for i, part in enumerate(of) if not i or part not in shared)
        for name, of in parts.items()
    }
    whose = rows["origin"].nunique() > 1
    return [
        f"{short[row['machine']]} ({row['origin']})" if whose else short[row["machine"]]
        for _, row in rows.iterrows()
    ]


def predictions(pools: Sequence[Pool]) -> pd.DataFrame:
    """Return what was predicted of ratios, and what came, machine by machine.

    Returns
    -------
    pandas.DataFrame
        One row per prediction and machine: `claim`, `of` what the ratio is, the interval
        `predicted` and the day it was `made_on`, `machine`, what `came`: "inside", "outside",
        "across its end", or the verdict where the ratio decides nothing; the ratio
        `measured`, if it counts, and `why` it does not.
    """
    rows = []
    for pooled in pools:
        for row in pooled.ratios.to_dict("records"):
            made = claims.predicted(row["claim"])
            if made is None:
                continue
            counts = not row["note"] and row["n"] > 0
            came = made.met(row["low"], row["high"]) if counts else row["verdict"]
            about = {"claim": made.claim, "of": made.of, "made_on": made.made_on}
            about |= {"predicted": f"{made.low:g}x to {made.high:g}x", "machine": row["machine"]}
            measured = ratio(row) if counts else ""
            rows.append(about | {"came": came, "measured": measured, "why": row["note"]})
    return pd.DataFrame(rows, columns=PREDICTED)


def _measured(pooled: Pool) -> pd.DataFrame:
    """Return the ratios that count."""
    return pooled.ratios[(pooled.ratios["note"] == "") & pooled.ratios["estimate"].notna()]
