"""What a trial of `ports` does and states, without an engine, and what is refused."""

import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from experiments.ports import fake
from experiments.ports.made_up import CALLED, COSTS, trials

from caveatlib import frames
from caveatlib.errors import DataError, MeasurementError, Unavailable
from caveatlib.experiments import ports
from caveatlib.experiments.ports import pinning, site, traffic, workloads
from caveatlib.experiments.ports.designs import HAIRPIN, PROXY
from caveatlib.instruments import iperf3, published
from caveatlib.measuring import integrity
from caveatlib.measuring.experiment import check_trials, complete

pytestmark = pytest.mark.beside


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("rate_bit_per_s", 8 * 2e10, "share_of_cores"),  # bytes taken for bits
        ("cpu_s_per_gb", 0.0, "Value 0 of 'cpu_s_per_gb'"),
        ("cpu_s_per_gb", 100.0, "share_of_cores"),  # ticks taken for seconds
        ("stop_s", 0.0, "Value 0 of 'stop_s'"),
        ("round_trip_p99_s", 1e-5, "'round_trip_p99_s'"),
    ],
)
def test_impossible_trials_are_refused(column, value, words):
    """Guards name what the machine cannot have done, in one row as in a table."""
    rows = trials()
    row = rows[rows["path"] == "loopback"].iloc[[0]].assign(
        cpu_s_per_gb=0.3, rate_bit_per_s=2e10, round_trip_p50_s=5e-5, round_trip_p99_s=2e-4,
        start_s=0.2, stop_s=0.3, rate_4_bit_per_s=2e10, cpu_4_s_per_gb=0.3,
        connects_per_s=5e3)  # fmt: skip
    check_trials(complete(ports), row)
    with pytest.raises(DataError, match=re.escape(words)):
        check_trials(complete(ports), row.assign(**{column: value}))


def test_a_coarse_clock_is_refused():
    """Starts in whole milliseconds in every trial come from another clock."""
    rows = trials()
    rows.loc[rows["load"] == "price", ["start_s", "stop_s"]] = 0.25
    with pytest.raises(DataError, match="finer clock"):
        ports.check(rows)


REACHED = {"reachable": 1, "refusal": "", "served_by": "nat", "source_class": "own",
           "accepts_unheard": 0, "nat_connections": 1, "proxy_sockets": 0}  # fmt: skip
LOADED = {"rate_bit_per_s": 1e10, "retransmits": 3, "client_cpu": 0.9, "server_cpu": 1.0,
          "cpu_bound": 1, "cpu_s_per_gb": 0.2, "proxy_cpu_s_per_gb": 0.0,
          "processes_cpu_s_per_gb": 0.19, "algorithm": "reno",
          "iperf_version": "iperf 3.18"}  # fmt: skip


@pytest.fixture
def stubs(monkeypatch):
    """Replace what needs an engine; return the dictionaries that the stubs answer with."""
    reached, loaded = dict(REACHED), dict(LOADED)
    monkeypatch.setattr(site, "congest", lambda here, wanted: "reno")
    monkeypatch.setattr(traffic, "reach", lambda here, path: dict(reached))
    monkeypatch.setattr(
        traffic, "throughput",
        lambda here, path, *, streams, **how: (loaded | {"rate_bit_per_s": streams * 1e10}, "{}"),
    )  # fmt: skip
    monkeypatch.setattr(traffic, "round_trips", lambda here, path: {"round_trip_p50_s": 1e-4})
    monkeypatch.setattr(traffic, "connects", lambda here, path: {"connects_per_s": 5.0})
    return reached, loaded


def test_trial_fills_its_columns(stubs):
    """A full trial has both rates, each in its column, and two reports that fit their table."""
    conditions = CALLED | {"load": "full"}
    outcome = ports.trial(None, conditions, seed=1)
    assert outcome.measures["rate_bit_per_s"] == 1e10
    assert outcome.measures["rate_4_bit_per_s"] == 4e10
    assert outcome.measures["cpu_4_s_per_gb"] == 0.2
    assert "refusal" not in outcome.measures
    assert set(outcome.measures) <= set(frames.columns(ports.Trials))
    row = {"run": "r", "design": "paths", "block": 0, "place": PROXY}
    reports = [row | r for r in outcome.tables["iperf3"]]
    assert list(frames.from_rows(reports, ports.TABLES["iperf3"])["streams"]) == [1, 4]


def test_trial_without_a_connection_is_no_failure(stubs):
    """A path that does not connect yields reachable 0 and no load."""
    stubs[0].update(reachable=0, refusal="timed out", served_by="nobody", source_class="")
    conditions = CALLED | {"path": "other-network", "load": "full"}
    outcome = ports.trial(None, conditions, seed=1)
    assert (outcome.measures["reachable"], outcome.measures["refusal"]) == (0, "timed out")
    assert "rate_bit_per_s" not in outcome.measures
    assert outcome.tables["iperf3"] == []


def test_trial_refuses_another_congestion_control(stubs):
    """If iperf3 saw another algorithm than was set, the trial fails."""
    stubs[1]["algorithm"] = "reno/bbr"
    conditions = CALLED
    with pytest.raises(MeasurementError, match="reno/bbr"):
        ports.trial(None, conditions, seed=1)


def test_a_pinned_trial_has_each_flow_in_its_columns(stubs, monkeypatch):
    """Placement and rate reach iperf3's side, and each report says of which flow it is."""
    asked = []

    def throughput(here, path, **how):
        asked.append(how)
        return stubs[1] | {"rate_bit_per_s": 1e9 + len(asked)}, "{}"

    monkeypatch.setattr(traffic, "throughput", throughput)
    conditions = CALLED | {"load": "sized", "placement": pinning.APART}
    outcome = ports.trial(None, conditions, seed=1)
    assert [(how["streams"], how["bit_per_s"]) for how in asked] == [(1, 0), (4, 0), (1, 2e9)]
    assert {how["placement"] for how in asked} == {pinning.APART}
    columns = ("rate_bit_per_s", "rate_4_bit_per_s", "rate_fixed_bit_per_s")
    assert [outcome.measures[name] - 1e9 for name in columns] == [1, 2, 3]
    assert [outcome.measures[name] for name in COSTS[1:]] == [0.19] * 3
    assert "round_trip_p50_s" not in outcome.measures
    row = {"run": "r", "design": "pinned", "block": 0, "place": PROXY}
    reports = frames.from_rows([row | r for r in outcome.tables["iperf3"]], ports.TABLES["iperf3"])
    assert list(reports["rate"]) == ["", "", "fixed"]
    assert set(reports["placement"]) == {pinning.APART}


@pytest.fixture
def tables_of_one_trial(monkeypatch):
    """Return trials and reports of one pinned trial on the fakes."""
    monkeypatch.setattr(workloads, "traffic", fake)
    monkeypatch.setattr(site, "congest", fake.congest)
    conditions = CALLED | {"path": "loopback", "load": "sized", "placement": pinning.APART}
    outcome = ports.trial(fake.FakeSite(PROXY), conditions, seed=1)
    row = {"run": "r", "design": "pinned", "block": 0, "place": PROXY}
    common = {"source": "live", "machine": "m", "session": 0, "position": 0, "ok": True}
    trial = row | common | {"error": "", "started_at": ""} | conditions | outcome.measures
    reports = [row | report for report in outcome.tables["iperf3"]]
    return {
        "trials": frames.from_rows([trial], ports.Trials),
        "iperf3": frames.from_rows(reports, ports.TABLES["iperf3"]),
    }


@pytest.mark.parametrize("column", [*COSTS, "rate_4_bit_per_s", "rate_fixed_bit_per_s"])
def test_pinned_trials_are_held_against_their_reports(tables_of_one_trial, column):
    """CPU time of the processes, ticks and rates are what iperf3 reported, flow by flow."""
    ports.check_tables(tables_of_one_trial)
    trials = tables_of_one_trial["trials"]
    off = trials.assign(**{column: trials[column] * 1.0713})
    with pytest.raises(DataError, match=f"of '{column}' in row 0"):
        ports.check_tables(tables_of_one_trial | {"trials": off})


def test_a_flow_has_one_report(tables_of_one_trial):
    """With two of them nothing says which one the trial has to match."""
    reports = tables_of_one_trial["iperf3"]
    twice = pd.concat([reports, reports.iloc[:1]], ignore_index=True)
    with pytest.raises(DataError, match="stands twice in table 'iperf3'"):
        ports.check_tables(tables_of_one_trial | {"iperf3": twice})
    with pytest.raises(DataError, match="has no report of iperf3"):
        ports.check_tables(tables_of_one_trial | {"iperf3": reports.iloc[1:]})


def test_a_pinned_trial_needs_the_cpu_time_of_its_processes(tables_of_one_trial):
    """Without it the trial has failed; recordings from before have none, and load."""
    trials = tables_of_one_trial["trials"]
    check_trials(complete(ports), trials)
    without = trials.assign(processes_cpu_4_s_per_gb=np.nan)
    with pytest.raises(DataError, match="'processes_cpu_4_s_per_gb' is missing"):
        check_trials(complete(ports), without)
    check_trials(complete(ports), without.assign(load="full", round_trip_p50_s=1e-4,
                                                 connects_per_s=1.0))  # fmt: skip


@pytest.fixture
def sleepers(monkeypatch):
    """Return a site whose server and docker-proxy are processes that sleep."""
    children = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    proxy = published.Proxy(children[1].pid, "tcp", "", site.IPERF_PORT, "", 0)
    monkeypatch.setattr(published, "proxies", lambda pid, *, port: [proxy])
    yield site.Site(None, {"host": 0}, {}, {site.IPERF_PORT: children[0]}), children
    for child in children:
        child.kill()
        child.wait(timeout=10)


def test_placements(sleepers, monkeypatch):
    """Client, server and docker-proxy are where the placement has them, and free again after."""
    here, children = sleepers
    cpus = sorted(os.sched_getaffinity(0))

    # not nproc, which believes OMP_NUM_THREADS: Dask sets it in a process that starts workers
    ask = [sys.executable, "-c", "import os; print(*os.sched_getaffinity(0))"]

    def placed(placement):
        command = pinning.pin(here, "loopback", placement)
        said = subprocess.run([*command, *ask], capture_output=True, text=True, check=True)
        client = {int(cpu) for cpu in said.stdout.split()}
        return [client, *(os.sched_getaffinity(child.pid) for child in children)]

    assert placed(pinning.TOGETHER) == [{cpus[0]}] * 3
    if len(cpus) > 1:
        assert placed(pinning.APART) == [{cpus[0]}, {cpus[0]}, {cpus[1]}]
        assert placed(pinning.SPREAD) == [{cpus[0]}, {cpus[1]}, {cpus[0]}]
    assert placed(pinning.FREE) == [set(cpus)] * 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {cpus[0]})
    with pytest.raises(Unavailable, match=r"'apart' on 1 CPU\. Must have 2"):
        pinning.pin(here, "loopback", pinning.APART)


def test_a_thread_that_stays_elsewhere_is_found(sleepers, monkeypatch):
    """What was set is read back: a placement that did not take is no measurement."""
    here, _ = sleepers
    monkeypatch.setattr(os, "sched_setaffinity", lambda thread, cpus: None)
    monkeypatch.setattr(
        os, "sched_getaffinity", lambda thread: {0, 1} if thread == 0 else {0, 1, 2}
    )
    with pytest.raises(MeasurementError, match="Must be on"):
        pinning.pin(here, "loopback", pinning.TOGETHER)


def test_a_rate_that_is_not_reached_is_no_measurement(monkeypatch):
    """At a fixed rate the path must carry it: else CPU per byte is one of full speed again."""
    here = site.Site(None, {"host": 1}, {}, {})
    monkeypatch.setattr(pinning, "pin", lambda here, path, placement: ["taskset"])
    monkeypatch.setattr(published, "proxies", lambda pid, *, port: [])
    said = {}

    def run(argv, **_):
        said["argv"] = argv
        return fake.throughput(fake.FakeSite(HAIRPIN), "loopback", streams=1, cores=2,
                               bit_per_s=said["rate"])[1]  # fmt: skip

    monkeypatch.setattr(iperf3, "run", run)
    said["rate"] = 2e9
    found, _ = traffic.throughput(here, "loopback", streams=1, cores=2, bit_per_s=2e9)
    assert found["rate_bit_per_s"] == pytest.approx(2e9, rel=0.05)
    assert found["processes_cpu_s_per_gb"] == pytest.approx(0.12, rel=0.05)
    assert "--bitrate 2000000000 " in " ".join(said["argv"])
    assert said["argv"].index("taskset") < said["argv"].index("iperf3")
    said["rate"] = 1.5e9
    with pytest.raises(MeasurementError, match="Must be 2e"):
        traffic.throughput(here, "loopback", streams=1, cores=2, bit_per_s=2e9)


def test_a_rate_that_the_workload_sets_may_repeat(measured):
    """At a fixed rate the same bytes take the same microseconds again: no trial was copied."""
    rows = measured(ports)
    held = rows["rate_fixed_bit_per_s"].notna()
    assert held.sum() > 20
    rate = np.where(np.arange(len(rows)) % 2, 1999568051.3684194, 1999567051.1234567)
    tables = {"trials": rows.assign(rate_fixed_bit_per_s=np.where(held, rate, np.nan))}
    integrity.check_tables(tables, ports.Trials)
    tables = {"trials": rows.assign(rate_bit_per_s=np.where(rows["ok"], rate, np.nan))}
    with pytest.raises(DataError, match="of 'rate_bit_per_s' is in the rows"):
        integrity.check_tables(tables, ports.Trials)
