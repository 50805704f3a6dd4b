"""Places with a limit: a plain group, and the group of a real container."""

import pytest

from caveatlib.errors import MeasurementError, Unavailable
from caveatlib.experiments import quota
from caveatlib.experiments.quota import places
from caveatlib.experiments.quota.designs import arm
from caveatlib.experiments.quota.workloads import REQUESTS
from caveatlib.places.cgroups import cgroup
from caveatlib.places.engines import private_engine
from caveatlib.support import processes

pytestmark = pytest.mark.beside


@pytest.fixture
def groups(require):
    """Groups can be made here."""
    if not cgroup.probe().available:
        require(cgroup.ABILITY)


def test_unavailable(monkeypatch):
    """Where no group can be made the place says why."""
    no = cgroup.Capability(cgroup.ABILITY, False, "not as this user")
    monkeypatch.setattr(cgroup, "probe", lambda: no)
    with pytest.raises(Unavailable, match="not as this user"), places.cgroup_place():
        pass


def test_a_container_out_of_sight(monkeypatch):
    """A container whose processes are not to be seen is a typed error."""
    monkeypatch.setattr(places, "_FOUND_WITHIN_S", 0.05)
    with pytest.raises(MeasurementError, match="needs a local engine"):
        places._process_of("0123456789abcdef" * 4)


@pytest.mark.engine
@pytest.mark.timed
def test_one_real_trial(groups):
    """A real trial in a plain group gives valid measures, a timeline, and leaves nothing."""
    conditions = arm(cores=2, load=0.8, sampled_s=0.01, quota_cpus=0.5).conditions
    with places.cgroup_place() as place:
        assert place.metadata()["cgroup_version"] in ("1", "2")
        outcome = quota.trial(place, dict(conditions), seed=1)
    assert outcome.measures["requests"] == REQUESTS
    assert outcome.measures["throttled_s"] > 0
    assert outcome.measures["overhead_s"] < 0.001
    assert len(outcome.tables["timeline"]) > 50
    assert cgroup.sweep() == []


@pytest.mark.engine
def test_docker_sets_the_limit(groups, require):
    """The group of a container has the limits that Docker was told, and is found and joined."""
    require("private-engine")
    with private_engine.private_engine() as engine:
        place = places.DockerPlace(engine)
        with place.limited(quota_us=30_000, period_us=60_000) as container:
            assert container.group.quota() == (30_000, 60_000)
            inside = set(container.group.pids())
            sleeper = container.group.spawn(["sleep", "30"])
            try:
                assert {" ".join(processes.arguments(pid)) for pid in inside} == {"sleep 3600"}
                assert container.saturate(workers=1, duration_s=0.2).used.usage_s > 0
            finally:
                sleeper.kill()
                sleeper.wait(timeout=10)
        assert engine.containers() == []
    assert not container.group.cpu.exists()
