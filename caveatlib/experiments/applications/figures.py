"""Figures of `applications`: what the trials of one machine look like."""

from __future__ import annotations

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.applications.catalogue import TITLES
from caveatlib.experiments.applications.designs import LINKS, WORKLOAD
from caveatlib.experiments.applications.tables import named, opened
from caveatlib.experiments.kit.tables import figure_per_machine


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw how much of its image each application opens, on a full and on a minimal Debian."""
    shown = named(trials[trials["work"] == WORKLOAD]).sort_values("base", kind="stable")
    return plots.dumbbell(
        shown,
        "opened_byte_share",
        by="application",
        arm="base",
        unit="",
        label="share of the image's bytes in files that were opened",
        order=list(TITLES.values()),
        title="How much of its image an application opens under its workload",
        ax=ax,
    )


@figure_per_machine
def plot_bytes(trials: pd.DataFrame, ax=None):
    """Draw each image's bytes: in files that were opened, and in files that were not."""
    table = opened(trials)
    never = table["opened_bytes"] * (1 / table["opened_byte_share"] - 1)
    parts = pd.DataFrame({"opened": table["opened_bytes"], "never opened": never})
    parts.index = [f"{application}, {base}" for application, base in parts.index]
    return plots.stacked(
        parts,
        unit="B",
        label="bytes in the files of the image",
        title="Bytes of each image: opened under the workload, and not",
        ax=ax,
    )


@figure_per_machine
def plot_deployed(trials: pd.DataFrame, ax=None):
    """Draw how long each application takes to deploy over the slowest link, on either base."""
    slowest = min(LINKS, key=lambda link: LINKS[link])
    shown = named(trials[(trials["link"] == slowest) & (trials["replicate"] == 0)])
    return plots.dumbbell(
        shown.sort_values("base", kind="stable"),
        "deployed_s",
        by="application",
        arm="base",
        unit="s",
        label="from asking for the image until its server accepts a connection",
        order=list(TITLES.values()),
        title=f"Time to deploy an application at {slowest}",
        ax=ax,
    )
