"""The claims of `pods`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger

NAME = "pods"
COSTS, BRIDGED = 1.25, 1.0
"""Thresholds of ratios, the first of them ours."""


def _part(part: str, text: str, decides: str) -> Claim:
    return Claim(f"C34/{part}", text, "derived", decides, NAME)


COMPONENTS = from_ledger(
    "C34",
    decides="whether a sidecar that shares its application's network, and nothing else, sees no "
    "processes, environment, files or shared memory of it (its listening ports are shared), "
    "outlives it and reaches it again, and what that costs",
)
SEALED = _part(
    "sealed",
    "a sidecar sees neither processes, environment, files nor shared memory of its application",
    "processes, environment, files and shared memory of the application that a probe in the "
    "sidecar's container sees, none in any trial; its listening ports are shared, and decide "
    "nothing",
)
OUTLIVES = _part(
    "outlives",
    "a sidecar outlives its application's crash, and its death by the out-of-memory killer",
    "whether the sidecar still runs, in every trial",
)
RESTART = _part(
    "restart",
    "it reaches its application again after that was restarted, or replaced by a new one",
    "whether the sidecar, left alone, is answered afterwards, in every trial",
)
PAUSE = _part(
    "pause",
    "it does so where a third container owns the network that both share, as in Kubernetes",
    "the same, where a container that does nothing else owns the network",
)
COST = _part(
    "cost",
    f"a round trip between the two takes no more than {COSTS:g} times as long as in one container",
    f"median round trip, shared network over one container, ratio below {COSTS:g} (ours)",
)
BRIDGE = Claim(
    "pods-bridge",
    "a round trip takes longer over a bridge than in a shared network",
    "ours",
    f"median round trip, bridge over shared network, ratio above {BRIDGED:g}",
    NAME,
)
