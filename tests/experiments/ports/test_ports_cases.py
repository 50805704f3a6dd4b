"""Which arms `ports` has, and what its verdicts say of the cases with all processes pinned."""

import itertools
import re

import pytest
from experiments.ports.made_up import BARE, PROXIED, judged, trials, with_own_control

from caveatlib.claims import HOLDS
from caveatlib.experiments import ports
from caveatlib.experiments.ports import pinning, site
from caveatlib.experiments.ports.claims import SIZED
from caveatlib.experiments.ports.designs import AGAIN, CASES, HAIRPIN, PAIRED, PROXY
from caveatlib.experiments.ports.flows import FLOWS, LOADS, PROCESSES_CPU
from caveatlib.measuring.experiment import complete

pytestmark = pytest.mark.beside

PINNED = next(design for design in ports.DESIGNS if design.name == "pinned")


def test_every_path_is_tried_under_both_settings():
    """The main design has every path under either setting, and A/A controls where it judges."""
    arms = {(a.conditions["path"], a.place) for a in ports.DESIGNS[0].arms}
    assert arms == {
        *itertools.product(site.PATHS, (PROXY, HAIRPIN)),
        *itertools.product(PAIRED, (AGAIN,)),
    } - {("host-network", HAIRPIN)}
    assert "loopback-ipv6" not in PAIRED  # reachability only


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
    planned_s = sum(d.lasts_s() * d.blocks_by(complete(ports).SESSIONS - 1) for d in ports.DESIGNS)
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
