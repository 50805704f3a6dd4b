"""One static program on several kernels: what an answer is, and what C32 makes of it."""

import os
import platform

import numpy as np
import pytest
from experiments.layers import fake
from experiments.layers.test_layers import measured

from caveatlib import claims, frames
from caveatlib.experiments import layers
from caveatlib.experiments.layers import on_kernels
from caveatlib.places import process, runc
from caveatlib.places.machines import vm

ANSWER = {"work": "answer", "content_bytes": 0, "link_bit_per_s": 0.0, "replicate": 0}
OURS = ".".join(platform.release().split(".")[:2])


@pytest.fixture(scope="module")
def answers():
    """Return trials of what C32 reads."""
    rows = measured()
    return rows[rows["work"].isin(["opened", "answer"])].reset_index(drop=True)


def c32(rows):
    """Return the verdict of C32."""
    return next(v for v in claims.judge(rows, layers.DECISIONS) if v.claim == "C32")


def of(rows, place):
    """Return which rows are answers in a place."""
    return rows["work"].eq("answer") & rows["place"].eq(place)


def failed(rows, which):
    """Return the trials, of which some failed."""
    rows = rows.copy()
    rows.loc[which, frames.measures(layers.Trials)] = np.nan
    rows.loc[which, ["kernel", "ok", "error"]] = [None, False, "No page within 120 s."]
    return rows


@pytest.mark.beside
def test_the_card_says_where_it_ran(answers):
    """Kernel and sessions of each place; the table has the same."""
    found = c32(answers)
    assert found.verdict == claims.HOLDS
    assert "a process of the host (Linux 6.18) in 10 of 10 sessions" in found.because
    assert "a guest (Linux 6.12) in 10 of 10 sessions" in found.because
    table = layers.kernels(answers)
    assert table.loc["guest"].tolist() == ["6.12", 10, 10]


@pytest.mark.beside
def test_a_kernel_that_does_not_run_it_refutes(answers):
    """No page in any session, or another text in its place, in the guest alone."""
    never = failed(answers, of(answers, "guest"))
    assert c32(never).verdict == claims.FAILS
    assert "a guest in 0 of 10 sessions" in c32(never).because
    other = answers.assign(served=answers["served"].mask(of(answers, "guest"), 0.0))
    assert c32(other).verdict == claims.FAILS


@pytest.mark.beside
def test_a_session_that_failed_is_no_answer(answers):
    """A kernel runs a program or does not: beside nine pages a failed session is a failed one."""
    once = failed(answers, of(answers, "guest") & answers["session"].eq(3))
    assert c32(once).verdict == claims.HOLDS
    assert "a guest (Linux 6.12) in 9 of 10 sessions" in c32(once).because


@pytest.mark.beside
def test_what_was_not_tried_decides_nothing(answers):
    """Without a guest, and in recordings from before, the image alone decides, in the old words."""
    before = answers[answers["work"].eq("opened")]
    assert c32(before).verdict == claims.HOLDS
    assert "The same files" not in c32(before).because
    assert layers.kernels(before).empty
    gone = failed(answers, of(answers, "guest"))
    gone.loc[of(gone, "guest"), "error"] = f"{frames.UNAVAILABLE}guest: no QEMU"
    assert c32(gone).verdict == claims.HOLDS
    assert "a guest" not in c32(gone).because


@pytest.mark.beside
def test_a_guest_with_the_hosts_kernel_is_no_other_kernel(answers):
    """It says so."""
    same = answers.assign(kernel=answers["kernel"].mask(of(answers, "guest"), "6.18"))
    assert "no other kernel was tried" in c32(same).because
    assert "no other kernel was tried" not in c32(answers).because


@pytest.mark.beside
def test_another_text_is_no_page():
    """What comes in the page's place is not taken for it."""
    place = fake.FakeAnswering("guest")
    assert layers.trial(place, ANSWER, seed=1).measures == {"served": 1.0, "kernel": "6.12"}
    page = place.says
    place.says = lambda workload: page(workload).replace("Nothing", "Something")
    assert layers.trial(place, ANSWER, seed=1).measures["served"] == 0
    assert not place.alive


@pytest.mark.parametrize("name", ["process", "runc"])
def test_it_answers_on_this_kernel(require, name):
    """A process and a container, for real: the page came, on this machine's kernel."""
    require("busybox")
    require(name)
    opened = {"process": process.process_place, "runc": runc.runc_place}[name]
    before = set(os.listdir("/proc/self/fd"))
    with opened() as place:
        assert on_kernels.answered(place) == {"served": 1.0, "kernel": OURS}
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.vm
@pytest.mark.slow
def test_it_answers_in_a_guest(require):
    """The same files on the guest's kernel, for real."""
    require("microvm")
    with vm.vm_place("microvm") as place:
        found = on_kernels.answered(place)
        version = place.metadata()["guest_kernel"]
    assert found == {"served": 1.0, "kernel": ".".join(version.split(".")[:2])}
