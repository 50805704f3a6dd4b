"""Where `layers` measures: an engine of its own for each image, and one beside a registry."""

from __future__ import annotations

from functools import partial

from caveatlib.experiments.layers import moving, on_kernels, published, web
from caveatlib.experiments.layers.designs import FULL, MINIMAL, REGISTRY, SCRATCH
from caveatlib.instruments import fanotify, registry
from caveatlib.places import debians, rootfs
from caveatlib.places.base import Probe
from caveatlib.places.engines import private_engine
from caveatlib.places.machines import guest
from caveatlib.places.machines.published import RELEASES, Release
from caveatlib.places.spec import Spec


def _image(kind: str, base: Probe) -> Spec:
    """Return an engine of its own with one of the images."""
    return Spec(
        needs=(private_engine.probe, fanotify.probe, base),
        open=lambda s: s.enter(web.web_place(kind)),
    )


def _published(release: Release) -> Spec:
    """Return a published machine and images of it, beside an engine."""
    return Spec(
        needs=(private_engine.probe, registry.probe, partial(published.probe, release.name)),
        open=lambda s: s.enter(published.published_place(release)),
    )


PLACES = {
    FULL: _image("full", debians.probe),
    MINIMAL: _image("minimal", debians.probe),
    SCRATCH: _image("scratch", rootfs.probe),
    REGISTRY: Spec(
        needs=(private_engine.probe, registry.probe),
        open=lambda s: s.enter(moving.moving_place()),
    ),
    **on_kernels.PLACES,
    **{f"published-{name}": _published(release) for name, release in RELEASES.items()},
}
ARTEFACTS = (debians.ARTEFACT, moving.STORED, guest.KERNEL, guest.INITRAMFS)
"""What must be prepared."""
ON_REQUEST = (*(release.artefact for release in RELEASES.values()), *published.STORED.values())
"""Machines that others publish, and images of them."""
