"""Where `quota` measures: a plain control group, and the group of a Docker container."""

from __future__ import annotations

from caveatlib.experiments.quota import limited
from caveatlib.places.cgroups import cgroup
from caveatlib.places.spec import Spec

PLACES = {
    "cgroup": Spec(needs=(cgroup.probe,), open=lambda s: s.enter(limited.cgroup_place())),
    "docker": Spec(
        needs=(cgroup.probe,), runtime="runc", open=lambda s: limited.DockerPlace(s.engine())
    ),
}
