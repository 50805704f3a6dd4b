"""Cases of `trust` with a known true value: what nobody touched passes, one byte is one byte."""

from __future__ import annotations

import pandas as pd

from caveatlib import stats
from caveatlib.claims.calibration import Derive, Known
from caveatlib.experiments.trust.designs import FETCHING, SKOPEO, VERIFYING, fetched
from caveatlib.experiments.trust.facts import aged
from caveatlib.experiments.trust.tampering import TAG, UNCHANGED


def untouched(here: pd.DataFrame) -> pd.DataFrame:
    """Return of each block the trial of an untouched image that its tool liked least."""
    rows = here[(here["part"] == UNCHANGED) & here["accepted"].notna()]
    return rows.sort_values("accepted").drop_duplicates(["run", "design", "block"])


def _known(name: str, measure: str, where: dict, table: Derive | None = None) -> Known:
    contrast = stats.Contrast(name, measure, where, None, kind="difference")
    return Known(name=name, contrast=contrast, truth=1.0, within=0, table=table)


KNOWN = (
    _known(
        "every untouched image is accepted by whoever fetches it",
        "accepted",
        {"design": FETCHING},
        untouched,
    ),
    _known(
        "every untouched image is accepted by whoever verifies it",
        "accepted",
        {"design": VERIFYING},
        untouched,
    ),
    _known(
        "bytes changed where one is damaged",
        "altered_bytes",
        fetched(SKOPEO, TAG, "layer-damaged"),
    ),
    _known("sources with security uploads that apt's index lists", "index_agreement", aged(0)),
    _known("installed sources of apt's index that changelogs name", "index_named", aged(0)),
)
CONTROLS = ()
"""No claim turns on a time, so nothing is measured twice to see how far it moves."""
