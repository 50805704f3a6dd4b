"""Instructions of guests: what is read of them, what is said of them, and two real guests."""

import re

import numpy as np
import pandas as pd
import pytest
from experiments.startup.fake import FakeCounted
from places import fake_qemu

from caveatlib import claims, frames, page, plots
from caveatlib.errors import DeadlineExceeded, MeasurementError
from caveatlib.experiments import startup
from caveatlib.experiments.startup import counting
from caveatlib.measuring.experiment import complete
from caveatlib.places import compiled, spec
from caveatlib.places.machines import qemu, vm

SEEDS = 10
SAME = "a guest counted again with the same seed, to the digit"
# Of a real guest, its firmware's and kernel's other words left out.
SAID = """\x1b[2JSeaBIOS (version 1.16.3)\r
counted boot_ns 2050000000\r
counted boot_idle_ns 0\r
counted boot_kernel_ns 700000000\r
counted alone_ns 2060000000\r
counted alone_idle_ns 10000000\r
counted settled_ns 4070000000\r
counted settled_idle_ns 1860000000\r
counted first_start_ns 270000000\r
counted first_start_idle_ns 4000000\r
counted first_stop_ns 60000000\r
counted first_stop_idle_ns 0\r
counted later_start_ns 140000000\r
counted later_start_idle_ns 4000000\r
counted end_ns 2600000000\r
counted end_idle_ns 8000000\r
counted end_kernel_ns 700000000\r
\r
caveatlib: exit 0\r
[    1.950000] reboot: Power down\r
"""


def counted_rows(of="work", **changes):
    """Return trials of a design from fakes, by default `work`; `changes` are factors by place."""
    rows = []
    (design,) = (d for d in startup.DESIGNS if d.name == of)
    for session in range(SEEDS):
        for position, arm in enumerate(design.arms):
            seed = 100 * session + position
            measures = startup.trial(FakeCounted(arm.place), arm.conditions, seed=seed).measures
            row = {
                "run": "r", "source": "live", "machine": "m", "session": session,
                "design": of, "block": session, "position": position, "place": arm.place,
                "started_at": "t", "ok": True, "error": "",
            }  # fmt: skip
            rows.append(row | dict(arm.conditions) | dict(measures))
    table = frames.from_rows(rows, startup.Trials)
    for place, factor in changes.items():
        here = table["place"] == place.replace("_", "-")
        table.loc[here, "first_start_instructions"] *= factor
    return table


def verdict(rows, claim):
    """Return the one verdict of a claim."""
    (found,) = [v for v in claims.judge(rows, startup.DECISIONS) if v.claim == claim]
    return found


@pytest.mark.beside
def test_what_a_guest_tells_becomes_instructions():
    """Idle time is no work, a slower clock no more of it, and the end is read from the kernel."""
    for shift in (0, 1):
        found = counting._measures(SAID, shift)
        assert found["boot_instructions"] == 2.05e9 / 2**shift
        assert found["unpacking_instructions"] == 0.7e9 / 2**shift
        assert found["settling_instructions"] == 0.16e9 / 2**shift
        assert found["first_start_instructions"] == 0.266e9 / 2**shift
        assert found["later_start_instructions"] == 0.136e9 / 2**shift
        assert found["end_instructions"] == 50e6 / 2**shift
        assert found["boot_idle_s"] == 0


@pytest.mark.beside
@pytest.mark.parametrize(
    ("lacks", "reason"),
    [
        ("boot_ns", "told no 'boot_ns'"),
        ("boot_idle_ns", "told no 'boot_idle_ns'"),
        ("end_ns", "told no 'end_ns'"),
    ],
)
def test_a_guest_that_tells_less_has_failed(lacks, reason):
    """A log that was cut is no count."""
    said = "\n".join(line for line in SAID.splitlines() if f" {lacks} " not in line)
    with pytest.raises(MeasurementError, match=reason):
        counting._measures(said, 0)
    with pytest.raises(MeasurementError, match="no mark into its log"):
        counting._measures(SAID.replace("boot_kernel_ns 700000000", "boot_kernel_ns 0"), 0)


@pytest.mark.beside
def test_the_same_seed_twice_must_agree_to_the_digit():
    """A single instruction more is not the same; the control of the calibration fails then."""
    place = FakeCounted("counted-runc")
    assert counting.again(place, "runc", 3)["same_seed_ratio"] == 1
    boot = place.boot
    said = []

    def drifting(script, seed):
        said.append(1)
        more = f"counted boot_ns {2_100_000_000 + len(said)}\r\n"
        return boot(script, seed) + "\r\n" + more

    place.boot = drifting
    ratio = counting.again(place, "runc", 3)["same_seed_ratio"]
    assert ratio != 1
    assert ratio == pytest.approx(1, rel=1e-8)
    rows = counted_rows().head(3).assign(design="work-again", workload="count-again")
    rows["session"] = rows["block"] = range(3)
    for value, passes in ((1.0, "yes"), (ratio, "no")):
        table = complete(startup).calibrate(rows.assign(same_seed_ratio=value)).set_index("check")
        assert table.loc[SAME, "passes"] == passes


@pytest.mark.beside
def test_work_is_told_as_a_range():
    """The claim names the least and the most over all fair pairs, and what is not counted."""
    found = verdict(counted_rows(), "startup-work")
    assert found.verdict == claims.HOLDS
    assert found.headline.startswith("A boot executes as many instructions as 2.")
    assert "first containers, by what is counted" in found.headline
    assert "Booting Debian's cloud kernel executes 2.0" in found.because
    assert "What the host does is not counted" in found.because
    least = r"after unpacking without self-tests (9|10)\S* to \S+ \(2\.\d+ to 2\.\d+ at once\)"
    assert re.search(least, found.because)
    assert "Instructions are not time" in found.because
    assert "10 seeds" in found.because


@pytest.mark.beside
@pytest.mark.parametrize("kind", counting.KINDS)
def test_a_guest_settles_before_the_first_start(kind):
    """It is left alone after its boot, once all is prepared; what is unsettled starts at once."""
    scripts = []
    place = FakeCounted("counted")
    boot = place.boot
    place.boot = lambda script, seed: scripts.append(script) or boot(script, seed)
    found = counting.counted(place, kind, 1)
    before = scripts[0].partition("count first")[0].splitlines()
    alone = ["count alone", f"sleep {counting.SETTLES_S}", "count settled"]
    if kind == counting.UNSETTLED:
        assert not set(alone) & set(before)
        assert "settling_instructions" not in found
    else:
        assert before[0] == "count boot"
        assert before[-3:] == alone
        assert found["settling_instructions"] == pytest.approx(0.2e9, rel=0.02)


@pytest.mark.beside
def test_the_range_has_containers_that_start_at_once():
    """Both ways to count a container are pairs, told apart; one that is missing is not told."""
    rows = counted_rows()
    settled = verdict(rows, "startup-work/boot").effect
    at_once = verdict(rows, "startup-work/unsettled-boot").effect
    assert settled == pytest.approx(2.05e9 / 0.7e8, rel=0.03)
    assert at_once == pytest.approx(2.05e9 / 2.66e8, rel=0.03)
    whole = verdict(rows, "startup-work")
    least, most = map(float, re.search(r"as many as (\S+) to (\S+) first", whole.because).groups())
    assert least < at_once < settled < most
    assert re.search(r"the whole boot 2\S+ to 2\S+ \(7\.\d+ to 7\.\d+ at once\)", whole.because)
    assert f"left alone for {counting.SETTLES_S} s and executes 19" in whole.because
    assert re.search(r"put off \(19\d to 20\d million without self-tests\)", whole.because)
    table = startup.work(rows)["median"]
    assert table["runc, at once"]["first start"] == pytest.approx(2.66e8, rel=0.02)
    assert table["runc"]["first start"] == pytest.approx(0.7e8, rel=0.02)
    put_off = table["microVM with runc in it"]["put off until after it"]
    assert put_off == pytest.approx(2e8, rel=0.02)
    never = verdict(rows[rows["workload"] != "count-unsettled"], "startup-work")
    assert "at once)" not in never.because
    only = verdict(rows[rows["workload"] != "count-runc"], "startup-work")
    assert re.search(r"the whole boot \(container at once\) 7\.\d+ to 7\.\d+", only.because)


@pytest.mark.beside
def test_a_container_that_executes_more_turns_the_claim():
    """One fair pair that says the opposite makes it mixed, all of them that it does not hold."""
    assert verdict(counted_rows(counted_generic=100), "startup-work").verdict == claims.MIXED
    dear = dict.fromkeys(
        ("counted_runc", "counted_generic", "counted_shift_1", "counted_no_erms"), 100
    )
    assert verdict(counted_rows(**dear), "startup-work").verdict == claims.FAILS


@pytest.mark.beside
def test_published_machines_are_pairs_beside():
    """One is laid against a container of its own root file system, in the range of all pairs."""
    own, published = counted_rows(), counted_rows("published-work")
    both = pd.concat([own, published], ignore_index=True)
    found = verdict(both, "startup-work/alpine")
    assert found.verdict == claims.HOLDS
    assert found.effect == pytest.approx(6e9 / 0.7e8, rel=0.03)
    assert found.n == SEEDS
    whole = verdict(both, "startup-work")
    assert re.search(r"of a published Alpine 8\d(\.\d)? to 8\d", whole.because)
    assert "published" not in verdict(own, "startup-work").because
    table = startup.work(both)["median"]
    assert table["published Alpine"]["whole boot"] == pytest.approx(6e9, rel=0.02)
    assert table["runc, published Alpine"]["first start"] == pytest.approx(0.7e8, rel=0.02)
    assert "published Alpine" in plots.describe(startup.plot_work(both))
    dear = counted_rows("published-work", counted_runc_alpine=100)
    both = pd.concat([own, dear], ignore_index=True)
    assert verdict(both, "startup-work").verdict == claims.MIXED


@pytest.mark.beside
def test_a_container_of_a_published_system_is_mounted_first():
    """Its root file system lies on a disk, which is there before the clock starts."""
    scripts = []
    place = FakeCounted("counted-runc-alpine")
    boot = place.boot
    place.boot = lambda script, seed: scripts.append(script) or boot(script, seed)
    conditions = {"workload": "count-system", "at_once": 1, "sleep_s": 0.0, "replicate": 0}
    startup.trial(place, conditions, seed=1)
    (script,) = scripts
    before, _, after = script.partition("count first")
    assert "mount -t ext4 /dev/vda /bundle/rootfs" in before
    assert "mount" not in after


@pytest.mark.beside
def test_work_leads_where_times_decide_nothing():
    """C23 to C25 begin with instructions, then say that times of an emulator decide nothing."""
    from experiments.startup.test_startup import made_up

    rows = pd.concat([made_up("tcg"), counted_rows()], ignore_index=True)
    for name in ("C23", "C24", "C25"):
        found = verdict(rows, name)
        assert found.verdict == claims.NOT_MEASURED
        assert "instructions" in found.headline
        assert "instructions" in found.sentence.partition("Not decided")[0]
    assert "A microVM's power-off executes" in verdict(rows, "C24").because
    alone = f"in guests left alone for {counting.SETTLES_S} s after their boot"
    worth = rf"It is worth 2\S+ to 2\S+ {alone} and 7\.\d+ to 7\.\d+ in guests just booted\."
    assert re.search(worth, verdict(rows, "C23").because)
    both = r"right after it execute 2\.[23]\d* to 2\.3\d billion instructions, a container alone \d"
    assert re.search(both, verdict(rows, "C25").because)
    never = verdict(rows[rows["workload"] != "count-unsettled"], "C25")
    assert "instructions" not in never.because
    hardware = pd.concat([made_up("kvm"), counted_rows()], ignore_index=True)
    for told in (startup.answer(rows), startup.answer(hardware), startup.answer(counted_rows())):
        assert told.startswith("Booting Debian's cloud kernel executes 2.0")
    assert "microvm" not in startup.answer(rows)
    assert "emulated here" in startup.answer(rows)
    assert "microvm" in startup.answer(hardware)
    assert verdict(hardware, "C23").verdict == claims.HOLDS, "a counted guest is always emulated"
    assert "Booting Debian's cloud kernel" in verdict(hardware, "C23").because


@pytest.mark.beside
def test_parts_add_up_to_the_boot():
    """Unpacking, self-tests and the rest are the boot; the figure says each."""
    rows = counted_rows()
    table = startup.work(rows)
    assert (table["seeds"] == SEEDS).all()
    boot = table["median"]["microVM"]
    parts = boot["firmware and unpacking"] + boot["self-tests and certificates"]
    assert parts + boot["rest of the boot"] == pytest.approx(boot["whole boot"], rel=0.03)
    words = plots.describe(startup.plot_work(rows))
    assert "billion" in words
    assert "microVM without self-tests" in words
    assert "nan" not in words
    assert startup.waits(rows)["seeds"].tolist() == [SEEDS, SEEDS]
    shown = page.show(startup.waits(rows))
    assert [cells[0] for cells in shown.rows] == ["with the words", "without"]
    without = startup.work_parts(rows[rows["place"] != "counted-untested"])
    assert without.loc["microVM"].sum() == pytest.approx(2.05e9, rel=0.02), "not a part of its boot"
    assert "microVM without self-tests" not in without.index


@pytest.mark.beside
def test_long_steps_of_a_boot_are_a_table():
    """Initcalls of the guest's kernel, in instructions; a kernel that tells none has failed."""
    place = FakeCounted("counted-initcalls")
    conditions = {"workload": "count-initcalls", "at_once": 1, "sleep_s": 0.0, "replicate": 0}
    found = startup.trial(place, conditions, seed=1)
    (first, second) = found.tables["initcalls"]
    assert first == {"initcall": "init_1", "instructions": 919_000.0}
    assert second["initcall"] == "init_2"
    place.boot = lambda script, seed: SAID
    with pytest.raises(MeasurementError, match="no initcall"):
        startup.trial(place, conditions, seed=1)


@pytest.mark.beside
def test_no_count_without_a_whole_boot():
    """A boot of few instructions was not counted from its start; unpacking is a part of it."""
    row = counted_rows().iloc[0].to_dict()
    startup.check_row(row)
    few = {"boot_instructions": 5e6, "unpacking_instructions": 1e6}
    for changes in (few, {"unpacking_instructions": 9e9}):
        with pytest.raises(ValueError, match="boot_instructions"):
            startup.check_row(row | changes)
    with pytest.raises(ValueError, match="first_start_instructions"):
        startup.check_row(row | {"first_start_instructions": np.nan})


NO_ICOUNT = "#!/bin/sh\necho 'qemu-system-x86_64: -icount: invalid option' >&2\nexit 1\n"


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Return what opens a counted guest with a script in QEMU's place."""
    monkeypatch.setattr(qemu, "program", lambda: str(tmp_path / "qemu"))
    monkeypatch.setattr(counting.qemu.compiled, "path", lambda program: tmp_path / "qemu")

    def opened(script):
        return counting.Counted(vm.Vm(fake_qemu.machine(tmp_path, script), []))

    return opened


@pytest.mark.beside
def test_an_old_qemu_is_told_by_its_own_words(stand_in):
    """Where QEMU cannot count, its reason is the row's."""
    place = stand_in(NO_ICOUNT)
    with pytest.raises(MeasurementError, match="-icount: invalid option"):
        counting.counted(place, "process", 1)
    assert place.vm.made[0].output == -1


def test_a_guest_that_never_ends_is_left_in_time(stand_in, monkeypatch):
    """It is killed at the deadline, and nothing of it is left."""
    monkeypatch.setattr(counting, "COUNTED_S", 0.3)
    monkeypatch.setattr(counting, "END_S", 0.1)
    place = stand_in(fake_qemu.DEAF)
    with pytest.raises(DeadlineExceeded, match=r"did not end within 0\.3 s"):
        counting.counted(place, "process", 1)
    (instance,) = place.vm.made
    assert instance.pids() == []
    assert instance.output == -1


def test_the_program_runs_anywhere(require):
    """It times a start and a stop on this host, and tells its clock."""
    require("gcc")
    from caveatlib.support import programs

    program = str(compiled.path(counting.COUNT))
    script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done"
    said = programs.run([program, "first", "sh", "-c", script])
    found = dict(counting._COUNTED.findall(said))
    assert int(found["first_start_ns"]) > 10_000
    assert int(found["first_stop_ns"]) > 1_000
    with pytest.raises(MeasurementError, match="wrote nothing"):
        programs.run([program, "first", "true"])


@pytest.mark.vm
@pytest.mark.slow
def test_real_counts_are_the_same_for_a_seed(require, bars):
    """Two boots with one seed agree to the digit; another seed is a few per cent off."""
    require("microvm")
    require("program count")
    with spec.opened({"counted": startup.PLACES["counted"]}, engine="none") as handles:
        first = counting.again(handles["counted"], "process", 1)
        other = counting.counted(handles["counted"], "process", 2)
    assert first["same_seed_ratio"] == 1
    assert other["boot_instructions"] == pytest.approx(first["boot_instructions"], rel=0.2)
    assert 1e9 < first["boot_instructions"] < 4e9
    assert 1e5 < first["first_start_instructions"] < 1e9
    assert first["boot_idle_s"] < 0.05
    off = other["boot_instructions"] / first["boot_instructions"]
    bars.append(("a boot's instructions, another seed over the first", f"{off:.3f}", "no bar"))


@pytest.mark.vm
@pytest.mark.slow
def test_a_real_container_is_counted(require):
    """In a guest that has settled a first start is like a later one; at once it is more."""
    require("inception")
    require("program count")
    with spec.opened({"counted-runc": startup.PLACES["counted-runc"]}, engine="none") as handles:
        found = counting.counted(handles["counted-runc"], "runc", 1)
        at_once = counting.counted(handles["counted-runc"], counting.UNSETTLED, 1)
    later, first = found["later_start_instructions"], found["first_start_instructions"]
    assert first == pytest.approx(later, rel=0.5)
    assert 1e7 < first < at_once["first_start_instructions"] < found["boot_instructions"]
    # two seconds of idling would be two billion
    assert 1e6 < found["settling_instructions"] < 1e9


@pytest.mark.vm
@pytest.mark.slow
def test_a_real_published_machine_is_counted(require, bars):
    """It boots with more instructions than a first container of its own root file system."""
    require("published-alpine")
    require("inception")
    names = ("counted-alpine", "counted-runc-alpine")
    places = {name: startup.PLACES[name] for name in names}
    with spec.opened(places, engine="none") as handles:
        boot = counting.counted(handles["counted-alpine"], "process", 1)
        again = counting.counted(handles["counted-alpine"], "process", 1)
        container = counting.counted(handles["counted-runc-alpine"], "system", 1)
    # its disk answers when the host does, so the same seed is not the same to the digit
    assert again["boot_instructions"] == pytest.approx(boot["boot_instructions"], rel=0.2)
    assert 1e9 < boot["boot_instructions"] < 4e10
    assert 1e7 < container["first_start_instructions"] < boot["boot_instructions"]
    worth = boot["boot_instructions"] / container["first_start_instructions"]
    bars.append(("published Alpine, boot over a first container", f"{worth:.3g}", "no bar"))
