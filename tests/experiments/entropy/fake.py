"""Fakes of the places of `entropy`: victims that draw in made-up times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from unittest.mock import patch

import numpy as np
from places import fake
from places.fake import FakePlace, spec

from caveatlib.experiments.entropy import workloads

_number = count()


def _place(name: str) -> FakePlace:
    def says(workload) -> str:
        if not workload.programs:
            return ""
        p50, p99, slow = np.random.default_rng(next(_number)).uniform(0.98, 1.02, 3) * 4e-7
        bare = int(name == "guest-bare")
        return (
            f"pool_bits 256\nfirst_refused {bare}\nfirst_s {bare + p50:.10f}\n"
            f"call_p50_s {p50:.10f}\ncall_p99_s {p99 * 1.1:.10f}\ncall_max_s {slow * 9:.10f}\n"
            f"device_p99_s {p99 * 1.2:.10f}\ncall_waits 0\ndevice_waits 0\ncall_waited_s 0.0\n"
            f"device_waited_s 0.0\ndry_p50_s {0.002 * (p50 / 4e-7):.10f}\ndry_waits 25\ndrawn\n"
        )

    return FakePlace(name, says=says)


PLACES = {name: spec(_place, name) for name in workloads.PLACES}


@contextmanager
def patched() -> Iterator[None]:
    """Let no haveged run, wait for nothing to settle, and start at once."""
    with (
        patch.object(workloads, "_run_haveged", lambda host: None),
        patch.object(workloads, "SETTLED_S", 0),
        patch.object(fake, "OTHER_S", 0.002),
        patch.dict(fake.START_S, runc=0.001),
    ):
        yield
