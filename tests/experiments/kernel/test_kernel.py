"""Faults in guests: what is read of heartbeats, who is refused, and what is left of a killed run.

Seen to fail: with gaps, failed forks, failed writes and steps of clocks left out of
`_is_harmed` one by one, with the deadline of `_settled` taken away, with the check of
``/go/guest`` taken out of ``tenant.c``, and with instances not removed by `Tenancy.strike`.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import left
import pandas as pd
import pytest
from experiments.kernel.fake import BEAT_S, FakeTenancy
from places import fake_qemu

from caveatlib import claims
from caveatlib.errors import DataError, DeadlineExceeded, MeasurementError
from caveatlib.experiments import kernel
from caveatlib.experiments.kernel import designs, places, tables, tenants, watching, workloads
from caveatlib.measuring.experiment import complete
from caveatlib.places import compiled, spec
from caveatlib.places.machines import vm
from caveatlib.support import processes, programs

LIVE_S = 240


def struck(fault="exit", place="four-guests", *, limited=False, **changes):
    """Return made-up heartbeats beside a tenant ``a`` that does harm."""
    return replace(FakeTenancy(place).strike(fault, "a", limited=limited), **changes)


def with_later(found, name="c", **changes):
    """Return them with the second half of a tenant's heartbeats changed."""
    beats = found.beats[name]
    late = [b._replace(**{k: v(b) for k, v in changes.items()}) for b in beats[90:]]
    return replace(found, beats=found.beats | {name: [*beats[:90], *late]})


# What is read


@pytest.mark.beside
@pytest.mark.parametrize(
    ("changes", "column", "least"),
    [
        ({"at_s": lambda b: b.at_s + 2}, "longest_gap_s", 2),
        ({"failed_forks": lambda b: 3}, "failed_forks", 3),
        ({"failed_writes": lambda b: 1}, "failed_writes", 1),
        ({"clock_s": lambda b: b.clock_s - 3600}, "clock_step_s", 3599),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_kind_of_harm_is_found(changes, column, least):
    """One neighbour is harmed by a gap, a failed fork or write, a step of its clock either way."""
    assert workloads.measures(struck(), "a")["all_unharmed"] == 1
    found = workloads.measures(with_later(struck(), **changes), "a")
    assert (found["survivors"], found["harmed"], found["all_unharmed"]) == (3, 1, 0)
    assert found[column] >= least


@pytest.mark.beside
def test_a_gap_of_the_host_is_no_harm():
    """Where the host itself did not beat, no neighbour can be blamed."""
    late = with_later(struck(), at_s=lambda b: b.at_s + 2)
    assert workloads.measures(replace(late, host_gap_s=1.5), "a")["harmed"] == 0


@pytest.mark.beside
def test_a_gap_is_held_against_those_before():
    """Emulated sandboxes beat seconds apart: that is no harm, nor is half as much again."""
    found = struck()
    early = [b._replace(at_s=b.at_s - 2 * (k < 5)) for k, b in enumerate(found.beats["c"])]
    found = replace(found, beats=found.beats | {"c": early})
    for more, harmed in ((3, 0), (6, 1)):
        late = with_later(found, at_s=lambda b, more=more: b.at_s + more)
        assert workloads.measures(late, "a")["harmed"] == harmed


@pytest.mark.beside
def test_who_ends_has_not_survived():
    """Its last heartbeat is that of whoever ended first; the culprit does not count."""
    found = struck()
    cut = {name: found.beats[name][:count] for name, count in (("a", 30), ("b", 60), ("d", 50))}
    read = workloads.measures(replace(found, beats=found.beats | cut), "a")
    assert (read["survivors"], read["none_survived"], read["all_survived"]) == (1, 0, 0)
    assert read["last_beat_s"] == cut["d"][-1].at_s - found.fault_s
    assert read["culprit_ended"] == 1


@pytest.mark.beside
@pytest.mark.parametrize(("number", "refused"), [(errno.EPERM, 1), (errno.EAGAIN, 0), (0, 0)])
def test_a_refusal_is_told(number, refused):
    """What a kernel refuses is no fault; that it stopped somewhere is one."""
    assert workloads.measures(struck("clock", struck=(0, number)), "a")["refused"] == refused


@pytest.mark.beside
def test_rows_that_cannot_be_are_refused():
    """Counts that contradict each other, and a guest whose clock is not its own."""
    row = workloads.measures(struck(), "a")
    kernel.check_row(row)
    with pytest.raises(DataError, match="Must agree"):
        kernel.check_row(row | {"survivors": 2.0})
    with pytest.raises(DataError, match="clock ran at 4"):
        kernel.check_row(row | {"clock_rate": 4.0})
    with pytest.raises(DataError, match="'harmed' is missing"):
        kernel.check_row(row | {"harmed": float("nan")})


# Reading guests


def beat(name, number):
    """Return a tenant's heartbeat as it is written."""
    return f"beat {name} {number} {1764045162 + number * BEAT_S:.3f} 0 0\n"


@pytest.fixture
def guest(monkeypatch):
    """Return a guest's serial line, and what a thread writes to it; both end with the test."""
    monkeypatch.setattr(watching, "SILENT_S", 0.2)
    monkeypatch.setattr(watching, "START_S", 5.0)
    monkeypatch.setattr(watching, "STRIKE_S", 60.0)
    output, line = os.pipe()
    stop, struck = threading.Event(), threading.Event()

    def write(*, upon_strike=b"", silent="", ends=False):
        for number in range(400):
            if stop.wait(0.005):
                return
            names = [n for n in "abcd" if not (n == silent and struck.is_set())]
            os.write(line, "".join(beat(name, number) for name in names).encode())
            if struck.is_set() and upon_strike:
                os.write(line, upon_strike)
                upon_strike = b""
                if ends:
                    return
        return

    threads = []

    def starts(**how):
        def run():
            write(**how)
            os.close(line)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return output, struck.set

    yield starts
    stop.set()
    for thread in threads:
        thread.join()
    os.close(output)


def test_heartbeats_and_the_fault_are_read(guest):
    """On the host's clock; a kernel's word within a line costs that heartbeat and no more."""
    said = b"beat c 1[    3.1] Out of memory\nfault b\r\nstruck b 64 11\r\n"
    output, strike = guest(upon_strike=said)
    found = watching.watch([output], "b", strike)
    assert found.struck == (64, 11)
    assert found.started_s < found.ready_s < found.fault_s
    assert found.struck_s == found.fault_s - watching.DRAINED_S
    assert all(len(beats) > watching.SETTLED_BEATS for beats in found.beats.values())
    assert all(beats[-1].at_s > found.struck_s for beats in found.beats.values())
    assert 0 < found.host_gap_s < 5


def test_a_silent_culprit_has_struck(guest):
    """One that ends by its fault says nothing more."""
    output, strike = guest(upon_strike=b"fault b\n", silent="b")
    assert watching.watch([output], "b", strike).struck is None


def test_a_guest_that_ends_ends_the_watch(guest, monkeypatch):
    """It is an answer after the fault, at once, and an error with its last words before."""
    monkeypatch.setattr(watching, "WATCHED", 600)
    output, strike = guest(upon_strike=b"fault b\n", ends=True)
    found = watching.watch([output], "b", strike)
    assert workloads.measures(found, "b")["none_survived"] == 1


@pytest.mark.parametrize("guests", [places.ALL_IN_ONE, tenants.NAMES], ids=len)
@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        (fake_qemu.DEAF, DeadlineExceeded, "Tenant 'a' has 0 heartbeats after 2 s.*hello"),
        (fake_qemu.PANICKED, MeasurementError, "A guest ended before the fault"),
    ],
    ids=["never answers", "ends"],
)
def test_a_guest_that_fails_is_an_error_and_leaves_nothing(
    monkeypatch, tmp_path, require, guests, script, error, words
):
    """The deadline holds, the guest's last words are told, and every guest is gone."""
    require("gcc")
    monkeypatch.setattr(watching, "START_S", 2 if error is DeadlineExceeded else 30)
    machine = fake_qemu.machine(tmp_path, script)
    monkeypatch.setattr("caveatlib.places.machines.qemu.program", lambda: str(tmp_path / "qemu"))
    tenancy = places.Tenancy(vm.Vm(machine, []), guests, "runc")
    before, mark = left.here(), processes.owner_token()
    running = set(left.processes(mark))
    with pytest.raises(error, match=words):
        tenancy.strike("panic", "b", limited=False)
    assert left.until(lambda: set(left.processes(mark)) <= running)
    assert not left.more(before)


# Safety


def test_it_strikes_only_in_a_guest(require):
    """Anywhere else the program ends before it has read what its fault is."""
    require("gcc")
    program = str(compiled.path(tenants.TENANT))
    found = subprocess.run([program, "a", "exit"], capture_output=True, text=True, timeout=10)
    assert (found.returncode, found.stdout) == (3, "")
    assert "not in a guest of ours" in found.stderr


@pytest.mark.beside
def test_the_script_refuses_elsewhere():
    """It makes the file that tells a tenant where it is only beside the runner of a guest."""
    text = tenants.script("abcd", "a", "panic", runtime="runc", limited=False)
    refusal, made = text.index("[ -e /trial/runner ] || exit 99"), text.index("/t/go/guest")
    assert refusal == 0 < made


def test_a_host_with_little_memory_is_spared(monkeypatch):
    """Before anything is booted, with what is there and what is needed."""
    import psutil

    few = psutil.virtual_memory()._replace(available=100 << 20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: few)
    tenancy = places.Tenancy(vm.Vm(fake_machine(), []), ("abcd",), "runc")
    with pytest.raises(MeasurementError, match="100 MiB of memory are available"):
        tenancy.strike("memory", "a", limited=False)
    assert not tenancy.vm.made


def fake_machine():
    """Return a machine that is never booted."""
    return vm.qemu.Machine(Path("k"), (), "microvm", "tcg")


def test_without_qemu_each_place_says_so(monkeypatch, fresh_probes):
    """And what would mend it."""
    monkeypatch.setattr(programs, "find", lambda name: None)
    missing = spec.missing(kernel.PLACES, engine="none")
    assert set(missing) == set(kernel.PLACES)
    assert all("qemu" in reason for reason in missing.values())


# What follows from trials


def by_claim(rows: pd.DataFrame) -> dict[str, claims.Verdict]:
    """Return the verdicts on the trials by their claims."""
    return {v.claim: v for v in claims.judge(rows, kernel.DECISIONS)}


def exchanged(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the trials with the two arrangements exchanged."""
    other = {"one-guest": "four-guests", "four-guests": "one-guest"}
    panics = rows["design"] == "panic"
    return rows.assign(place=rows["place"].where(~panics, rows["place"].replace(other)))


@pytest.mark.beside
def test_a_wrong_claim_is_refuted(measured):
    """With the arrangements exchanged, each verdict on a panic and each sentence turns."""
    rows = measured(kernel)
    before, after = by_claim(rows), by_claim(exchanged(rows))
    for name in ("C02", "C02/together", "C02/apart"):
        assert (before[name].verdict, after[name].verdict) == (claims.HOLDS, claims.FAILS)
        assert before[name].sentence != after[name].sentence
    assert "0 of 24 neighbours on that kernel" in before["C02"].sentence
    assert "24 of 24 neighbours on that kernel" in after["C02"].sentence
    assert kernel.answer(rows) != kernel.answer(exchanged(rows))
    for trials, number in ((rows, "0 of 24"), (exchanged(rows), "24 of 24")):
        (found,) = kernel.highlights(trials)
        assert found.number == number == found.bars[0].text
        assert f"{number} neighbours on that kernel" in by_claim(trials)["C02"].sentence
        assert [bar.label for bar in found.bars] == ["one kernel", "a kernel each"]


def fates_exchanged(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the trials with every fate exchanged: what was spared is harmed, and the reverse."""
    turned = exchanged(rows)
    used_up = rows["design"].isin(designs.EXHAUSTED)
    turned["limited"] = rows["limited"].where(~used_up, 1 - rows["limited"])
    spared = (rows["place"] != "one-guest") & (rows["design"] != "panic")
    harmed = (rows["design"] == "exit") & (rows["fault"] == "clock")
    turned.loc[spared, ["survivors", "harmed", "all_survived", "all_unharmed"]] = 0.0
    turned.loc[spared, "none_survived"] = 1.0
    turned.loc[harmed, ["survivors", "harmed", "all_survived", "all_unharmed"]] = 3.0, 0.0, 1.0, 1.0
    return turned


@pytest.mark.beside
def test_with_fates_exchanged_every_sentence_turns(measured):
    """What a limit stopped crosses, what crossed is stopped; guests and sandboxes do not help."""
    rows = measured(kernel)
    before, after = by_claim(rows), by_claim(fates_exchanged(rows))
    alike = {f"kernel-unlimited/{f}" for f in ("exit", "memory")} | {"kernel-limited/memory"}
    for name in set(before) - alike:
        assert before[name].sentence != after[name].sentence, name
        assert before[name].verdict in (claims.HOLDS, claims.FAILS, claims.MIXED), name
    whole = ("kernel-unlimited", "kernel-limited")
    assert all(before[n].verdict != after[n].verdict for n in set(before) - alike - set(whole))
    assert "0 of" in after["kernel-guests"].sentence
    assert before["kernel-unlimited"].sentence == (
        "On one kernel without limits, one that sets the clock (with CAP_SYS_TIME), fills memory "
        "with files, is a fork bomb or fills the file system harms its neighbours; one that ends "
        "or fills memory does not harm them."
    )
    assert after["kernel-limited"].sentence == (
        "On one kernel with limits, one that fills memory with files, is a fork bomb or fills the "
        "file system harms its neighbours; one that fills memory harms none with a limit or "
        "without."
    )
    # and each turns by its own trials alone
    for claim, design in (("kernel-guests", "apart"), ("kernel-gvisor", "sentry")):
        alone = fates_exchanged(rows).where(rows["design"] == design, rows).astype(rows.dtypes)
        found = by_claim(alone)
        assert [n for n in before if found[n].sentence != before[n].sentence] == [claim]
    assert kernel.answer(rows) != kernel.answer(fates_exchanged(rows))


@pytest.mark.beside
def test_five_trials_are_too_few(measured):
    """Six of six are the fewest that can show more than half."""
    rows = measured(kernel)
    words = {}
    for count in (5, 6):
        few = claims.judge(rows[rows["block"] < count], kernel.DECISIONS)
        words[count] = {v.claim: v.verdict for v in few}["C02"]
    assert words == {5: claims.OPEN, 6: claims.HOLDS}


@pytest.mark.beside
def test_what_crosses_and_what_a_limit_stops(measured):
    """The table counts every neighbour of every trial once, the card names each fault's part."""
    rows = measured(kernel)
    table = kernel.crossed(rows)
    counts = table[list(tables.FATES)].sum(axis=1)
    assert (counts == 3 * table["trials"]).all()
    assert table["trials"].sum() == len(rows)
    found = {v.claim: v for v in claims.judge(rows, kernel.DECISIONS)}
    assert found["kernel-unlimited"].verdict == claims.MIXED
    assert found["kernel-limited"].verdict == claims.HOLDS
    assert found["kernel-limited"].sentence == (
        "On one kernel with limits, one that fills memory with files, is a fork bomb or fills the "
        "file system does not harm its neighbours; one that fills memory harms none with a limit "
        "or without."
    )


@pytest.mark.beside
def test_a_limit_has_no_credit_where_nobody_was_harmed_without(measured):
    """Its card says so; where one neighbour is harmed without it, the limit has the credit."""
    rows = measured(kernel)
    without = "Without it none was harmed either, in 8 of 8 trials: the limit shows no benefit."
    cards = {n: v.because for n, v in by_claim(rows).items() if n.startswith("kernel-limited/")}
    assert [name for name, said in cards.items() if without in said] == ["kernel-limited/memory"]
    free = rows["fault"].eq("memory") & rows["place"].eq("one-guest") & rows["limited"].eq(0)
    one = rows.index == rows.index[free][0]
    harmed = rows.assign(
        harmed=rows["harmed"].mask(one, 1.0), all_unharmed=rows["all_unharmed"].mask(one, 0.0)
    )
    found = by_claim(harmed)
    assert "none was harmed either" not in found["kernel-limited/memory"].because
    assert "one that fills memory, fills memory with files" in found["kernel-limited"].sentence


@pytest.mark.beside
def test_what_crosses_between_sandboxes_is_said_beside_what_does_not(measured):
    """Faults that ended or harmed neighbours, with their trials, on the card and in the answer."""
    rows = measured(kernel)
    said = "But without limits, of the neighbours of one that fills the file system 9 of 9 were "
    said += "harmed (3 trials)."
    found = by_claim(rows)["kernel-gvisor"]
    assert found.sentence.endswith(f"24 of 24 neighbours survive. {said}")
    assert found.because.endswith(said)
    assert said in kernel.answer(rows)
    filled = rows["place"].eq("gvisor") & rows["fault"].eq("memory")
    one = rows.index == rows.index[filled][0]
    ended = rows.assign(survivors=rows["survivors"].mask(one, 1.0))
    assert "one that fills memory 2 of 9 ended (3 trials); of one that fills the file" in (
        by_claim(ended)["kernel-gvisor"].sentence
    )
    alone = by_claim(rows[rows["design"] != "gvisor"])["kernel-gvisor"]
    assert alone.sentence.endswith("24 of 24 neighbours survive.")


@pytest.mark.beside
def test_faults_in_guests_of_their_own_are_counted(measured):
    """How many faults, and how many trials each: the one of which there are most is the panic."""
    rows = measured(kernel)
    said = by_claim(rows)["kernel-guests"].sentence
    assert "none of 7 faults" in said
    assert "ends 4, panics its kernel 8, fills memory 4, " in said
    only = by_claim(rows[rows["fault"] == "panic"])["kernel-guests"].sentence
    assert "none of 1 fault in" in only


@pytest.mark.beside
def test_controls_pass(measured):
    """One that exits harms nobody, 64 tasks are 64, the same fault twice is the same."""
    table = complete(kernel).calibrate(measured(kernel))
    assert set(table["passes"]) == {"yes"}


# In guests


def live(name, fault, *, limited=False):
    """Return what a trial in a real place reads."""
    with spec.opened({name: kernel.PLACES[name]}, engine="none") as handles:
        if isinstance(handles[name], Exception):
            raise handles[name]
        conditions = {"fault": fault, "limited": int(limited)}
        row = dict(kernel.trial(handles[name], conditions, seed=1).measures)
    complete(kernel).check_row(row)
    return row


@pytest.mark.vm
@pytest.mark.slow
def test_live_a_limit_of_tasks(require, bars):
    """A fork bomb gets the tasks of its limit exactly, and nobody else feels it."""
    require("inception")
    row = live("one-guest", "tasks", limited=True)
    bars.append(("fork bomb under a limit of 64 tasks", f"{row['tasks']:.0f}", "64"))
    assert row["tasks"] == tenants.TASKS
    assert row["survivors"] == 3
    assert row["failed_forks"] == 0


@pytest.mark.vm
@pytest.mark.slow
def test_live_a_panic(require):
    """It takes all on its kernel and nobody else."""
    require("inception")
    assert live("one-guest", "panic")["none_survived"] == 1
    assert live("four-guests", "panic")["all_survived"] == 1


BURNING = """
from caveatlib.experiments import kernel
from caveatlib.experiments.kernel import watching
from caveatlib.places import spec

watching.WATCHED = 600
take = watching._take
def told(lines, found, timeout_s):
    take(lines, found, timeout_s)
    if found.struck:
        print("burning", found.struck[0], flush=True)
watching._take = told
with spec.opened({"one-guest": kernel.PLACES["one-guest"]}, engine="none") as handles:
    handles["one-guest"].strike("tasks", "a", limited=False)
"""


@pytest.mark.vm
@pytest.mark.slow
def test_a_killed_harness_leaves_nothing(require, bars):
    """SIGKILL while a fork bomb burns in a guest: five seconds later no process of it is there."""
    require("inception")
    with left.state() as state:
        environment = {**os.environ, "CAVEATLIB_STATE": str(state)}
        command = [sys.executable, "-c", BURNING]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as harness:
            started = time.monotonic()
            said = harness.stdout.readline()
            assert said.startswith(b"burning"), time.monotonic() - started
            guests = qemus(harness.pid)
            assert guests
            os.kill(harness.pid, signal.SIGKILL)
        bars.append(("fork bomb in a guest", said.decode().split()[1] + " tasks", "300 or less"))
        assert left.until(lambda: not any(map(processes.is_running, guests)))


def qemus(pid):
    """Return the processes below one that are virtual machines or watch one."""
    return processes.descendants(pid)[1:]
