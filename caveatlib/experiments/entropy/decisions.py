"""The claims of `entropy`, what decides each, and its controls."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import FAILS, HOLDS, Claim, Count, Effect, Fact, Finding, Reading, Whole
from caveatlib.claims.calibration import Known, aa_controls
from caveatlib.experiments.entropy.workloads import (
    COMPUTED,
    COMPUTED_AGAIN,
    DRAINED,
    DRY_S,
    GUESTS,
    HAVEGED,
    QUIET,
    QUIET_AGAIN,
)
from caveatlib.support.quantities import format_quantity

NAME = "entropy"
DEPLETED = claims.from_ledger(
    "C10", decides="whether neighbours that drain /dev/random make calls wait, and make them slower"
)
WAITS = Claim(
    "C10/waits",
    "beside eight neighbours that drain /dev/random, calls for random bytes wait",
    "derived",
    "calls of 20,000 that slept, at least 1",
    NAME,
)
SLOWER = Claim(
    "C10/slower",
    "eight neighbours that drain /dev/random slow calls down more than eight that compute",
    "derived",
    "99th percentile of getrandom(16), neighbours that drain over neighbours that compute, ratio "
    "above 2, a threshold of ours; an empty pool made callers wait for seconds",
    NAME,
)
BOOT = Claim(
    "entropy-boot",
    "a fresh guest waits for its first random bytes only if neither its CPU nor its host has any",
    "ours",
    "whether the first call of a guest must wait, without RDRAND, with it, and with virtio-rng",
    NAME,
)
DAEMON = Claim(
    "entropy-haveged",
    "without haveged calls for random bytes take no more than 1.1 times as long as with it",
    "ours",
    "median of getrandom(16) without haveged over with it, ratio below 1.1",
    NAME,
)
FIRST = tuple(Reading(arm.where(), "first_refused") for arm in GUESTS)


def _waits_only_bare(here: pd.DataFrame) -> Finding:
    """Find whether each guest without a source waits, and no other does."""
    by_cpu, bare, virtio = (claims.values_of(here, r.where, r.column) for r in FIRST)
    line = (
        f"A fresh guest's first call had to wait in {bare.sum():.0f} of {len(bare)} without "
        f"RDRAND, {by_cpu.sum():.0f} of {len(by_cpu)} with it, "
        f"{virtio.sum():.0f} of {len(virtio)} with virtio-rng"
    )
    only = bare.all() and not by_cpu.any() and not virtio.any()
    return Finding(HOLDS if only else FAILS, "", f"{line}.", len(bare))


def _say(here: pd.DataFrame, parts: dict) -> str:
    slept = claims.values_of(here, DRAINED.where(), "waits")
    p99 = [claims.values_of(here, arm.where(), "call_p99_s").median() for arm in (DRAINED, QUIET)]
    if slept.empty or pd.isna(p99[1]):
        return ""
    drained, alone = (format_quantity(value, "s") for value in p99)
    return (
        f"Beside 8 containers that drain /dev/random, {slept.sum():.0f} of {20_000 * len(slept):,} "
        f"calls waited; the 99th percentile of a call is {drained}, alone {alone}."
    )


def _say_daemon(here: pd.DataFrame, verdict: claims.Verdict) -> str:
    p50 = [claims.values_of(here, arm.where(), "call_p50_s").median() for arm in (QUIET, HAVEGED)]
    if pd.isna(p50).any():
        return ""
    without, beside = (format_quantity(value, "s") for value in p50)
    return f"Half of the calls take {without} at most without haveged, {beside} with it."


def _twice(name: str, measure: str, again, once) -> stats.Contrast:
    return stats.Contrast(name, measure, again.where(), once.where())


DECISIONS = (
    Whole(
        claim=DEPLETED,
        parts=("C10/waits", "C10/slower"),
        labels={"waits": "calls wait", "slower": "calls are slower"},
        sum_up=_say,
    ),
    Count(
        claim=WAITS,
        where=DRAINED.where(),
        column="waits",
        least=1,
        what="Calls of 20,000 that waited beside 8 neighbours that drain",
    ),
    Effect(
        claim=SLOWER,
        contrast=_twice("slower", "call_p99_s", DRAINED, COMPUTED),
        at_most=2.0,
        direction="greater",
        words=("Slower", "Faster"),
        null=_twice("beside 8 that compute, again", "call_p99_s", COMPUTED_AGAIN, COMPUTED),
        label="getrandom: neighbours drain, over compute",
    ),
    Fact(claim=BOOT, readings=FIRST, find=_waits_only_bare),
    Effect(
        claim=DAEMON,
        contrast=_twice("without haveged", "call_p50_s", QUIET, HAVEGED),
        at_most=1.1,
        direction="less",
        words=("Slower", "Faster"),
        null=_twice("alone, again", "call_p50_s", QUIET_AGAIN, QUIET),
        say=_say_daemon,
        label="getrandom: without haveged, over with it",
    ),
)
DRY = {n: stats.Contrast(n, n, QUIET.where(), None) for n in ("dry_p50_s", "dry_waits")}
KNOWN = (
    Known(name="dry for 2 ms", contrast=DRY["dry_p50_s"], truth=DRY_S, within=0.05),
    Known(name="calls on it that wait", contrast=DRY["dry_waits"], truth=25, within=0.05),
)
CONTROLS = aa_controls(DECISIONS)
