"""The A/A controls of `ports`."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.kit import calibration
from caveatlib.experiments.kit.calibration import Control, Known, aa_controls
from caveatlib.experiments.ports.decisions import DECISIONS
from caveatlib.experiments.ports.designs import contrast

KNOWN: tuple[Known, ...] = ()
CONTROLS = (
    *aa_controls(DECISIONS),
    Control(
        name="direct, where no port is published: CPU per byte without over with the proxy",
        contrast=contrast("direct", "cpu_s_per_gb"),
    ),
)


def calibrate(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the calibration table, see `kit.calibration.calibrate`.

    A second engine with the proxy over the first on every path that is judged, and
    a path that no setting touches.
    """
    return calibration.calibrate(trials, KNOWN, CONTROLS)
