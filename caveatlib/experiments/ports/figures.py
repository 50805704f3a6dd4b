"""Figures of `ports`: what the trials of one machine look like."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from caveatlib import claims, plots
from caveatlib.experiments.kit.tables import figure_per_machine, judged_effects
from caveatlib.experiments.ports.claims import PARTS, SIZED
from caveatlib.experiments.ports.decisions import DECISIONS, LABELS
from caveatlib.experiments.ports.designs import HAIRPIN, PAIRED, PROXY
from caveatlib.experiments.ports.sentences import case_label
from caveatlib.experiments.ports.site import PATHS
from caveatlib.experiments.ports.tables import SETTINGS


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw the CPU time that a gigabyte takes, a row per path, with the proxy and without."""
    rows = trials[(trials["design"] == "paths") & trials["place"].isin([PROXY, HAIRPIN])]
    return plots.dumbbell(
        rows.assign(setting=rows["place"].map(SETTINGS), way=rows["path"].map(LABELS)),
        "cpu_s_per_gb",
        by="way",
        arm="setting",
        unit="s",
        label="CPU time of the whole machine per GB (1e9 bytes)",
        order=[LABELS[path] for path in PATHS if path in LABELS],
        title="What a gigabyte costs, with the proxy and without",
        ax=ax,
    )


@figure_per_machine
def plot_effects(trials: pd.DataFrame, ax=None):
    """Draw the CPU per byte without the proxy over with it, path by path.

    The intervals are those by which the verdicts are drawn, over those of the A/A
    controls: one that leaves 1 out fails, and its path is not judged.
    """
    rows = {LABELS[path]: PARTS[path, "cpu"] for path in PAIRED}
    title = "CPU time per byte, 1 connection, reno: without the proxy over with it"
    return _drawn(trials, rows, title, ax)


@figure_per_machine
def plot_sizes(trials: pd.DataFrame, ax=None):
    """Draw the same case by case, with client, server and docker-proxy pinned to CPUs."""
    rows = {case_label(case): claim for case, claim in SIZED.items()}
    title = "CPU time per byte, pinned: without the proxy over with it"
    return _drawn(trials, rows, title, ax)


def _drawn(trials: pd.DataFrame, rows: Mapping[str, claims.Claim], title: str, ax):
    return plots.effects(
        judged_effects(claims.judge(trials, DECISIONS), rows),
        label="ratio, adjusted intervals",
        sides=("cheaper without the proxy", "dearer"),
        title=title,
        ax=ax,
    )
