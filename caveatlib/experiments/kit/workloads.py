"""What trials of several experiments do with a workload."""

from __future__ import annotations

from contextlib import ExitStack

from caveatlib.places.base import Instance, Workload


def created(stack: ExitStack, place, workload: Workload, **options) -> Instance:
    """Create an instance of a workload, which the stack removes; options are the place's own."""
    instance = place.create(workload, **options)
    stack.callback(instance.remove)
    return instance
