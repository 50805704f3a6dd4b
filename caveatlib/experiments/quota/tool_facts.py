"""Facts of `quota`: which programs see their CPU limit."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from caveatlib.claims import (
    FAILS,
    HOLDS,
    MIXED,
    NOT_MEASURED,
    Claim,
    Fact,
    Finding,
    Reading,
    Verdict,
)
from caveatlib.claims.model import LONGEST_HEADLINE
from caveatlib.experiments.quota.claims import MAGIC, SEEING
from caveatlib.experiments.quota.tables import tools


def telling(here: pd.DataFrame) -> pd.DataFrame:
    """Return the answers of `tools` where one that sees the quota would say less than all CPUs.

    Each with the `program` that gave it, in its version: three functions of Python are one
    program, wherever they were asked.
    """
    asked = tools(here)
    asked = asked[_tells(asked)]
    name = asked["tool"].str.split().str[0]
    return asked.assign(program=name + " " + asked["tool_version"])


def _tells(asked: pd.DataFrame) -> pd.Series:
    return asked["cores"] > np.ceil(asked["quota_cpus"])


def _too_few(here: pd.DataFrame) -> str:
    asked = here[(here["pattern"] == "tool") & here["ok"]]
    if asked.empty or _tells(asked).any():
        return ""
    return (
        f"On {asked['cores'].max()} CPU a tool reports the same whether it sees a quota of "
        f"{asked['quota_cpus'].min():g} or not."
    )


def _on(here: pd.DataFrame) -> str:
    """Return ``" on cgroup v1"``, from the class of the machine; empty if it names none."""
    found = {re.search(r"\bcgroup v\d\b", machine) for machine in here["machine"].unique()}
    return "".join(sorted({f" on {version[0]}" for version in found if version}))


def _word(sees: pd.Series) -> str:
    return HOLDS if sees.all() else MIXED if sees.any() else FAILS


def _sides(here: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return programs with their functions, by whether they see the limit: yes, in part, or no."""
    sides: dict[str, dict[str, str]] = {HOLDS: {}, MIXED: {}, FAILS: {}}
    for program, answers in telling(here).groupby("program"):
        functions = sorted({tool.partition(" ")[2] for tool in answers["tool"]} - {""})
        told = f" ({', '.join(functions)})" if functions else ""
        sides[_word(answers["sees_it"])][program] = told
    return sides


def _line(here: pd.DataFrame, sides: dict[str, dict[str, str]], name: Callable[[str], str]) -> str:
    seeing, partly = (", ".join(map(name, sides[word])) for word in (HOLDS, MIXED))
    line = f"Programs that see their CPU limit{_on(here)}: {len(sides[HOLDS])} of "
    line += f"{sum(map(len, sides.values()))}"
    line += f" ({seeing})" if seeing else ""
    return line + (f"; in part: {partly}" if partly else "")


def _all_tools(here: pd.DataFrame) -> Finding:
    """Find C07: it holds if no program sees the limit, and fails if each does."""
    sides = _sides(here)
    count = sum(map(len, sides.values()))
    word = {len(sides[FAILS]): HOLDS, len(sides[HOLDS]): FAILS}.get(count, MIXED)
    line = _line(here, sides, str)
    if len(line) > LONGEST_HEADLINE:  # the versions are in the sentences all the same
        line = _line(here, sides, lambda program: program.split()[0])
    leads = {HOLDS: "Seen by", MIXED: "in part by", FAILS: "not by"}
    told = [
        f"{lead} {', '.join(name + functions for name, functions in sides[w].items()) or 'none'}"
        for w, lead in leads.items()
        if sides[w] or w == HOLDS
    ]
    return Finding(word, line, f"{line}. {'; '.join(told)}.", count)


def _of_tools(here: pd.DataFrame, verdict: Verdict) -> str:
    if verdict.verdict == NOT_MEASURED:
        return ""
    seeing, partly, blind = (", ".join(side) for side in _sides(here).values())
    said = f"The CPU limit{_on(here)} is seen by {seeing or 'none'}"
    said += f", in part by {partly}" if partly else ""
    return f"{said}, not by {blind}." if blind else f"{said}."


def _tool(tool: str, claim: Claim) -> Fact:
    """Return the decision whether a tool sees its limit; versions or places may differ."""

    def find(here: pd.DataFrame) -> Finding:
        mine = telling(here[here["tool"] == tool])
        said = [
            f"{tool} {version} reports {seen:.0f} of {cores} CPUs under a quota of {quota:g} "
            f"CPU{_on(here)} ({', '.join(answers['place'])})"
            for (version, cores, quota, seen), answers in mine.groupby(
                ["tool_version", "cores", "quota_cpus", "cpus_seen"]
            )
        ]
        seen = f"{tool} sees its limit in {mine['sees_it'].sum()} of {len(mine)} answers"
        line = said[0] if len(said) == 1 else seen
        return Finding(_word(mine["sees_it"]), line, f"{'; '.join(said)}.", len(mine))

    def unfair(here: pd.DataFrame) -> str:
        mine = here[here["tool"] == tool]
        if mine.empty and (here["pattern"] == "tool").any():
            return f"{tool} was not asked: each tool is asked where it is installed."
        return _too_few(mine)

    where = {"tool": tool}
    return Fact(claim=claim, readings=(Reading(where, "cpus_seen"),), find=find, unfair=unfair)


FACTS = (
    Fact(
        claim=MAGIC,
        readings=(Reading({"pattern": "tool"}, "cpus_seen"),),
        find=_all_tools,
        unfair=_too_few,
        say=_of_tools,
    ),
    *(_tool(tool, claim) for tool, claim in SEEING.items()),
)
