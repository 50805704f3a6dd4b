"""The claims of `quota`, and how its trials decide them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from caveatlib import claims, stats
from caveatlib.experiments.quota.cpu_counts import TOOLS
from caveatlib.frames import UNAVAILABLE

NAME = "quota"
LITTLE = 0.5
"""A service that used more of its quota than this was not far below it."""
NEARLY_ALL = 0.8
"""A quota of which more than this was used was nearly used up."""


def _tool_claim(tool: str) -> claims.Claim:
    decides = "whether it reports fewer CPUs when the quota is below the machine's; holds if not"
    return claims.Claim(
        f"C07/{tool}", f"{tool} does not see its CPU limit", "derived", decides, NAME
    )


CLAIMS = (
    claims.from_ledger(
        "C08",
        decides="CPU time used under full load over the CPU time allowed, within 5 % of 1; "
        "CPU time under contention against the weights, within 10 %",
    ),
    claims.from_ledger(
        "C07",
        decides="whether each tool reports fewer CPUs when the quota is below the machine's; "
        "holds if none does",
    ),
    *map(_tool_claim, TOOLS),
    claims.Claim(
        "quota-bursts",
        "a service that uses a fifth of its quota on average is throttled when its work comes "
        "in bursts larger than the quota of a period",
        kind="ours",
        decides="share of the periods with work that were throttled, above 0.01; it demonstrates "
        "how this comes about, since each burst is sized to need twice the quota of a 100 ms "
        "period",
        experiment=NAME,
    ),
    claims.Claim(
        "quota-latency",
        "a CPU limit that is not used up on average makes bursts wait",
        kind="ours",
        decides="p90 of the same bursts with the limit over without any, above 1, where at most "
        f"{NEARLY_ALL:.0%} of the limit was used",
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
    """Decide the claims, machine by machine; C07 as a whole, then per tool and version."""
    found = claims.Verdicts()
    for _, part in trials.groupby("machine", sort=True):
        rows = _rows(part)
        found += [*_held(part, rows), *_effects(part, rows), *_of_tools(part)]
    return found


_FULL = {"design": "claims", "pattern": "full"}
_BURSTS = {"design": "claims", "place": "cgroup", "pattern": "bursts", "load": 0.5}
_BUSY = {"design": "claims", "place": "cgroup", "pattern": "beside-busy"}
_IDLE = {"design": "claims", "place": "cgroup", "pattern": "bursts", "load": 0.2}
_LIMITED = {"design": "limit", "place": "cgroup", "pattern": "bursts"}
_FREE = {"design": "limit", "place": "cgroup", "pattern": "bursts-unlimited"}


def _rows(trials: pd.DataFrame) -> dict[str, dict]:
    """Return the contrasts of all claims of one machine by name, adjusted together."""
    weighed = trials[(trials["pattern"] == "weights") & trials["ok"]]["weight_ratio"].unique()
    wanted = [
        _used("whole", {"place": "cgroup", "period_s": 0.1}),
        _used("short", {"place": "cgroup", "period_s": 0.01}),
        *([_used("docker", {"place": "docker"})] if "docker" in set(trials["place"]) else []),
        *(_got(float(ratio)) for ratio in sorted(weighed)),
        stats.Contrast("idle", "throttled_share", _IDLE, None, threshold=0.01, kind="difference"),
        stats.Contrast("latency", "p90_s", _LIMITED, _FREE | {"replicate": 0}),
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
    reason = _missing(trials, "docker" if row["name"] == "docker" else "cgroup")
    if row["n"] or not reason:
        return None
    return claims.not_measured(_CLAIM[claim], reason, machine=row["machine"], source=row["source"])


def _missing(trials: pd.DataFrame, place: str) -> str:
    """Return why a place could not be tried here; empty if it could."""
    errors = trials.loc[(trials["place"] == place) & ~trials["ok"], "error"]
    reasons = errors[errors.str.startswith(UNAVAILABLE)]
    return f"No {place}: {reasons.iloc[0].removeprefix(UNAVAILABLE)}." if len(reasons) else ""


def _effects(trials: pd.DataFrame, rows: dict[str, dict]) -> list[claims.Verdict]:
    found = [
        _none(trials, "quota-bursts", rows["idle"]) or _little(trials, rows["idle"]),
        _none(trials, "quota-latency", rows["latency"]) or _waiting(trials, rows["latency"]),
    ]
    again = _BURSTS | {"period_s": 0.1}
    null = _noise(trials, again)
    for name in ("bursts", "busy"):
        claim, words = f"quota-period-{name}", ("Slower", "Faster")
        judged = claims.by_effect(
            _CLAIM[claim], rows[name], direction="less", words=words, null=null
        )
        if name == "busy" and judged.n:
            judged = replace(judged, because=f"{judged.because} {BORROWED}")
        found.append(_none(trials, claim, rows[name]) or judged)
    return found


BORROWED = "Its noise was measured on bursts, not beside a busy thread."
"""The null arm repeats the bursts only: a block with one more arm outlasts its time."""


def _noise(trials: pd.DataFrame, where: dict) -> pd.DataFrame:
    """Return the null band of an arm and its replicate."""
    return stats.null_band(trials, _again(where))


def _again(where: dict) -> stats.Contrast:
    again, once = where | {"replicate": 1}, where | {"replicate": 0}
    return stats.Contrast("again", "p90_s", again, once)


def known_answers(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what the harness reads where the truth is fixed beforehand.

    Returns
    -------
    pandas.DataFrame
        As `stats.same_twice`: the share of a quota that full load uses, and
        that steady requests use which want half of it, each to 5 %; and the
        same bursts twice, with a limit and without.
    """
    used = stats.contrasts(trials, list(KNOWN))
    truth = used["threshold"]
    inside = (used["estimate"] / truth - 1).abs() <= USED_WITHIN
    used = used.assign(
        check=used["name"],
        truth=truth,
        bar=[f"reads {t:g} +- {USED_WITHIN:.0%}" for t in truth],
        passes=stats.met(inside, used["estimate"]),
        note=used["note"].where(used["n"] < stats.MIN_PAIRS, ""),
    )
    same = stats.same_twice(trials, NULLS)
    return pd.concat([used[stats.KNOWN_COLUMNS], same], ignore_index=True)


def limit_effect(trials: pd.DataFrame) -> pd.DataFrame:
    """Compare the p90 of the same bursts with the limit and without, and without it twice.

    Returns
    -------
    pandas.DataFrame
        As `stats.contrasts`, indexed by what is compared.
    """
    wanted = [
        stats.Contrast("with the limit over without", "p90_s", _LIMITED, _FREE | {"replicate": 0}),
        replace(_again(_FREE), name="without it over without it"),
    ]
    return stats.contrasts(trials, wanted).set_index("name")


USED_WITHIN = 0.05
KNOWN = (
    stats.Contrast(
        "full load: used of the quota",
        "used_ratio",
        _FULL | {"place": "cgroup", "period_s": 0.1},
        None,
    ),
    stats.Contrast(
        "steady requests that want half of the quota: used of it",
        "used_ratio",
        {"design": "weights", "pattern": "steady"},
        None,
        threshold=0.5,
    ),
)
NULLS = {
    "bursts with a limit over themselves: p90": _again(_BURSTS | {"period_s": 0.1}),
    "bursts without a limit over themselves: p90": _again(_FREE),
}


def _used_of(trials: pd.DataFrame, where: dict) -> float:
    """Return the median share of its quota that an arm used."""
    mine = np.logical_and.reduce([trials[name] == value for name, value in where.items()])
    return trials.loc[mine & trials["ok"], "used_ratio"].median()


def _little(trials: pd.DataFrame, row: dict) -> claims.Verdict:
    """Decide the claim on bursts, unless the service was not far below its quota."""
    claim, used = _CLAIM["quota-bursts"], _used_of(trials, _IDLE)
    if used > LITTLE:
        reason = f"Used {used:.0%} of its quota: not far below it."
        return claims.not_measured(claim, reason, machine=row["machine"], source=row["source"])
    words, unit = ("Throttled", "Throttled"), "of the periods with work"
    found = claims.by_effect(claim, row, direction="greater", words=words, unit=unit)
    return replace(found, because=f"Throttled in {found.because}") if row["n"] else found


def _waiting(trials: pd.DataFrame, row: dict) -> claims.Verdict:
    """Decide the claim on latency, unless the limit was nearly used up or nothing had none."""
    claim, where = _CLAIM["quota-latency"], {"machine": row["machine"], "source": row["source"]}
    if not (trials["design"] == "limit").any():
        reason = "These trials have no bursts without a limit to compare with."
        return claims.not_measured(claim, reason, **where)
    used = _used_of(trials, _LIMITED)
    if used > NEARLY_ALL:
        reason = f"Used {used:.0%} of its quota: nearly used up on average."
        return claims.not_measured(claim, reason, **where)
    null, words = _noise(trials, _FREE), ("Longer with the limit", "Shorter with the limit")
    found = claims.by_effect(claim, row, direction="greater", words=words, null=null)
    said = f"{found.because} {used:.0%} of the limit was used on average."
    return replace(found, because=said) if row["n"] else found


def _of_tools(trials: pd.DataFrame) -> list[claims.Verdict]:
    """Judge C07 as a whole, then tool by tool and version."""
    where = {"machine": trials["machine"].iloc[0], "source": trials["source"].iloc[0]}
    asked = tools(trials)
    telling = asked[asked["cores"] > np.ceil(asked["quota_cpus"])]
    parts = []
    for tool in TOOLS:
        mine = asked[asked["tool"] == tool]
        if mine.empty:
            parts.append(
                claims.not_measured(_CLAIM[f"C07/{tool}"], _unasked(trials, tool), **where)
            )
        for version, answers in mine.groupby("tool_version"):
            parts.append(_of_tool(f"{tool} {version}", _CLAIM[f"C07/{tool}"], answers, where))
    if telling.empty:
        none = _missing(trials, "cgroup") or "No tool was asked, or none answered."
        reason = _too_few(asked) if len(asked) else none
        return [claims.not_measured(_CLAIM["C07"], reason, **where), *parts]
    return [_all_tools(telling, where), *parts]


def _all_tools(telling: pd.DataFrame, where: dict) -> claims.Verdict:
    """Say how many tools do not see the limit, and name all of them with what was asked."""
    blind, seeing, in_part = _sides(telling)
    count = len(blind) + len(seeing) + len(in_part)
    said = (
        f"{len(blind)} of {count} tools do not see the limit: {_names(blind)}; "
        f"{'see' if len(seeing) > 1 else 'sees'} it: {_names(seeing)}"
    )
    said += f"; in part only: {_names(in_part)}" if in_part else ""
    pure = count in (len(blind), len(seeing))
    evidence, fact = (f"{said}.", bool(blind)) if pure else (f"Mixed. {said}.", None)
    return claims.by_fact(_CLAIM["C07"], fact, evidence=evidence, n=count, **where)


def _sides(asked: pd.DataFrame) -> tuple[list[str], list[str], list[str]]:
    """Return the tools that do not see the limit, that do, and that do in part.

    A tool is a program in one version, whichever of its functions were asked,
    and wherever: three functions of Python are one tool.
    """
    sides: tuple[list[str], list[str], list[str]] = ([], [], [])
    program = asked["tool"].str.split().str[0]
    for (name, version), answers in asked.groupby([program, asked["tool_version"]]):
        functions = sorted({t.removeprefix(name).strip() for t in answers["tool"]} - {""})
        told = f"{name} {version}" + (f" ({', '.join(functions)})" if functions else "")
        sees = answers["sees_it"]
        sides[1 if sees.all() else 2 if sees.any() else 0].append(told)
    return sides


def _of_tool(name: str, claim: claims.Claim, answers: pd.DataFrame, where: dict) -> claims.Verdict:
    """Judge one tool of one version by what it says in every place."""
    said = "; ".join(
        f"{name} says {row['cpus_seen']:.0f} of {row['cores']} CPUs under a quota of "
        f"{row['quota_cpus']:g} ({', '.join(group['place'])})"
        for _, group in answers.groupby(["cores", "quota_cpus", "cpus_seen"])
        for row in group.head(1).to_dict("records")
    )
    telling = answers[answers["cores"] > np.ceil(answers["quota_cpus"])]
    if telling.empty:
        return claims.not_measured(claim, f"{said}. {_too_few(answers)}", **where)
    mixed = telling["sees_it"].nunique() > 1
    sees = bool(telling["sees_it"].iloc[0])
    words = f"it {'sees' if sees else 'does not see'} the limit" if not mixed else "it differs"
    fact = None if mixed else not sees
    return claims.by_fact(claim, fact, evidence=f"{said}: {words}.", n=len(telling), **where)


def _too_few(asked: pd.DataFrame) -> str:
    return (
        f"On {asked['cores'].max()} CPU a tool says the same whether it sees a quota of "
        f"{asked['quota_cpus'].min():g} or not."
    )


def _unasked(trials: pd.DataFrame, tool: str) -> str:
    """Return why there is no answer of a tool."""
    failed = trials[(trials["tool"] == tool) & ~trials["ok"]]
    if len(failed):
        return f"{tool} gave no answer: {failed['error'].iloc[0].removeprefix(UNAVAILABLE)}"
    if tools(trials).empty and (reason := _missing(trials, "cgroup")):
        return reason
    return f"{tool} was not asked: each tool is asked where it is installed."


def answer(trials: pd.DataFrame) -> str:
    """Say in a few sentences what the trials show, machine by machine."""
    said = []
    several = trials["machine"].nunique() > 1
    for machine, part in trials.groupby("machine", sort=True):
        told = " ".join(filter(None, _told(part))) or "Nothing could be compared."
        said.append(f"{machine}: {told}" if several else told)
    return " ".join(said)


def _told(trials: pd.DataFrame) -> list[str]:
    rows, asked = _rows(trials), tools(trials)
    said = [
        _sentence(rows["whole"], "Under full load the group used {:.1%} of its quota."),
        _sentence(
            rows["idle"],
            "Bursts that use a fifth of a quota on average met throttling in {:.0%} of the "
            "periods with work.",
        ),
        _sentence(
            rows["latency"],
            "With a limit that is half used on average, bursts wait {:.2g} times as long (p90) as "
            "without it.",
        ),
        _of_periods(rows["bursts"], rows["busy"]),
    ]
    if len(asked):
        # without the functions: this is a sentence
        blind, seeing, in_part = (
            _names([t.split(" (")[0] for t in side]) for side in _sides(asked)
        )
        part = "" if in_part == "none" else f", in part by {in_part}"
        said.append(f"The limit is seen by {seeing}{part}, not by {blind}.")
    return said


def _of_periods(bursts: dict, busy: dict) -> str:
    """Say what the shorter period changes; "but" where it helps one and harms the other."""
    told = {
        who: ("only " if row["estimate"] < 1 else "") + f"{row['estimate']:.2g} times as long"
        for who, row in (("bursts wait", bursts), ("requests beside a busy thread", busy))
        if row["n"]
    }
    if not told:
        return ""
    apart = (bursts["estimate"] - 1) * (busy["estimate"] - 1) < 0
    joined = f", {'but' if apart else 'and'} ".join(f"{who} {size}" for who, size in told.items())
    return f"With 10 ms periods instead of 100 ms, {joined} (p90)."


def _sentence(row: dict, words: str) -> str:
    return words.format(row["estimate"]) if row["n"] else ""


def _names(tools_of: list[str]) -> str:
    return ", ".join(tools_of) or "none"
