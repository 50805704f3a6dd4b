"""What `applications` compares: each application on a full and on a minimal Debian."""

from __future__ import annotations

from caveatlib.experiments.applications import catalogue
from caveatlib.measuring.designs import Arm, Design

CONTENTS, WORKLOAD, DEPLOYMENT = "contents", "workload", "deployment"
"""What is done with an image: it is read, its application is asked, or it is pulled and started.
Designs, too."""
FULL, MINIMAL = "full Debian", "minimal Debian"
BASES = {FULL: "full", MINIMAL: "minimal"}
"""As it is called here -> as `places.debians` calls it."""
NO_LINK = "no link"
LINKS = {"1 Gbit/s": 1e9, "100 Mbit/s": 1e8}
"""Link to the registry -> its rate in bit/s."""


def where(
    work: str, base: str, place: str = "", link: str = NO_LINK, replicate: int = 0
) -> dict[str, object]:
    """Return the filter of one kind of work on one base, with one application or with all."""
    conditions = {"work": work, "base": base, "link": link, "replicate": replicate}
    return ({"place": place} if place else {}) | conditions


def _arms(work: str) -> tuple[Arm, ...]:
    return tuple(
        Arm(application.name, where(work, base)) for application in catalogue.ALL for base in BASES
    )


def _deployments() -> tuple[Arm, ...]:
    """Return the arms that pull: each base over each link, and the minimal one again."""
    return tuple(
        Arm(application.name, where(DEPLOYMENT, base, link=link, replicate=again))
        for application in catalogue.ALL
        for link in LINKS
        for base, again in ((FULL, 0), (MINIMAL, 0), (MINIMAL, 1))
    )


DESIGNS = (
    Design(CONTENTS, _arms(CONTENTS), block_s=180, sessions=1),
    Design(WORKLOAD, _arms(WORKLOAD), block_s=500),
    Design(DEPLOYMENT, _deployments(), block_s=700, sessions=1),
)
"""The application is the unit: an image is read once, and deployed once over each link. What is
opened may vary, which the sessions show."""
