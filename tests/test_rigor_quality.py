"""The sentences about a busy machine: said when it is busy, rarely when it is not.

Seen to fail: with `host.busy_per_cpu` returning 0.
"""

import contextlib
import os
import subprocess
import sys
import time

import pytest

from caveatlib import noise, stats, trials

RUNS = 20
QUIET_SHARE = 0.10
"""CPU time of everybody else, per CPU, below which a run counts as quiet."""
TRIES = 60
LOOP = "while True: pass"


@contextlib.contextmanager
def busy(cores):
    """Keep so many cores busy with a loop on each."""
    loops = []
    try:
        for cpu in cores:
            loops.append(subprocess.Popen([sys.executable, "-c", LOOP]))
            os.sched_setaffinity(loops[-1].pid, {cpu})
        time.sleep(0.5)
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def _flags(out) -> list[str]:
    """Measure a short run on the bare process; return what is said of the machine."""
    design = noise.DESIGNS[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(noise, "DESIGNS", (type(design)(design.name, design.arms, block_s=0.1,
                                                      blocks_per_session=4),))  # fmt: skip
        trials.measure(noise, out=out, places=["process"], blocks=1, progress=False)
    said = stats.quality(trials.get(noise, source=out, version=1), "first_output_s")
    return [sentence for sentence in said if "was busy" in sentence]


def _spent() -> float:
    """Return the CPU seconds that all have used since boot, but for this process and its own."""
    # "cpu  user nice system idle iowait irq softirq steal guest guest_nice"
    with open("/proc/stat") as file:
        fields = [int(v) for v in file.readline().split()[1:9]]
    used = (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
    return used - sum(os.times()[:4])


def _others(out) -> tuple[bool, list[str]]:
    """Measure; return also whether the machine was quiet meanwhile, by its own counters."""
    before, started = _spent(), time.monotonic()
    said = _flags(out)
    share = (_spent() - before) / (time.monotonic() - started) / os.cpu_count()
    return share < QUIET_SHARE, said


@pytest.mark.slow
def test_a_busy_machine_is_flagged(require, tmp_path, bars):
    """With a busy loop on each core at least 19 of 20 runs say so."""
    require("busybox")
    with busy(os.sched_getaffinity(0)):
        flagged = sum(bool(_flags(tmp_path / str(run))) for run in range(RUNS))
    bars.append(("runs flagged as busy, a loop on each core", f"{flagged} of {RUNS}", ">= 19"))
    assert flagged >= 19


@pytest.mark.slow
def test_a_quiet_machine_is_not_flagged(require, tmp_path, bars):
    """Of 20 runs in which nobody else used the CPU, at most 4 say that it was busy.

    What the others used is read from the kernel's own counters, not from what
    is tested. On a machine that is not quiet long enough nothing can be judged.
    """
    require("busybox")
    quiet = []
    for run in range(TRIES):
        calm, said = _others(tmp_path / str(run))
        quiet += [bool(said)] if calm else []
        if len(quiet) == RUNS:
            break
        if not calm:
            time.sleep(1)
    row = f"{sum(quiet)} of {len(quiet)} ({run + 1} tried)"
    bars.append(("runs flagged as busy, quiet machine", row, "<= 4 of 20"))
    if len(quiet) < RUNS:
        pytest.skip(f"the machine was quiet in {len(quiet)} of {TRIES} runs only")
    assert sum(quiet) <= 4


def test_one_short_run_is_judged(require, tmp_path):
    """With two loops on each core the run says so; the columns are there and are numbers."""
    require("busybox")
    cores = sorted(os.sched_getaffinity(0))
    with busy([*cores, *cores]):
        assert _flags(tmp_path)
    rows = trials.get(noise, source=tmp_path, version=1)
    assert rows["busy_per_cpu"].ge(1).mean() > 0.5
    assert rows["stolen_share"].notna().any()
