"""Figures of `applications`: what the trials of one machine look like."""

from __future__ import annotations

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.applications.catalogue import TITLES
from caveatlib.experiments.applications.designs import LINKS
from caveatlib.experiments.applications.tables import named, opened
from caveatlib.experiments.kit.tables import figure_per_machine


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw each image's bytes: in files that were opened, and in files that were not."""
    return _opened_of(
        opened(trials),
        "opened_bytes",
        "opened_byte_share",
        unit="B",
        label="bytes in the files of the image",
        title="Bytes of each image in files that were opened, and their share",
        ax=ax,
    )


@figure_per_machine
def plot_executables(trials: pd.DataFrame, ax=None):
    """Draw each image's executables: those that were opened, and those that were not."""
    return _opened_of(
        opened(trials),
        "opened_executables",
        "opened_executable_share",
        unit="",
        label="executables in the image",
        title="Executables of each image that were opened, and their share",
        ax=ax,
    )


def _opened_of(table: pd.DataFrame, number: str, share: str, *, title: str, **options):
    """Draw a bar for each image, what was opened of it first, and the share at its end."""
    whole = table[number] / table[share].where(table[share] > 0)
    parts = pd.DataFrame({"opened": table[number], "never opened": whole - table[number]})
    ends = [f"{value * 100:.3g} %" for value in table[share]]
    return plots.stacked(parts, ends=ends, title=title, **options)


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
        label="time from asking for the image until its server accepts a connection",
        order=list(TITLES.values()),
        title=f"Time to deploy an application at {slowest}",
        ax=ax,
    )
