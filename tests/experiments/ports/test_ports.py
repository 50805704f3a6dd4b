"""`ports`: what its verdicts say follows the trials, path by path."""

import itertools
import os
import re
import subprocess
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from experiments.ports import fake

from caveatlib import claims, frames, plots
from caveatlib.claims import FAILS, HOLDS, MIXED, NOT_MEASURED, OPEN
from caveatlib.claims.model import LONGEST_HEADLINE
from caveatlib.errors import DataError, MeasurementError, Unavailable
from caveatlib.experiments import ports
from caveatlib.experiments.ports import decisions, pinning, site, tables, traffic, workloads
from caveatlib.experiments.ports.claims import SIZED, WHOLE
from caveatlib.experiments.ports.designs import (
    AGAIN,
    CASES,
    HAIRPIN,
    HAIRPIN_AGAIN,
    PAIRED,
    PROXY,
)
from caveatlib.experiments.ports.flows import FLOWS, LOADS, PROCESSES_CPU
from caveatlib.frames import UNAVAILABLE
from caveatlib.instruments import iperf3, published
from caveatlib.measuring.designs import Arm, Design
from caveatlib.measuring.experiment import check_trials, complete

pytestmark = pytest.mark.beside

PROXIED = ("loopback", "hairpin", "self", "other-network", "loopback-ipv6")
LOST = ("other-network", "loopback-ipv6")
BARE = (HAIRPIN, HAIRPIN_AGAIN)
GAIN = {PROXY: 1.0, AGAIN: 1.0} | dict.fromkeys(BARE, 0.5)
COSTS = ["cpu_s_per_gb", *(flow.columns[PROCESSES_CPU] for flow in FLOWS.values())]
PINNED = next(design for design in ports.DESIGNS if design.name == "pinned")
CALLED = {"path": "outside", "congestion": "reno", "placement": "", "load": "throughput",
          "published": 0}  # fmt: skip
CONGESTION = Design(
    "congestion",
    tuple(
        Arm(place, CALLED | {"path": path, "congestion": "default"})
        for place in (PROXY, HAIRPIN)
        for path in ("loopback", "hairpin", "outside")
    ),
    block_s=8,
)
"""A design of version 1: the machine's own congestion control, as the scheduler places."""


def source(path: str, place: str) -> str:
    if path == "host-network":
        return "loopback"
    if place in BARE:
        return "own" if path in ("hairpin", "outside", "direct", "gateway") else "gateway"
    return "gateway" if path in PROXIED else "own"


def measured(path: str, place: str, noise: float, cores: int, pinned: bool) -> dict:
    """Return what a trial would measure where the proxy costs twice the CPU on its paths."""
    if place in BARE and path in LOST:
        return {"cores": cores, "reachable": 0, "refusal": "timed out", "served_by": "nobody",
                "accepts_unheard": 0}  # fmt: skip
    proxied = path in PROXIED and place not in BARE
    row = {"cores": cores, "reachable": 1, "source_class": source(path, place),
           "served_by": "proxy" if proxied else "nat", "accepts_unheard": int(proxied)}  # fmt: skip
    if site.PATHS[path].loaded:
        cpu = noise * (GAIN[place] if path in PROXIED else 1.0)
        row |= {"cpu_s_per_gb": cpu, "rate_bit_per_s": 2e10 / cpu, "algorithm": "reno"}
        row |= dict.fromkeys(COSTS if pinned else (), cpu)
    return row


def trials(sessions: int = 10, *, cores: int = 2):
    """Return trials of so many sessions, seeded."""
    return _trials(sessions, cores).copy()


@cache
def _trials(sessions: int, cores: int, noise: float = 0.01):
    rng, rows = np.random.default_rng(2), []  # by which no control fails by chance
    for session, design in itertools.product(range(sessions), (*ports.DESIGNS, CONGESTION)):
        for position, arm in enumerate(design.arms):
            row = {
                "run": "2026-01-01T00:00:00Z", "source": "live", "machine": "m", "ok": True,
                "session": session, "design": design.name, "block": session, "error": "",
                "position": position, "place": arm.place, "started_at": "", **arm.conditions,
            }  # fmt: skip
            factor = float(np.exp(rng.normal(0, noise)))
            if design.name == "many-ports":
                proxies = 0 if arm.place == HAIRPIN else arm.conditions["published"]
                row |= {"cores": cores, "start_s": factor, "stop_s": factor,
                        "processes": proxies, "pss_bytes": 1e6 * proxies * factor}  # fmt: skip
            else:
                pinned = design.name == "pinned"
                row |= measured(arm.conditions["path"], arm.place, factor, cores, pinned)
            rows.append(row)
    return frames.from_rows(rows, ports.Trials)


def swapped(frame):
    """Exchange the two settings; the A/A control repeats the one that is now called proxy."""
    names = {PROXY: HAIRPIN, HAIRPIN: PROXY}
    again = (frame["place"] == AGAIN) & frame["path"].isin(PROXIED)
    costs = {name: frame[name].where(~again, frame[name] * GAIN[HAIRPIN]) for name in COSTS}
    return frame.assign(place=frame["place"].replace(names), **costs)


@pytest.fixture(autouse=True)
def _figures():
    """Close what a test has drawn."""
    yield
    plt.close("all")


def judged(frame) -> dict:
    return {v.claim: v for v in claims.judge(frame, ports.DECISIONS)}


def test_every_path_is_tried_under_both_settings():
    """The main design has every path under either setting, and A/A controls where it judges."""
    arms = {(a.conditions["path"], a.place) for a in ports.DESIGNS[0].arms}
    assert arms == {
        *itertools.product(site.PATHS, (PROXY, HAIRPIN)),
        *itertools.product(PAIRED, (AGAIN,)),
    } - {("host-network", HAIRPIN)}
    assert "loopback-ipv6" not in PAIRED  # reachability only


def test_effects():
    """Half the CPU is found where it is, and where there is none no verdict is drawn."""
    found = judged(trials())
    for path in ("loopback", "hairpin", "self"):
        verdict = found[f"C17/{path}/cpu"]
        assert verdict.verdict == HOLDS
        assert verdict.effect == pytest.approx(0.5, rel=0.02)
        where = re.escape(decisions.LABELS[path])
        headline = rf"CPU per byte, {where}: less without the proxy, (1\.9[89]|2\.0\d?)x \["
        assert re.match(headline, verdict.headline)
    assert found["C17/outside/cpu"].verdict == OPEN
    assert found["C17/memory"].verdict == HOLDS
    assert found["C17/memory"].effect == pytest.approx(-1e8, rel=0.02)
    assert "With the proxy 100 processes, one for each port" in found["C17/memory"].because
    assert found["C17/memory"].because.endswith("without it 0.")


def test_facts():
    """What stops connecting, whom the server sees and who accepts early are said with evidence."""
    found = judged(trials())
    lost = found["C17/other-network/reachable"]
    assert lost.verdict == FAILS
    assert lost.headline == (
        "Path other-network connected in 10 of 10 sessions with the proxy, in 0 of 10 sessions "
        "without"
    )
    assert lost.because.endswith("With the proxy: docker-proxy serves it. Without: timed out.")
    assert found["C17/loopback/reachable"].verdict == HOLDS
    assert found["C17/other-network/address"].verdict == NOT_MEASURED
    assert found["ports-accepts-early"].verdict == HOLDS


def test_accepting_from_outside_is_not_the_claim():
    """It says that nothing accepts early from outside."""
    frame = trials()
    outside = (frame["path"] == "outside") & (frame["place"] == PROXY)
    frame.loc[outside, "accepts_unheard"] = 1.0
    assert judged(frame)["ports-accepts-early"].verdict == FAILS


@pytest.mark.parametrize(
    ("path", "verdict", "words"),
    [
        ("loopback", HOLDS, "the gateway's address with and without the proxy"),
        ("outside", HOLDS, "the client's own address with and without the proxy"),
        ("hairpin", HOLDS, "the client's own address without the proxy, the gateway's address"),
        ("own-address", FAILS, "the gateway's address without the proxy, the client's own"),
    ],
)
def test_an_address_is_lost_only_where_it_was_seen(path, verdict, words):
    """The same either way behaves, as a gain does; only a loss does not."""
    found = judged(trials())[f"C17/{path}/address"]
    assert (found.verdict, words in found.headline) == (verdict, True)


def test_the_whole_is_mixed():
    """The whole holds on some parts and not on others; both are named, the headline is short."""
    whole = judged(trials())["C17"]
    better, worse = whole.because.split(" Worse: ")
    assert whole.verdict == MIXED
    assert whole.headline == (
        "Without the proxy: less CPU per byte on 3 of 5 paths (2x), "
        "but no connection on 2 of 8 paths"
    )
    assert better.startswith(f"{whole.headline}. Better: less CPU per byte on loopback (2x), ")
    assert "less memory for 100 published ports" in better
    assert "the client's own address seen on hairpin" in better
    assert worse.startswith("no connection on loopback-ipv6 and other-network; ")
    assert "the client's own address hidden on own-address" in worse


def test_swapped_arms_flip_everything():
    """With the settings swapped in the data, gains are losses and every verdict turns."""
    before, after = judged(trials()), judged(swapped(trials()))
    assert "Better: less CPU per byte on loopback" in before["C17"].because
    better, worse = after["C17"].because.split(" Worse: ")
    assert "the client's own address seen on own-address" in better
    assert worse.startswith("more CPU per byte on loopback")
    assert "more memory" in worse
    assert "no connection" not in after["C17"].because
    for name in ("C17/loopback/cpu", "C17/hairpin/cpu", "C17/self/cpu", "C17/memory",
                 "C17/hairpin/address"):  # fmt: skip
        assert (before[name].verdict, after[name].verdict) == (HOLDS, FAILS)
    assert "localhost, IPv4: more without the proxy" in after["C17/loopback/cpu"].headline
    assert after["C17/own-address/address"].verdict == HOLDS
    assert after["C17/other-network/reachable"].verdict == HOLDS
    assert after["ports-accepts-early"].verdict == FAILS


def test_a_path_that_never_connects_decides_nothing():
    """Where neither setting connects there is nothing to lose."""
    frame = trials()
    frame.loc[frame["path"] == "loopback-ipv6", ["reachable", "refusal"]] = [0.0, "timed out"]
    found = judged(frame)["C17/loopback-ipv6/reachable"]
    assert (found.verdict, found.n) == (NOT_MEASURED, 0)
    assert "0 of 10 sessions with the proxy, in 0 of 10" in found.headline


def test_gains_alone_hold_and_losses_alone_do_not():
    """Without a loss the claim holds, without a gain it does not."""
    frame = trials()
    paths = frame["path"].isin(["loopback", "hairpin"]) | (frame["design"] == "many-ports")
    assert judged(frame[paths])["C17"].verdict == HOLDS
    assert judged(frame[frame["path"].isin(LOST)])["C17"].verdict == FAILS


def with_own_control(frame, factor=1.0, name="bbr"):
    """Let the machine's own congestion control be another, under which the CPU changes so."""
    own = frame["congestion"] == "default"
    off = own & (frame["place"] == HAIRPIN)
    cpu = frame["cpu_s_per_gb"].where(~off, frame["cpu_s_per_gb"] * factor)
    return frame.assign(
        algorithm=frame["algorithm"].where(~own, name),
        cpu_s_per_gb=cpu,
        rate_bit_per_s=frame["rate_bit_per_s"].where(~off, frame["rate_bit_per_s"] / factor),
    )


def test_every_size_names_its_congestion_control():
    """A size holds for one algorithm; that of the machine's own stands beside it, unjudged."""
    found = judged(with_own_control(trials(), factor=1.6))
    assert "Congestion control: reno." in found["C17"].because
    whole = r"CPU per byte with bbr, the machine's own \(not judged\): 1.2\dx less on loopback"
    assert re.search(whole, found["C17"].because)
    cpu = found["C17/loopback/cpu"].because
    beside = r"Congestion control: reno. With bbr, the machine's own: 1.2\dx less \(not judged\).$"
    assert re.search(beside, cpu)
    shown = found["C17/loopback/throughput"].because
    assert shown.endswith("x more (not judged).")
    # the path self is not tried under another
    assert found["C17/self/cpu"].because.endswith(" Congestion control: reno.")
    turned = judged(with_own_control(trials(), factor=3.0))["C17/loopback/cpu"].because
    assert turned.endswith("x more (not judged).")
    alike = judged(with_own_control(trials(), name="reno"))
    assert alike["C17/loopback/cpu"].because.endswith(" Congestion control: reno.")
    assert "the machine's own" not in alike["C17"].because


def test_the_whole_says_what_decides_it():
    """The card of the whole is as complete as those of its parts."""
    whole = judged(trials())["C17"]
    assert (whole.decides, whole.kind, whole.quote) == (WHOLE.decides, WHOLE.kind, WHOLE.text)
    assert "reno" in whole.decides


@pytest.mark.parametrize("cores", [2, 4])
def test_cpu_bound_throughput_is_said(cores):
    """Where client and server used up the cores, the throughput card says so, and no other."""
    frame = trials(cores=cores).assign(cpu_bound=0.0)
    words = "Client and server alone used 95% of the cores in"
    assert not any(words in v.because for v in judged(frame).values())
    on = (frame["path"] == "loopback") & (frame["place"] == PROXY) & (frame["design"] == "paths")
    frame.loc[on & (frame["session"] < 3), "cpu_bound"] = 1.0
    found = judged(frame)
    assert f"{words} 3 of 10 trials with the proxy." in found["C17/loopback/throughput"].because
    assert sum(words in v.because for v in found.values()) == 1
    frame.loc[frame["place"] == HAIRPIN, "cpu_bound"] = 1.0
    said = judged(frame)["C17/loopback/throughput"].because
    assert f"{words} 3 of 10 trials with the proxy and 10 of 10 trials without." in said


def test_calibration():
    """Each judged path is measured twice, and one path meets no proxy: all should read 1."""
    table = complete(ports).calibrate(trials()).set_index("check")
    reno = sum(case.congestion == "reno" for case in CASES)
    assert len(table) == 2 * len(PAIRED) + reno + 1 + len(FLOWS)
    assert set(table["passes"]) == {"yes"}
    frame = trials()
    again = (frame["place"] == AGAIN) & (frame["path"] == "self")
    frame.loc[again, "cpu_s_per_gb"] *= 1.1
    off = complete(ports).calibrate(frame).set_index("check")
    assert list(off.index[off["passes"] == "no"]) == ["self, with the proxy twice: CPU per byte"]
    assert off["note"].str.contains(r"control fails: 1\.1").sum() == 1
    few = complete(ports).calibrate(trials(sessions=3))
    assert set(few["passes"]) == {"not measured"}


def test_the_figure_draws_what_decides():
    """The figure of effects has the intervals of the verdicts, over the A/A controls."""
    frame = trials()
    ax = ports.plot_effects(frame)
    drawn = {tuple(np.round(line.get_xdata(), 9)) for line in ax.lines}
    found = judged(frame)
    verdicts = [found[f"C17/{path}/cpu"] for path in PAIRED]
    assert {tuple(np.round([v.low, v.high], 9)) for v in verdicts} <= drawn
    for row in ports.effects(frame).itertuples():
        assert tuple(np.round([row.low, row.high], 9)) not in drawn
    words = plots.describe(ax)
    assert "adjusted intervals" in words
    assert re.search(r"Grey, the A/A control: localhost, IPv4 0\.\d+ to 1\.\d+", words)
    sizes = {tuple(np.round(line.get_xdata(), 9)) for line in ports.plot_sizes(frame).lines}
    cases = [found[claim.id] for claim in SIZED.values()]
    assert {tuple(np.round([v.low, v.high], 9)) for v in cases} <= sizes


def test_few_cores_judge_no_throughput():
    """On fewer than 4 cores throughput is shown and not judged; on 4 it is."""
    few, many = judged(trials(cores=3)), judged(trials(cores=4))
    assert few["C17/loopback/throughput"].verdict == NOT_MEASURED
    assert few["C17/loopback/throughput"].effect == pytest.approx(2, rel=0.02)
    assert "3 cores" in few["C17/loopback/throughput"].because
    assert many["C17/loopback/throughput"].verdict == HOLDS
    assert "more throughput on loopback (2x)" in many["C17"].because
    assert "more throughput" not in few["C17"].because


def test_noise_of_the_harness_stops_verdicts():
    """If the same setting twice differs as much as the settings do, nothing is concluded."""
    frame = trials()
    again = frame["place"] == AGAIN
    frame.loc[again, COSTS] = frame.loc[again, COSTS] * 2.5
    assert judged(frame)["C17/loopback/cpu"].verdict == OPEN
    assert "less CPU" not in judged(frame)["C17"].because


def test_too_few_sessions():
    """With six sessions facts are judged, effects are not: six comparisons need more."""
    found = judged(trials(sessions=6))
    assert found["C17/loopback/cpu"].verdict == OPEN
    assert "an interval adjusted for so many comparisons needs" in found["C17/loopback/cpu"].because
    assert found["C17/other-network/reachable"].verdict == FAILS


def test_sessions_are_the_unit():
    """Ten trials of one session are one pair, not ten."""
    frame = trials().assign(session=0)
    assert judged(frame)["C17/loopback/cpu"].n == 1


def test_a_wavering_path_is_inconclusive():
    """A path that connects in some sessions only gets no yes and no no."""
    frame = trials()
    some = (frame["place"] == HAIRPIN) & (frame["path"] == "loopback") & (frame["session"] < 3)
    frame.loc[some, "reachable"] = 0.0
    verdict = judged(frame)["C17/loopback/reachable"]
    assert (verdict.verdict, "7 of 10 sessions" in verdict.because) == (OPEN, True)


def test_nothing_could_run():
    """Where a setting could not be opened, every claim says why and none is judged."""
    frame = trials()
    off = frame["place"] == HAIRPIN
    frame.loc[off, frames.measures(ports.Trials)] = np.nan
    frame.loc[off, ["served_by", "source_class", "refusal"]] = np.nan
    frame.loc[off, "ok"] = False
    frame.loc[off, "error"] = f"{UNAVAILABLE}private-engine: no dockerd."
    found = judged(frame)
    del found["ports-accepts-early"]  # asks for the proxy's engine only
    assert {v.verdict for v in found.values()} == {NOT_MEASURED}
    assert found["C17"].because == f"No {HAIRPIN}: private-engine: no dockerd."


def test_headlines_are_whole_and_texts_stable():
    """No headline is cut, and the same trials are told in the same words."""
    found = judged(trials(cores=8))
    for verdict in found.values():
        assert len(verdict.headline) <= LONGEST_HEADLINE
        assert not verdict.headline.endswith("…"), "cut"
    assert repr(found) == repr(judged(trials(cores=8)))


def test_every_path_has_words():
    """Who calls, which address, and what for; in the order of the paths, nothing too much."""
    table = ports.paths()
    assert list(table.index) == list(site.PATHS)
    assert {p.client for p in site.PATHS.values()} == set(tables.CLIENTS)
    assert {p.target for p in site.PATHS.values()} == set(tables.TARGETS)
    assert table["meaning"].is_unique
    assert table.loc["self", "client"] == "the serving container itself"
    baselines = table["meaning"].str.startswith("baseline")
    assert list(baselines) == list(~table["published"])


def test_tables():
    """Summary, reachability, effects and prices read the same trials."""
    frame = trials()
    table = ports.summarize(frame)
    assert table.loc[("loopback", PROXY), "served_by"] == "proxy"
    assert table.loc[("loopback", PROXY), "n"] == 10
    assert list(table.index.get_level_values("path").unique()) == list(site.PATHS)
    words = ports.reachability(frame)
    assert words.loc["hairpin"].tolist() == ["proxy, sees gateway", "nat, sees own"]
    assert words.loc["other-network", "no proxy"] == "timed out"
    assert ports.effects(frame).loc["loopback", "estimate"] == pytest.approx(0.5, rel=0.02)
    assert ports.prices(frame).loc[(100, PROXY), "processes"] == 100


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


def test_plots():
    """Each figure has an axis with a unit and one row per arm."""
    frame = trials()
    assert "(s)" in ports.plot(frame).get_xlabel()
    assert len(ports.plot_effects(frame).get_yticks()) == len(PAIRED)


def test_colours_mean_settings():
    """In the figure of paths a colour stands for a setting, not for a row."""
    ax = ports.plot(trials())
    dots = {line.get_color() for line in ax.lines if line.get_marker() == "o"}
    wanted = {plots.NAMED["proxy"], plots.NAMED["no proxy"]}
    assert dots == wanted
    assert len(wanted) == 2
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["proxy", "no proxy"]


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


def test_a_pinned_trial_needs_the_cpu_time_of_its_processes(tables_of_one_trial):
    """Without it the trial has failed; recordings from before have none, and load."""
    trials = tables_of_one_trial["trials"]
    check_trials(complete(ports), trials)
    without = trials.assign(processes_cpu_4_s_per_gb=np.nan)
    with pytest.raises(DataError, match="'processes_cpu_4_s_per_gb' is missing"):
        check_trials(complete(ports), without)
    check_trials(complete(ports), without.assign(load="full", round_trip_p50_s=1e-4,
                                                 connects_per_s=1.0))  # fmt: skip


def test_both_arms_of_a_case_are_alike():
    """But for the proxy they differ in nothing that a size hangs on; each case has its control."""
    arms = [(arm.place, *arm.conditions.values()) for arm in PINNED.arms]
    assert len(set(arms)) == len(arms) == 15
    assert PINNED.blocks_per_session == 3
    for case in CASES:
        decision = next(d for d in ports.DECISIONS if d.claim is SIZED[case])
        arm, baseline = decision.contrast.arm, decision.contrast.baseline
        assert (arm["place"], baseline["place"]) == (HAIRPIN, PROXY)
        assert arm["congestion"] == baseline["congestion"] == case.congestion
        ends = [pinning._NUMBERS[where["placement"]][:2] for where in (arm, baseline)]
        assert ends[0] == ends[1]  # client and server run on the same CPUs
        assert decision.null.arm == decision.null.baseline | {"place": AGAIN}
        assert decision.null.baseline["placement"] == baseline["placement"]
        assert decision.null.measure == decision.contrast.measure


def test_fifteen_sessions_take_three_quarters_of_an_hour():
    """By what the designs say of themselves, without the opening of engines."""
    planned_s = sum(d.lasts_s() * d.blocks_by(ports.SESSIONS - 1) for d in ports.DESIGNS)
    assert planned_s < 45 * 60
    flows = sum(len(LOADS[arm.conditions["load"]]) for arm in PINNED.arms)
    assert PINNED.block_s >= flows * 1.04  # seconds that a test of iperf3 was seen to take


def test_sizes_that_differ_are_a_range():
    """Of cases that differ, whole, answer and first screen say a range and never one of them."""
    frame = trials()
    four = (frame["design"] == "pinned") & (frame["place"] == HAIRPIN)
    column = FLOWS["four"].columns[PROCESSES_CPU]
    frame[column] = frame[column].where(~four, frame[column] * 0.6)
    found = judged(frame)
    whole = found["C17"]
    assert re.search(r"less CPU per byte on 3 of 5 paths \(2 to 3\.[34]x\)", whole.headline)
    assert f"less CPU per byte in {len(CASES)} of {len(CASES)} pinned cases (2" in whole.because
    assert re.search(r"to 3\.[34]x, loopback", whole.because)
    size = r"3 of 5 paths need (1\.9|2\.0) to 3\.[34] times less CPU per byte, depending on path"
    assert re.search(size, whole.sentence)
    assert "on which CPUs it runs" in whole.sentence
    (highlight,) = ports.highlights(frame)
    assert re.fullmatch(r"(1\.9|2\.0)–3\.[34]×", highlight.number)
    for case in CASES:
        verdict = found[SIZED[case].id]
        factor = 0.6 if case.flow == "four" else 1.0
        assert verdict.effect == pytest.approx(0.5 * factor, rel=0.02)
        beside = re.search(r"whole machine: 0\.(49|50|51)x \(not judged\)", verdict.because)
        assert bool(beside) == (case.flow == "one")


def test_sizes_that_nobody_judges_widen_the_range():
    """Version 1 has four connections and another control beside; its answer is no single size."""
    frame = with_own_control(trials(), factor=1.6)
    frame = frame[frame["design"] != "pinned"]
    bare = frame["place"].isin(BARE) & frame["path"].isin(PROXIED)
    main = frame["design"] == "paths"
    four = frame["cpu_s_per_gb"].where(~bare, frame["cpu_s_per_gb"] * 0.7)
    found = judged(frame.assign(cpu_4_s_per_gb=four.where(main)))
    assert "With 4 connections: 2.8" in found["C17/self/cpu"].because
    assert re.search(r"need 1\.[23] to 2\.9 times less CPU per byte, depending on path, conn",
                     found["C17"].sentence)  # fmt: skip
    assert "on which CPUs" not in found["C17"].sentence


def test_pinned_cases_alone():
    """A run of that design alone says in how many cases, and no path is claimed to be judged."""
    frame = trials()
    whole = judged(frame[frame["design"] == "pinned"].reset_index(drop=True))["C17"]
    assert whole.verdict == HOLDS
    told = f"Without the proxy: less CPU per byte in {len(CASES)} of {len(CASES)} pinned cases"
    assert whole.headline.startswith(told)
    assert whole.sentence == "Without docker-proxy a service needs 2.0 times less CPU per byte."


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

    def placed(placement):
        command = pinning.pin(here, "loopback", placement)
        said = subprocess.run([*command, "nproc"], capture_output=True, text=True, check=True)
        return int(said.stdout), [os.sched_getaffinity(child.pid) for child in children]

    assert placed(pinning.TOGETHER) == (1, [{cpus[0]}, {cpus[0]}])
    if len(cpus) > 1:
        assert placed(pinning.APART) == (1, [{cpus[0]}, {cpus[1]}])
        assert placed(pinning.SPREAD) == (1, [{cpus[1]}, {cpus[0]}])
    assert placed(pinning.FREE) == (len(cpus), [set(cpus)] * 2)
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


def failed(frame):
    """Return the trials as they are where no engine could be opened."""
    texts = ["served_by", "source_class", "refusal", "algorithm"]
    frame = frame.assign(**dict.fromkeys([*frames.measures(ports.Trials), *texts], np.nan))
    frame = frame.assign(ok=False, error="unavailable: private-engine: no dockerd")
    return frames.validate(frame, ports.Trials)


TABLES = (ports.summarize, ports.reachability, ports.effects, ports.congestion, ports.prices,
          complete(ports).calibrate)  # fmt: skip
FIGURES = (ports.plot, ports.plot_effects, ports.plot_sizes)
PARTS = {
    "the proxy": lambda frame: frame[frame["place"] == PROXY],
    "no proxy": lambda frame: frame[frame["place"] == HAIRPIN],
    "the control": lambda frame: frame[frame["place"] == AGAIN],
    "paths": lambda frame: frame[frame["design"] == "paths"],
    "congestion": lambda frame: frame[frame["design"] == "congestion"],
    "many ports": lambda frame: frame[frame["design"] == "many-ports"],
    "one path": lambda frame: frame[frame["path"] == "hairpin"],
    "one session": lambda frame: frame[frame["session"] == 0],
    "one row": lambda frame: frame.head(1),
    "nothing": lambda frame: frame.head(0),
    "failures": failed,
}


@pytest.mark.parametrize("part", PARTS)
def test_part_of_the_trials(part):
    """With a part of the trials only, nothing raises and no effect is decided."""
    frame = PARTS[part](trials()).reset_index(drop=True)
    for table in TABLES:
        table(frame)
    for figure in FIGURES:
        assert plots.describe(figure(frame))
    assert ports.answer(frame)
    found = judged(frame)
    if part not in ("paths", "many ports", "one path", "nothing"):
        effects = {v.verdict for name, v in found.items() if name.endswith(("cpu", "memory"))}
        assert effects <= {NOT_MEASURED, OPEN}
    if part in ("the proxy", "no proxy", "the control", "failures", "one row"):
        assert found["C17"].verdict == NOT_MEASURED
    assert bool(found) == (part != "nothing")


def test_two_machines_are_never_mixed():
    """Each machine has its rows, its axes and its sentence; its numbers are those of it alone."""
    one = with_own_control(trials())
    other = swapped(one).assign(machine="other", run="later")
    both = pd.concat([one, other], ignore_index=True)
    for table in TABLES:
        alone = table(one)
        together = table(both)
        where = together["machine"] == "m" if "machine" in together else None
        mine = together.loc["m"] if where is None else together[where].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, alone, check_dtype=False)
    for figure in FIGURES:
        assert "m: " in plots.describe(figure(both))
    assert ports.answer(both) == f"m: {ports.answer(one)} other: {ports.answer(other)}"
