"""The experiment startup: what a trial does, and what its trials say."""

import os
import re
import socket
import time
from functools import cache

import left
import numpy as np
import pandas as pd
import pytest
from places import fake

from caveatlib import claims, frames, plots, stats, trials
from caveatlib.errors import DataError, DeadlineExceeded, MeasurementError
from caveatlib.experiments import startup
from caveatlib.experiments.startup import schema
from caveatlib.experiments.startup import workloads as work
from caveatlib.experiments.startup.designs import COUNTED_PUBLISHED, MACHINES, QUICK
from caveatlib.measuring import designs
from caveatlib.measuring.experiment import check_trials, complete
from caveatlib.places import process, spec, standard
from caveatlib.places.base import Workload
from caveatlib.places.engines import containers
from caveatlib.places.machines.published import RELEASES

SESSIONS = 10
BUILDING = ("build", "application", "application-on-base")
SECONDS = {
    "process": 0.002, "namespaces": 0.004, "runc": 0.05, "docker-runc": 0.25,
    "docker-crun": 0.2, "docker-runsc": 0.5, "microvm": 0.8, "full-vm": 6.0, "inception": 1.5,
    "image-classic": 3.0, "image-buildkit": 1.5, "disk-ext4": 0.5, "disk-qcow2": 0.25,
}  # fmt: skip


def made_up(accel="kvm", build_noise=0.01, **seconds):
    """Return trials of all claims with made-up times; places differ, blocks a little."""
    return _made_up(accel, build_noise, tuple(seconds.items())).copy()


@cache
def _made_up(accel, build_noise, seconds):
    rng, rows = np.random.default_rng(3), []
    for design in startup.DESIGNS:
        if design.name not in ("start", "machine", "build", "disks"):
            continue
        noise = build_noise if design.name == "build" else 0.01
        for block in range(SESSIONS):
            for position, arm in enumerate(design.arms):
                took = (SECONDS | dict(seconds))[arm.place] * np.exp(rng.normal(0, noise))
                row = {
                    "run": "r", "source": "live", "machine": "m", "session": block,
                    "design": design.name, "block": block, "position": position,
                    "place": arm.place, "started_at": "t", "ok": True, "error": "",
                    "accel": accel if arm.place in MACHINES else None,
                }  # fmt: skip
                measure = {"nested": "container_output_s"} | dict.fromkeys(BUILDING, "build_s")
                measure = measure.get(arm.conditions["workload"], "first_output_s")
                row |= {measure: took, "stop_s": took / 2}
                if arm.place == "docker-runc":
                    row["container_output_s"] = took
                rows.append(row | arm.conditions)
    return frames.from_rows(rows, startup.Trials)


def verdict(rows, claim):
    """Return the one verdict of a claim."""
    (found,) = [v for v in claims.judge(rows, startup.DECISIONS) if v.claim == claim]
    return found


@pytest.mark.beside
def test_hardware_decides():
    """With hardware virtualisation every claim that times decide gets a verdict."""
    found = {
        v.claim: v.verdict
        for v in claims.judge(made_up("kvm"), startup.DECISIONS)
        if "/" not in v.claim
    }
    decided = ("C23", "C24", "C25", "startup-packing", "startup-kernel")
    times = {"C21": claims.FAILS, "startup-work": claims.NOT_MEASURED}
    assert found == times | dict.fromkeys(decided, claims.HOLDS)


@pytest.mark.beside
def test_a_slow_container_does_not_hold():
    """The same claims fail where the container is the slower one."""
    rows = made_up("kvm", runc=2.0)
    assert verdict(rows, "C23").verdict == claims.FAILS
    assert verdict(rows, "C23").because.startswith("Start: runc over a microVM: slower, 2.")


@pytest.mark.beside
def test_builds_are_judged_by_the_noise_of_builds():
    """Packing has its own null arm: noisy builds decide nothing, a lost null arm neither."""
    small, ours = {"docker-runc": 1.0, "full-vm": 1.3}, "startup-packing"
    assert verdict(made_up(**small), ours).verdict == claims.HOLDS
    assert verdict(made_up(build_noise=0.5, **small), ours).verdict == claims.OPEN
    rows = made_up(**small)
    rows = rows[(rows["design"] != "build") | (rows["replicate"] == 0)]
    assert verdict(rows, ours).verdict == claims.OPEN
    assert "A/A control has no interval" in verdict(rows, ours).because


@pytest.mark.beside
def test_stops_are_judged_by_the_noise_of_stops():
    """C24 has its own null arm, and each card says on what its noise was measured."""
    rows = made_up(runc=0.7)
    assert verdict(rows, "C24").verdict == claims.HOLDS
    rows.loc[rows["replicate"] == 1, "stop_s"] *= 1.5
    assert verdict(rows, "C24").verdict == claims.OPEN
    assert verdict(rows, "C23").verdict == claims.HOLDS
    assert "A/A control is docker-runc's stop in the design 'start'" in verdict(rows, "C24").decides
    for name in ("C23", "C25"):
        assert "docker-runc's start in the design 'start'" in verdict(rows, name).decides


@pytest.mark.beside
def test_a_build_verdict_says_what_was_built():
    """What has no system is named so, and the builder by its known limits."""
    because = verdict(made_up(), "startup-packing").because
    assert "disk without an operating system" in because
    assert "classic builder is deprecated" in because
    assert "takes one step after the other" in because
    assert "deprecated" in verdict(made_up(), "C21/classic-base/ext4").because
    assert "deprecated" not in verdict(made_up(), "C21/buildkit-base/ext4").because


@pytest.mark.beside
def test_building_is_decided_by_disks_that_boot():
    """Part by part: either builder against either disk, from nothing and with the base there."""
    rows = made_up()
    found = {v.claim: v for v in claims.judge(rows, startup.DECISIONS) if v.claim.startswith("C21")}
    assert len(found) == 9
    assert {v.verdict for v in found.values()} == {claims.FAILS}
    told = (
        r"Building an image took (2.9\d|3) to 12(\.\d)? times as long as making a disk that boots"
    )
    assert re.fullmatch(told, found["C21"].headline)
    assert "From nothing: the classic builder 6" in found["C21"].because
    quick = made_up(**{"image-buildkit": 0.1})
    assert verdict(quick, "C21/buildkit-nothing/ext4").verdict == claims.HOLDS
    assert verdict(quick, "C21/classic-nothing/ext4").verdict == claims.FAILS
    assert verdict(quick, "C21").verdict == claims.MIXED
    rows.loc[(rows["design"] == "disks") & (rows["replicate"] == 1), "build_s"] *= 30
    assert verdict(rows, "C21").verdict == claims.OPEN


@pytest.mark.beside
def test_a_build_that_could_not_be_tried_says_why():
    """Without QEMU neither claim of builds is measured, and each says why."""
    rows = made_up()
    gone = rows["place"].isin(["full-vm", "disk-ext4", "disk-qcow2"])
    rows.loc[gone, ["ok", "error"]] = [False, "unavailable: full-vm: no QEMU"]
    rows.loc[gone, frames.measures(startup.Trials)] = np.nan
    why = "full-vm: no QEMU."
    reasons = {"C21": f"No disk-ext4: {why}", "startup-packing": f"No full-vm: {why}"}
    for name, why in reasons.items():
        assert verdict(rows, name).verdict == claims.NOT_MEASURED
        assert verdict(rows, name).because == why


@pytest.mark.beside
def test_the_session_is_the_unit():
    """Blocks of one session share its engine: twice as many of them are no more evidence."""
    rows = made_up()
    again = rows.assign(block=rows["block"] + SESSIONS)
    twice = pd.concat([rows, again], ignore_index=True)
    assert set(startup.like_with_like(twice)["n"]) == {SESSIONS}
    table = complete(startup).calibrate(twice)
    assert set(table.loc[(table["truth"] == 1) & (table["n"] > 0), "n"]) == {SESSIONS}
    assert {v.n for v in claims.judge(twice, startup.DECISIONS) if v.n} == {SESSIONS}
    columns = [f"first_output_s_{end}" for end in ("low", "high")]
    assert startup.summarize(twice)[columns].equals(startup.summarize(rows)[columns])


@pytest.mark.beside
def test_builds_say_what_was_made():
    """One row per place, the null arm left out, with words for what was made."""
    rows = made_up()
    rows.loc[rows["replicate"] == 1, "build_s"] = 1000.0
    table = startup.builds(rows)
    assert list(table.index) == ["docker-runc", "full-vm"]
    assert (table["n"] == SESSIONS).all()
    assert table.loc["docker-runc", "build_s_median"] == pytest.approx(0.25, rel=0.05)
    assert "without an operating system" in table.loc["full-vm", "made"]


def passes(rows):
    """Return which cases of the calibration pass, by name."""
    return complete(startup).calibrate(rows).set_index("check")["passes"].to_dict()


@pytest.mark.beside
def test_calibration_holds_controls_to_their_tolerance():
    """An A/A control that is off, a reading beyond 10 ms and a missing one are told apart."""
    named = (c for c in startup.CONTROLS if c.contrast.arm["design"] != "steps")
    controls = [control.name for control in named]
    sleep, in_a_guest, *_ = (known.name for known in startup.KNOWN)
    found = passes(made_up())
    assert {found[name] for name in controls} == {"yes"}
    assert found[sleep] == found[in_a_guest] == "not measured"
    rows = made_up()
    rows.loc[rows["replicate"] == 1, "build_s"] *= 1.1
    assert passes(rows)["the same image built again"] == "no"
    assert passes(rows)["docker-runc started again"] == "yes"
    for shifted in (0.9, 1.1):
        rows = made_up()
        rows.loc[rows["replicate"] == 1, "first_output_s"] *= shifted
        assert passes(rows)["docker-runc started again"] == "no"
    assert passes(slept(0.109))[sleep] == "yes"
    assert passes(slept(0.111))[sleep] == "no"


def slept(added_s):
    """Return made-up trials in which the sleep in docker-runc added so many seconds."""
    rows = made_up()
    rows = rows[(rows["design"] == "start") & (rows["place"] == "docker-runc")]
    return rows.assign(
        design="known-answer", sleep_s=0.1 * rows["replicate"], replicate=0,
        first_output_s=1.0 + added_s * rows["replicate"],
    )  # fmt: skip


def at_once(available, place="docker-runc", accel=None):
    """Return made-up trials of idle instances with these drops of available memory."""
    rows = made_up().head(len(available)).assign(design="at-once", place=place, accel=accel)
    rows["block"] = rows["session"] = range(len(rows))
    return rows.assign(workload="idle", last_output_s=1.0, available_bytes=available)


@pytest.mark.beside
def test_memory_lost_in_the_noise_is_not_shown():
    """A drop that is negative, not clear of zero or hardly repeated is blank; another is not."""
    for lost in ([-1.0] * 7, [-1.0, 5, 5, 5, 5, 5, 5], [5.0] * 3):
        assert startup.idle(at_once(lost))["available_bytes"].isna().all()
    assert startup.idle(at_once([5.0] * 7))["available_bytes"].tolist() == [5.0]


@pytest.mark.beside
def test_memory_of_an_emulated_guest_is_labelled():
    """The emulator's own memory stands in a row that says it was emulated."""
    rows = pd.concat([at_once([5.0] * 6), at_once([9.0] * 6, "microvm", "tcg")])
    assert startup.idle(rows)["accel"].droplevel("at_once").to_dict() == {
        "docker-runc": "", "microvm": "tcg",
    }  # fmt: skip


@pytest.mark.beside
def test_figures_say_which_machines_were_emulated():
    """A row of an emulated machine is named so; a line of one is left out; on hardware not."""
    for accel, emulated in (("tcg", True), ("kvm", False)):
        together = pd.concat([at_once([5.0] * 6), at_once([9.0] * 6, "microvm", accel)])
        assert ("microvm (emulated)" in plots.describe(startup.plot(made_up(accel)))) == emulated
        assert ("microvm" in plots.describe(startup.plot_at_once(together))) != emulated


@pytest.mark.beside
def test_the_patient_client_comes_first():
    """Answers to both clients are apart, those of the patient one first."""
    early = made_up().head(4).assign(
        design="answer", workload="http", first_accept_s=0.1, first_answer_s=1.0
    )  # fmt: skip
    patient = early.assign(workload="http-after", first_answer_s=0.2)
    table = startup.answers(pd.concat([early, patient]))
    clients = list(dict.fromkeys(table.index.get_level_values("client")))
    assert clients == ["connects when the start call has returned", "connects from the beginning"]
    assert set(table.loc[clients[0], "first_answer_s"]) == {0.2}
    assert set(table.loc[clients[1], "first_answer_s"]) == {1.0}


@pytest.mark.beside
def test_an_interval_for_every_design():
    """In a full recording all have the blocks of an interval, quick arms 20; it ends in time.

    What others publish is measured where somebody has prepared it, in a time of its own.
    """
    last = startup.SESSIONS - 1
    blocks = {d.name: d.blocks_by(last) for d in startup.DESIGNS}
    assert blocks["start"] >= 20
    assert blocks["machine"] >= 20
    few = {"stubborn", "work-again", "initcalls"}
    assert {n for n, count in blocks.items() if count < designs.ENOUGH} == few
    assert blocks["work"] >= 8
    count = {d.name: d.blocks_by(last) + d.warmup * startup.SESSIONS for d in startup.DESIGNS}
    lasts = {d.name: d.lasts_s() * count[d.name] for d in startup.DESIGNS}
    others = {"published", "published-work"}
    asked_for = {f"published-{name}" for name in RELEASES} | set(COUNTED_PUBLISHED)
    for design in startup.DESIGNS:
        places = {arm.place for arm in design.arms}
        assert places & asked_for == (places if design.name in others else set())
    assert sum(lasts[name] for name in lasts if name not in others) < 85 * 60
    assert sum(lasts[name] for name in others) < 60 * 60


@pytest.mark.beside
def test_the_first_verdicts_come_in_time():
    """The sessions of an interval leave a quarter of what is announced to a busier machine."""
    (start,) = (d for d in startup.DESIGNS if not d.optional)
    assert {arm.place for arm in start.arms} == set(QUICK)
    assert start.blocks_per_session == 1  # else the others, that wait for blocks, would come first
    blocks = designs.ENOUGH * (1 + start.warmup)
    opening_s = 5  # of an engine with every place, as recorded
    assert blocks * start.block_s + designs.ENOUGH * opening_s <= 0.75 * startup.VERDICT_S


@pytest.mark.beside
def test_an_emulated_machine_decides_nothing():
    """However slow it was: not measured here, with what was seen and what others published."""
    rows = made_up("tcg")
    for name in ("C23", "C24", "C25"):
        found = verdict(rows, name)
        assert found.verdict == claims.NOT_MEASURED
        assert "emulated" in found.because
    assert "runc 50" in verdict(rows, "C23").because
    assert "Firecracker" in verdict(rows, "C23").because
    assert verdict(rows, "startup-packing").verdict == claims.HOLDS


@pytest.mark.beside
def test_like_is_compared_with_like():
    """The table names each pair, follows the data, and marks emulated machines."""
    table = startup.like_with_like(made_up("tcg"))
    assert table.loc["microVM over runc", "estimate"] == pytest.approx(16, rel=0.05)
    assert table.loc["microVM over runc", "pair"].endswith("emulated, decides nothing")
    assert table.loc["docker-runc over runc", "pair"] == "what the management costs"
    hardware = startup.like_with_like(made_up("kvm", microvm=0.05))
    assert hardware.loc["microVM over runc", "estimate"] == pytest.approx(1, rel=0.05)
    assert hardware.loc["microVM over runc", "pair"] == "bare with bare"


@pytest.mark.beside
def test_one_emulated_row_is_enough():
    """A table in which some guests were emulated decides nothing about guests."""
    rows = made_up("kvm")
    rows.loc[rows[rows["place"] == "microvm"].index[0], "accel"] = "tcg"
    assert verdict(rows, "C23").verdict == claims.NOT_MEASURED


@pytest.mark.beside
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
@pytest.mark.beside
def test_causal_order_is_held(early, late, monkeypatch):
    """A mark that comes before its cause is an error; equal marks are not."""
    monkeypatch.setitem(schema.NEEDS, "nonce", ())
    row = made_up().head(1).copy()
    row[frames.measures(startup.Trials)] = np.nan
    check_trials(complete(startup), row.assign(**{early: 1.0, late: 1.0}))
    with pytest.raises(DataError, match=late):
        check_trials(complete(startup), row.assign(**{early: 1.0, late: 0.9}))


@pytest.mark.beside
def test_the_start_call_may_return_after_the_first_output():
    """No causal chain runs through Docker's answer to the start call."""
    row = made_up().head(1)
    check_trials(
        complete(startup), row.assign(start_returned_s=2.0, first_output_s=1.0, stop_s=1.0)
    )


@pytest.mark.beside
def test_a_patient_client_knocks_after_the_start():
    """Its connection cannot be accepted before the start call returned; an early one's can."""
    marks = {"start_returned_s": 2.0, "first_accept_s": 1.0, "first_answer_s": 3.0, "stop_s": 1.0}
    row = made_up().head(1).assign(**marks)
    check_trials(complete(startup), row.assign(workload="http"))
    with pytest.raises(DataError, match="first_accept_s"):
        check_trials(complete(startup), row.assign(workload="http-after"))


@pytest.mark.beside
def test_a_zero_is_no_measurement():
    """Nothing starts in no time."""
    with pytest.raises(DataError, match="first_output_s"):
        check_trials(complete(startup), made_up().head(1).assign(first_output_s=0.0))


@pytest.mark.beside
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


def test_the_reason_of_a_failed_start_is_kept(monkeypatch):
    """A workload that neither speaks nor ends failed for the first reason, not for the second."""
    monkeypatch.setattr(work, "START_DEADLINE_S", 0.2)
    with process.process_place() as place:
        silent = place.create

        def create(workload):
            return silent(Workload(re.sub(r"echo \w+", "true", workload.script)))

        monkeypatch.setattr(place, "create", create)
        with pytest.raises(DeadlineExceeded, match=r"^No first output in time\.$"):
            work.once(place, 0.0)


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


@pytest.mark.parametrize("workload", ["http", "http-after"])
def test_a_web_server_answers(require, workload):
    """First accept, then first answer."""
    require("busybox")
    with process.process_place() as place:
        marks = startup.trial(
            place, {"workload": workload, "at_once": 1, "sleep_s": 0.0, "replicate": 0}, seed=1
        ).measures
    assert 0 < marks["first_accept_s"] <= marks["first_answer_s"]


@pytest.mark.parametrize("early", [True, False])
def test_when_the_client_first_knocks(monkeypatch, early):
    """An early client tries while the start call runs, a patient one not before it returned."""
    knocked, started = [], []
    connect = fake.FakeInstance.connect
    monkeypatch.setattr(
        fake.FakeInstance,
        "connect",
        lambda *args: knocked.append(time.monotonic()) or connect(*args),
    )

    def passes(seconds):
        left.until(lambda: knocked or not early)
        time.sleep(seconds)
        started.append(time.monotonic())

    marks = work.answered(fake.FakePlace("runc", passes=passes), early=early)
    assert (knocked[0] < started[0]) == early
    assert early or marks["first_answer_s"] > marks["start_returned_s"]


@pytest.mark.parametrize("early", [True, False])
def test_a_web_server_that_has_ended_is_not_waited_for(monkeypatch, early):
    """Its end is the error; 120 s of knocking are not."""
    monkeypatch.setattr(work, "STILL_RUNS_S", 0.01)
    monkeypatch.setattr(fake.FakeInstance, "connect", lambda *args: socket.socket().recv(1))
    monkeypatch.setattr(fake.FakeInstance, "wait", lambda *args: 127)
    with pytest.raises(MeasurementError, match="ended with status 127 before it answered"):
        work.answered(fake.FakePlace("process"), early=early)


def test_packing_the_build_context_is_not_timed(monkeypatch, tmp_path):
    """The clock of a build starts from a packed context, and takes the whole build."""
    clock = fake.Clock()
    monkeypatch.setattr(containers, "time", clock)
    (tmp_path / "file").write_bytes(b"x")
    opened = containers.tarfile.open
    monkeypatch.setattr(
        containers.tarfile, "open", lambda **named: clock.passes(1000) or opened(**named)
    )

    class Engine:
        def build(self, name, context, *, timeout_s):
            assert b"COPY files" in context
            clock.passes(10)

        class api:
            remove_image = None

        def call(self, what, function, *args):
            clock.passes(1000)

    took = containers.EnginePlace(Engine(), runtime=None, host=None).build(tmp_path)
    assert 10 <= took < 1000


@pytest.mark.beside
def test_marks_that_came_together_are_no_time(monkeypatch):
    """A busy host may read two marks at once; that is an error, and no division by zero."""
    took = [{"kind": kind, "guest_s": 0.2, "host_s": 0.1} for kind in work.SLOWDOWNS]
    monkeypatch.setattr(work.accel, "slowdown", lambda place: took)
    assert work.slowdown(None)["integer_slowdown"] == 2
    took[1]["host_s"] = 0.0
    with pytest.raises(MeasurementError, match=r"Memory took 0.2 s in the guest and 0 s"):
        work.slowdown(None)


@pytest.mark.beside
def test_one_failure_among_several_at_once_removes_all():
    """If one of four cannot be made, the trial fails and the other three are gone."""
    place = fake.FakePlace("runc", fails={3})
    with pytest.raises(MeasurementError, match="creation 3"):
        startup.trial(
            place, {"workload": "idle", "at_once": 4, "sleep_s": 0.0, "replicate": 0}, seed=1
        )
    assert not place.alive


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timed
def test_known_answer_in_docker(require, tmp_path, bars):
    """100 ms of sleep added to a container are found as 100 +- 10 ms, within what 16 pairs tell."""
    require("private-engine")
    known = [d for d in startup.DESIGNS if d.name == "known-answer"]
    design = known[0].__class__(**known[0].__dict__ | {"optional": False, "blocks_per_session": 16})
    experiment = type(
        "Known", (), {n: getattr(startup, n) for n in
                      ("NAME", "QUESTION", "Trials", "trial", "summarize")}
        | {"PLACES": {"docker-runc": standard.docker("runc")}, "DESIGNS": (design,), "SESSIONS": 1}
    )  # fmt: skip
    experiment.trial = staticmethod(startup.trial)
    experiment.summarize = staticmethod(lambda rows: pd.DataFrame())
    experiment.verdicts = staticmethod(lambda rows: [])
    trials.measure(experiment, out=tmp_path, sessions=1, progress=False)
    rows = trials.get(experiment, source=tmp_path)
    arms = rows.pivot(index="block", columns="sleep_s", values="first_output_s")
    added, low, high = stats.hodges_lehmann(arms[work.SLEEP_S] - arms[0.0])  # as `calibrate`
    read = f"{added * 1e3:.1f} ms [{low * 1e3:.0f}, {high * 1e3:.0f}]"
    bars.append(("0.1 s of sleep added to docker-runc, read", read, "100 +- 10"))
    assert low < 0.11
    assert high > 0.09
    assert high - low < 0.06  # else it would hold anything


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("name", ["namespaces", "docker-runc"])
def test_a_stubborn_process_waits_for_the_kill(require, name):
    """PID 1 without a handler ignores SIGTERM: the stop takes the whole grace."""
    require("private-engine")
    with spec.opened({name: startup.PLACES[name]}, engine="private") as handles:
        marks = startup.trial(
            handles[name],
            {"workload": "stubborn", "at_once": 1, "sleep_s": 0.0, "replicate": 0},
            seed=1,
        ).measures
    assert work.STOP_GRACE_S <= marks["stop_s"] < work.STOP_GRACE_S + 5


@pytest.mark.beside
def test_a_coarse_clock_of_one_place_is_refused():
    """Starts of one place in ticks of 10 ms come from another clock than those of the others."""
    rows = made_up()
    startup.check(rows)
    coarse = rows["place"] == "runc"
    ticks = rows["first_output_s"].mask(coarse, rows["first_output_s"].round(2).clip(lower=0.01))
    with pytest.raises(DataError, match=r"'first_output_s' in row \d+, and all \d+, are multiples"):
        startup.check(rows.assign(first_output_s=ticks))
