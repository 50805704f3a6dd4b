"""`ports`: what its verdicts say follows the trials, path by path."""

import itertools
import re
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from caveatlib import frames, plots
from caveatlib.claims import FAILS, HOLDS, MIXED, NOT_MEASURED, OPEN
from caveatlib.claims.model import LONGEST_HEADLINE
from caveatlib.errors import DataError, MeasurementError
from caveatlib.experiments import ports
from caveatlib.experiments.ports import decisions, site, tables, traffic
from caveatlib.experiments.ports.designs import AGAIN, HAIRPIN, PAIRED, PROXY
from caveatlib.frames import UNAVAILABLE
from caveatlib.measuring.experiment import check_trials, complete

pytestmark = pytest.mark.beside

PROXIED = ("loopback", "hairpin", "self", "other-network", "loopback-ipv6")
LOST = ("other-network", "loopback-ipv6")
GAIN = {PROXY: 1.0, AGAIN: 1.0, HAIRPIN: 0.5}


def source(path: str, place: str) -> str:
    if path == "host-network":
        return "loopback"
    if place == HAIRPIN:
        return "own" if path in ("hairpin", "outside", "direct", "gateway") else "gateway"
    return "gateway" if path in PROXIED else "own"


def measured(path: str, place: str, noise: float, cores: int) -> dict:
    """Return what a trial would measure where the proxy costs twice the CPU on its paths."""
    if place == HAIRPIN and path in LOST:
        return {"cores": cores, "reachable": 0, "refusal": "timed out", "served_by": "nobody",
                "accepts_unheard": 0}  # fmt: skip
    proxied = path in PROXIED and place != HAIRPIN
    row = {"cores": cores, "reachable": 1, "source_class": source(path, place),
           "served_by": "proxy" if proxied else "nat", "accepts_unheard": int(proxied)}  # fmt: skip
    if site.PATHS[path].loaded:
        cpu = noise * (GAIN[place] if path in PROXIED else 1.0)
        row |= {"cpu_s_per_gb": cpu, "rate_bit_per_s": 2e10 / cpu, "algorithm": "reno"}
    return row


def trials(sessions: int = 10, *, cores: int = 2):
    """Return trials of so many sessions, seeded."""
    return _trials(sessions, cores).copy()


@cache
def _trials(sessions: int, cores: int, noise: float = 0.01):
    rng, rows = np.random.default_rng(7), []
    for session, design in itertools.product(range(sessions), ports.DESIGNS):
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
                row |= measured(arm.conditions["path"], arm.place, factor, cores)
            rows.append(row)
    return frames.from_rows(rows, ports.Trials)


def swapped(frame):
    """Exchange the two settings; the A/A control repeats the one that is now called proxy."""
    names = {PROXY: HAIRPIN, HAIRPIN: PROXY}
    again = (frame["place"] == AGAIN) & frame["path"].isin(PROXIED)
    cpu = frame["cpu_s_per_gb"].where(~again, frame["cpu_s_per_gb"] * GAIN[HAIRPIN])
    return frame.assign(place=frame["place"].replace(names), cpu_s_per_gb=cpu)


@pytest.fixture(autouse=True)
def _figures():
    """Close what a test has drawn."""
    yield
    plt.close("all")


def judged(frame) -> dict:
    return {v.claim: v for v in ports.verdicts(frame)}


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
        headline = rf"CPU per byte, {where}: less without the proxy, (1\.99|2\.0\d?)x \["
        assert re.match(headline, verdict.headline)
    assert found["C17/outside/cpu"].verdict == OPEN
    assert found["C17/memory"].verdict == HOLDS
    assert found["C17/memory"].effect == pytest.approx(-1e8, rel=0.02)


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
    claim = next(c for c in ports.CLAIMS if c.id == "C17")
    assert (whole.decides, whole.kind, whole.quote) == (claim.decides, claim.kind, claim.text)
    assert "reno" in whole.decides


@pytest.mark.parametrize("cores", [2, 4])
def test_cpu_bound_throughput_is_said(cores):
    """Where client and server used up the cores, the throughput card says so, and no other."""
    frame = trials(cores=cores).assign(cpu_bound=0.0)
    words = "Client and server alone used 95% of the cores in"
    assert not any(words in v.because for v in ports.verdicts(frame))
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
    table = ports.calibrate(trials()).set_index("check")
    assert len(table) == 2 * len(PAIRED) + 1
    assert set(table["passes"]) == {"yes"}
    frame = trials()
    again = (frame["place"] == AGAIN) & (frame["path"] == "self")
    frame.loc[again, "cpu_s_per_gb"] *= 1.1
    off = ports.calibrate(frame).set_index("check")
    assert list(off.index[off["passes"] == "no"]) == ["self, with the proxy twice: CPU per byte"]
    assert off["note"].str.contains(r"control fails: 1\.1").sum() == 1
    few = ports.calibrate(trials(sessions=3))
    assert set(few["passes"]) == {"not measured"}


def test_the_figure_draws_what_decides():
    """The figure of effects has the intervals of the verdicts, over the A/A controls."""
    frame = trials()
    ax = ports.plot_effects(frame)
    drawn = {tuple(np.round(line.get_xdata(), 9)) for line in ax.lines}
    verdicts = [v for name, v in judged(frame).items() if name.endswith("/cpu")]
    assert {tuple(np.round([v.low, v.high], 9)) for v in verdicts} <= drawn
    for row in ports.effects(frame).itertuples():
        assert tuple(np.round([row.low, row.high], 9)) not in drawn
    words = plots.describe(ax)
    assert "adjusted intervals" in words
    assert re.search(r"Grey, the A/A control: localhost, IPv4 0\.\d+ to 1\.\d+", words)


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
    frame.loc[again, "cpu_s_per_gb"] = frame.loc[again, "cpu_s_per_gb"] * 2.5
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


def test_verdicts_and_claims_match():
    """Every verdict belongs to a claim, every claim has a verdict, and texts are stable."""
    found = ports.verdicts(trials(cores=8))
    assert sorted(v.claim for v in found) == sorted(c.id for c in ports.CLAIMS)
    for verdict in found:
        assert len(verdict.headline) <= LONGEST_HEADLINE
        assert not verdict.headline.endswith("…"), "cut"
    assert [repr(v) for v in found] == [repr(v) for v in ports.verdicts(trials(cores=8))]


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
          "cpu_bound": 1, "cpu_s_per_gb": 0.2, "proxy_cpu_s_per_gb": 0.0, "algorithm": "reno",
          "iperf_version": "iperf 3.18"}  # fmt: skip


@pytest.fixture
def stubs(monkeypatch):
    """Replace what needs an engine; return the dictionaries that the stubs answer with."""
    reached, loaded = dict(REACHED), dict(LOADED)
    monkeypatch.setattr(site, "congest", lambda here, wanted: "reno")
    monkeypatch.setattr(traffic, "reach", lambda here, path: dict(reached))
    monkeypatch.setattr(
        traffic, "throughput",
        lambda here, path, *, streams, cores: (loaded | {"rate_bit_per_s": streams * 1e10}, "{}"),
    )  # fmt: skip
    monkeypatch.setattr(traffic, "round_trips", lambda here, path: {"round_trip_p50_s": 1e-4})
    monkeypatch.setattr(traffic, "connects", lambda here, path: {"connects_per_s": 5.0})
    return reached, loaded


def test_trial_fills_its_columns(stubs):
    """A full trial has both rates, each in its column, and two reports that fit their table."""
    conditions = {"path": "outside", "congestion": "reno", "load": "full", "published": 0}
    outcome = ports.trial(None, conditions, seed=1)
    assert outcome.measures["rate_bit_per_s"] == 1e10
    assert outcome.measures["rate_4_bit_per_s"] == 4e10
    assert outcome.measures["cpu_4_s_per_gb"] == 0.2
    assert "refusal" not in outcome.measures
    assert set(outcome.measures) <= set(frames.columns(ports.Trials))
    row = {"run": "r", "design": "paths", "block": 0, "place": PROXY}
    reports = [row | r for r in outcome.tables["iperf3"]]
    assert list(frames.from_rows(reports, ports.Reports)["streams"]) == [1, 4]


def test_trial_without_a_connection_is_no_failure(stubs):
    """A path that does not connect yields reachable 0 and no load."""
    stubs[0].update(reachable=0, refusal="timed out", served_by="nobody", source_class="")
    conditions = {"path": "other-network", "congestion": "reno", "load": "full", "published": 0}
    outcome = ports.trial(None, conditions, seed=1)
    assert (outcome.measures["reachable"], outcome.measures["refusal"]) == (0, "timed out")
    assert "rate_bit_per_s" not in outcome.measures
    assert outcome.tables["iperf3"] == []


def test_trial_refuses_another_congestion_control(stubs):
    """If iperf3 saw another algorithm than was set, the trial fails."""
    stubs[1]["algorithm"] = "reno/bbr"
    conditions = {"path": "outside", "congestion": "reno", "load": "throughput", "published": 0}
    with pytest.raises(MeasurementError, match="reno/bbr"):
        ports.trial(None, conditions, seed=1)


def failed(frame):
    """Return the trials as they are where no engine could be opened."""
    texts = ["served_by", "source_class", "refusal", "algorithm"]
    frame = frame.assign(**dict.fromkeys([*frames.measures(ports.Trials), *texts], np.nan))
    frame = frame.assign(ok=False, error="unavailable: private-engine: no dockerd")
    return frames.validate(frame, ports.Trials)


TABLES = (ports.summarize, ports.reachability, ports.effects, ports.congestion, ports.prices,
          ports.calibrate)  # fmt: skip
FIGURES = (ports.plot, ports.plot_effects)
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
