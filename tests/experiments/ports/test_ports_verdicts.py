"""What the verdicts of `ports` say follows the trials, path by path."""

import re

import numpy as np
import pytest
from experiments.ports.made_up import COSTS, LOST, judged, swapped, trials, with_own_control

from caveatlib import frames
from caveatlib.claims import FAILS, HOLDS, MIXED, NOT_MEASURED, OPEN
from caveatlib.claims.model import LONGEST_HEADLINE
from caveatlib.experiments import ports
from caveatlib.experiments.ports import decisions
from caveatlib.experiments.ports.claims import WHOLE
from caveatlib.experiments.ports.designs import AGAIN, HAIRPIN, PROXY
from caveatlib.frames import UNAVAILABLE

pytestmark = pytest.mark.beside


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
    assert "localhost (IPv4): more without the proxy" in after["C17/loopback/cpu"].headline
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
    words = "Client and server alone used 95 % of the cores in"
    assert not any(words in v.because for v in judged(frame).values())
    on = (frame["path"] == "loopback") & (frame["place"] == PROXY) & (frame["design"] == "paths")
    frame.loc[on & (frame["session"] < 3), "cpu_bound"] = 1.0
    found = judged(frame)
    assert f"{words} 3 of 10 trials with the proxy." in found["C17/loopback/throughput"].because
    assert sum(words in v.because for v in found.values()) == 1
    frame.loc[frame["place"] == HAIRPIN, "cpu_bound"] = 1.0
    said = judged(frame)["C17/loopback/throughput"].because
    assert f"{words} 3 of 10 trials with the proxy and 10 of 10 trials without." in said


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
