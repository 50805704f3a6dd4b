"""What `layers` found, for a first screen."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.experiments.layers.claims import MOVING, NEVER_OPENED
from caveatlib.experiments.layers.decisions import DISK, DISK_ON_BASE, PULLS
from caveatlib.experiments.layers.designs import FULL
from caveatlib.experiments.layers.tables import IMAGES, opened, prices
from caveatlib.support.quantities import format_quantity

SLOW = "100 Mbit/s"
WAYS = {
    PULLS["one"]: "image, one big layer",
    PULLS["even"]: "image, even layers",
    DISK: "disk, gzipped",
    PULLS["base"]: "image, base there",
    DISK_ON_BASE: "disk, base there",
}


def highlights(here: pd.DataFrame) -> list[Highlight]:
    """Return the findings of one machine; those that it lacks are left out."""
    # Moving first: what is opened of an image is what `applications` begins with.
    return [*_moved(here), *_never_opened(here)]


def _never_opened(here: pd.DataFrame) -> list[Highlight]:
    table = opened(here)
    table = table[table["opened_byte_share"] > 0]
    full = IMAGES[FULL]
    if full not in table.index:
        return []
    sizes = table["opened_bytes"] / table["opened_byte_share"]
    bars = [
        Bar("opened", table.loc[full, "opened_bytes"],
            format_quantity(table.loc[full, "opened_bytes"], "B"), True),
        *(Bar(name, size, format_quantity(size, "B")) for name, size in sizes.items()),
    ]  # fmt: skip
    return [
        Highlight(
            NEVER_OPENED.id,
            f"{table.loc[full, 'opened_byte_share'] * 100:.2g} %",
            "of the bytes of a full Debian were opened by a web server while it served a page.",
            tuple(bars),
        )
    ]


def _moved(here: pd.DataFrame) -> list[Highlight]:
    medians = prices(here)
    if SLOW not in medians.index or not set(WAYS) <= set(medians.columns):
        return []
    slow = medians.loc[SLOW].dropna()
    if not set(WAYS) <= set(slow.index):
        return []
    whole = sorted(slow[PULLS[what]] / slow[DISK] for what in ("even", "one"))
    on_base = slow[PULLS["base"]] / slow[DISK_ON_BASE]
    bars = [Bar(words, slow[way], f"{slow[way]:.3g} s/GB", way == DISK)
            for way, words in WAYS.items()]  # fmt: skip
    return [
        Highlight(
            MOVING.id,
            f"{whole[0]:.1f} to {whole[1]:.1f}×",
            "the time of fetching a gzipped disk of the same files, without an operating system, "
            f"is what pulling a whole image takes at {SLOW}, depending on its layers; "
            f"{on_base:.1f}× where both find their base there.",
            tuple(bars),
        )
    ]
