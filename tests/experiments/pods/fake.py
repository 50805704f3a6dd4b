"""A fake of the place of `pods`: sidecars that are answered, see and survive as arranged.

For tests without an engine; never makes a number that is shown.
"""

from __future__ import annotations

import numpy as np
from places.fake import CLOCK, on_clock, spec

from caveatlib.experiments.pods.arranging import DELAY_US, Timed

TRIP_S = {"process": 1.6e-5, "socket": 1.3e-5, "bridge": 2.3e-5}
SIGHTS = {
    "process": "1 1 1 1 1 0",
    "shared": "0 0 0 0 1 0",
    "ipc": "0 0 0 1 1 0",
    "pid": "1 1 1 0 1 0",
    "socket": "0 0 0 0 1 0",
    "pause": "0 0 0 0 1 0",
    "bridge": "0 0 0 0 0 1",
}
DIES_WITH = ("process", "pid")
REACHES_AGAIN = ("socket", "pause", "bridge")
_RNG = np.random.default_rng(7)


class FakePods:
    """Stands for `arranging.Pods`."""

    def __init__(self, name: str):
        self.name = name

    def trips(self, arrangement: str, *, delayed: bool) -> Timed:
        """Return round trips that take as long as the arrangement says, more or less."""
        CLOCK.passes(20)
        p50_s = TRIP_S.get(arrangement, 1.65e-5) + delayed * DELAY_US / 1e6
        p50_s *= _RNG.uniform(0.99, 1.01)
        said = f"= 800 {p50_s:.9f} {2 * p50_s:.9f} {1.5 * p50_s:.9f}\n"
        return Timed(said, _RNG.uniform(0.4, 0.6), 2e7)

    def look(self, arrangement: str) -> str:
        """Return what the probe would."""
        CLOCK.passes(20)
        return f"= {SIGHTS[arrangement]}\n"

    def survives(self, arrangement: str, event: str) -> bool:
        """Return whether the arrangement lets the sidecar go on."""
        if event in ("crash", "oom"):
            return arrangement not in DIES_WITH
        return arrangement in REACHES_AGAIN

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}


PLACES = {"engine": spec(FakePods, "engine", on_clock)}
