"""The experiments, one module per topic; `ALL` lists them in the order of reading."""

from types import ModuleType

from caveatlib import store
from caveatlib.errors import UsageError
from caveatlib.experiments import (
    applications,
    defaults,
    entropy,
    kernel,
    layers,
    limits,
    platform,
    pods,
    ports,
    quota,
    recovery,
    scaling,
    startup,
    storage,
    trust,
)

ALL: tuple[ModuleType, ...] = (
    layers,
    applications,
    startup,
    ports,
    quota,
    kernel,
    limits,
    entropy,
    platform,
    trust,
    defaults,
    storage,
    recovery,
    pods,
    scaling,
)


def recorded() -> tuple[ModuleType, ...]:
    """Return those that trials ship of; one may be measured and not yet recorded."""
    return tuple(experiment for experiment in ALL if store.versions(experiment.NAME))


def by_name(name: str) -> ModuleType:
    """Return the experiment of that name.

    Raises
    ------
    UsageError
        If there is none.
    """
    for experiment in ALL:
        if name == experiment.NAME:
            return experiment
    known = ", ".join(experiment.NAME for experiment in ALL)
    raise UsageError(f"Unknown experiment {name!r}. Must be one of {known}.")
