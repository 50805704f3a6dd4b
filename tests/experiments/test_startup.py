"""The experiment startup: what a trial does, and what its trials say."""

import os
import time

import numpy as np
import pandas as pd
import pytest

from caveatlib import claims, frames, trials
from caveatlib.backends import process
from caveatlib.backends.base import Workload
from caveatlib.backends.fakes import fake
from caveatlib.errors import DataError, MeasurementError
from caveatlib.experiments import startup
from caveatlib.experiments import startup_work as work

BLOCKS = 10
SECONDS = {
    "process": 0.002, "namespaces": 0.004, "runc": 0.05, "docker-runc": 0.25,
    "docker-crun": 0.2, "docker-runsc": 0.5, "microvm": 0.8, "full-vm": 6.0, "inception": 1.5,
}  # fmt: skip


def made_up(accel="kvm", **seconds):
    """Return trials of all claims with made-up times; places differ, blocks a little."""
    rng, rows = np.random.default_rng(3), []
    for design in startup.DESIGNS:
        if design.name not in ("start", "machine", "build"):
            continue
        for block in range(BLOCKS):
            for position, arm in enumerate(design.arms):
                took = (SECONDS | seconds)[arm.place] * np.exp(rng.normal(0, 0.01))
                row = {
                    "run": "r", "source": "live", "machine": "m", "session": block,
                    "design": design.name, "block": block, "position": position,
                    "place": arm.place, "started_at": "t", "ok": True, "error": "",
                    "accel": accel if arm.place in startup.MACHINES else None,
                }  # fmt: skip
                measure = {"build": "build_s", "nested": "container_output_s"}.get(
                    arm.conditions["workload"], "first_output_s"
                )
                row |= {measure: took, "stop_s": took / 2}
                if arm.place == "docker-runc":
                    row["container_output_s"] = took
                rows.append(row | arm.conditions)
    return frames.from_rows(rows, startup.Trials)


def verdict(rows, claim):
    """Return the one verdict of a claim."""
    (found,) = [v for v in startup.verdicts(rows) if v.claim == claim]
    return found


def test_hardware_decides():
    """With hardware virtualisation every claim gets a verdict of its own."""
    found = {v.claim: v.verdict for v in startup.verdicts(made_up("kvm"))}
    assert found == dict.fromkeys(("C21", "C23", "C24", "C25", "startup-kernel"), claims.HOLDS)


def test_a_slow_container_does_not_hold():
    """The same claims fail where the container is the slower one."""
    rows = made_up("kvm", runc=2.0)
    assert verdict(rows, "C23").verdict == claims.FAILS
    assert verdict(rows, "C23").because.startswith("Slower: 2.")


def test_an_emulated_machine_decides_nothing():
    """However slow it was: not measured here, with what was seen and what others published."""
    rows = made_up("tcg")
    for name in ("C23", "C24", "C25"):
        found = verdict(rows, name)
        assert found.verdict == claims.NOT_MEASURED
        assert "emulated" in found.because
    assert "runc 50" in verdict(rows, "C23").because
    assert "Firecracker" in verdict(rows, "C23").because
    assert verdict(rows, "C21").verdict == claims.HOLDS


def test_like_is_compared_with_like():
    """The table names each pair, follows the data, and marks emulated machines."""
    table = startup.like_with_like(made_up("tcg"))
    assert table.loc["microVM over runc", "estimate"] == pytest.approx(16, rel=0.05)
    assert table.loc["microVM over runc", "pair"].endswith("emulated, decides nothing")
    assert table.loc["docker-runc over runc", "pair"] == "what the management costs"
    hardware = startup.like_with_like(made_up("kvm", microvm=0.05))
    assert hardware.loc["microVM over runc", "estimate"] == pytest.approx(1, rel=0.05)
    assert hardware.loc["microVM over runc", "pair"] == "bare with bare"


def test_one_emulated_row_is_enough():
    """A table in which some guests were emulated decides nothing about guests."""
    rows = made_up("kvm")
    rows.loc[rows[rows["place"] == "microvm"].index[0], "accel"] = "tcg"
    assert verdict(rows, "C23").verdict == claims.NOT_MEASURED


def test_a_place_that_failed_says_why():
    """The reason of the first failed row stands in the verdict."""
    rows = made_up("kvm")
    gone = rows["place"] == "microvm"
    rows.loc[gone, ["ok", "error"]] = [False, "unavailable: microvm: no QEMU"]
    rows.loc[gone, frames.measures(startup.Trials)] = np.nan
    assert "no QEMU" in verdict(rows, "C23").because


@pytest.mark.parametrize(
    ("early", "late"),
    [
        ("created_s", "start_returned_s"),
        ("created_s", "first_output_s"),
        ("first_output_s", "exited_s"),
        ("exited_s", "removed_s"),
        ("first_accept_s", "first_answer_s"),
        ("first_output_s", "container_output_s"),
    ],
)
def test_causal_order_is_held(early, late):
    """A mark that comes before its cause is an error; equal marks are not."""
    row = made_up().head(1).copy()
    row[frames.measures(startup.Trials)] = np.nan
    startup.check(row.assign(**{early: 1.0, late: 1.0}))
    with pytest.raises(DataError, match=late):
        startup.check(row.assign(**{early: 1.0, late: 0.9}))


def test_the_start_call_may_return_after_the_first_output():
    """No causal chain runs through Docker's answer to the start call."""
    row = made_up().head(1)
    startup.check(row.assign(start_returned_s=2.0, first_output_s=1.0, stop_s=1.0))


def test_a_zero_is_no_measurement():
    """Nothing starts in no time."""
    with pytest.raises(DataError, match="first_output_s"):
        startup.check(made_up().head(1).assign(first_output_s=0.0))


def test_swapping_two_places_changes_the_answer():
    """The sentence in the notebook's title follows the data."""
    rows = made_up()
    swapped = rows.assign(
        place=rows["place"].replace({"runc": "docker-runc", "docker-runc": "runc"})
    )
    assert startup.answer(rows) != startup.answer(swapped)


def test_an_output_without_the_nonce_is_a_failure():
    """A workload that ends silently gives an error with what it said, and no time."""
    with process.process_place() as place:
        instance = place.create(Workload("echo something else"))
        reader = work._Reader(instance.output, b"nonce")
        instance.start()
        with pytest.raises(MeasurementError, match="something else"):
            reader.seen_at(time.monotonic() + 5)
        instance.remove()


def test_a_process_is_measured_for_real():
    """Bare processes: marks in order, no descriptor left, memory read."""
    before = set(os.listdir("/proc/self/fd"))
    with process.process_place() as place:
        once = startup.trial(
            place, {"workload": "nonce", "at_once": 1, "sleep_s": 0.0, "replicate": 0}, seed=1
        ).measures
        idle = startup.trial(
            place, {"workload": "idle", "at_once": 4, "sleep_s": 0.0, "replicate": 0}, seed=1
        ).measures
    assert 0 < once["created_s"] <= once["first_output_s"] <= once["exited_s"] <= once["removed_s"]
    assert idle["last_output_s"] >= idle["first_output_s"]
    assert idle["pss_bytes"] > 10_000
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_web_server_answers(require):
    """First accept, then first answer."""
    require("busybox")
    with process.process_place() as place:
        marks = startup.trial(
            place, {"workload": "http", "at_once": 1, "sleep_s": 0.0, "replicate": 0}, seed=1
        ).measures
    assert 0 < marks["first_accept_s"] <= marks["first_answer_s"]


def test_one_failure_among_several_at_once_removes_all():
    """If one of four cannot be made, the trial fails and the other three are gone."""
    place = fake.FakePlace("runc", fails={3})
    with pytest.raises(MeasurementError, match="creation 3"):
        startup.trial(
            place, {"workload": "idle", "at_once": 4, "sleep_s": 0.0, "replicate": 0}, seed=1
        )
    assert not place.alive


@pytest.mark.engine
def test_known_answer_in_docker(require, tmp_path, bars):
    """100 ms of sleep added to a container are found as 100 +- 10 ms; itself as itself."""
    require("private-engine")
    known = [d for d in startup.DESIGNS if d.name == "known-answer"]
    design = known[0].__class__(**known[0].__dict__ | {"spare": False, "blocks_per_session": 16})
    experiment = type(
        "Known", (), {n: getattr(startup, n) for n in
                      ("NAME", "QUESTION", "Trials", "trial", "summarize", "verdicts")}
        | {"PLACES": ("docker-runc",), "DESIGNS": (design,), "BLOCKS": 1, "DISK_BYTES": 0}
    )  # fmt: skip
    experiment.trial = staticmethod(startup.trial)
    experiment.summarize = staticmethod(lambda rows: pd.DataFrame())
    experiment.verdicts = staticmethod(lambda rows: [])
    trials.measure(experiment, out=tmp_path, blocks=1, progress=False)
    rows = trials.get(experiment, source=tmp_path, version=1)
    arms = rows.pivot(index="block", columns="sleep_s", values="first_output_s")
    added = (arms[work.SLEEP_S] - arms[0.0]).median()
    bars.append(("0.1 s of sleep added to docker-runc, read", f"{added * 1e3:.1f} ms", "100 +- 10"))
    assert added == pytest.approx(0.1, abs=0.01)


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("name", ["namespaces", "docker-runc"])
def test_a_stubborn_process_waits_for_the_kill(require, name):
    """PID 1 without a handler ignores SIGTERM: the stop takes the whole grace."""
    from caveatlib.backends import places

    require("private-engine")
    with places.opened([name], engine="private") as handles:
        marks = startup.trial(
            handles[name],
            {"workload": "stubborn", "at_once": 1, "sleep_s": 0.0, "replicate": 0},
            seed=1,
        ).measures
    assert work.STOP_GRACE_S <= marks["stop_s"] < work.STOP_GRACE_S + 5
