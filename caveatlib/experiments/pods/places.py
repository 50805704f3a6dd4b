"""Where `pods` measures."""

from __future__ import annotations

from functools import partial

from caveatlib.experiments.pods.arranging import PAIR, pods
from caveatlib.places import compiled
from caveatlib.places.cgroups import caps, cgroup
from caveatlib.places.engines import private_engine
from caveatlib.places.spec import Spec

PLACES = {
    "engine": Spec(
        needs=(private_engine.probe, caps.probe, cgroup.probe, partial(compiled.probe, PAIR)),
        open=lambda session: session.enter(pods()),
    )
}
