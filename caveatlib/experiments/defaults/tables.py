"""Tables of `defaults`: who may do what, what stops it, and what defaults cost."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims, frames, stats
from caveatlib.experiments.defaults import designs, facts
from caveatlib.experiments.defaults.claims import COSTS, IN_GUEST, PRICES, SERVED, SIZED
from caveatlib.experiments.defaults.decisions import DECISIONS
from caveatlib.experiments.defaults.designs import (
    CALLS,
    DOCKER,
    GUEST,
    GUEST_PROBED,
    LINES,
    LOG,
    NO_CONTAINER,
    NO_LOG,
    PRIVILEGED,
    PROBE,
    PROBED,
    USERNS,
    WITHOUT_FILTER,
)
from caveatlib.experiments.defaults.operations import ABSENT, OPERATIONS, named
from caveatlib.experiments.defaults.schema import POSITIVE, Trials
from caveatlib.experiments.kit.tables import per_machine

LACKING = "not in this kernel"
STOPPED_BY = "stopped_by"
WORDS = {
    "defaults": "defaults",
    "without-filter": "seccomp off",
    "all-capabilities": "capabilities off",
    "cap-add-all": "--cap-add ALL",
    "neither-filter-nor-capabilities": "both off",
    "unmasked": "systempaths=unconfined",
    "all-devices": "device list off",
    "all-off": "all of these off",
    "no-new-privileges": "no-new-privileges",
    "privileged": "--privileged",
    "no-container": "no container",
    "without-apparmor": "AppArmor off",
    "apparmor-only": "AppArmor alone",
}
"""Setting -> words; "off" is said of what restricts."""
COLUMNS = (
    *((DOCKER, setting) for setting in PROBED),
    (designs.APPARMOR_OFF, designs.WITHOUT_APPARMOR),
    (USERNS, designs.DEFAULTS),
    *((GUEST, setting) for setting in GUEST_PROBED),
)
"""Place and setting of the matrix' columns."""


def titled(place: str, setting: str) -> str:
    """Return the words for a place and a setting."""
    if place == USERNS:
        return "user namespaces"
    return f"guest: {WORDS[setting]}" if place == GUEST else WORDS[setting]


@per_machine
def matrix(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each operation was answered where, and what stops it by default.

    Returns
    -------
    pandas.DataFrame
        Indexed by operation, in words; a column for each setting that was tried
        (``"allowed"``, the error, or that the kernel lacks it), and `stopped_by`.
    """
    found = {
        titled(*where): (where[0], answers)
        for where in COLUMNS
        if (answers := facts.refused(trials, facts.at(*where))) is not None
    }
    lacks = {place: _lacking(trials, place) for place in (DOCKER, GUEST)}
    columns: dict[str, list[str]] = {}
    for title, (place, answers) in found.items():
        gone = lacks[GUEST if place == GUEST else DOCKER]
        columns[title] = [
            LACKING if name in gone else named(answers.get(name, 0)) for name in OPERATIONS
        ]
    by = facts.stopped_by(trials)
    columns[STOPPED_BY] = [by.get(name, "") for name in OPERATIONS]
    index = pd.Index(list(OPERATIONS.values()), name="operation")
    table = pd.DataFrame(columns, index=index, dtype=object)
    return table if found else table.iloc[:0]


def _lacking(here: pd.DataFrame, place: str) -> set[str]:
    """Return what a kernel lacks: it says so to root, too."""
    for setting in (NO_CONTAINER, PRIVILEGED):
        answers = facts.refused(here, facts.at(place, setting))
        if answers is not None:
            return {name for name, said in answers.items() if said in ABSENT}
    return set()


@per_machine
def stops(trials: pd.DataFrame) -> pd.DataFrame:
    """Return how many operations each mechanism, or several, stop by default, and which.

    Returns
    -------
    pandas.DataFrame
        Indexed by `stopped_by`: `operations` and `names`.
    """
    by = pd.Series(facts.stopped_by(trials), dtype=object)
    rows = {
        str(what): {"operations": len(names), "names": ", ".join(map(str, names.index))}
        for what, names in by.groupby(by, sort=False)
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["operations", "names"])
    return table.rename_axis(STOPPED_BY).sort_values("operations", ascending=False, kind="stable")


@per_machine
def costs(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each default costs against what stands against it.

    Returns
    -------
    pandas.DataFrame
        Indexed by part of C19: `what`, the ratio `estimate` with its interval `low` to `high`
        (adjusted), that of the A/A control around 1 (`band_low`, `band_high`), `n`, `verdict`.
    """
    judged = {v.claim: v for v in claims.judge(trials, DECISIONS)}
    rows = {}
    for part, claim in COSTS.items():
        if (v := judged.get(claim.id)) and v.n:
            band = [end / v.threshold for end in (v.band_low, v.band_high)]
            rows[part] = [PRICES[part].label, v.effect, v.low, v.high, *band, v.n, v.verdict]
    columns = ["what", "estimate", "low", "high", "band_low", "band_high", "n", "verdict"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("part")


BESIDE = {
    "a line logged, json-file over none": (
        "line_s",
        designs.where(LOG, lines=LINES),
        designs.where(LOG, NO_LOG, lines=LINES),
        "block",
    ),
    **{
        f"{what}, {words}": (measure, arm, baseline, pairing)
        for what, measure in (
            ("opening a file", "open_s"),
            ("a start", "first_output_s"),
            ("a getppid", "getppid_s"),
        )
        for words, arm, baseline, pairing in (
            (
                "seccomp filter over none",
                designs.where(CALLS),
                designs.where(CALLS, WITHOUT_FILTER),
                "block",
            ),
            (
                "user namespaces over none",
                designs.where(CALLS, place=USERNS),
                designs.where(CALLS),
                "session",
            ),
        )
    },
}
"""Further comparisons, which decide no claim: measure, arm, baseline, what is replicated."""


@per_machine
def beside(trials: pd.DataFrame) -> pd.DataFrame:
    """Return further ratios, with plain intervals; they decide nothing.

    User namespaces are those of another engine, started afresh for each session, and no A/A
    control stands beside them.

    Returns
    -------
    pandas.DataFrame
        Indexed by what is compared: `estimate`, `low`, `high`, `n`, `pairing`.
    """
    wanted = [
        stats.Contrast(name, measure, arm, baseline, pairing=pairing)
        for name, (measure, arm, baseline, pairing) in BESIDE.items()
    ]
    table = stats.contrasts(trials, wanted) if len(trials) else pd.DataFrame()
    columns = ["estimate", "low", "high", "n", "pairing"]
    if table.empty:
        return pd.DataFrame(columns=columns, index=pd.Index([], name="compared"))
    return table[table["n"] > 0].set_index("name")[columns].rename_axis("compared")


MEASURES = [*POSITIVE, "log_bytes", "refusals"]


@per_machine
def summarize(trials: pd.DataFrame) -> pd.DataFrame:
    """Summarise each arm: trials, failures, what was timed, what was refused."""
    by = ["place", *frames.conditions(Trials)]
    return stats.summarize(trials, MEASURES, by=by)


@per_machine
def logs(trials: pd.DataFrame) -> pd.DataFrame:
    """Return, per log driver and lines, what a line takes and what lies on the disk, medians."""
    rows = trials[trials["task"] == LOG].replace({"setting": {designs.DEFAULTS: "json-file"}})
    return rows.groupby(["setting", "lines"])[["line_s", "log_bytes", "log_files"]].median()


@per_machine
def seen(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what confines containers, as they see it, and what docker info says; medians."""
    rows = trials[(trials["task"] == PROBE) & trials["ok"]]
    columns = [c for c in trials.columns if c.startswith(("seen_", "info_"))]
    return rows.groupby(["place", "setting"])[columns].median()


FEATURES = {
    IN_GUEST: "AppArmor stops something alone",
    SERVED: "IPVS answers at a service's address",
    SIZED: "project quotas limit a folder",
}
"""Claim that guests decide -> what of their kernel it is of."""
ANSWERS = {claims.HOLDS: "yes", claims.FAILS: "no"}


@per_machine
def guest_kernels(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what guests were asked of their kernel, which this machine's may lack.

    Returns
    -------
    pandas.DataFrame
        Indexed by `feature`: `answer` (``"yes"``, ``"no"``, ``"not measured"``) and `found`.
    """
    decisions = [d for d in DECISIONS if d.claim in FEATURES]
    rows = {
        FEATURES[decision.claim]: [ANSWERS.get(v.verdict, "not measured"), v.headline]
        for decision, v in zip(decisions, claims.judge(trials, decisions), strict=False)
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["answer", "found"])
    return table.rename_axis("feature")
