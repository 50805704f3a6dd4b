"""What a comparison and a pool say in a terminal, line by line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import pandas as pd

from caveatlib.claims import SIGNS
from caveatlib.claims.model import first_sentence
from caveatlib.claims.rules import counted
from caveatlib.runs.comparing import BETWEEN_RUNS, Comparison, letters
from caveatlib.runs.pooling import Pool


def comparison(found: Comparison) -> Iterator[str]:
    """Yield what differs, and what each claim came to on each side."""
    yield f"{found.sides[0].experiment.NAME}: {found.sides[0].experiment.QUESTION}"
    for letter, side in zip(letters(found.sides), found.sides, strict=True):
        yield f"  {letter}  {side.machine} ({side.name})"
    yield from found.doubts
    yield "What differs:" if len(found.differences) else "No recorded fact differs."
    for (fact, places), row in found.differences.iterrows():
        where = f" ({places})" if places else ""
        values = " | ".join(f"{name} {row[name]}" for name in letters(found.sides))
        yield f"  {fact}{where}: {values}; touches {row['touches']}"
    yield "Side by side:"
    table = found.claims[(found.claims["n"] > 0) & (found.claims["note"] == "")]
    for claim, rows in table.groupby("claim", sort=False):
        yield "  " + "  ".join(dict.fromkeys((claim, rows["label"].iloc[0])))
        if claim in found.refused:
            yield f"    not comparable: {found.refused[claim]}"
        for row in rows.to_dict("records"):
            yield f"    {row['side']}  {_came_to(row)}"
    if table["change"].notna().any():
        yield BETWEEN_RUNS


def named(found: Comparison) -> pd.DataFrame:
    """Return a table of the sides: letter, class of the machine, and which run it was."""
    rows = zip(letters(found.sides), found.sides, strict=True)
    told = [{"side": letter, "measured on": s.machine, "run": s.name} for letter, s in rows]
    return pd.DataFrame(told)


def ratios(found: Comparison) -> pd.DataFrame:
    """Return a table of the ratios that count: each claim's on each side, and over the first's.

    A claim that is not comparable has its ratios and the reason, and nothing over the first.
    """
    rows = []
    table = found.claims[(found.claims["n"] > 0) & (found.claims["note"] == "")]
    for claim, of in table.groupby("claim", sort=False):
        row = {"claim": claim, "label": of["label"].iloc[0]}
        for side in of.to_dict("records"):
            row[side["side"]] = ratio(side)
        for side in of.dropna(subset="change").to_dict("records"):
            ends = {"low": side["change_low"], "high": side["change_high"]}
            row[f"{side['side']} over A"] = ratio({"estimate": side["change"]} | ends)
        rows.append(row | {"not comparable": found.refused.get(claim, "")})
    return pd.DataFrame(rows)


def pool(pooled: Pool) -> Iterator[str]:
    """Yield the ratio of each claim and machine, ours first, and the lines over machines."""
    yield f"{pooled.experiment.NAME}: {pooled.experiment.QUESTION}"
    for claim, rows in pooled.ratios.groupby("claim", sort=False):
        yield f"  {claim}  {rows['label'].iloc[0]}"
        for origin, theirs in rows.groupby("origin", sort=False):
            yield f"    {origin}"
            for row in theirs.to_dict("records"):
                yield f"      {_of_machine(row)}"
        for row in pooled.lines[pooled.lines["claim"] == claim].to_dict("records"):
            yield f"    {_line(row)}"


def _of_machine(row: Mapping) -> str:
    keyed = ", ".join(filter(None, (f"caveatlib {row['release']}", row["conditions"])))
    said = f"{ratio(row)}, n = {row['n']}" if row["n"] else row["verdict"]
    note = f"; not pooled: {first_sentence(row['note'])}" if row["note"] else ""
    return f"{said}  {row['machine']} ({keyed}){note}"


def _line(row: Mapping) -> str:
    keyed = ", ".join(filter(None, (f"caveatlib {row['release']}", row["conditions"])))
    if row["note"]:
        return f"no pooled estimate ({keyed}): {row['note']}"
    expected = f"{row['predict_low']:.3g}x to {row['predict_high']:.3g}x"
    return f"{row['k']} machines ({keyed}): {ratio(row)}; another is expected within {expected}"


def _came_to(row: Mapping) -> str:
    verdict = f"{SIGNS[row['verdict']]} {row['verdict']:<17}"
    if not row["n"]:
        return f"{verdict} {row['headline']}"
    said = f"{verdict} {ratio(row)}, {counted(row['n'], row['pairing'])}"
    if not math.isnan(row["change"]):
        ends = {"low": row["change_low"], "high": row["change_high"]}
        said += f"; over A {ratio({'estimate': row['change']} | ends)}"
    return f"{said}; {first_sentence(row['note'])}" if row["note"] else said


def ratio(row: Mapping) -> str:
    """Return ``1.32x [1.21, 1.44]``, or the estimate alone where there is no interval."""
    ends = "" if pd.isna(row["low"]) else f" [{row['low']:.3g}, {row['high']:.3g}]"
    return f"{row['estimate']:.3g}x{ends}"
