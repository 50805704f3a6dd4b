"""Services that are hit and come back: what is read of them, and real keepers that bring them back.

Seen to fail: with answers counted however late, with `missed` counted as `lost`, with the old
process taken for its replacement, and with a new one that begins at ticket 1; with C03 decided by
`silent_s`, five requests of eight seconds, a client that died unseen, and the last step of 50 ms in
which a replica was lacking told as the first in which none was.
"""

import os
import re
import signal
import socket
import struct
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import left
import numpy as np
import pandas as pd
import pytest

from caveatlib import claims, plots, stats, trials
from caveatlib.errors import DataError, MeasurementError
from caveatlib.experiments import recovery
from caveatlib.experiments.recovery import (
    designs,
    keepers,
    places,
    schema,
    striking,
    tables,
    workloads,
)
from caveatlib.experiments.recovery.asking import LATE_S, RATE, Answer, Asking
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
    none = {"lost": 0.0, "missed": 0.0, "answered_share": 1.0}
    gone = row | dict.fromkeys(("restarted_s", "answered_s", "back_s"), np.nan) | none
    gone |= {"recovered": 0.0, "lacking": 1.0}
    recovery.check_row(gone | {"requests": 799.0})  # eight seconds of them, but for an end
    for short in (row | none | {"requests": 240.0}, gone | {"requests": 5.0}):
        with pytest.raises(DataError, match="'requests' beside"):
            recovery.check_row(short)
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
def test_what_replicas_are_worth_may_turn_round(measured):
    """Of three that are all asked two must answer, so that decides nothing: turns do."""
    rows = measured(recovery)
    three = stats.match(rows, designs.NODE_KILLED_THREE.where())
    rows.loc[three, "missed"] = 9 * rows.loc[three, "missed"]
    (found,) = [v for v in claims.judge(rows, recovery.DECISIONS) if v.claim == "C03"]
    assert (found.verdict, found.unit) == (claims.FAILS, "s")
    assert rows.loc[three, "lost"].eq(0).all()


@pytest.mark.beside
def test_what_would_mislead_is_said_with_the_number(measured):
    """Swarm's delay, the step of requests, and how long was watched stand beside what they make."""
    rows = measured(recovery)
    cut = stats.match(rows, designs.CUT_OFF.where())
    found = {v.claim: v for v in claims.judge(rows, recovery.DECISIONS)}
    swarm = stats.match(rows, designs.TWO_OF_THREE.where())
    delay = (rows["restarted_s"] - rows["noticed_s"])[swarm].median()
    assert f"{delay * 1000:.3g} ms" in found["C05"].sentence
    assert "5 s, was left as it is" in found["C05"].sentence
    began = rows.loc[stats.match(rows, designs.BARE.where()), "restarted_s"].median()
    step = "every 10 ms, so an answer is up to that late; the new process has begun after"
    assert step in found["C06"].sentence
    assert f"{began * 1000:.3g} ms against" in found["C06/time"].because
    watched = (rows["requests"] / RATE - rows["answered_s"] + LATE_S)[cut].median()
    count = int(cut.sum())
    line = f"For the {watched:.3g} s watched after a new replica answered, both wrote in {count}"
    assert found["C04/writers"].headline == f"{line} of {count} trials"
    assert f"f{line[1:]}" in found["C04"].sentence
    lost = rows.loc[stats.match(rows, designs.RESTARTED.where()), "lost"].median() / RATE
    line = f"{lost * 1000:.3g} ms worth of requests were lost with a restart policy, and 8 s worth"
    assert line in found["C04/requests"].because
    rows.loc[cut & (rows["session"] == 1), "twice"] = 0.0
    some = {v.claim: v for v in claims.judge(rows, recovery.DECISIONS)}["C04/writers"]
    assert (some.verdict, f"in {count - 1} of {count}" in some.headline) == (claims.OPEN, True)


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
    trials_of = measured(recovery)
    timeline = trials.get(recovery, source=measured.folder, table="timeline")
    steps = tables.over_time(timeline)
    assert steps["t_s"].min() >= -workloads.BEFORE_S
    assert (steps["answering"] <= steps["replicas"]).all()
    words = plots.describe(recovery.plot_replicas(timeline))
    assert "process killed: no keeper falls to 0 of 1 and stays below" in words
    assert "process killed: Swarm, 3 replicas falls to 1 of 3, whole again by" in words
    assert "node killed: Swarm, 3 replicas falls to 2 of 3, whole again by" in words
    always = [row for row in words.split(";") if "process killed: restart always" in row]
    back = claims.values_of(trials_of, designs.RESTARTED.where(), "back_s").median()
    told = re.search(r"whole again by (\d+) ms", always[0])
    assert back <= float(told[1]) / 1000 <= back + tables.STEP_S + 1 / RATE
    assert "nothing was measured" in plots.describe(recovery.plot_replicas(timeline.iloc[:0]))


@pytest.mark.beside
def test_prices_come_with_what_one_writes(measured):
    """Keepers from the simplest on, one replica and three apart, with lines of configuration."""
    rows = measured(recovery)
    three = (rows["keeper"] == "swarm") & (rows["replicas"] == 3)
    rows.loc[three, "keeper_processes"] = 12.0
    found = recovery.prices(rows)
    assert list(found.index[:3]) == ["no keeper", "no keeper, 3 replicas", "runsv"]
    assert list(found.loc[["Swarm", "Swarm, 3 replicas"], "processes"]) == [9, 12]
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
    """Return a client that asked this machine until it had twenty answers."""
    made = partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
    client = Asking(made, [("127.0.0.1", port)])
    client.start()
    assert left.until(lambda: len(client.answers) >= 20)
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
    assert {(1, a.ticket, a.begun_ns) for a in given} <= set(written)
    tickets = [ticket for _, ticket, _ in written]
    assert tickets == list(range(1, len(tickets) + 1))
    assert len({begun for _, _, begun in written}) == 2
    assert first.late_s < 5


def bound(kind=socket.socket):
    """Return a socket of UDP that has a port."""
    made = kind(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    return made


def test_what_is_no_answer_does_not_stop_the_client():
    """Three bytes from where it asks, and an answer from where it does not: it goes on asking."""
    with bound() as served, bound() as other, bound() as mine:
        client = Asking(lambda: mine, [served.getsockname()])
        client.start()
        served.sendto(b"abc", mine.getsockname())
        other.sendto(struct.pack("!IIQQ", 0, 1, 1, 1), mine.getsockname())
        asked = len(client.due)
        assert left.until(lambda: len(client.due) > asked + 10, 5)
        assert not client.answers
        served.sendto(struct.pack("!IIQQ", 0, 1, 1, 1), mine.getsockname())
        assert left.until(lambda: client.answers, 5)
        client.stop()


class Broken(socket.socket):
    """A socket that nothing can be received from."""

    def recvfrom(self, size):
        """Fail otherwise than by having nothing."""
        raise OSError("It broke.")


def test_a_client_that_failed_is_no_silence():
    """What ended the thread is raised where the client is stopped, once."""
    with bound(kind=Broken) as mine:
        client = Asking(lambda: mine, [("127.0.0.1", 9)])
        client.start()
        assert left.until(lambda: client.due, 5)
        with pytest.raises(MeasurementError, match=r"stopped asking: OSError\('It broke"):
            client.stop()
        client.stop()


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
def needed(require_places, monkeypatch):
    """Require all that the places need; a busy machine may hold the client up."""
    require_places(recovery)
    monkeypatch.setattr(schema, "CLIENT_LATE_S", 10)


def struck(place, arm, seed=1):
    """Return what one trial of an arm came to, checked as a row."""
    found = recovery.trial(place, dict(arm.conditions), seed=seed)
    row = dict.fromkeys(recovery.Trials.to_schema().columns, np.nan)
    recovery.check_row(row | dict(arm.conditions) | dict(found.measures))
    return pd.Series(found.measures)


@pytest.mark.slow
@pytest.mark.timed
def test_a_supervisor_brings_a_process_back_and_nobody_does_not(needed, monkeypatch):
    """Real processes in real namespaces, killed from outside."""
    monkeypatch.setitem(striking.WATCH_S, "crash", 3.0)
    before = left.here()
    with places.opened("bare") as place:
        alone, kept = (struck(place, arm) for arm in (designs.ALONE, designs.BARE))
    assert (alone["recovered"], alone["lacking"]) == (0, 1)
    assert alone["lost"] == alone["requests"]
    assert (kept["recovered"], kept["lacking"]) == (1, 0)
    assert kept["answered_s"] < 3
    assert (alone["keeper_processes"], kept["keeper_processes"]) == (0, 1)
    assert 0 < kept["keeper_bytes"] < 20e6
    assert not left.more(before)


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.timed
def test_real_engines_restart_what_they_see(needed):
    """A restart policy a death, a health check and a loop what hangs; a check alone nothing."""
    with places.opened("engine") as place:
        crash = struck(place, designs.RESTARTED)
        healed = struck(place, designs.HEALED)
        checked = struck(place, designs.arm("health", "hang"))
    assert crash["recovered"] == healed["recovered"] == 1
    assert crash["noticed_s"] < crash["restarted_s"] < striking.WATCH_S["crash"]
    assert 1 < healed["noticed_s"] < healed["answered_s"]
    assert (checked["recovered"], checked["lacking"]) == (0, 1)
    assert checked["noticed_s"] > 1
    assert crash["keeper_bytes"] > 20e6


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.timed
def test_a_real_swarm_outlives_a_node_and_has_two_writers(needed):
    """Two of three replicas, a killed node, one cut off; new nodes take the lost ones' places."""
    with places.opened("swarm") as place:
        three = struck(place, designs.TWO_OF_THREE)
        node = struck(place, designs.NODE_KILLED)
        cut = struck(place, designs.CUT_OFF)
        spread = struck(place, designs.NODE_KILLED_THREE)
    assert three["recovered"] == node["recovered"] == cut["recovered"] == spread["recovered"] == 1
    for found in (three, spread):
        assert found["lost"] <= RATE * found["client_late_s"]
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
