"""Replicas and newcomers: laws give back what was put in; a client finds and leaves."""

import asyncio
import base64
import json
import math
import socket
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import left
import nbformat
import numpy as np
import pandas as pd
import pytest

from caveatlib import claims, host, plots, stats, trials
from caveatlib.claims import Effect
from caveatlib.errors import DataError, MeasurementError
from caveatlib.experiments import pods, scaling
from caveatlib.experiments.scaling import balancing, client, designs, discovery, fitting, workloads
from caveatlib.experiments.scaling.client import Client, Request
from caveatlib.experiments.scaling.discovery import Watched
from caveatlib.experiments.scaling.schema import MOMENTS

# An A/A control fails by chance in one run of twenty; what is turned here is no control.
DECISIONS = [replace(d, null=None) if isinstance(d, Effect) else d for d in scaling.DECISIONS]
N = np.array(designs.REPLICAS, dtype=float)
NOTEBOOK = Path(__file__).parents[3] / "notebooks/09-pods-and-scaling.ipynb"


@pytest.mark.beside
def test_each_law_gives_back_what_was_put_in():
    """A share, a crosstalk with its peak, and a ceiling; each is told from the others."""
    amdahl = 50 * N / (1 + 0.2 * (N - 1))
    assert fitting.fit(fitting.AMDAHL, N, amdahl).serial == pytest.approx(0.2)
    universal = 50 * N / (1 + 0.05 * (N - 1) + 0.01 * N * (N - 1))
    found = fitting.fit(fitting.UNIVERSAL, N, universal)
    assert (found.serial, found.crosstalk) == pytest.approx((0.05, 0.01))
    queue = np.minimum(50 * N, 250)
    found = fitting.fit(fitting.QUEUE, N, queue)
    assert (found.one_per_s, found.ceiling_per_s) == pytest.approx((50, 250))
    for law, curve in ((fitting.AMDAHL, amdahl), (fitting.QUEUE, queue)):
        off = {n: np.max(np.abs(fitting.fit(n, N, curve).at(N) / curve - 1)) for n in fitting.LAWS}
        assert off[law] < 1e-6
        assert sum(value > 0.02 for value in off.values()) >= 1
    straight = fitting.fit(fitting.QUEUE, N, 50 * N)
    assert math.isnan(straight.ceiling_per_s)


@pytest.mark.beside
def test_a_peak_that_was_not_measured_is_not_told(measured):
    """Of curves that only grow no peak is told; a curve that falls has its own."""
    rows = measured(scaling)
    assert fitting.laws(rows)["peak_replicas"].isna().all()
    fallen = stats.match(rows, {"design": "curve", "work": "barrier"})
    numbers = rows.loc[fallen, "replicas"].astype(float)
    rows.loc[fallen, "throughput_per_s"] = 50 * numbers / (1 + 0.04 * numbers * (numbers - 1))
    told = fitting.laws(rows).set_index(["work", "law"])["peak_replicas"].dropna()
    assert list(told.index) == [("20 % at a barrier", fitting.UNIVERSAL)]
    assert told.iloc[0] == pytest.approx(5, rel=0.01)


@pytest.mark.beside
def test_the_queue_is_named_where_a_lock_is_and_amdahl_at_the_barrier(measured):
    """Which law comes nearest is told of each curve."""
    said = {part.split(":")[0]: part for part in fitting.explains(measured(scaling)).split(". ")}
    assert "off at most, queue by" in said["20 % under a lock"]
    assert "off at most, queue by" not in said["20 % at a barrier"]


@pytest.mark.beside
def test_with_what_they_read_exchanged_every_sentence_turns(measured):
    """Replicas that help under a lock and not without; leases that are never over."""
    rows = measured(scaling)
    before = {v.claim: v for v in claims.judge(rows, DECISIONS)}
    assert {before[name].verdict for name in before.keys() - {"C33"}} == {claims.HOLDS}
    free = rows["serial_share"] == 0
    doubling = rows["design"] == "doubling"
    rows.loc[doubling, "serial_share"] = np.where(free[doubling], 0.2, 0.0)
    newcomers = rows["design"].isin(["registered", "leases"])
    rows.loc[newcomers, ["served_s", "lost_s"]] += 3.0
    rows.loc[newcomers & (rows["found_by"] == "etcd"), "served_s"] *= 3
    after = {v.claim: v for v in claims.judge(rows, DECISIONS)}
    assert {after[name].verdict for name in after.keys() - {"C33"}} == {claims.FAILS}
    assert all(after[name].sentence != before[name].sentence for name in before.keys() - {"C33"})
    assert scaling.answer(rows) != scaling.answer(measured(scaling))
    (was,), (now,) = scaling.highlights(measured(scaling)), scaling.highlights(rows)
    assert (was.number, was.sentence) != (now.number, now.sentence)
    assert "16" in plots.describe(scaling.plot(rows))


@pytest.mark.beside
def test_what_was_made_to_wait_decides_no_statement_of_the_post(measured):
    """C33 shows the ratio of its lock and stays open, on whatever is measured of it."""
    for rows in (measured(scaling), trials.get(scaling, source="recorded")):
        found = {v.claim: v for v in claims.judge(rows, DECISIONS)}
        assert found["C33"].verdict == claims.NOT_MEASURED
        assert found["C33"].effect == found["scaling-lock"].effect
        assert "No application of others was scaled" in found["C33"].because
        for name in ("scaling-parallel", "scaling-lock"):
            assert found[name].verdict == claims.HOLDS
            assert name in found["C33"].because
    ours = {d.claim.id: d.claim.kind for d in scaling.DECISIONS if d.claim.id.startswith("scaling")}
    assert set(ours.values()) == {"ours"}
    assert not [name for name in found if name.startswith("C33/")]
    assert "could hardly be otherwise" in found["scaling-lock"].because
    (prospect,) = (p for p in host.prospects(scaling) if p.claim == "C33")
    assert prospect.lacks, "no machine decides it"


@pytest.mark.beside
def test_what_etcd_grants_by_default_is_said_beside_its_lease_of_one_second(measured):
    """How often clients knew later than within 2 s, of what was measured of it and no more."""

    def said(rows):
        found = next(v for v in claims.judge(rows, DECISIONS) if v.claim == "C35")
        return found.because, found.sentence

    shorter = "grants a lease of 1 s only with a shorter election than its default"
    late = "for over 2 s in {} of {} trials"
    because, sentence = said(trials.get(scaling, source="recorded"))
    assert all(shorter in text and late.format(5, 15) in text for text in (because, sentence))
    assert "a lease of 5 s they were in 15 of 15 trials" in because
    assert (
        "DNS asked every 5 s in 8 of 15; by that a container served later than 2 s in 10" in because
    )
    rows = measured(scaling)
    leases = rows["design"] == "leases"
    many = (leases & (rows["found_by"] == "etcd") & (rows["ttl_s"] == 2)).sum()
    for lost_s, count in ((2.0, 0), (2.1, many)):
        rows.loc[leases, "lost_s"] = lost_s
        because, sentence = said(rows)
        assert all(late.format(count, many) in text for text in (because, sentence))
        assert f"they were in {count} of {many} trials" in because
    for text in said(rows[~leases]):
        assert shorter in text
        assert "lost for over" not in text
        assert "they were" not in text


@pytest.mark.beside
def test_controls_that_pass_by_their_tolerance_alone_are_told():
    """Each that leaves out its true value is named in the notebook, and what it is called there."""
    tables = [trials.open(e, source="recorded").calibration() for e in (pods, scaling)]
    read = pd.concat(tables).query("tolerance.str.contains('±')")
    off = (read["truth"] < read["low"]) | (read["truth"] > read["high"])
    told = {
        "a delay": "the delay", "ceiling": "the ceiling", "knee": "where it is met",
        "share": "the share at the barrier", "a lease": "the leases",
    }  # fmt: skip
    (text,) = (
        cell.source
        for cell in nbformat.read(NOTEBOOK, 4).cells
        if "doubts" in cell.metadata.get("tags", [])
    )
    sentence = text.partition("by their tolerances alone")[2].partition(". ")[0]
    checks = read.loc[off, "check"]
    named = {words for name, words in told.items() if checks.str.startswith(name).any()}
    assert checks.str.startswith(tuple(told)).all()
    assert named == {words for words in told.values() if words in sentence}


@pytest.mark.beside
def test_what_the_load_generator_says_is_a_rate():
    """Requests that failed, none at all, or other words are no trial."""
    assert workloads.counted("= 200 0 0.8 0.04 0.05\n", "lock") == {
        "throughput_per_s": 250, "p50_s": 0.04, "p99_s": 0.05,
    }  # fmt: skip
    barrier = workloads.counted("= 10 0 0.8 0 0\n", "barrier")
    assert barrier == {"throughput_per_s": 10 * workloads.UNITS / 0.8}
    for said in ("", "= 200 1 0.8 0.04 0.05\n", "= 0 0 0 0 0\n", "bind: in use\n"):
        with pytest.raises(MeasurementError):
            workloads.counted(said, "lock")


@pytest.mark.beside
def test_the_work_asked_for_is_that_of_the_arm():
    """A batch is as much work for one replica as for many; the lock is held for the share."""
    for n in designs.REPLICAS:
        *_, serial, part = workloads.asked(designs.lock(n, 0.2, work="barrier").conditions)
        whole = workloads.UNITS * workloads.SERVICE_US
        assert int(serial) + n * int(part) == whole
        assert int(serial) == 0.2 * whole
        kind, _, clients, *_, busy, locked = workloads.asked(designs.lock(n, 0.05).conditions)
        assert (kind, int(clients), int(busy), int(locked)) == ("closed", 2 * n, 20_000, 1_000)


def _watched(**changes):
    """Return a newcomer that is on a list, serves from 1.0 to 2.0 s and is known until 2.5 s."""
    requests = [
        Request(due, True, due + 0.01 if 1.0 <= due < 2.0 else math.nan)
        for due in np.arange(0.005, 2.5, 0.01)
    ]
    requests += [Request(due, False, due + 0.01) for due in np.arange(0, 3, 0.01)]
    return Watched(0.0, 2.0, requests)._replace(**changes)


@pytest.mark.beside
def test_requests_lost_before_and_after_are_told_apart():
    """Until it serves, and since; a client that never sent it one has measured nothing."""
    found = workloads.told(_watched())
    assert found["served_s"] == pytest.approx(1.015)
    assert found["lost_s"] == pytest.approx(0.495)
    assert (found["lost_joining"], found["lost_leaving"], found["others_lost"]) == (100, 50, 0)
    assert "expiry_s" not in found
    assert found["kept"] == 0
    kept = _watched(requests=[*_watched().requests, Request(2.95, True, math.nan)])
    assert workloads.told(kept)["kept"] == 1
    assert workloads.told(_watched(expiry_s=1.2))["expiry_s"] == 1.2
    with pytest.raises(MeasurementError, match="No request"):
        workloads.told(_watched(requests=[Request(0.0, True, math.nan)]))


@pytest.mark.beside
def test_a_trial_without_what_it_is_for_is_refused():
    """A lease whose end was not seen, a rate of nothing, quantiles out of order."""
    row = {"work": "register", "found_by": "etcd", "served_s": 0.3, "lost_joining": 0.0,
           "lost_s": 0.5, "lost_leaving": 9.0, "others_lost": 0.0, "kept": 0.0,
           "expiry_s": 1.2}  # fmt: skip
    row |= dict.fromkeys(["throughput_per_s", "p50_s", "p99_s"], float("nan"))
    scaling.check_row(row)
    with pytest.raises(DataError, match="expiry_s"):
        scaling.check_row(row | {"expiry_s": float("nan")})
    load = row | {"work": "lock", "found_by": "none", "throughput_per_s": 250.0, "p50_s": 0.1}
    for wrong in ({"p99_s": 0.05}, {"p99_s": 0.2, "throughput_per_s": 0.0}):
        with pytest.raises(DataError):
            scaling.check_row(load | wrong)


@pytest.mark.beside
def test_a_start_and_a_kill_come_at_any_moment_of_a_period():
    """Each uniform over one TTL, by the trial's seed; the place is told what the trial keeps."""

    class Noting:
        def watch(self, found_by, ttl_s, **at):
            heard.append(at)
            return _watched()

    arm, heard = designs.found(designs.DNS, 5), []
    kept = [workloads.trial(Noting(), arm.conditions, seed=seed).measures for seed in range(400)]
    assert heard == [{name: measures[name] for name in MOMENTS} for measures in kept]
    for name in MOMENTS:
        fifths, _ = np.histogram([at[name] for at in heard], bins=5, range=(0, 5))
        assert fifths.sum() == 400
        assert fifths.min() > 50
    assert abs(np.corrcoef([list(at.values()) for at in heard], rowvar=False)[0, 1]) < 0.2
    again = workloads.trial(Noting(), arm.conditions, seed=7).measures
    assert {name: again[name] for name in MOMENTS} == heard[7]
    listed = workloads.trial(Noting(), designs.LISTED.conditions, seed=7).measures
    assert heard[-1] == {}, "a list has no period"
    assert not set(MOMENTS) & set(listed)


@pytest.mark.beside
def test_a_card_says_one_moment_only_of_trials_that_had_one(measured):
    """Those recorded before moments were drawn lack them; of a part of each, how many."""

    def card(rows):
        return {v.claim: v for v in claims.judge(rows, DECISIONS)}["C35/dns-in"].because

    before = trials.get(scaling, source="recorded", version=1)
    assert before[[*MOMENTS]].isna().all(axis=None)
    fixed = "killed 0.4 s after it served, the same in each trial."
    assert fixed in card(before)
    rows = measured(scaling)
    assert "moments drawn at random" in card(rows)
    assert "the same in" not in card(rows)
    assert fixed in card(rows.assign(**dict.fromkeys(MOMENTS, math.nan)))
    dns = (rows["found_by"] == "dns") & (rows["design"] == "registered")
    rows.loc[dns & (rows["block"] < 2), [*MOMENTS]] = math.nan
    assert f"the same in 2 of {dns.sum()} trials." in card(rows)


# The client, against servers on loopback addresses


async def _serve(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.0 200 OK\r\n\r\nok\n")
    writer.close()


class Stage:
    """A loop in a thread of its own, with servers that come and go."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def serve(self, address, handler=_serve, port=0):
        """Start a server; return its port."""
        made = self.call(asyncio.start_server(handler, address, port))
        return made, made.sockets[0].getsockname()[1]

    def call(self, coroutine):
        """Run a coroutine to its end."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(5)

    def close(self):
        """End all that is under way."""

        async def cancelled():
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        self.call(cancelled())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def stage():
    """Return a stage."""
    made = Stage()
    yield made
    made.close()


@contextmanager
def _asking(find, port):
    """Run a client whose resident is 127.0.0.1 and whose newcomer is 127.0.0.2."""
    asking = Client("127.0.0.1", "127.0.0.2", find, port=port)
    failed = []

    def run():
        try:
            asking.run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield asking, failed
    finally:
        asking.stop()
        thread.join()


def _until(event):
    assert left.until(event), "not within five seconds"


@pytest.mark.beside
def test_a_client_with_a_list_loses_what_nobody_answers(stage, monkeypatch):
    """Before the newcomer is there and after it is gone, every second request is lost."""
    monkeypatch.setattr(client, "PATIENCE_S", 5.0)
    _, port = stage.serve("127.0.0.1")
    with _asking(client.by_list, port) as (asking, failed):
        _until(lambda: len(asking.requests) > 20)
        assert not asking.served.is_set()
        newcomer, _ = stage.serve("127.0.0.2", port=port)
        _until(asking.served.is_set)
        gone = time.monotonic()
        stage.loop.call_soon_threadsafe(newcomer.close)
        _until(
            lambda: sum(r.due_s > gone and math.isnan(r.answered_s) for r in asking.requests) > 3
        )
    assert not failed
    lost = [r for r in asking.requests if math.isnan(r.answered_s)]
    assert {r.newcomer for r in lost} == {True}
    assert lost[0].due_s < next(r.due_s for r in asking.requests if r.newcomer and r not in lost)


def _etcd(events):
    """Return a handler that answers a watch as etcd's gateway does, with what a queue gives."""

    async def handler(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        asked = json.loads(await reader.readexactly(length))["create_request"]
        assert base64.b64decode(asked["key"]) == b"app/"
        assert base64.b64decode(asked["range_end"]) == b"app0"
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        message = {"result": {"header": {"revision": "1"}, "created": True}}
        while message is not None:
            line = json.dumps(message).encode() + b"\n"
            writer.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            message = await events.get()
        writer.close()

    return handler


def _event(address, kind=None):
    event = {"kv": {"key": base64.b64encode(f"app/{address}".encode()).decode()}}
    return {"result": {"events": [event | ({"type": kind} if kind else {})]}}


@pytest.mark.beside
def test_a_client_that_watches_etcd_heeds_what_it_is_told(stage):
    """It begins to ask when the key is put, and no sooner; it leaves when it is deleted."""
    _, port = stage.serve("127.0.0.1")
    stage.serve("127.0.0.2", port=port)
    events = asyncio.Queue()
    _, etcd = stage.serve("127.0.0.1", _etcd(events))
    with _asking(client.by_etcd(("127.0.0.1", etcd)), port) as (asking, failed):
        assert asking.ready.wait(5)
        stage.call(events.put(_event("127.0.0.3")))
        time.sleep(0.05)
        assert not any(request.newcomer for request in asking.requests)
        stage.call(events.put(_event("127.0.0.2")))
        _until(asking.served.is_set)
        stage.call(events.put(_event("127.0.0.2", "DELETE")))
        _until(lambda: not asking.listed)
        left_at = time.monotonic()
        time.sleep(0.05)
        assert not failed
        stage.call(events.put(None))  # etcd is gone
        _until(lambda: failed)
    assert "ended the watch" in str(failed[0])
    assert max(r.due_s for r in asking.requests if r.newcomer) <= left_at
    assert asking.expired_at == pytest.approx(time.time(), abs=5)


def _dns_answer(question, addresses, ttl_s):
    head = question[:2] + struct.pack(">5H", 0x8180, 1, len(addresses), 0, 0)
    records = b"".join(
        struct.pack(">HHHIH", 0xC00C, 1, 1, ttl_s, 4) + socket.inet_aton(address)
        for address in addresses
    )
    return head + question[12:] + records


@pytest.fixture
def dns(stage):
    """Return the address of a DNS, and the list of what it answers."""
    known = ["127.0.0.1"]

    class Dns(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, peer):
            self.transport.sendto(_dns_answer(data, known, 600), peer)

    transport, _ = stage.call(stage.loop.create_datagram_endpoint(Dns, local_addr=("127.0.0.1", 0)))
    yield transport.get_extra_info("sockname"), known
    stage.loop.call_soon_threadsafe(transport.close)


@pytest.mark.beside
def test_a_client_that_asks_the_dns_finds_and_forgets(stage, dns):
    """With every answer; what the answer states as its TTL is kept."""
    server, known = dns
    _, port = stage.serve("127.0.0.1")
    stage.serve("127.0.0.2", port=port)
    with _asking(client.by_dns(0.02, server=server), port) as (asking, failed):
        assert asking.ready.wait(5)
        assert not asking.listed
        known.append("127.0.0.2")
        _until(asking.served.is_set)
        known.remove("127.0.0.2")
        _until(lambda: not asking.listed)
    assert not failed
    assert asking.dns_ttl_s == 600


PERIOD_S = 0.6
"""Of the client that asks the DNS of the stage."""


@pytest.fixture
def staged(stage, dns, monkeypatch):
    """Return a `Discovery` whose newcomers are servers of a stage, found by its DNS."""
    server, known = dns
    _, port = stage.serve("127.0.0.1")

    class Newcomer:
        output = None

        def __init__(self, engine, network, address, script):
            self.address, self.served = address, None

        def start(self):
            self.served, _ = stage.serve(self.address, port=port)
            known.append(self.address)

        def signal(self, name):
            stage.loop.call_soon_threadsafe(self.served.close)
            known.remove(self.address)

        def remove(self):
            pass

    for name, value in {
        "SUBNET": "127.0.0",
        "RESIDENT": "127.0.0.1",
        "WEB": port,
        "SERVES_S": 0.05,
        "WATCHED_S": 0.1,
        "_created": Newcomer,
        "_finder": lambda found_by, ttl_s: client.by_dns(ttl_s, server=server),
        "text_to_end": lambda output, within_s: "",
    }.items():
        monkeypatch.setattr(discovery, name, value)
    monkeypatch.setattr(discovery.netns, "call_in", lambda pid, call: call())
    return discovery.Discovery(None, "", 0)


@pytest.mark.slow
@pytest.mark.timed
def test_what_the_dns_takes_hangs_on_the_moment(staged):
    """Nearly a period right after a question, and less the later a start, or a kill, comes."""
    early, late = (
        workloads.told(staged.watch("dns", PERIOD_S, start_after_s=after_s, kill_after_s=after_s))
        for after_s in (0.0, 0.4)
    )
    assert early["served_s"] == pytest.approx(PERIOD_S, abs=0.2)
    assert early["served_s"] - late["served_s"] == pytest.approx(0.4, abs=0.2)
    assert early["lost_s"] - late["lost_s"] == pytest.approx(0.4, abs=0.2)


@pytest.mark.beside
def test_an_answer_of_the_dns_that_is_cut_or_empty_is_refused():
    """Whatever is missing; a name that is spelt out is read like one that points elsewhere."""
    whole = _dns_answer(client.question(), ["1.2.3.4", "5.6.7.8"], 9)
    assert client.addresses(whole) == ({"1.2.3.4", "5.6.7.8"}, 9)
    assert client.addresses(whole.replace(b"\xc0\x0c", b"\x03app\x00")) == (
        {"1.2.3.4", "5.6.7.8"}, 9,
    )  # fmt: skip
    for cut in range(len(whole)):
        with pytest.raises(MeasurementError):
            client.addresses(whole[:cut])
    with pytest.raises(MeasurementError, match="knows no address"):
        client.addresses(_dns_answer(client.question(), [], 9))


@pytest.mark.beside
def test_haproxy_is_told_of_as_many_replicas_as_are_wanted():
    """Each with one request at a time."""
    for n in designs.REPLICAS:
        lines = balancing.configuration(n).splitlines()
        servers = [line.split() for line in lines if line.strip().startswith("server ")]
        assert len({words[2] for words in servers}) == n
        assert all(words[-2:] == ["maxconn", "1"] for words in servers)


# Real ones


@pytest.fixture
def needed(require_places):
    """Require all that the places need."""
    require_places(scaling)


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timed
def test_real_replicas_share_a_lock(needed):
    """The ceiling is that of the lock, a barrier's share comes back, and work alone scales."""
    with balancing.balanced() as place:
        rates = {
            key: workloads.trial(place, arm.conditions, seed=1).measures["throughput_per_s"]
            for key, arm in {
                "one": designs.lock(1, 0.0),
                "many": designs.lock(16, 0.0),
                "locked": designs.lock(16, 0.2),
                **{n: designs.lock(n, 0.2, work="barrier") for n in designs.REPLICAS},
            }.items()
        }
    assert rates["one"] == pytest.approx(50, rel=0.2)
    assert rates["many"] > 8 * rates["one"]
    assert rates["locked"] == pytest.approx(250, rel=0.15)
    curve = np.array([rates[n] for n in designs.REPLICAS])
    assert fitting.fit(fitting.AMDAHL, N, curve).serial == pytest.approx(0.2, rel=0.15)


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timed
def test_real_newcomers_are_found_and_left(needed, monkeypatch):
    """By etcd and by the DNS within the TTL; on a list requests are lost to the end."""
    monkeypatch.setattr(client, "PATIENCE_S", 2.0)  # as long as a busy machine may stand still
    with discovery.discovery() as place:
        found = {
            arm.conditions["found_by"]: workloads.trial(place, arm.conditions, seed=1).measures
            for arm in (designs.LISTED, designs.BY_ETCD, designs.BY_DNS)
        }
    assert [found[way]["kept"] for way in ("list", "etcd", "dns")] == [1, 0, 0]
    assert found["list"]["lost_s"] > discovery.WATCHED_S - 0.1
    assert 1 <= found["etcd"]["expiry_s"] < 2
    assert found["dns"]["dns_ttl_s"] == 600
    assert found["etcd"]["lost_joining"] == 0
    assert all(measures["others_lost"] == 0 for measures in found.values())


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timed
def test_what_dockers_dns_takes_hangs_on_the_moment(needed):
    """Whenever a container is started and killed, it is noticed as the client's period ends.

    How many periods a start takes, a busy machine decides.
    """
    with discovery.discovery() as place:
        for after_s in (0.0, 0.3):
            found = workloads.told(
                place.watch("dns", 1, start_after_s=after_s, kill_after_s=after_s)
            )
            served_at = after_s + found["served_s"]
            lost_until = discovery.SERVES_S + after_s + found["lost_s"]
            for moment in (served_at, lost_until):
                assert math.remainder(moment, 1.0) == pytest.approx(0, abs=0.15), after_s


HELD = """
import sys
from caveatlib.experiments.scaling import balancing, designs, discovery, workloads
with balancing.balanced() as one, discovery.discovery() as other:
    print("open", flush=True)
    while True:
        workloads.trial(one, designs.lock(16, 0.2).conditions, seed=1)
        workloads.trial(other, designs.BY_ETCD.conditions, seed=1)
"""


@pytest.mark.engine
@pytest.mark.slow
def test_a_killed_measurer_leaves_no_etcd_and_no_haproxy(needed):
    """SIGKILL in the middle of trials: replicas, shims, two engines and etcd running."""
    left.killed(HELD, ready=lambda running: len(running) > 20)
