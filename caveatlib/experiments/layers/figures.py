"""Figures of `layers`: what the trials of one machine look like."""

from __future__ import annotations

import pandas as pd

from caveatlib import plots
from caveatlib.experiments.kit.tables import figure_per_machine
from caveatlib.experiments.layers.designs import LINKS
from caveatlib.experiments.layers.tables import named_links, opened

THERE = {"pull": "nothing there", "pull-base-there": "base layer there"}


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw the seconds of a pull over the size of the files, one line per link and start."""
    shown = trials[(trials["design"] == "moving") & (trials["replicate"] == 0) & trials["ok"]]
    shown = shown[shown["work"].isin(THERE)]
    links = named_links(shown)
    shown = shown.assign(
        size_mb=shown["content_bytes"] / 1e6,
        link=links,
        way=links + ", " + shown["work"].map(THERE),
    )
    order = [f"{link}, {there}" for link in reversed(LINKS) for there in THERE.values()]
    return plots.lines(
        shown.sort_values("way", key=lambda ways: ways.map(order.index), kind="stable"),
        "size_mb",
        "moved_s",
        by="way",
        hue="link",
        dashed={way for way in order if way.endswith(THERE["pull-base-there"])},
        unit="s",
        xlabel="files in the image (MB)",
        ylabel="time to pull",
        title="Time of a pull by size and link (dashed: the base layer is there)",
        ax=ax,
    )


@figure_per_machine
def plot_opened(trials: pd.DataFrame, ax=None):
    """Draw each image's bytes: in files that were opened, and in files that never were."""
    table = opened(trials)
    never = table["opened_bytes"] * (1 / table["opened_byte_share"] - 1)
    parts = pd.DataFrame({"opened": table["opened_bytes"], "never opened": never})
    return plots.stacked(
        parts,
        unit="B",
        label="bytes in the files of the image",
        title="How much of an image its application opens",
        ax=ax,
    )
