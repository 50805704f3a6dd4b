"""What `trust` compares: tools and tamperings, tools and hidden things, ages of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from caveatlib.experiments.trust.planted import HISTORIES, STEPS
from caveatlib.experiments.trust.schema import FETCH, NONE, PLANTED, PUBLISHED, UPDATES
from caveatlib.experiments.trust.tampering import (
    ARCHIVE,
    DIGEST,
    FORMS,
    LAYOUT,
    OF_FORM,
    PART,
    TAG,
)
from caveatlib.measuring.designs import Arm, Design

DOCKER, SKOPEO, GPG, UMOCI = "docker", "skopeo", "skopeo-gpg", "umoci"
COSIGN, PINNED, READER, SYFT = "cosign", "cosign-skopeo", "reader", "syft"
DEBIAN, OTHERS = "debian", "others"
FETCHERS = {
    DOCKER: (TAG, DIGEST, ARCHIVE),
    SKOPEO: FORMS,
    UMOCI: (LAYOUT,),
    READER: FORMS,
}
VERIFIERS = {GPG: (TAG, DIGEST), COSIGN: (TAG, DIGEST), PINNED: (TAG,)}
TAKES = FETCHERS | VERIFIERS
"""From which forms each tool takes an image; the verifiers ask for a signature."""
FETCHING, VERIFYING = "fetch", "verify"
"""Designs."""
DAY_S = 86400.0
AGES_S = tuple(days * DAY_S for days in (0, 7, 30, 90, 180, 365))


def arm(
    place: str, work: str, form: str = NONE, tampering: str = NONE, image_age_s: float = 0
) -> Arm:
    """Return an arm with all of its conditions."""
    conditions = {
        "work": work,
        "form": form,
        "tampering": tampering,
        "part": PART.get(tampering, NONE),
        "image_age_s": float(image_age_s),
    }
    return Arm(place, conditions)


def fetched(place: str, form: str, tampering: str) -> dict[str, object]:
    """Return the filter of a tool that is asked for an image."""
    return arm(place, FETCH, form, tampering).where()


def _offers(tools: Mapping[str, Sequence[str]]) -> tuple[Arm, ...]:
    return tuple(
        arm(place, FETCH, form, tampering)
        for place, forms in tools.items()
        for form in forms
        for tampering in OF_FORM[form]
    )


DESIGNS = (
    Design(FETCHING, _offers(FETCHERS), block_s=15),
    Design(VERIFYING, _offers(VERIFIERS), block_s=10),
    Design(
        "planted",
        tuple(arm(place, PLANTED, form) for place in (DOCKER, READER) for form in HISTORIES),
        block_s=4,
    ),
    Design("updates", tuple(arm(DEBIAN, UPDATES, image_age_s=age) for age in AGES_S), block_s=4,
           sessions=1),
    Design("published", (arm(OTHERS, PUBLISHED),), block_s=5, sessions=1, optional=True),
    Design("syft", (arm(SYFT, PLANTED, STEPS),), block_s=25, sessions=1, optional=True),
)  # fmt: skip
"""Answers, not times: a few sessions show that they do not change."""
