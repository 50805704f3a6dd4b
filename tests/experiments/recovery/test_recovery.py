"""Services that are hit and come back: what is read of them, and real keepers that bring them back.

Seen to fail: with answers counted however late, with `missed` counted as `lost`, with the old
process taken for its replacement, and with a new one that begins at ticket 1.
"""

import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import left
import numpy as np
import pandas as pd
import pytest

from caveatlib import claims, plots, stats, trials
from caveatlib.errors import DataError
from caveatlib.experiments import recovery
from caveatlib.experiments.recovery import designs, keepers, places, striking, tables, workloads
from caveatlib.experiments.recovery.asking import RATE, Answer, Asking
from caveatlib.experiments.recovery.keepers import Price
from caveatlib.experiments.recovery.service import SERVE, Service, replicas
from caveatlib.experiments.recovery.striking import Watched
from caveatlib.measuring.experiment import complete
from caveatlib.places import compiled
from caveatlib.support import processes

OLD, NEW = 9_000_000_000, 11_000_000_000
FAULT_S = 10.0


def told(number, slot=1, *, late_s=0.001, begun=OLD, ticket=None, host="198.18.100.2"):
    """Return the answer to a request that was due at 9 s and a hundredth for each before it."""
    at = 9 + number / RATE + late_s
    return Answer(number, at, host, slot, begun, number + 1 if ticket is None else ticket)


def watched(answers, *, count=1, hit=(1,), **more):
    """Return four seconds of requests, of which the fault came after one."""
    due = [9 + number / RATE for number in range(400)]
    found = Watched(replicas=count, ready_s=0.1, fault_s=FAULT_S, ended_s=12.9, hit=set(hit),
                    due=due, answers=answers, price=Price(1, 2, 3))  # fmt: skip
    found.written = [(a.slot, a.ticket, a.begun_ns) for a in answers]
    return replace(found, **more)


def back_after(seconds, slot=1):
    """Return the answers of a slot whose replacement answers so long after the fault."""
    first = round((1 + seconds) * RATE)
    old = [told(n, slot) for n in range(100)]
    return old + [told(n, slot, begun=NEW) for n in range(first, 400)]


@pytest.mark.beside
def test_phases_and_requests_of_one_replica():
    """What was due meanwhile is lost; an answer that takes too long is none."""
    found = workloads.measures(watched(back_after(1.5), noticed_s=10.4), "crash")
    assert (found["recovered"], found["lacking"]) == (1, 0)
    assert found["lost"] == found["missed"] == 150
    assert found["silent_s"] == pytest.approx(1.5)
    assert found["requests"] == 291
    assert found["answered_share"] == pytest.approx(1 - 150 / 291)
    phases = [found[name] for name in ("noticed_s", "restarted_s", "answered_s", "back_s")]
    assert phases == pytest.approx([0.4, 1.0, 1.501, 1.501])
    assert (found["keeper_processes"], found["keeper_bytes"], found["keeper_ports"]) == (1, 2, 3)
    slow = [*back_after(1.5)[:100], *(told(n, begun=NEW, late_s=0.6) for n in range(100, 400))]
    late = workloads.measures(watched(slow), "crash")
    assert (late["lost"], late["lacking"]) == (291, 1)


@pytest.mark.beside
def test_one_that_is_not_replaced_has_not_recovered():
    """The same process answering again is no replacement: it was only stopped for a while."""
    gone = workloads.measures(watched([told(n) for n in range(100)]), "crash")
    assert (gone["recovered"], gone["lacking"], gone["lost"]) == (0, 1, gone["requests"])
    assert not {"restarted_s", "answered_s", "back_s", "noticed_s"} & gone.keys()
    again = [told(n) for n in (*range(100), *range(200, 400))]
    assert workloads.measures(watched(again), "hang")["recovered"] == 0
    paused = workloads.measures(watched(again, hit=()), "pause")
    assert (paused["lost"], "recovered" in paused) == (100, False)


@pytest.mark.beside
def test_three_replicas_lose_nothing_and_miss_their_turns():
    """While one of three answers no request is lost, and two of three turns are missed."""
    answers = [*back_after(1.5, 1), *back_after(2.1, 2), *(told(n, 3) for n in range(400))]
    found = workloads.measures(watched(answers, count=3, hit=(1, 2)), "crash")
    assert (found["lost"], found["recovered"], found["lacking"]) == (0, 1, 0)
    assert found["missed"] == 150 / 3 + 210 / 3
    assert (found["answered_s"], found["back_s"]) == pytest.approx((1.501, 2.101))
    two = [
        *back_after(1.5, 1),
        *(told(n, 2) for n in range(100)),
        *(told(n, 3) for n in range(400)),
    ]
    short = workloads.measures(watched(two, count=3, hit=(1, 2)), "crash")
    assert (short["recovered"], short["lacking"]) == (0, 1)
    assert "back_s" not in short


@pytest.mark.beside
def test_the_timeline_tells_each_change():
    """From half a second before the fault: three, one, two, three, and the end of the watch."""
    answers = [*back_after(1.5, 1), *back_after(2.1, 2), *(told(n, 3) for n in range(400))]
    seen = list(workloads.timeline(watched(answers, count=3, hit=(1, 2))))
    assert [n for _, n in seen] == [3, 1, 2, 3, 3]
    assert [t for t, _ in seen] == pytest.approx([-0.5, 0.0, 1.5, 2.1, 2.9])


@pytest.mark.beside
def test_the_volume_tells_what_is_missing_and_who_wrote_beside_whom():
    """An acknowledged ticket that is not there, and tickets that two have given."""
    answers = back_after(1.5)
    kept = watched(answers)
    assert workloads.measures(kept, "crash")["unkept"] == 0
    lost = replace(kept, written=kept.written[:-3])
    assert workloads.measures(lost, "crash")["unkept"] == 3
    within = [told(n, ticket=n + 1, host="127.0.0.1") for n in range(240, 300)]
    two = replace(kept, inside=within)
    two.written = kept.written + [(a.slot, a.ticket, a.begun_ns) for a in within]
    found = workloads.measures(two, "cut")
    assert (found["twice"], found["unkept"], found["still_serving"]) == (50, 0, 1)
    ended = replace(kept, inside=[told(n, host="127.0.0.1") for n in range(100, 200)])
    assert workloads.measures(ended, "cut")["still_serving"] == 0
    assert "still_serving" not in workloads.measures(two, "crash")


@pytest.mark.beside
def test_a_trial_that_cannot_be_is_refused():
    """More lost than due, an answer before the restart, back and yet not recovered."""
    row = dict.fromkeys(recovery.Trials.to_schema().columns, np.nan)
    row |= workloads.measures(watched(back_after(1.5), noticed_s=10.4), "crash")
    row |= {"keeper": "always", "fault": "crash", "replicas": 1, "replicate": 0}
    recovery.check_row(row)
    wrong = (
        {"lost": 300.0}, {"answered_s": 0.9}, {"recovered": 0.0}, {"twice": np.nan},
        {"client_late_s": 0.5}, {"lacking": 2.0}, {"recovered": np.nan}, {"requests": 0.0},
    )  # fmt: skip
    for change in wrong:
        with pytest.raises(DataError, match=next(iter(change))):
            recovery.check_row(row | change)


@pytest.mark.beside
def test_where_the_old_one_ends_the_caveat_goes(measured):
    """The claim is mixed for its two writers alone; a loop that brings nothing back refutes it."""
    rows = measured(recovery)
    before = {v.claim: v for v in claims.judge(rows, recovery.DECISIONS)}
    assert before["C04"].verdict == claims.MIXED
    assert before["C04/writers"].verdict == claims.FAILS
    assert {before[name].verdict for name in ("C03", "C05", "C06")} == {claims.HOLDS}
    rows.loc[stats.match(rows, designs.CUT_OFF.where()), "twice"] = 0.0
    three = stats.match(rows, designs.TWO_OF_THREE.where())
    rows.loc[three, "recovered"] = 0.0
    after = {v.claim: v for v in claims.judge(rows, recovery.DECISIONS)}
    assert after["C04"].verdict == claims.HOLDS
    assert after["C04"].sentence != before["C04"].sentence
    assert after["C05"].verdict == claims.MIXED


@pytest.mark.beside
def test_a_keeper_that_does_nothing_recovers_nothing(measured):
    """The positive control sees one that is brought back though nobody keeps it."""
    rows = measured(recovery)
    passes = complete(recovery).calibrate(rows).set_index("check")["passes"]
    assert set(passes) == {"yes"}
    rows.loc[stats.match(rows, designs.ALONE.where()) & (rows["session"] == 3), "lacking"] = 0.0
    again = complete(recovery).calibrate(rows).set_index("check")["passes"]
    assert again[again != "yes"].to_dict() == {recovery.KNOWN[0].name: "no"}


@pytest.mark.beside
def test_all_keepers_are_on_one_clock(measured):
    """The figure has a lane for each arm and tells when it was whole again, if it was."""
    measured(recovery)
    timeline = trials.get(recovery, source=measured.folder, table="timeline")
    steps = tables.over_time(timeline)
    assert steps["t_s"].min() >= -workloads.BEFORE_S
    assert (steps["answering"] <= steps["replicas"]).all()
    words = plots.describe(recovery.plot_replicas(timeline))
    assert "process killed: nobody falls to 0 of 1 and stays below" in words
    assert "process killed: Swarm, 3 replicas falls to 1 of 3, whole again after" in words
    assert "node killed: Swarm, 3 replicas falls to 2 of 3, whole again after" in words
    assert "nothing was measured" in plots.describe(recovery.plot_replicas(timeline.iloc[:0]))


@pytest.mark.beside
def test_prices_come_with_what_one_writes(measured):
    """Keepers from the simplest on, each with its lines of configuration."""
    found = recovery.prices(measured(recovery))
    assert list(found.index[:2]) == ["nobody", "runsv"]
    assert found["configuration_lines"].is_monotonic_increasing
    assert found.loc["Swarm", "nodes"] == 3
    assert set(recovery.configuration()["keeper"]) == set(tables.KEEPERS.values())


@contextmanager
def serving(folder, port):
    """Run the service as a process of this machine."""
    environment = Service(port, 1, folder).environment(1, folder)
    with subprocess.Popen([compiled.path(SERVE)], env=environment) as process:
        try:
            yield process, environment
        finally:
            process.kill()


def asked(port):
    """Return what a client that asks this machine was answered within three tenths of a second."""
    made = partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
    client = Asking(made, [("127.0.0.1", port)])
    client.start()
    left.until(client.there, 5)
    time.sleep(0.3)
    client.stop()
    return client


@pytest.fixture
def program(require):
    """Require the service's program."""
    require("program serve")


def test_a_service_goes_on_after_the_last_ticket(program, tmp_path):
    """Killed and started again, it gives the next number; what it gave is on the volume."""
    port = 23450
    with serving(tmp_path, port) as (process, environment):
        first = asked(port + 1)
        assert subprocess.run([compiled.path(SERVE), "ask"], env=environment).returncode == 0
        process.send_signal(signal.SIGSTOP)
        assert subprocess.run([compiled.path(SERVE), "ask"], env=environment).returncode == 1
        assert replicas(Service(port, 1, tmp_path), [os.getpid()]) == {1: process.pid}
        assert replicas(Service(port + 10, 1, tmp_path), [os.getpid()]) == {}
        assert replicas(Service(port, 1, tmp_path), []) == {}
    assert subprocess.run([compiled.path(SERVE), "ask"], env=environment).returncode == 1
    with serving(tmp_path, port):
        second = asked(port + 1)
    written = Service(port, 1, tmp_path).written()
    given = [*first.answers, *second.answers]
    assert len(first.answers) >= 20
    assert {(1, a.ticket, a.begun_ns) for a in given} <= set(written)
    tickets = [ticket for _, ticket, _ in written]
    assert tickets == list(range(1, len(tickets) + 1))
    assert len({begun for _, _, begun in written}) == 2
    assert first.late_s < 1


def test_open_ports_are_seen():
    """What listens, and nothing else, in the network of a process."""
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        port, other = tcp.getsockname()[1], udp.getsockname()[1]
        assert ("tcp", port) not in keepers.open_ports(os.getpid())
        tcp.listen()
        assert {("tcp", port), ("udp", other)} <= keepers.open_ports(os.getpid())


@pytest.fixture
def needed(require_places):
    """Require all that the places need."""
    require_places(recovery)


def struck(place, arm, seed=1):
    """Return what one trial of an arm came to, checked as a row."""
    found = recovery.trial(place, dict(arm.conditions), seed=seed)
    row = dict.fromkeys(recovery.Trials.to_schema().columns, np.nan)
    recovery.check_row(row | dict(arm.conditions) | dict(found.measures))
    return pd.Series(found.measures)


@pytest.mark.slow
def test_a_supervisor_brings_a_process_back_and_nobody_does_not(needed, monkeypatch):
    """Real processes in real namespaces, killed from outside."""
    monkeypatch.setitem(striking.WATCH_S, "crash", 1.0)
    before = left.here()
    with places.opened("bare") as place:
        alone, kept = (struck(place, arm) for arm in (designs.ALONE, designs.BARE))
    assert (alone["recovered"], alone["lacking"]) == (0, 1)
    assert alone["lost"] == alone["requests"]
    assert (kept["recovered"], kept["lacking"]) == (1, 0)
    assert kept["answered_s"] < 0.5
    assert (alone["keeper_processes"], kept["keeper_processes"]) == (0, 1)
    assert 0 < kept["keeper_bytes"] < 20e6
    assert not left.more(before)


@pytest.mark.slow
@pytest.mark.engine
def test_real_engines_restart_what_they_see(needed):
    """A restart policy a death, a health check and a loop what hangs; a check alone nothing."""
    with places.opened("engine") as place:
        crash = struck(place, designs.RESTARTED)
        healed = struck(place, designs.HEALED)
        checked = struck(place, designs.arm("health", "hang"))
    assert crash["recovered"] == healed["recovered"] == 1
    assert crash["noticed_s"] < crash["restarted_s"] < 2
    assert 1 < healed["noticed_s"] < healed["answered_s"]
    assert (checked["recovered"], checked["lacking"]) == (0, 1)
    assert checked["noticed_s"] > 1
    assert crash["keeper_bytes"] > 20e6


@pytest.mark.slow
@pytest.mark.engine
def test_a_real_swarm_outlives_a_node_and_has_two_writers(needed):
    """Two of three replicas, a killed node, one cut off; new nodes take the lost ones' places."""
    with places.opened("swarm") as place:
        three = struck(place, designs.TWO_OF_THREE)
        node = struck(place, designs.NODE_KILLED)
        cut = struck(place, designs.CUT_OFF)
        spread = struck(place, designs.NODE_KILLED_THREE)
    assert three["recovered"] == node["recovered"] == cut["recovered"] == spread["recovered"] == 1
    assert three["lost"] == spread["lost"] == 0
    assert 3 < node["noticed_s"] < node["answered_s"] < 30
    assert node["unkept"] == 0
    assert cut["still_serving"] == 1
    assert cut["twice"] > 50
    assert three["keeper_ports"] >= 3


KEEP = """
import sys, threading
from caveatlib.experiments.recovery import designs, places
from caveatlib import experiments
with places.opened("swarm") as place:
    print("open", flush=True)
    experiments.recovery.trial(place, dict(designs.NODE_KILLED.conditions), seed=1)
"""


@pytest.mark.slow
@pytest.mark.engine
def test_a_killed_measurer_leaves_nothing(needed):
    """SIGKILL while a swarm of three engines keeps a service: the service has ended, too."""
    left.killed(KEEP, ready=lambda running: _served() and len(running) > 6)
    assert not _served()


def _served() -> list[int]:
    """Return the processes of the service, whoever keeps them."""
    import psutil

    name = compiled.name(SERVE)
    found = [p.pid for p in psutil.process_iter(["name"]) if p.info["name"] == name]
    return [pid for pid in found if processes.is_running(pid)]
