"""`ports`: what its verdicts say follows the trials, path by path."""

import itertools
import re
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pytest

from caveatlib import frames, plots
from caveatlib.claims import FAILS, HOLDS, NOT_MEASURED, OPEN
from caveatlib.errors import DataError, MeasurementError
from caveatlib.experiments import ports
from caveatlib.experiments.ports import claims, site, traffic
from caveatlib.experiments.ports.decisions import AGAIN, HAIRPIN, PAIRED, PROXY
from caveatlib.frames import UNAVAILABLE

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
    """Exchange the two settings; the null arm repeats the one that is now called proxy."""
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
    """The main design holds every path under either setting, and the null arm where it judges."""
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
        assert verdict.because.startswith("Less CPU per byte: ")
    assert found["C17/outside/cpu"].verdict == OPEN
    assert found["C17/memory"].verdict == HOLDS
    assert found["C17/memory"].effect == pytest.approx(-1e8, rel=0.02)


def test_facts():
    """What stops connecting, whom the server sees and who accepts early are said with evidence."""
    found = judged(trials())
    assert found["C17/other-network/reachable"].verdict == FAILS
    assert "docker-proxy serves it" in found["C17/other-network/reachable"].because
    assert "timed out" in found["C17/other-network/reachable"].because
    assert found["C17/loopback/reachable"].verdict == HOLDS
    assert found["C17/hairpin/address"].verdict == HOLDS
    assert found["C17/own-address/address"].verdict == FAILS
    assert found["C17/other-network/address"].verdict == NOT_MEASURED
    assert found["ports-accepts-early"].verdict == HOLDS


def test_mixed_answer():
    """The whole is one sentence of gains and one of losses."""
    whole = judged(trials())["C17"]
    gains, losses = whole.because.split("Without the proxy you lose: ")
    assert whole.verdict == OPEN
    assert gains.startswith(
        "Mixed. Without the proxy you gain: less CPU per byte (with reno: loopback 2"
    )
    assert "less memory (100 MB with 100 published ports)" in gains
    assert "the client's own address (hairpin)" in gains
    assert "the client's own address (own-address)" in losses
    assert "paths that connect (loopback-ipv6, other-network)" in losses


def test_swapped_arms_flip_everything():
    """With the settings swapped in the data, gains are losses and every verdict turns."""
    before, after = judged(trials()), judged(swapped(trials()))
    gained, _ = before["C17"].because.split("Without the proxy you lose: ")
    assert "less CPU per byte (with reno: loopback" in gained
    gains, losses = after["C17"].because.split("Without the proxy you lose: ")
    assert "paths that connect (loopback-ipv6, other-network)" in gains
    assert "more CPU per byte (with reno: loopback" in losses
    assert "more memory" in losses
    for name in ("C17/loopback/cpu", "C17/hairpin/cpu", "C17/self/cpu", "C17/memory",
                 "C17/hairpin/address"):  # fmt: skip
        assert (before[name].verdict, after[name].verdict) == (HOLDS, FAILS)
    assert after["C17/loopback/cpu"].because.startswith("More CPU per byte")
    assert after["C17/own-address/address"].verdict == HOLDS
    assert after["C17/other-network/reachable"].verdict == NOT_MEASURED
    assert after["ports-accepts-early"].verdict == FAILS


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
    assert "(with reno: loopback 2" in found["C17"].because
    whole = "CPU per byte with bbr, the machine's own, not judged: loopback 1.2"
    assert whole in found["C17"].because
    cpu = found["C17/loopback/cpu"].because
    assert cpu.endswith("x less, which is not judged.")
    assert "With reno; with bbr, the machine's own, 1.2" in cpu
    shown = found["C17/loopback/throughput"].because
    assert shown.endswith("x more, which is not judged.")
    assert found["C17/self/cpu"].because.endswith(" With reno.")  # not tried under another
    turned = judged(with_own_control(trials(), factor=3.0))["C17/loopback/cpu"].because
    assert turned.endswith("x more, which is not judged.")
    alike = judged(with_own_control(trials(), name="reno"))
    assert alike["C17/loopback/cpu"].because.endswith(" With reno.")
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
    assert f"{words} 3 of 10 trials with the proxy, 10 of 10 trials without." in said


def test_known_answers():
    """Each judged path is measured twice, and one path meets no proxy: all should read 1."""
    table = ports.known_answers(trials()).set_index("check")
    assert len(table) == 2 * len(PAIRED) + 1
    assert set(table["passes"]) == {"yes"}
    frame = trials()
    again = (frame["place"] == AGAIN) & (frame["path"] == "self")
    frame.loc[again, "cpu_s_per_gb"] *= 1.1
    off = ports.known_answers(frame).set_index("check")
    assert list(off.index[off["passes"] == "no"]) == ["self with the proxy, over itself: CPU"]
    assert off["note"].str.startswith("Too noisy for effects below 1.1").sum() == 1
    few = ports.known_answers(trials(sessions=3))
    assert set(few["passes"]) == {"not known"}


def test_the_figure_draws_what_decides():
    """The figure of effects has the adjusted intervals, over the bands of the null arm."""
    frame = trials()
    ax = ports.plot_effects(frame)
    table = ports.effects(frame)
    drawn = {tuple(np.round(line.get_xdata(), 9)) for line in ax.lines}
    for row in table.itertuples():
        assert tuple(np.round([row.low_adjusted, row.high_adjusted], 9)) in drawn
        assert tuple(np.round([row.low, row.high], 9)) not in drawn
    words = plots.describe(ax)
    assert "adjusted intervals" in words
    assert re.search(r"Grey, where the proxy over itself moves: loopback 0\.\d+ to 1\.\d+", words)


def test_few_cores_judge_no_throughput():
    """On fewer than 4 cores throughput is shown and not judged; on 4 it is."""
    few, many = judged(trials(cores=3)), judged(trials(cores=4))
    assert few["C17/loopback/throughput"].verdict == NOT_MEASURED
    assert few["C17/loopback/throughput"].effect == pytest.approx(2, rel=0.02)
    assert "3 cores" in few["C17/loopback/throughput"].because
    assert many["C17/loopback/throughput"].verdict == HOLDS
    assert "more throughput (with reno: loopback 2" in many["C17"].because
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
    assert "Too few" in found["C17/loopback/cpu"].because
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
    assert [repr(v) for v in found] == [repr(v) for v in ports.verdicts(trials(cores=8))]


def test_every_path_has_words():
    """Who calls, which address, and what for; in the order of the paths, nothing too much."""
    table = ports.paths()
    assert list(table.index) == list(site.PATHS) == list(claims.MEANINGS)
    assert {p.client for p in site.PATHS.values()} == set(claims.CLIENTS)
    assert {p.target for p in site.PATHS.values()} == set(claims.TARGETS)
    assert table["meaning"].is_unique
    assert table.loc["self", "client"] == "the serving container itself"
    baselines = table["meaning"].str.startswith("the baseline")
    assert list(baselines) == list(~table["published"])
    light = table["meaning"].str.endswith("only whether it connects")
    assert list(light | baselines) == [not p.loaded or not p.published for p in site.PATHS.values()]


def test_congestion_control_is_told_from_the_trials():
    """What the paths had, and what the machine has; exchanged in the data, exchanged here."""
    frame = trials()
    frame.loc[frame["congestion"] == "default", "algorithm"] = "bbr"
    assert ports.controls(frame).loc["m"].tolist() == ["reno", "bbr"]
    frame["algorithm"] = frame["algorithm"].replace({"reno": "bbr", "bbr": "cubic"})
    assert ports.controls(frame).loc["m"].tolist() == ["bbr", "cubic"]
    without = frame[frame["design"] != "congestion"]
    assert ports.controls(without).loc["m"].tolist() == ["bbr", ""]


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
        start_s=0.2, stop_s=0.3)  # fmt: skip
    ports.check(row)
    with pytest.raises(DataError, match=re.escape(words)):
        ports.check(row.assign(**{column: value}))


def test_a_coarse_clock_is_refused():
    """Starts in whole milliseconds in every trial come from another clock."""
    rows = trials()
    rows.loc[rows["load"] == "price", ["start_s", "stop_s"]] = 0.25
    with pytest.raises(DataError, match="finer clock"):
        ports.check(rows.assign(cpu_s_per_gb=np.nan))


def test_the_tick_of_cpu_time():
    """A hundredth of a second over the gigabytes of the slowest trial."""
    frame = trials().assign(rate_bit_per_s=16e9)
    assert ports.cpu_tick(frame) == pytest.approx(0.005)
    frame.loc[3, "rate_bit_per_s"] = 8e9
    assert ports.cpu_tick(frame) == pytest.approx(0.01)


def test_plots():
    """Each figure has an axis with a unit and one row or line per arm."""
    frame = trials()
    assert "(s)" in ports.plot(frame).get_xlabel()
    assert len(ports.plot_effects(frame).get_yticks()) == len(PAIRED)
    assert "(MB)" in ports.plot_prices(frame).get_ylabel()


def test_colours_mean_settings():
    """In the figure of paths a colour stands for a setting, not for a row."""
    ax = ports.plot(trials())
    names = [label.get_text() for label in ax.get_yticklabels()]
    dots = [line.get_color() for line in ax.lines if line.get_marker() == "o"]
    colours = {}
    for name, colour in zip(names, dots, strict=True):
        colours.setdefault(name.split(", ")[1], set()).add(colour)
    assert {name: len(found) for name, found in colours.items()} == {"proxy": 1, "no proxy": 1}
    assert colours["proxy"] != colours["no proxy"]


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


@pytest.mark.parametrize("kept", [[PROXY], [HAIRPIN], [AGAIN], []])
def test_part_of_the_settings(kept):
    """With some settings only, or every trial failed, nothing raises and no effect is judged."""
    frame = trials()
    if kept:
        frame = frame[frame["place"].isin(kept)].reset_index(drop=True)
    else:
        frame[[*frames.measures(ports.Trials), "served_by", "source_class", "refusal"]] = np.nan
        frame = frame.assign(ok=False, error="unavailable: private-engine: no dockerd")
        frame = frames.validate(frame, ports.Trials)
    found = judged(frame)
    assert found["C17"].verdict == NOT_MEASURED
    assert {v.verdict for n, v in found.items() if n.endswith(("cpu", "memory"))} == {NOT_MEASURED}
    assert len(ports.summarize(frame))
    ports.reachability(frame)
    ports.congestion(frame)
    ports.prices(frame)
    ports.plot(frame)
    ports.plot_prices(frame)
    ports.plot_effects(frame)
