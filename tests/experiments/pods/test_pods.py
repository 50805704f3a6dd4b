"""An application and its sidecar: sentences turn with the data; programs and containers do."""

import contextlib
import socket
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import left
import pytest
from experiments.pods import fake

from caveatlib import claims, plots, trials
from caveatlib.claims import Effect
from caveatlib.errors import DataError, MeasurementError
from caveatlib.experiments import pods
from caveatlib.experiments.pods import arranging, designs, schema, workloads
from caveatlib.places import compiled

# An A/A control fails by chance in one run of twenty; what is turned here is no control.
DECISIONS = [replace(d, null=None) if isinstance(d, Effect) else d for d in pods.DECISIONS]


@pytest.mark.beside
def test_with_what_they_read_exchanged_every_sentence_turns(measured):
    """A sidecar that sees all, dies with its application and finds it again if it joined it."""
    rows = measured(pods)
    before = {v.claim: v for v in claims.judge(rows, DECISIONS)}
    assert before["C34"].verdict == claims.MIXED
    assert before["C34/restart"].verdict == claims.FAILS
    probed = rows["task"] == designs.LOOKED
    columns = [*schema.SIGHTS, *schema.LIVES]
    rows.loc[probed, columns] = 1 - rows.loc[probed, columns]
    arranged = rows["arrangement"] == "shared"
    rows.loc[arranged & (rows["design"] == designs.HOP), ["p50_s", "p99_s"]] *= 2
    rows.loc[arranged & (rows["design"] == designs.EVERY), ["p50_s", "p99_s"]] *= 2
    after = {v.claim: v for v in claims.judge(rows, DECISIONS)}
    turned = {claims.HOLDS: claims.FAILS, claims.FAILS: claims.HOLDS}
    for name in before.keys() - {"C34"}:
        assert after[name].verdict == turned[before[name].verdict], name
        assert after[name].sentence != before[name].sentence
    assert pods.answer(rows) != pods.answer(measured(pods))
    (was,), (now,) = pods.highlights(measured(pods)), pods.highlights(rows)
    assert (was.number, was.sentence) != (now.number, now.sentence)


@pytest.mark.beside
def test_what_seals_a_sidecar_off_is_named(measured):
    """Rule, label and sentence name the four that decide; ports are counted, and decide nothing."""
    by_id = {d.claim.id: d for d in pods.DECISIONS}
    four = ("processes", "environment", "files", "shared memory")
    sealed, whole = by_id["C34/sealed"], by_id["C34"]
    rows = measured(pods)
    found = {v.claim: v for v in claims.judge(rows, DECISIONS)}
    texts = [sealed.claim.decides, whole.claim.decides, found["C34"].sentence]
    texts += [whole.labels["sealed"], found["C34/sealed"].because]
    for text in texts:
        assert all(word in text for word in four), text
    for text in (*texts[:3], texts[-1]):
        assert "listening ports" in text
    assert {r.column for r in sealed.readings} == {*schema.SIGHTS} - {"sees_sockets"}
    little = rows["arrangement"] == "shared"
    rows.loc[little & (rows["design"] == designs.SEALS), "sees_sockets"] = 0.0
    unseen = {v.claim: v for v in claims.judge(rows, DECISIONS)}
    assert unseen["C34/sealed"].verdict == claims.HOLDS
    assert "its listening ports in 0 of" in unseen["C34"].sentence
    assert unseen["C34/sealed"].because != found["C34/sealed"].because


@pytest.mark.beside
@pytest.mark.parametrize("event", ["crash", "oom"])
def test_an_application_that_was_not_killed_is_no_trial(monkeypatch, event):
    """With all its memory it ends with 3: what outlives that has not outlived an OOM kill."""
    ended = []

    class Application:
        def signal(self, name):
            assert name == {"crash": "KILL", "oom": "USR1"}[event]

        def wait(self, timeout_s):
            return ended[-1]

    @contextlib.contextmanager
    def started(self, arrangement):
        yield SimpleNamespace(application=Application(), sidecar=None)

    monkeypatch.setattr(arranging.caps, "require", lambda *a: None)
    monkeypatch.setattr(arranging.Pods, "_started", started)
    monkeypatch.setattr(arranging.Pods, "_runs_since", lambda self, one: "once")
    monkeypatch.setattr(arranging.Pods, "_runs", lambda self, one, argv: True)
    place = arranging.Pods(SimpleNamespace(cgroup=None), "")
    ended.append(137)
    assert place.survives("shared", event)
    ended.append(3)
    with pytest.raises(MeasurementError, match=f"'{event}' the application ended with 3"):
        place.survives("shared", event)


@pytest.mark.beside
def test_what_the_same_arrangement_twice_leaves_open_is_not_laid_side_by_side():
    """The slowest round trips of the A/A arm differ twofold: no column of the costs."""
    rows = trials.get(pods, source="recorded")
    again = rows[(rows["design"] == designs.EVERY) & (rows["arrangement"] == "shared")]
    medians = again.groupby("replicate")["p99_s"].median()
    assert medians.max() > 2 * medians.min()
    assert list(pods.costs(rows).columns) == ["p50_s", "cpu_s", "ready_s", "memory_bytes"]


@pytest.mark.beside
def test_the_matrix_says_who_sees_what(measured):
    """Its figure says the same; what differs between trials is neither yes nor no."""
    rows = measured(pods)
    table = pods.matrix(rows)
    assert table.index[0] == "sees processes"
    assert list(table.columns)[:2] == ["one container", "shared network"]
    assert table.loc["reads environment"].to_dict()["shared network"] == 0
    assert table["network of a third"]["reaches it after a restart"] == 1
    assert table["… and a socket"]["sees files outside volumes"] == 0, "they share a volume"
    told = plots.describe(pods.plot(rows))
    assert "one container, 5 of 10: sees processes" in told
    once = rows.index[rows["lives_crash"] == 1][0]
    rows.loc[once, "lives_crash"] = 0.0
    assert plots.describe(pods.plot(rows)) != told


@pytest.mark.beside
def test_what_the_program_says_is_read_or_refused():
    """Two answers, or none, or too few numbers are no trial."""
    said = "\x01\0\0\0\0\0\0\x1b= 800 0.000016 0.000041 0.000011\n"
    assert workloads.counted(said) == {"p50_s": 1.6e-5, "p99_s": 4.1e-5, "cpu_s": 1.1e-5}
    found = workloads.seen("= 1 0 1 0 1 0\n")
    assert (found["seen"], found["binds"], found["sees_environment"]) == (3, 0, 0)
    for wrong in ("", "lost\n", "= 1 2\n", said + said):
        with pytest.raises(MeasurementError, match="pair: "):
            workloads.counted(wrong)


@pytest.mark.beside
def test_a_trial_without_what_it_is_for_is_refused():
    """A round trip of no time, a median above its percentile, an event that was not tried."""
    trips = {"task": "trips", "p50_s": 1e-5, "p99_s": 2e-5, "cpu_s": 1e-5, "ready_s": 0.5,
             "memory_bytes": 2e7}  # fmt: skip
    looked = dict.fromkeys([*schema.SIGHTS, "seen", "binds", *schema.LIVES], 0.0)
    nothing = dict.fromkeys(trips, float("nan"))
    pods.check_row(trips)
    pods.check_row(nothing | looked | {"task": "isolation"})
    for wrong in ({"p50_s": 0.0}, {"p50_s": 3e-5}, {"memory_bytes": float("nan")}):
        with pytest.raises(DataError, match=r"p50_s|memory_bytes|p99_s"):
            pods.check_row(trips | wrong)
    with pytest.raises(DataError, match="lives_oom"):
        pods.check_row(nothing | looked | {"task": "isolation", "lives_oom": float("nan")})


@pytest.mark.beside
def test_every_arrangement_is_faked():
    """And each has a peer that the program understands."""
    assert set(fake.SIGHTS) == set(designs.ARRANGEMENTS)
    for arrangement in designs.ARRANGEMENTS:
        kind, where, port = arranging.peer(arrangement).split()
        assert (kind, port) in {("tcp", "80"), ("unix", "-")}
        assert where


# The program, as processes of this machine


@pytest.fixture
def pair(require):
    """Return the path of the program."""
    require("program pair")
    return compiled.path(arranging.PAIR)


@contextlib.contextmanager
def _serving(pair, folder, path="-", delay_us=0):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = ["unshare", "--ipc", pair, "serve", str(port), path, str(delay_us)]
    server = subprocess.Popen(argv, cwd=folder)
    try:
        subprocess.run([pair, "reach", "tcp", "127.0.0.1", str(port)], check=True, timeout=10)
        yield port
    finally:
        server.kill()
        server.wait()


def _asked(pair, peer, rate=500, seconds=0.1):
    client = subprocess.Popen(
        [pair, "ask", *peer, str(rate), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    try:
        said = ""
        while not said.endswith("over\n"):
            line = client.stdout.readline()
            assert line, said
            said += line
        return said
    finally:
        client.kill()
        client.communicate()


def test_the_program_answers_and_times(require, pair, tmp_path):
    """On a port and on a socket; a known delay is found; nobody there is no answer."""
    require("runc")  # as root, in namespaces of its own
    path = str(tmp_path / "socket")
    with _serving(pair, tmp_path, path) as port:
        tcp, unix = ("tcp", "127.0.0.1", str(port)), ("unix", path, "-")
        for peer in (tcp, unix):
            said = _asked(pair, peer)
            assert said.startswith("first\n")
            found = workloads.counted(said)
            assert 0 < found["p50_s"] <= found["p99_s"] < 1
            assert 0 < found["cpu_s"] < 0.01
            assert subprocess.run([pair, "reach", *peer], timeout=10).returncode == 0
    assert subprocess.run([pair, "reach", *tcp], timeout=10).returncode == 1
    with _serving(pair, tmp_path, delay_us=2000) as port:
        slow = workloads.counted(_asked(pair, ("tcp", "127.0.0.1", str(port)), rate=100))
        assert slow["p50_s"] >= 0.002


def test_the_program_sees_an_application_and_not_itself(require, pair, tmp_path):
    """Beside it the probe sees its process, file and socket, and cannot have its port."""
    require("runc")

    def looks(port):
        argv = [pair, "look", str(port)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, cwd=tmp_path)
        return workloads.seen(done.stdout)

    with _serving(pair, tmp_path) as port:
        beside = looks(port)
    (tmp_path / "made-by-the-application").unlink()
    alone = looks(port)
    assert (beside["sees_processes"], beside["sees_files"], beside["sees_sockets"]) == (1, 1, 1)
    assert beside["sees_environment"] == 0  # it has no secret
    assert beside["binds"] == 0
    assert (alone["seen"], alone["binds"]) == (0, 1)


# Real ones


@pytest.fixture
def needed(require_places):
    """Require all that the place needs."""
    require_places(pods)


@pytest.mark.engine
@pytest.mark.slow
def test_real_arrangements_seal_and_share(needed):
    """What Docker shares in each arrangement, and what becomes of its sidecar."""
    with arranging.pods() as place:
        found = {
            name: workloads.trial(place, designs.looked(name).conditions, seed=1).measures
            for name in designs.ARRANGEMENTS
        }
    for name, measures in found.items():
        assert [measures[n] for n in (*schema.SIGHTS, "binds")] == [
            float(word) for word in fake.SIGHTS[name].split()
        ], name
        runs_on = float(name not in fake.DIES_WITH)
        reaches = float(name in fake.REACHES_AGAIN)
        assert [measures[n] for n in schema.LIVES] == [runs_on, runs_on, reaches, reaches], name


@pytest.mark.engine
@pytest.mark.slow
def test_real_round_trips_are_timed_in_every_arrangement(needed):
    """A delay of 200 µs is in them; more containers take more memory."""
    with arranging.pods() as place:
        found = {
            name: workloads.trial(place, designs.trips(name).conditions, seed=1).measures
            for name in designs.ARRANGEMENTS
        }
        slow = workloads.trial(place, designs.DELAYED.conditions, seed=1).measures
    assert slow["p50_s"] >= 1.9e-4  # how much more it is, a busy machine decides
    memory = [found[name]["memory_bytes"] for name in ("process", "shared", "pause")]
    assert memory == sorted(memory)
    assert all(0 < measures["p50_s"] < 0.1 for measures in found.values())


HELD = """
import sys
from caveatlib.experiments.pods import arranging, designs, workloads
with arranging.pods() as place:
    print("open", flush=True)
    while True:
        for name in ("socket", "pause"):
            workloads.trial(place, designs.looked(name).conditions, seed=1)
"""


@pytest.mark.engine
@pytest.mark.slow
def test_a_killed_measurer_leaves_no_container(needed):
    """SIGKILL in the middle of a trial, its containers running."""
    left.killed(HELD, ready=lambda running: len(running) > 4)
