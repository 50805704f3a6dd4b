"""Tables of `recovery`: phases, requests, the volume, prices; replicas over time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from caveatlib.experiments.kit.tables import per_machine
from caveatlib.experiments.recovery.configuration import CONFIGURATION
from caveatlib.experiments.recovery.schema import MOST_REPLICAS, PHASES

KEEPERS = {
    "nobody": "no keeper",
    "runsv": "runsv",
    "on-failure": "restart on-failure",
    "always": "restart always",
    "unless-stopped": "restart unless-stopped",
    "health": "health check alone",
    "autoheal": "health check, loop",
    "swarm": "Swarm",
}
FAULTS = {
    "crash": "process killed",
    "hang": "process stopped",
    "node": "node killed",
    "cut": "node cut off",
}
"""Those whose effect is asked for, in words, from the mildest on."""
STEP_S = 0.05


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the good trials with a fault in `FAULTS`, without A/A controls."""
    good = rows["ok"] & rows["fault"].isin(FAULTS) & (rows["replicate"] == 0)
    return rows[good]


def named(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with fault and keeper in words, of which three replicas are told."""
    faults = [FAULTS[fault] for fault in rows["fault"]]
    told = {"fault": faults, "keeper": _keepers(rows)}
    return rows.assign(**pd.DataFrame(told, index=rows.index, dtype=object))


def _keepers(rows: pd.DataFrame) -> list[str]:
    return [
        KEEPERS[keeper] + (f", {count} replicas" if count > 1 else "")
        for keeper, count in zip(rows["keeper"], rows["replicas"], strict=True)
    ]


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table by fault and keeper from the mildest fault, and the simplest keeper, on."""
    keepers = [f"{name}{more}" for name in KEEPERS.values() for more in ("", ", 3 replicas")]
    order = pd.MultiIndex.from_product([FAULTS.values(), keepers], names=table.index.names)
    return table.reindex([key for key in order if key in table.index])


@per_machine
def phases(trials: pd.DataFrame) -> pd.DataFrame:
    """Return by fault and keeper when it noticed, restarted, answered and had all back: medians.

    Returns
    -------
    pandas.DataFrame
        `trials`, `recovered` (how many of them), the medians of `PHASES`, of requests `lost`
        (no replica answered) and `missed` (the one whose turn it was did not).
    """
    arms = named(shown(trials)).groupby(["fault", "keeper"])
    table = arms[[*PHASES, "lost", "missed"]].median()
    table.insert(0, "trials", arms.size().astype(int))
    table.insert(1, "recovered", arms["recovered"].sum().astype(int))
    return _ordered(table)


@per_machine
def volume(trials: pd.DataFrame) -> pd.DataFrame:
    """Return by fault and keeper what the shared volume tells, in all trials together.

    Returns
    -------
    pandas.DataFrame
        Sums of `unkept` and `twice`; `still_serving`, in how many trials the old replica went
        on on its side, empty where none was cut off.
    """
    arms = named(shown(trials)).groupby(["fault", "keeper"])
    sums = arms[["unkept", "twice", "still_serving"]].sum(min_count=1)
    return _ordered(sums.astype("Int64"))


@per_machine
def prices(trials: pd.DataFrame) -> pd.DataFrame:
    """Return by keeper what it takes while all is well: medians, and lines of configuration.

    Returns
    -------
    pandas.DataFrame
        One replica and three are told apart. `nodes` is on how many machines; the sums are over
        all of them. The loop beside a health check is in none: it is a thread of the harness.
    """
    good = trials[trials["ok"] & trials["keeper_bytes"].notna()]
    taken = ["keeper_processes", "keeper_bytes", "keeper_ports"]
    arms = good.groupby(["keeper", "replicas"])
    order = [(keeper, count) for keeper in KEEPERS for count in range(1, MOST_REPLICAS + 1)]
    table = arms[taken].median()
    table = table.reindex([arm for arm in order if arm in table.index]).reset_index()
    lines = {keeper: len(text.splitlines()) for keeper, text in CONFIGURATION.items()}
    nodes = {keeper: 3 if keeper == "swarm" else 1 for keeper in KEEPERS}
    table = table.assign(
        nodes=[nodes[keeper] for keeper in table["keeper"]],
        configuration_lines=[lines[keeper] for keeper in table["keeper"]],
        keeper=_keepers(table),
    )
    words = {"keeper_processes": "processes", "keeper_bytes": "memory_bytes"}
    table = table.set_index("keeper").drop(columns="replicas")
    return table.rename(columns=words | {"keeper_ports": "ports"})


def configuration() -> pd.DataFrame:
    """Return what one writes for each keeper by hand, a row per command."""
    rows = [
        (KEEPERS[keeper], " ".join(line.split()))
        for keeper, text in CONFIGURATION.items()
        for line in text.replace("\\\n", "").splitlines()
    ]
    return pd.DataFrame(rows, columns=["keeper", "configuration"])


def over_time(timeline: pd.DataFrame) -> pd.DataFrame:
    """Return how many replicas answered over time since the fault, all keepers on one clock.

    Parameters
    ----------
    timeline : pandas.DataFrame
        Table ``timeline`` of a run.

    Returns
    -------
    pandas.DataFrame
        `fault`, `keeper`, `replicas` (desired), `t_s` in steps of 0.05 s, `answering`: the
        median over the trials that were still watched then, those over keep their last.
    """
    parts = []
    for (fault, keeper, replicas), rows in timeline.groupby(["fault", "keeper", "replicas"]):
        ends = rows.groupby(["run", "block"])["t_s"].max()
        grid = np.arange(rows["t_s"].min(), ends.max(), STEP_S)
        lines = [
            each["answering"].to_numpy()[
                np.clip(np.searchsorted(each["t_s"].to_numpy(), grid, side="right") - 1, 0, None)
            ]
            for _, each in rows.sort_values("t_s").groupby(["run", "block"])
        ]
        own = {"fault": fault, "keeper": keeper, "replicas": replicas, "t_s": grid}
        parts.append(pd.DataFrame(own | {"answering": np.median(lines, axis=0)}))
    if not parts:
        return pd.DataFrame(columns=["fault", "keeper", "replicas", "t_s", "answering"])
    return pd.concat(parts, ignore_index=True)
