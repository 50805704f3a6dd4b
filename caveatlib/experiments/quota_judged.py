"""The claims of `quota`, and how its trials decide them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from caveatlib import claims, stats

NAME = "quota"
UNAVAILABLE = "unavailable: "
"""How `caveatlib.trials` begins the error of an arm that could not be tried."""
LITTLE = 0.5
"""A service that used more of its quota than this was not far below it."""


CLAIMS = (
    claims.from_ledger(
        "C08",
        decides="CPU time used under full load over the CPU time allowed, within 5 % of 1; "
        "CPU time under contention against the weights, within 10 %",
    ),
    claims.from_ledger(
        "C07", decides="holds for a tool that does not see its limit: asked inside, one by one"
    ),
    claims.Claim(
        "quota-bursts",
        "a service that uses a fifth of its quota on average is throttled when its work comes "
        "in bursts",
        kind="ours",
        decides="share of throttled periods above 0.01",
        experiment=NAME,
    ),
    claims.Claim(
        "quota-period-bursts",
        "the same quota over a shorter period lowers the latency of bursts",
        kind="ours",
        decides="p90 at 10 ms over p90 at 100 ms, below 1",
        experiment=NAME,
    ),
    claims.Claim(
        "quota-period-busy",
        "the same quota over a shorter period lowers the latency beside a busy thread",
        kind="ours",
        decides="p90 at 10 ms over p90 at 100 ms, below 1",
        experiment=NAME,
    ),
)
_CLAIM = {claim.id: claim for claim in CLAIMS}


def usual_quota(cores: int) -> float:
    """Return the quota in CPUs that the claims are decided at, below the machine's cores."""
    return 1.0 if cores > 1 else 0.5


def tools(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each tool believes of its limit: one row per place, tool and version.

    Returns
    -------
    pandas.DataFrame
        `machine`, `place`, `tool`, `tool_version`, `cores`, `quota_cpus`,
        `cpus_seen` and `sees_it`: whether it says no more than the quota,
        rounded up to whole CPUs.
    """
    asked = trials[(trials["pattern"] == "tool") & trials["ok"]]
    names = ["machine", "place", "tool", "tool_version", "cores", "quota_cpus", "cpus_seen"]
    table = asked[names].drop_duplicates().sort_values(names, ignore_index=True)
    return table.assign(sees_it=table["cpus_seen"] <= np.ceil(table["quota_cpus"]))


def verdicts(trials: pd.DataFrame) -> claims.Verdicts:
    """Decide the claims, machine by machine; C07 once per tool and version."""
    found = claims.Verdicts()
    for _, part in trials.groupby("machine", sort=True):
        rows = _rows(part)
        found += [*_held(part, rows), *_effects(part, rows), *_of_tools(part)]
    return found


_FULL = {"design": "claims", "pattern": "full"}
_BURSTS = {"design": "claims", "place": "cgroup", "pattern": "bursts", "load": 0.5}
_BUSY = {"design": "claims", "place": "cgroup", "pattern": "beside-busy"}
_IDLE = {"design": "claims", "place": "cgroup", "pattern": "bursts", "load": 0.2}


def _rows(trials: pd.DataFrame) -> dict[str, dict]:
    """Return the contrasts of all claims of one machine by name, adjusted together."""
    weighed = trials[(trials["pattern"] == "weights") & trials["ok"]]["weight_ratio"].unique()
    wanted = [
        _used("whole", {"place": "cgroup", "period_s": 0.1}),
        _used("short", {"place": "cgroup", "period_s": 0.01}),
        *([_used("docker", {"place": "docker"})] if "docker" in set(trials["place"]) else []),
        *(_got(float(ratio)) for ratio in sorted(weighed)),
        stats.Contrast("idle", "throttled_share", _IDLE, None, threshold=0.01, kind="difference"),
        _shorter("bursts", _BURSTS | {"replicate": 0}),
        _shorter("busy", _BUSY),
    ]
    return {row["name"]: row for row in stats.contrasts(trials, wanted).to_dict("records")}


def _used(name: str, where: dict) -> stats.Contrast:
    return stats.Contrast(name, "used_ratio", _FULL | where, None)


def _got(ratio: float) -> stats.Contrast:
    where = {"design": "weights", "pattern": "weights", "weight_ratio": ratio}
    return stats.Contrast(f"weights 1:{ratio:g}", "share_ratio", where, None, threshold=ratio)


def _shorter(name: str, where: dict) -> stats.Contrast:
    return stats.Contrast(name, "p90_s", where | {"period_s": 0.01}, where | {"period_s": 0.1})


def _held(trials: pd.DataFrame, rows: dict[str, dict]) -> list[claims.Verdict]:
    said = {
        "whole": "Used of a quota over 100 ms",
        "short": "Used of a quota over 10 ms",
        "docker": "Used of a quota over 100 ms, set by Docker",
    }
    found = []
    for name, row in rows.items():
        if name in said:
            found.append(_none(trials, "C08", row) or _equal(row, 0.05, said[name]))
        elif name.startswith("weights"):
            found.append(_equal(row, 0.1, f"Got by {name}"))
    return found


def _equal(row: dict, tolerance: float, what: str) -> claims.Verdict:
    return claims.by_equality(_CLAIM["C08"], row, tolerance=tolerance, what=what)


def _none(trials: pd.DataFrame, claim: str, row: dict) -> claims.Verdict | None:
    """Return the verdict of a contrast whose place could not be tried here, with the reason."""
    place = "docker" if row["name"] == "docker" else "cgroup"
    errors = trials.loc[(trials["place"] == place) & ~trials["ok"], "error"]
    reasons = errors[errors.str.startswith(UNAVAILABLE)]
    if row["n"] or reasons.empty:
        return None
    reason = f"No {place}: {reasons.iloc[0].removeprefix(UNAVAILABLE)}."
    return claims.not_measured(_CLAIM[claim], reason, machine=row["machine"], source=row["source"])


def _effects(trials: pd.DataFrame, rows: dict[str, dict]) -> list[claims.Verdict]:
    found = [_none(trials, "quota-bursts", rows["idle"]) or _little(trials, rows["idle"])]
    again = _BURSTS | {"period_s": 0.1}
    null = stats.null_band(
        trials,
        stats.Contrast("again", "p90_s", again | {"replicate": 1}, again | {"replicate": 0}),
    )
    for name in ("bursts", "busy"):
        claim, words = f"quota-period-{name}", ("Slower", "Faster")
        found.append(
            _none(trials, claim, rows[name])
            or claims.by_effect(_CLAIM[claim], rows[name], direction="less", words=words, null=null)
        )
    return found


def _little(trials: pd.DataFrame, row: dict) -> claims.Verdict:
    """Decide the claim on bursts, unless the service was not far below its quota."""
    mine = trials[np.logical_and.reduce([trials[k] == v for k, v in _IDLE.items()]) & trials["ok"]]
    used = mine["used_ratio"].median()
    if used > LITTLE:
        reason = f"Used {used:.0%} of its quota: not far below it."
        return claims.not_measured(
            _CLAIM["quota-bursts"], reason, machine=row["machine"], source=row["source"]
        )
    words = ("Throttled", "Throttled")
    found = claims.by_effect(
        _CLAIM["quota-bursts"], row, direction="greater", words=words, unit="of periods"
    )
    return replace(found, because=f"Throttled in {found.because}") if row["n"] else found


def _of_tools(trials: pd.DataFrame) -> list[claims.Verdict]:
    found = []
    keys = ["machine", "tool", "tool_version", "cores", "quota_cpus", "cpus_seen", "sees_it"]
    for key, group in tools(trials).groupby(keys, sort=True):
        row = dict(zip(keys, key, strict=True))
        origin = {"machine": row["machine"], "source": trials["source"].iloc[0]}
        said = (
            f"{row['tool']} {row['tool_version']} says {row['cpus_seen']:.0f} of {row['cores']} "
            f"CPUs under a quota of {row['quota_cpus']:g} ({', '.join(group['place'])})"
        )
        if row["cores"] <= math.ceil(row["quota_cpus"]):
            reason = f"{said}: with so few CPUs it says the same whether it sees the quota or not."
            found.append(claims.not_measured(_CLAIM["C07"], reason, **origin))
            continue
        sees = "it sees the limit" if row["sees_it"] else "it does not see the limit"
        found.append(
            claims.by_fact(
                _CLAIM["C07"],
                not row["sees_it"],
                evidence=f"{said}: {sees}.",
                n=len(group),
                **origin,
            )
        )
    return found


def answer(trials: pd.DataFrame) -> str:
    """Say in a few sentences what the trials show, machine by machine."""
    said = []
    several = trials["machine"].nunique() > 1
    for machine, part in trials.groupby("machine", sort=True):
        rows = _rows(part)
        sentences = [
            _sentence(rows["whole"], "A quota over 100 ms was used to {:.1%} under full load"),
            _sentence(
                rows["idle"], "bursts at a fifth of a quota met throttling in {:.0%} of periods"
            ),
            _sentence(rows["bursts"], "periods of 10 ms change the p90 of bursts {:.2g}-fold"),
            _sentence(rows["busy"], "and beside a busy thread {:.2g}-fold"),
        ]
        told = ", ".join(filter(None, sentences)) or "Nothing could be compared"
        asked = tools(part)
        if len(asked):
            blind = sorted(set(asked.loc[~asked["sees_it"], "tool"]))
            seeing = sorted(set(asked.loc[asked["sees_it"], "tool"]))
            told += f". The limit is seen by {_names(seeing)}, not by {_names(blind)}"
        said.append(f"{machine}: {told}." if several else f"{told}.")
    return " ".join(said)


def _sentence(row: dict, words: str) -> str:
    return words.format(row["estimate"]) if row["n"] else ""


def _names(tools_of: list[str]) -> str:
    return ", ".join(tools_of) or "none"
