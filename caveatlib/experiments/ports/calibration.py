"""The A/A controls of `ports`."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.kit import calibration
from caveatlib.experiments.kit.calibration import Control, Known, aa_controls
from caveatlib.experiments.ports.decisions import DECISIONS
from caveatlib.experiments.ports.designs import (
    HAIRPIN,
    HAIRPIN_AGAIN,
    Case,
    compared,
    contrast,
)
from caveatlib.experiments.ports.flows import FLOWS
from caveatlib.experiments.ports.pinning import TOGETHER


def _bare(flow: str) -> Control:
    """Return the A/A control without the proxy, of one flow."""
    case = Case("loopback", TOGETHER, "reno", flow)
    name = f"loopback, pinned, without the proxy twice: CPU per byte, {FLOWS[flow].words}"
    return Control(
        name=name, contrast=compared(case, arm=HAIRPIN_AGAIN, baseline=HAIRPIN, name=name)
    )


KNOWN: tuple[Known, ...] = ()
CONTROLS = (
    *aa_controls(DECISIONS),
    Control(
        name="direct, where no port is published: CPU per byte without over with the proxy",
        contrast=contrast("direct", "cpu_s_per_gb"),
    ),
    *map(_bare, FLOWS),
)


def calibrate(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the calibration table, see `kit.calibration.calibrate`.

    A second engine with the proxy over the first on every path and in every case that is
    judged, a path that no setting touches, and two engines without the proxy.
    """
    return calibration.calibrate(trials, KNOWN, CONTROLS)
