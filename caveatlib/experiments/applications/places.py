"""Where `applications` measures: one place per application, an engine of its own per trial."""

from __future__ import annotations

from functools import partial

from caveatlib.experiments.applications import catalogue, installing
from caveatlib.experiments.applications.bench import Bench
from caveatlib.experiments.applications.catalogue import Application
from caveatlib.instruments import fanotify, registry
from caveatlib.places import debians
from caveatlib.places.engines import private_engine
from caveatlib.places.spec import Spec


def _spec(application: Application) -> Spec:
    images = [application.name, *([catalogue.CLIENTS] if application.clients else [])]
    return Spec(
        needs=(
            private_engine.probe,
            fanotify.probe,
            registry.probe,
            *(partial(installing.probe, name) for name in images),
        ),
        open=lambda session: Bench(application),
    )


PLACES = {application.name: _spec(application) for application in catalogue.ALL}
ARTEFACTS = (debians.ARTEFACT,)
"""What must be prepared."""
ON_REQUEST = installing.ARTEFACTS
"""What is prepared only if it is asked for: some gigabytes."""
