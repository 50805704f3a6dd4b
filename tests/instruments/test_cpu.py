"""CPU time of our CPUs: idle and waiting do not count, strangers' CPUs neither."""

import os
import subprocess
import sys
import time

import pytest

from caveatlib.experiments.ports import schema
from caveatlib.instruments import cpu
from caveatlib.measuring import machine

STAT = """cpu  900 0 100 5000 0 0 0 30 0 0
cpu0 100 0 50 2000 7 0 0 20 0 0
cpu1 800 0 50 3000 0 0 0 10 0 0
intr 12345 0 9
ctxt 6789
"""


@pytest.mark.parametrize(
    ("cpus", "ticks", "stolen"),
    [({0}, 150, 20), ({1}, 850, 10), ({0, 1}, 1000, 30), ({6}, 1000, 30)],
)
def test_only_our_cpus_count(monkeypatch, tmp_path, cpus, ticks, stolen):
    """Work on CPUs that this process may not use is a stranger's; unknown numbers mean all."""
    (tmp_path / "stat").write_text(STAT)
    monkeypatch.setattr(cpu, "PROC", tmp_path)
    monkeypatch.setattr(cpu.os, "sched_getaffinity", lambda _: cpus)
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    assert cpu.busy_s() == pytest.approx(ticks * tick_s)
    assert cpu.busy_s(stolen=True) == pytest.approx((ticks + stolen) * tick_s)


def test_a_busy_machine_is_not_our_work(lacking):
    """On one CPU of a busy machine no more than one CPU's time passes: the guard of `ports`."""
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        lacking("this process may use one CPU only")
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in before]
    try:
        os.sched_setaffinity(0, {min(before)})
        time.sleep(0.3)
        started, worked = time.monotonic(), cpu.busy_s()
        time.sleep(0.5)
        worked = cpu.busy_s() - worked
        share = worked / (time.monotonic() - started) / machine.cores()
    finally:
        os.sched_setaffinity(0, before)
        for loop in loops:
            loop.kill()
            loop.wait()
    assert share <= schema.MOST_OF_CORES
