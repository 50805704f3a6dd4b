"""A neighbour that takes everything: wrong claims are refuted, and nothing burns without a cap."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from experiments.limits.fake import FakeCapped

from caveatlib import claims, plots, stats, trials
from caveatlib.errors import DataError, MeasurementError, UsageError
from caveatlib.experiments import limits
from caveatlib.experiments.limits import designs, places, workloads
from caveatlib.experiments.limits.neighbours import beats
from caveatlib.places import leases
from caveatlib.places.cgroups import caps

ROOT = Path(__file__).parents[3]
BURN = """
import sys, time
from caveatlib.experiments.limits import places
from caveatlib.experiments.limits.neighbours import HOG
from caveatlib.places.base import Workload
with places.capped_engine() as place:
    place.require_cap()
    bomb = place.create(Workload("exec hog fork 5000", programs=(HOG,)))
    bomb.start()
    while place.tasks(bomb) < 1000:
        time.sleep(0.02)
    print(place._engine.cgroup, flush=True)
    sys.stdin.read()
"""


@pytest.mark.beside
def test_with_its_arms_exchanged_every_sentence_turns(measured):
    """Were it the limited bomb that did harm, each part would be decided the other way."""
    rows = measured(limits)
    before = {v.claim: v for v in claims.judge(rows, limits.DECISIONS)}
    assert before["C09"].verdict == claims.HOLDS
    free, bound = (stats.match(rows, a.where()) for a in (designs.BOMB, designs.BOMB_LIMITED))
    rows.loc[free, "limited"], rows.loc[bound, "limited"] = 1, 0
    memory = stats.match(rows, designs.MEMORY_LIMITED.where())
    rows.loc[memory, ["killed", "failed"]] = [0.0, 3.0]
    after = {v.claim: v for v in claims.judge(rows, limits.DECISIONS)}
    turned = set(before) - {"limits-cpu"}  # whose arms the contract exchanges
    assert {after[name].verdict for name in turned} == {claims.FAILS}
    assert all(after[name].sentence != before[name].sentence for name in turned)
    assert limits.answer(rows) != limits.answer(measured(limits))
    (was,), (now,) = limits.highlights(measured(limits)), limits.highlights(rows)
    assert (was.number, was.sentence) != (now.number, now.sentence)


@pytest.mark.beside
def test_memory_says_what_happened_without_a_limit(measured):
    """Where none failed without it either, the limit is not credited; other failures are told."""
    rows = measured(limits)

    def said(trials):
        (found,) = [v for v in claims.judge(trials, limits.DECISIONS) if v.claim == "limits-memory"]
        assert found.sentence == found.because
        return found.sentence

    free = stats.match(rows, designs.MEMORY.where())
    due = f"{rows.loc[free, 'requests'].sum():,.0f}"
    capped = "Without it, below the outer cap on all containers,"
    line = f"{capped} none of {due} failed either, and the hog was killed in 0"
    assert line in said(rows)
    hurt = rows.assign(failed=rows["failed"].mask(free, 2.0), killed=rows["killed"].mask(free, 1.0))
    n = int(free.sum())
    line = f"{capped} {2 * n} of {due} failed, and the hog was killed in {n} of {n}"
    assert line in said(hurt)
    assert "Without the limit" not in said(rows[~free])


@pytest.mark.beside
def test_the_first_screen_and_the_card_read_alike(measured):
    """A share below 1 % is the same number in the highlight, its bar and the sentence of C09."""
    rows = measured(limits)
    bound = stats.match(rows, designs.BOMB_LIMITED.where())
    rows = rows.assign(
        failed=rows["failed"].mask(bound, 1.0), requests=rows["requests"].mask(bound, 300.0)
    )
    (shown,) = limits.highlights(rows)
    (card,) = [v for v in claims.judge(rows, limits.DECISIONS) if v.claim == "C09"]
    assert shown.number == shown.bars[-1].text == "0.33 %"
    assert card.sentence.endswith(f"with --pids-limit 64, {shown.number}.")
    free = shown.bars[1].text
    assert f"{free} of its neighbour's requests fail" in card.sentence
    assert f"without it {free}." in shown.sentence


@pytest.mark.beside
def test_what_is_undecided_is_no_answer():
    """Beside what is decided it is left out; where there is nothing else, it is told."""
    rows = trials.get(limits, source="recorded", version=1)
    found = {v.claim: v for v in claims.judge(rows, limits.DECISIONS)}
    assert found["limits-cpu"].verdict == claims.OPEN
    assert found["limits-cpu"].sentence not in limits.answer(rows)
    assert found["C09"].sentence in limits.answer(rows)
    only = rows[rows["design"] == "compute"]
    assert limits.answer(only) == found["limits-cpu"].sentence


@pytest.mark.beside
def test_the_timeline_says_when_requests_failed(measured):
    """Before the bomb burns nobody fails; its figures say so."""
    measured(limits)
    table = trials.get(limits, source=measured.folder, table="beats")
    seen = limits.timeline(table)
    assert set(seen["arm"]) == {"alone", "fork bomb", "fork bomb, limited"}
    worst = seen.groupby("arm")["failed_share"].max()
    assert worst["fork bomb"] > 0
    assert worst.drop("fork bomb").max() == 0
    # In the 12 ms of a fake's trial a busy machine may leave most requests an answer.
    burns = (table["hog"] == "fork") & (table["limited"] == 0) & (table["t_s"] >= 0)
    none = table.assign(latency_s=table["latency_s"].mask(burns))
    told = plots.describe(limits.plot_timeline(none))
    assert "fork bomb, limited from" in told
    assert "no answer beside: fork bomb 0.0 to" in told


@pytest.mark.beside
def test_nothing_is_started_without_its_cap():
    """The cap is asked for before each trial, and a larger one cannot be asked for."""
    place = FakeCapped("docker", capped=False)
    with pytest.raises(MeasurementError, match=r"pids\.max"):
        limits.trial(place, designs.BOMB.conditions, seed=1)
    assert not place.alive
    for wrong in ({"tasks": 2001}, {"memory_bytes": (1 << 30) + 1}):
        with pytest.raises(UsageError, match=r"2001|1073741825"):
            caps.Cap(**wrong)


@pytest.mark.beside
def test_a_trial_without_what_it_is_for_is_refused():
    """More failures than requests, a bomb whose tasks were not counted."""
    row = {"hog": "fork", "requests": 100.0, "failed": 9.0, "machine_gap_s": 0.03, "tasks": 64.0,
           "newcomer": 1.0, "p50_s": 1e-4, "p90_s": 2e-4}  # fmt: skip
    limits.check_row(row)
    for wrong in ({"failed": 101.0}, {"tasks": float("nan")}, {"p90_s": 5e-5}):
        with pytest.raises(DataError, match=next(iter(wrong))):
            limits.check_row(row | wrong)


@pytest.mark.beside
def test_requests_of_a_dead_victim_have_failed():
    """What was due and never told of counts; frame heads of an engine's stream do not hurt."""
    told = "on\n" + "".join(
        f"\x01\0\0\0\0\0\0\x1bbeat {10 + k / 100:.6f} 0.000300000\n" for k in range(50)
    )
    found = workloads._of_victim(beats(told), 2.0, (10.0, 10.995))
    assert (found["requests"], found["failed"]) == (100, 50)
    assert found["p90_s"] == pytest.approx(3e-4)


@pytest.fixture
def needed(require_places):
    """Require all that the place needs."""
    require_places(limits)


@pytest.mark.slow
def test_a_real_bomb_is_contained(needed):
    """With a limit it gets exactly that many tasks and harms nobody; without, only the cap."""
    with places.capped_engine() as place:
        free, bound = (
            limits.trial(place, arm.conditions, seed=1).measures
            for arm in (designs.BOMB, designs.BOMB_LIMITED)
        )
    assert bound["tasks"] == places.PIDS
    assert (bound["failed"], bound["newcomer"]) == (0, 1)
    assert places.PIDS < free["tasks"] <= places.CAP.tasks
    assert free["failed"] > 0
    assert free["newcomer"] == 0
    assert max(free["machine_gap_s"], bound["machine_gap_s"]) < 5


def test_a_limit_that_did_not_arrive_is_seen(needed):
    """Docker may drop one without a word: what the kernel has is what counts."""
    with places.capped_engine() as place:
        container = place.create(workloads.Workload("sleep 60"))
        container.start()
        for hog in ("fork", "memory", "compute", "write"):
            with pytest.raises(MeasurementError, match=hog):
                place.require_limit(container, hog)
        container.remove()


def _tasks(group: str) -> int:
    return sum(
        len((folder / "cgroup.procs").read_text().split())
        for top in [caps.folders(group)["pids"]]
        for folder in [top, *(p for p in top.glob("*") if p.is_dir())]
        if folder.is_dir()
    )


@pytest.mark.slow
def test_a_killed_harness_leaves_no_task(needed):
    """SIGKILL while the bomb burns: five seconds later no task is left; a sweep ends the rest."""
    owner = subprocess.Popen(
        [sys.executable, "-c", BURN],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        group = owner.stdout.readline().strip()
        assert _tasks(group) >= 1000
        owner.send_signal(signal.SIGKILL)
        owner.wait(5)
        until = time.monotonic() + 5
        while _tasks(group) and time.monotonic() < until:
            time.sleep(0.05)
        assert _tasks(group) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            owner.kill()
        owner.communicate()
        leases.sweep()
    assert not any(folder.exists() for folder in caps.folders(group).values())
