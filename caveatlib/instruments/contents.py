"""What is counted of an image's contents."""

from __future__ import annotations

from caveatlib import images

_COUNTED = (
    "size_bytes",
    "visible_bytes",
    "files",
    "executables",
    "setuid_files",
    "shells",
    "package_managers",
    "interpreters",
    "packages",
    "extras_share",
    "olives",
)


def counts(image: images.Image) -> dict[str, float]:
    """Return an image's counts, and the share of its bytes that some package owns."""
    summary = image.summary.iloc[0]
    found = {name: float(summary[name]) for name in _COUNTED}
    return found | {"owned_share": float(1 - summary["unowned_bytes"] / summary["visible_bytes"])}
