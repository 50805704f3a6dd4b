"""What `layers` reads where the truth is fixed beforehand, and its null arms."""

from __future__ import annotations

import numpy as np
import pandas as pd

from caveatlib import stats
from caveatlib.experiments.layers import generated
from caveatlib.experiments.layers.tables import GB, LINKS, moves
from caveatlib.instruments.registry import GOODPUT

SLOW = LINKS["100 Mbit/s"]
WITHIN = {"link": 0.02, "base": 0.1}
"""How far a reading may be from its truth, relative."""


def arm(work: str, rate_bit_per_s: float, replicate: int = 0) -> dict:
    """Return the filter of one way to move over one link, as `moves` names them."""
    return {"work": work, "link_bit_per_s": rate_bit_per_s, "replicate": replicate}


NULLS = {
    link: stats.Contrast(
        f"an image over itself ({link})",
        "slope_s_per_gb",
        arm("pull", rate, 1),
        arm("pull", rate),
        pairing="session",
    )
    for link, rate in LINKS.items()
}
"""The same pull twice in every session, on the image with most of its bytes in one layer."""


def known_answers(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what the harness reads where the truth is fixed beforehand.

    A disk as it is takes what the headers of its frames leave of the link; with
    the base layer there an eighth of the bytes is moved; a pull takes as long
    as the same pull.

    Returns
    -------
    pandas.DataFrame
        As `stats.same_twice`, these two checks first.
    """
    table = moves(trials)
    read = stats.contrasts(table, _known(trials)).rename(columns={"name": "check"})
    read["truth"] = read["threshold"]
    within = np.where(read["kind"] == "ratio", WITHIN["base"], WITHIN["link"])
    read["bar"] = [
        f"reads {truth:.3g} +- {share:.0%}"
        for truth, share in zip(read["truth"], within, strict=True)
    ]
    met = (read["estimate"] / read["truth"] - 1).abs() <= within
    read["passes"] = stats.met(met, read["estimate"])
    # A contrast notes that no effect was found; here that is as it should be.
    read["note"] = read["note"].where(read["low"].isna(), "")
    same = stats.same_twice(table, {null.name: null for null in NULLS.values()})
    return pd.concat([read[stats.KNOWN_COLUMNS], same], ignore_index=True)


def _known(trials: pd.DataFrame) -> list[stats.Contrast]:
    sizes = np.unique(trials.loc[trials["design"] == "moving", "content_bytes"])
    mib = sizes // generated.content_bytes(1)
    seconds = [(generated.disk_mib(size) << 20) * 8 / (SLOW * GOODPUT) for size in mib]
    slope = np.polyfit(sizes / GB, seconds, 1)[0] if len(sizes) > 1 else np.nan
    eighth = generated.content_bytes(1, "rest") / generated.content_bytes(1)
    return [
        stats.Contrast(
            "a disk as it is at 100 Mbit/s, seconds per GB of files",
            "slope_s_per_gb",
            arm("disk", SLOW),
            None,
            threshold=float(slope),
            pairing="session",
            kind="difference",
        ),
        stats.Contrast(
            "bytes moved with the base layer there, over all of them",
            "total_bytes",
            arm("pull-base-there", SLOW),
            arm("pull", SLOW),
            threshold=eighth,
            pairing="session",
        ),
    ]
