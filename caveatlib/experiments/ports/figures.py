"""Figures of `ports`: what the trials of one machine look like."""

from __future__ import annotations

import pandas as pd

from caveatlib import plots, stats
from caveatlib.experiments.kit.tables import figure_per_machine
from caveatlib.experiments.ports.decisions import again, verdicts
from caveatlib.experiments.ports.designs import HAIRPIN, PAIRED, PROXY
from caveatlib.experiments.ports.site import PATHS
from caveatlib.experiments.ports.tables import SETTINGS

_BAND = {"color": "#888888", "alpha": 0.35, "lw": 12, "solid_capstyle": "butt", "zorder": 0}


@figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw the CPU time that a gigabyte takes, one dot per session, a row per path and setting."""
    rows = trials[(trials["design"] == "paths") & trials["place"].isin([PROXY, HAIRPIN])]
    setting = rows["place"].map(SETTINGS)
    rows = rows.assign(row=rows["path"] + ", " + setting, setting=setting)
    order = [f"{path}, {SETTINGS[place]}" for path in PATHS for place in (PROXY, HAIRPIN)]
    label = "CPU time of the whole machine per GB (1e9 bytes)"
    return plots.dots(
        rows, "cpu_s_per_gb", by="row", unit="s", label=label, order=order, hue="setting", ax=ax
    )


@figure_per_machine
def plot_effects(trials: pd.DataFrame, ax=None):
    """Draw the CPU per byte without the proxy over with it, path by path.

    The intervals are those by which the verdicts are drawn, over the A/A bands:
    an interval that meets its band decides nothing.
    """
    judged = {v.claim: v for v in verdicts(trials)}
    found = [(path, judged.get(f"C17/{path}/cpu")) for path in PAIRED]
    rows = {path: (v.effect, v.low, v.high) for path, v in found if v and v.n}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "low", "high"])
    label = "CPU time per byte: without the proxy over with it, adjusted intervals"
    ax = plots.effects(table, label=label, ax=ax)
    bands = []
    for row, path in enumerate(table.index):
        band = stats.null_band(trials, again(path, "cpu")).iloc[0]
        ends = [band["band_low"], band["band_high"]]
        if pd.notna(ends[0]):
            ax.plot(ends, [row, row], **_BAND)
            bands.append(f"{path} {ends[0]:.3g} to {ends[1]:.3g}")
    return plots.say(ax, f"Grey, the A/A band: {', '.join(bands)}." if bands else "")
