"""What decides the claims of `quota`, and the answer in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import (
    FAILS,
    HOLDS,
    NOT_MEASURED,
    OPEN,
    Effect,
    Equality,
    Verdict,
    Whole,
)
from caveatlib.experiments.kit.sentences import listed, per_machine, ranged
from caveatlib.experiments.quota.claims import (
    CONTROL,
    DOCKER,
    DOUBLE,
    LATENCY,
    LONG,
    LONGER,
    NEARLY_ALL,
    PERIOD_BURSTS,
    PERIOD_BUSY,
    SHORT,
    SIZED,
    SIZES,
    TENFOLD,
    THROTTLING,
)
from caveatlib.experiments.quota.designs import (
    BUSY,
    FREE,
    FULL,
    HALF_LOADED,
    IDLE,
    LIMITED,
    LITTLE_LOAD,
    SIZE_TWICE,
    sized,
)
from caveatlib.experiments.quota.schema import UNLIMITED
from caveatlib.experiments.quota.tool_facts import FACTS
from caveatlib.experiments.quota.workloads import COST_S, burst_of
from caveatlib.support.quantities import percent

WORDS = ("Slower", "Faster")
UNDECIDED, NOT_JUDGED = ", undecided", "; not judged, since two equal arms differ as well"
LITTLE = 0.5
"""A service that used more of its quota than this was not far below it."""
BURSTS_AGAIN = stats.Contrast(
    "the same bursts again, with the limit",
    "p90_s",
    HALF_LOADED | {"period_s": 0.1, "replicate": 1},
    HALF_LOADED | {"period_s": 0.1, "replicate": 0},
)
FREE_AGAIN = stats.Contrast(
    "the same bursts again, without a limit", "p90_s", FREE | {"replicate": 1}, FREE
)
SIZE_AGAIN = stats.Contrast(
    f"the same bursts of {SIZE_TWICE} budgets again, without a limit",
    "p90_s",
    sized(SIZE_TWICE, UNLIMITED, replicate=1),
    sized(SIZE_TWICE, UNLIMITED, replicate=0),
)
CPU_ONLY = "It is about CPU time only: limits of memory and of processes are tried in `limits`."


def _aloud(words: Callable[[pd.DataFrame, float], str]) -> Callable[[pd.DataFrame, Verdict], str]:
    """Return what says the effect of a verdict aloud, and why it decides nothing where it does."""

    def say(here: pd.DataFrame, verdict: Verdict) -> str:
        if verdict.verdict == NOT_MEASURED:
            return ""
        differ = verdict.band_low > verdict.threshold or verdict.band_high < verdict.threshold
        doubt = (NOT_JUDGED if differ else UNDECIDED) if verdict.verdict == OPEN else ""
        return f"{words(here, verdict.effect)}{doubt}."

    return say


def _used(claim: claims.Claim, where: dict, quota: str) -> Equality:
    return Equality(
        claim=claim,
        contrast=stats.Contrast(claim.id, "used_ratio", where, None),
        tolerance=0.05,
        what=f"Share of {quota} used under full load",
        say=_aloud(lambda _, ratio: f"Under full load a group used {percent(ratio, 1)} of {quota}"),
        label=f"used of {quota}",
    )


def _got(claim: claims.Claim, ratio: float) -> Equality:
    where = {"design": "weights", "pattern": "weights", "weight_ratio": ratio}
    return Equality(
        claim=claim,
        contrast=stats.Contrast(claim.id, "share_ratio", where, None, threshold=ratio),
        tolerance=0.1,
        what=f"Ratio of CPU times of two groups weighted {ratio:g}:1",
        needs=[{"pattern": "weights"}],
        say=_aloud(
            lambda _, got: (
                f"Of two groups weighted {ratio:g}:1 the heavier got {got:.3g} times the CPU time"
            )
        ),
        label=f"CPU time of groups weighted {ratio:g}:1",
    )


QUOTAS = (
    _used(LONG, FULL, "a quota over 100 ms"),
    _used(SHORT, FULL | {"period_s": 0.01}, "a quota over 10 ms"),
    _used(DOCKER, FULL | {"place": "docker"}, "Docker's quota over 100 ms"),
)
WEIGHTS = (_got(DOUBLE, 2.0), _got(TENFOLD, 10.0))


def _of_control(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
    """Say what groups used of their quotas and got by their weights, unless one did not hold."""
    measured = {name: v for name, v in parts.items() if v.verdict != NOT_MEASURED}
    if FAILS in {v.verdict for v in measured.values()}:
        return ""
    quotas, weights = (
        [measured[d.claim.id] for d in side if d.claim.id in measured] for side in (QUOTAS, WEIGHTS)
    )
    said = [verdict.sentence for verdict in weights]
    if quotas:
        size = ranged([verdict.effect * 100 for verdict in quotas], ".1f")
        doubt = UNDECIDED if OPEN in {verdict.verdict for verdict in quotas} else ""
        said.insert(0, f"Under full load, groups used {size} % of their quotas{doubt}.")
    left = [name.removeprefix("C08/") for name in parts if name not in measured]
    return " ".join([*said, f"Not measured: {', '.join(left)}."] if left else said)


def _median(here: pd.DataFrame, where: dict, measure: str) -> float:
    return claims.values_of(here, where, measure).median()


def _of_throttling(here: pd.DataFrame, share: float) -> str:
    return (
        f"With bursts of twice the quota of a period that average {percent(LITTLE_LOAD)} of it, "
        f"{percent(share)} of the active periods were throttled"
    )


def _of_limit(here: pd.DataFrame, ratio: float) -> str:
    used = _median(here, LIMITED, "used_ratio") * 100
    return (
        f"With a limit of which {used:.0f} % is used on average, bursts of twice the quota of a "
        f"period wait {ratio:.2g} times as long (p90) as without it"
    )


def _of_period(who: str) -> Callable[[pd.DataFrame, float], str]:
    def words(here: pd.DataFrame, ratio: float) -> str:
        return (
            f"With periods of 10 ms instead of 100 ms, {who} take {ratio:.2g} times as long (p90)"
        )

    return words


def _not_far_below(here: pd.DataFrame) -> str:
    used = _median(here, IDLE, "used_ratio")
    return f"{percent(used)} of the quota was used: not far below it." if used > LITTLE else ""


def _nearly_used_up(where: Mapping[str, object]) -> Callable[[pd.DataFrame], str]:
    """Return what refuses to compare trials that used nearly all of their limit."""

    def unfair(here: pd.DataFrame) -> str:
        used = _median(here, where, "used_ratio")
        if used > NEARLY_ALL:
            return f"{percent(used)} of the limit was used: nearly all of it."
        return ""

    return unfair


def _under(where: Mapping[str, object]) -> Callable[[pd.DataFrame, Verdict], str]:
    """Return what says under which load a verdict was drawn: bursts, workers, cores."""

    def qualify(here: pd.DataFrame, verdict: Verdict) -> str:
        rows = here[stats.match(here, where) & here["ok"]]
        if rows.empty:
            return ""
        row = {str(name): value for name, value in rows.iloc[0].items()}
        on = f"{row['workers']} workers on {row['cores']} cores"
        on += f", a quota of {row['quota_cpus']:g} CPU"
        if row["pattern"] == "beside-busy":
            return f"Requests of {COST_S * 1e3:g} ms beside a busy thread; {on}."
        count = burst_of(row)
        budgets = count * COST_S / (row["quota_cpus"] * row["period_s"])
        return (
            f"Bursts of {count} requests of {COST_S * 1e3:g} ms: {budgets:g} times what the quota "
            f"allows in a period of {row['period_s'] * 1e3:g} ms; {on}."
        )

    return qualify


def _size(size: str, claim: claims.Claim) -> Effect:
    """Return the decision about bursts of a size."""
    limited = sized(size, "bursts")
    return Effect(
        claim=claim,
        contrast=stats.Contrast(
            f"bursts of {size} budgets",
            "p90_s",
            limited,
            sized(size, UNLIMITED, replicate=0),
            threshold=LONGER,
        ),
        direction="greater",
        words=WORDS,
        null=SIZE_AGAIN,
        unfair=_nearly_used_up(limited),
        qualify=_under(limited),
        label=f"Bursts of {size} budgets with the limit against without",
    )


def _of_sizes(here: pd.DataFrame, parts: dict[str, Verdict]) -> str:
    """Say which bursts wait for a limit that is half used, and which do not; "" of none at all."""
    sides: dict[str, list[str]] = {HOLDS: [], FAILS: [], OPEN: []}
    for size, claim in SIZED.items():
        sides.get(parts[claim.id].verdict, []).append(size)
    effects = [parts[SIZED[size].id].effect for size in sides[HOLDS]]
    words = {
        HOLDS: f"wait {ranged(effects, '.2g')} times as long",
        FAILS: f"do not wait {percent(LONGER - 1)} longer",
        OPEN: "are undecided",
    }
    bursts = "bursts of {} times what it allows in a period {}"
    said = [bursts.format(listed(side), words[word]) for word, side in sides.items() if side]
    if not said:
        return ""
    first, *others = said
    return " ".join(
        [f"With a limit that is half used, {first}.", *(f"{each.capitalize()}." for each in others)]
    )


def _shorter(claim: claims.Claim, where: dict, who: str) -> Effect:
    return Effect(
        claim=claim,
        contrast=stats.Contrast(
            claim.id, "p90_s", where | {"period_s": 0.01}, where | {"period_s": 0.1}
        ),
        direction="less",
        words=WORDS,
        null=BURSTS_AGAIN,
        qualify=_under(where | {"period_s": 0.1}),
        say=_aloud(_of_period(who)),
        label=f"{who.removeprefix('requests ').capitalize()}, 10 against 100 ms periods",
    )


SIZE_PARTS = tuple(_size(size, claim) for size, claim in SIZED.items())
DECISIONS = (
    Whole(
        claim=CONTROL,
        parts=tuple(d.claim.id for d in (*QUOTAS, *WEIGHTS)),
        tell=_of_control,
        qualify=lambda here, verdict: CPU_ONLY,
        labels={d.claim.id.removeprefix("C08/"): d.label for d in (*QUOTAS, *WEIGHTS)},
    ),
    *QUOTAS,
    *WEIGHTS,
    Effect(
        claim=THROTTLING,
        contrast=stats.Contrast(
            THROTTLING.id, "throttled_share", IDLE, None, threshold=0.01, kind="difference"
        ),
        direction="greater",
        words=WORDS,
        unfair=_not_far_below,
        say=_aloud(_of_throttling),
        qualify=_under(IDLE),
        label="Throttled share of active periods, bursts of twice the budget",
    ),
    Effect(
        claim=LATENCY,
        contrast=stats.Contrast("bursts with the limit over without", "p90_s", LIMITED, FREE),
        direction="greater",
        words=WORDS,
        null=FREE_AGAIN,
        needs=[{"pattern": UNLIMITED}, LIMITED],
        unfair=_nearly_used_up(LIMITED),
        say=_aloud(_of_limit),
        qualify=_under(LIMITED),
        label="Bursts of twice the budget, with the limit against without",
    ),
    Whole(
        claim=SIZES,
        parts=tuple(d.claim.id for d in SIZE_PARTS),
        tell=_of_sizes,
        sum_up=_of_sizes,
        labels={size: f"{size} budgets" for size in SIZED},
    ),
    *SIZE_PARTS,
    _shorter(PERIOD_BURSTS, HALF_LOADED | {"replicate": 0}, "bursts"),
    _shorter(PERIOD_BUSY, BUSY, "requests beside a busy thread"),
    *FACTS,
)


@per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say in a few sentences what the trials of each machine show."""
    whole = [v for v in claims.judge(trials, DECISIONS) if "/" not in v.claim]
    return " ".join(v.sentence for v in whole if v.verdict != NOT_MEASURED)
