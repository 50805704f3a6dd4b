"""Real containers and guests: each setting reaches them, and a session leaves nothing.

Seen to fail: with ``EINVAL`` not passed over for a reboot in ``attempt.c``, with the profile left
in the guest's privileged container, and with nothing told to Docker for `PRIVILEGED`.
"""

from __future__ import annotations

import errno

import left
import pytest

from caveatlib import trials
from caveatlib.experiments import defaults
from caveatlib.experiments.defaults import (
    containers,
    designs,
    guests,
    ipvs,
    operations,
    room,
    workloads,
)
from caveatlib.places import compiled, runc
from caveatlib.places.base import Workload
from caveatlib.places.engines.private_engine import private_engine
from caveatlib.places.output import text_before
from caveatlib.places.spec import opened
from caveatlib.support import programs


def test_the_profile_is_dockerd_s_own(require):
    """Filled in as dockerd does it, without a part of the template left."""
    require("dockerd")
    text = guests.profile_text()
    assert "{{" not in text
    assert "profile docker-default flags=(attach_disconnected,mediate_deleted) {" in text
    assert "deny mount," in text


def test_the_programs_that_guests_are_asked_by_tell_what_happened(require, tmp_path):
    """In namespaces of this machine, whatever its kernel has: one answer follows from the other."""
    require("program ipvs")
    require("program room")
    require("namespaces")
    ask = [str(compiled.path(ipvs.PROGRAM)), "127.0.0.1", "127.0.0.2", str(ipvs.PORT)]
    network = ["unshare", "--user", "--map-root-user", "--net"]
    alone = [*network, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *ask]
    found = ipvs.read(programs.run(alone))
    assert found["answered_directly"] == 1
    assert found["answered"] == (found["service_error"] == 0)
    fill = [str(compiled.path(room.PROGRAM)), "fill", str(tmp_path), "100000"]
    assert programs.run(fill) == "= 100000 0\n"
    assert (tmp_path / "filled").stat().st_size == 100_000
    assert programs.run(fill) == f"= 0 {errno.EEXIST}\n"


@pytest.mark.engine
def test_a_container_of_runc_tries_everything(require):
    """Each answers; what a container with four capabilities may not do is refused."""
    require("runc")
    require("program attempt")
    with runc.runc_place("runc") as place:
        instance = place.create(Workload("attempt /tmp; echo over",
                                         programs=(containers.ATTEMPT,)))  # fmt: skip
        instance.start()
        said = workloads.probed(text_before(instance.output, "over", 30))
        instance.remove()
    refused = operations.read(said["refused"])
    assert {"mount", "chown", "reboot", "settimeofday", "setuid-program"} <= refused.keys()
    assert not refused.keys() & {"setuid", "port-80", "ptrace", "clone3"}
    assert -1 not in refused.values()
    assert said["seen_no_new_privileges"] == 1
    assert said["seen_seccomp"] == 0


@pytest.fixture(scope="module")
def engine(require):
    """Return the containers of a private engine."""
    require("private-engine")
    require("program attempt")
    require("program chores")
    with private_engine() as running:
        yield containers.Containers(running)


def probe(engine, setting: str) -> dict[str, int]:
    """Return what is refused in a setting."""
    return operations.read(workloads.probed(engine.probe(setting))["refused"])


@pytest.mark.engine
@pytest.mark.slow
def test_a_privileged_container_may_do_what_the_kernel_does(engine):
    """What root may do without a container is refused nowhere in it; by default much is."""
    kernel, free, usual = (
        probe(engine, s) for s in (designs.NO_CONTAINER, designs.PRIVILEGED, designs.DEFAULTS)
    )
    assert free.keys() <= kernel.keys()
    wrong_only_later = {"reboot", "swapoff", "pivot-root", "open-by-handle", "keyctl"}
    assert not kernel.keys() & wrong_only_later
    assert {"mount", "keyctl", "write-proc-sys", "read-timers"} <= usual.keys() - kernel.keys()


@pytest.mark.engine
@pytest.mark.slow
def test_each_setting_reaches_the_container(engine):
    """One thing that each mechanism alone stops, and that setting alone allows."""
    usual = probe(engine, designs.DEFAULTS)
    for setting, name in (
        (designs.WITHOUT_FILTER, "personality"),
        (designs.ALL_CAPABILITIES, "nice"),
        (designs.UNMASKED, "read-timers"),
        (designs.ALL_DEVICES, "open-disk"),
        (designs.NEITHER, "mount"),
    ):
        assert name in usual
        assert name not in probe(engine, setting), setting
    assert probe(engine, designs.NO_NEW).keys() - usual.keys() == {"setuid-program"}


@pytest.mark.engine
@pytest.mark.slow
def test_usual_things_are_measured(engine):
    """Lines are all there, limits are those that were set, orphans are reaped or not."""
    found = engine.log(designs.DEFAULTS, 2000)
    assert found["kept_lines"] == 2000
    assert found["log_bytes"] > 200_000
    assert engine.log(designs.NO_LOG, 2000)["log_files"] == 0
    assert engine.close_all(designs.FEW_FILES)["open_files"] == containers.FEW
    assert engine.reap(designs.DEFAULTS) == containers.ORPHANS
    assert engine.reap(designs.INIT) == 0
    assert not engine.names(designs.DEFAULTS)
    assert engine.names(designs.NAMED_NETWORK)
    for setting in (designs.DEFAULTS, designs.HOST_NETWORK):
        assert 1e-6 < engine.network(setting)["round_trip_s"] < 1e-2
    assert engine.says()["info_seccomp"] == 1


@pytest.mark.vm
@pytest.mark.slow
def test_a_guest_has_what_docker_s_profile_stops(require):
    """In an otherwise free container the profile is on and stops a mount."""
    require("AppArmor in a guest")
    with opened({"guest": defaults.PLACES["guest"]}, engine="none") as handles:
        said = {s: workloads.probed(handles["guest"].probe(s))
                for s in (designs.APPARMOR_ONLY, designs.PRIVILEGED)}  # fmt: skip
    only, free = (operations.read(found["refused"]) for found in said.values())
    assert "mount" in only.keys() - free.keys()
    assert [found["seen_apparmor"] for found in said.values()] == [1, 0]


@pytest.mark.vm
@pytest.mark.slow
def test_a_guest_with_ipvs_answers_at_a_service_s_address(require):
    """What is behind it answers in any case; at the service's address only with the module."""
    require("IPVS in a guest")
    require("program ipvs")
    with opened({"guest": defaults.PLACES[designs.IPVS_GUEST]}, engine="none") as handles:
        said = {s: ipvs.read(handles["guest"].ask(s)) for s in designs.SERVED}
    assert said[designs.DEFAULTS] == {"service_error": 0, "answered_directly": 1, "answered": 1}
    without = {"service_error": errno.ENOPROTOOPT, "answered_directly": 1, "answered": 0}
    assert said[designs.WITHOUT_IPVS] == without


@pytest.mark.vm
@pytest.mark.slow
def test_a_guest_s_project_quota_stops_one_folder(require):
    """It has its limit and no more, whoever writes beside it all; without a limit nobody stops."""
    require("project quotas in a guest")
    require("program room")
    with opened({"guest": defaults.PLACES[designs.QUOTA_GUEST]}, engine="none") as handles:
        said = {s: room.read(handles["guest"].ask(s)) for s in designs.ROOMS}
    limited = said[designs.SIZE]
    assert designs.LIMIT_BYTES // 2 <= limited["written_bytes"] <= designs.LIMIT_BYTES
    assert limited["write_error"] in (errno.ENOSPC, errno.EDQUOT)
    assert said[designs.DEFAULTS]["written_bytes"] == designs.ASKED_BYTES
    assert {found["beside_bytes"] for found in said.values()} == {designs.ASKED_BYTES}
    errors = {s: found["limit_error"] > 0 for s, found in said.items()}
    assert [s for s, refused in errors.items() if refused] == [designs.WITHOUT_QUOTAS]


@pytest.mark.engine
@pytest.mark.slow
def test_a_live_session_leaves_nothing(require, tmp_path):
    """One session of all but guests: no trial fails that could be tried; nothing is left."""
    require("private-engine")
    with left.state() as state:
        places = [name for name in defaults.PLACES if not name.startswith("guest")]
        trials.measure(defaults, out=tmp_path, sessions=1, places=places, progress=False)
        assert not list(state.rglob("lease.json"))
    rows = trials.get(defaults, source=tmp_path)
    tried = rows[~rows["error"].str.startswith("unavailable")]
    assert tried["ok"].all(), tried.loc[~tried["ok"], "error"].tolist()
    assert len(tried) > 30
