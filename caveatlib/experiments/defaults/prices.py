"""What is said of a price: its ratio, and what its numbers hang on."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import FAILS, HOLDS, Verdict
from caveatlib.experiments.defaults import designs
from caveatlib.experiments.defaults.claims import COSTS, DEAR, MANY_FILES, PERCENT, PRICES, Price
from caveatlib.experiments.defaults.containers import FEW
from caveatlib.experiments.defaults.designs import LINE_BYTES, LOG, LOGGED
from caveatlib.experiments.kit.sentences import listed
from caveatlib.support.quantities import format_quantity

Rows = pd.DataFrame
APART, LEAST = 1.25, 3
"""Ours: values fall in two groups if no value lies within so wide a gap (a ratio), and at least so
many on either side of it."""
EQUAL = 1e-3
"""Ours: counts that differ by less in all repetitions are one count."""
NAMES = {designs.DEFAULTS: "json-file", designs.LOCAL_LOG: "local"}
"""Setting -> log driver."""


def contrast(price: Price, *, again: bool = False) -> stats.Contrast:
    """Return a default over what stands against it; or, for the A/A control, over itself."""
    arms = {
        setting: designs.where(price.task, setting, lines=price.lines)
        for setting in (price.default, price.other)
    }
    if again:
        twice = designs.where(price.task, price.default, lines=price.lines, replicate=1)
        what = "the same limit" if price is MANY_FILES else "the default"
        name = f"{price.task}, {what} twice: {price.measure.rpartition('_')[0]}"
        return stats.Contrast(name, price.measure, twice, arms[price.default])
    return stats.Contrast(
        price.label, price.measure, arms[price.default], arms[price.other], threshold=DEAR
    )


def times(ratio: float) -> str:
    """Return a ratio as it is read: ``"1.4 times"``."""
    return f"{ratio:.2f} times" if ratio < 2 else f"{ratio:.3g} times"


def _values(here: Rows, price: Price) -> tuple[pd.Series, pd.Series]:
    """Return the values of a default, and of what stands against it."""
    compared = contrast(price)
    return tuple(
        claims.values_of(here, where, price.measure) for where in (compared.arm, compared.baseline)
    )


def said(here: Rows, verdict: Verdict, *, price: Price) -> str:
    """Say how much dearer a default is, with medians only where they say the same."""
    if verdict.verdict not in (HOLDS, FAILS):
        return ""
    unit = "B" if price.measure.endswith("_bytes") else "s"
    by_default, other = (values.median() for values in _values(here, price))
    label = (limits(here) if price is MANY_FILES else "") or price.label
    what = f"{label[0].upper()}{label[1:]}"
    if (verdict.effect - 1) * (by_default - other) < 0:
        ratio = math.exp(stats.pairs(here, contrast(price))["effect"].median())
        dearer = "more" if verdict.verdict == HOLDS else "no more"
        return (
            f"{what}: {dearer} than {PERCENT:.0f} % dearer, but no one number: "
            f"{times(verdict.effect)} as much by the Hodges-Lehmann estimate over pairs, "
            f"{times(ratio)} in the median pair."
        )
    first, second = (format_quantity(value, unit) for value in (by_default, other))
    return f"{what}: {times(verdict.effect)} as much, {first} against {second}."


def limits(here: Rows) -> str:
    """Return what is compared of open files, with the limit that containers had; or ""."""
    packaged = designs.where(designs.CLOSE, designs.PACKAGED_FILES)
    most, stated = (
        claims.values_of(here, packaged, name).max() for name in ("open_files", "packaged_files")
    )
    if pd.isna(most) or pd.isna(stated):
        return ""
    whose = "all that this machine allows" if most < stated else "the package's limit"
    return f"closing all descriptors, {most:,.0f} open files, {whose}, over {FEW:,}"


def stated_limit(here: Rows, verdict: Verdict) -> str:
    """Say where the package's limit on open files is more than could be measured."""
    packaged = designs.where(designs.CLOSE, designs.PACKAGED_FILES)
    most, stated = (
        claims.values_of(here, packaged, name).max() for name in ("open_files", "packaged_files")
    )
    if not most < stated:
        return ""
    return f"The package's limit, {stated:,.0f}, was not measured: this machine allows less."


def groups(values: pd.Series) -> tuple[pd.Series, pd.Series] | None:
    """Return values below and above their widest gap, if they fall in two groups."""
    ordered = values[values > 0].sort_values()
    if len(ordered) < 2 * LEAST:
        return None
    gaps = np.diff(np.log(ordered.to_numpy(dtype=float)))[LEAST - 1 : len(ordered) - LEAST]
    at = int(np.argmax(gaps))
    if gaps[at] < math.log(APART):
        return None
    return ordered.iloc[: LEAST + at], ordered.iloc[LEAST + at :]


def two_modes(here: Rows, verdict: Verdict) -> str:
    """Say where the times of a line fall in two groups, and what more lines took."""
    price = PRICES["log-time"]
    doubts = []
    for setting, values in zip((price.default, price.other), _values(here, price), strict=True):
        if found := groups(values):
            low, high = found
            doubts.append(
                f"{len(low)} up to {format_quantity(low.max(), 's')} and {len(high)} from "
                f"{format_quantity(high.min(), 's')} with {NAMES[setting]}"
            )
    told = ""
    if doubts:
        told = f"Times fall in two groups, {listed(doubts)}: the ratio of a pair says which it met."
    more = {
        NAMES[setting]: claims.values_of(
            here, designs.where(LOG, setting, lines=LOGGED), price.measure
        )
        for setting in NAMES
    }
    if all(len(values) for values in more.values()):
        took = [
            f"{format_quantity(values.median(), 's')} with {name} (n = {len(values)})"
            for name, values in more.items()
        ]
        told += f" Of {LOGGED:,} lines each took {listed(took)}."
    return told.strip()


def crossover(here: Rows, verdict: Verdict) -> str:
    """Say up to which length of a line its log is dearer, and that its bytes are not a sample."""
    price = PRICES["log-disk"]
    by_default, other = _values(here, price)
    adds, other_adds = (v.median() / price.lines - LINE_BYTES for v in (by_default, other))
    # (line + adds) / (line + other_adds) falls with the line, and is DEAR here:
    line = (adds - DEAR * other_adds) / (DEAR - 1)
    if not (other_adds > 0 and line > 0):
        return ""
    told = (
        f"To each line json-file adds {adds:.0f} bytes and local {other_adds:.0f}; if they add as "
        f"many to every line, json-file's is {PERCENT:.0f} % dearer at {line:.0f} bytes, and less "
        "than that with longer lines."
    )
    spread = max((values.max() - values.min()) / values.median() for values in (by_default, other))
    if spread < EQUAL:
        told += (
            f" Repetitions differ by at most {spread * 100:.2g} %: they count the same lines "
            "again, and the interval says nothing of other lines."
        )
    return told


QUALIFIED = {COSTS["log-time"].id: two_modes, COSTS["log-disk"].id: crossover}
"""Claim -> what its card says besides."""
