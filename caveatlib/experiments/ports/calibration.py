"""The A/A controls of `ports`."""

from __future__ import annotations

from caveatlib.claims.calibration import Control, Known, aa_controls
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
