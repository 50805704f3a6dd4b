"""The life of a guest, with a shell script in QEMU's place."""

import dataclasses
import os
import random
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import fake_qemu
import pytest

from caveatlib.errors import DeadlineExceeded, MeasurementError, Unavailable, UsageError
from caveatlib.places.base import Workload
from caveatlib.places.machines import qemu
from caveatlib.places.output import await_lines

pytestmark = pytest.mark.beside

IDLE = Workload("true")


@pytest.fixture
def guest(tmp_path, monkeypatch):
    """Return a function that prepares a guest of a script that stands for QEMU."""
    made = []
    monkeypatch.setattr(qemu, "program", lambda: str(tmp_path / "qemu"))

    def prepare(script, workload=IDLE):
        made.append(qemu.Guest(fake_qemu.machine(tmp_path, script), workload))
        return made[-1]

    yield prepare
    for instance in made:
        instance.remove()


def gone(pid, within_s=5):
    """Return whether a process is gone, or a zombie, in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_orderly_end(guest):
    """A signal reaches the guest, its told exit status is the workload's."""
    instance = guest(fake_qemu.ORDERLY)
    assert instance.pids() == []
    instance.start()
    await_lines(instance.output, ["hello"], 5)
    assert len(instance.pids()) == 1
    instance.signal("TERM")
    assert instance.wait(5) == 3
    await_lines(instance.output, ["got TERM"], 5)
    assert instance.pids() == []


def test_nothing_runs_before_start(guest):
    """Between create and start there is no QEMU; removing then is quick and harmless."""
    instance = guest("#!/bin/sh\ntouch started\n")
    time.sleep(0.2)
    instance.remove()
    assert not Path(qemu.program()).with_name("started").exists()
    with pytest.raises(UsageError, match="starts once"):
        instance.start()


def test_deadline_then_kill(guest):
    """A guest that ignores everything misses its deadline, and the plug ends it."""
    instance = guest(fake_qemu.DEAF)
    instance.start()
    (pid,) = instance.pids()
    instance.signal("TERM")
    with pytest.raises(DeadlineExceeded, match="still runs after"):
        instance.wait(0.3)
    instance.signal("KILL")
    assert instance.wait(5) == 137
    assert gone(pid)


def test_remove_kills_and_closes(guest, monkeypatch):
    """Removing ends QEMU, leaves no descriptor open, and may be repeated."""
    monkeypatch.setattr(qemu, "REMOVE_S", 5)
    monkeypatch.setattr(os, "killpg", lambda *a: pytest.fail("the last resort was needed"))
    before = set(os.listdir("/proc/self/fd"))
    instance = guest(fake_qemu.DEAF)
    instance.start()
    (pid,) = instance.pids()
    instance.remove()
    assert gone(pid)
    instance.remove()
    assert set(os.listdir("/proc/self/fd")) <= before


def test_no_leak_when_preparing_fails(guest, monkeypatch):
    """A preparation that fails half-way leaves no descriptor open."""
    guest(fake_qemu.DEAF)
    before = set(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(qemu.subprocess, "Popen", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        guest(fake_qemu.DEAF)
    assert set(os.listdir("/proc/self/fd")) <= before


def test_reason_of_qemu(guest):
    """What QEMU says when it does not run becomes the error."""
    instance = guest(fake_qemu.BROKEN)
    instance.start()
    with pytest.raises(MeasurementError, match="no such board"):
        instance.wait(5)


def test_reason_of_the_kernel(guest):
    """A kernel's panic is named although QEMU ends with status 0."""
    instance = guest(fake_qemu.PANICKED)
    instance.start()
    with pytest.raises(MeasurementError, match="Kernel panic - not syncing: Attempted to kill"):
        instance.wait(5)


NUMBERS = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from caveatlib.places.machines import qemu
from caveatlib.places.base import Workload
import fake_qemu
folder = Path(sys.argv[1])
qemu.program = lambda: str(folder / "qemu")
machine = fake_qemu.machine(folder, fake_qemu.ORDERLY)
for _ in range(10):
    instance = qemu.Guest(machine, Workload("true"))
    instance.start()
    instance.signal("INT")
    print(instance.wait(5), flush=True)
    instance.remove()
    os.open("/dev/null", os.O_RDONLY)
"""


def test_any_descriptor_numbers(tmp_path):
    """The launcher works whichever numbers its pipes happen to have."""
    folders = [str(tmp_path), str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-c", NUMBERS, *folders], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["3"] * 10, done.stderr


def test_outlives_the_thread_that_started_it(guest):
    """A guest started in a thread still runs when that thread has ended."""
    instance = guest(fake_qemu.DEAF)
    thread = threading.Thread(target=instance.start)
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert len(instance.pids()) == 1


OWNER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from caveatlib.places.machines import qemu
from caveatlib.places.base import Workload
import fake_qemu
folder = Path(sys.argv[1])
qemu.program = lambda: str(folder / "qemu")
machine = fake_qemu.machine(folder, fake_qemu.DEAF)
print("ready", flush=True)
while True:
    instances = [qemu.Guest(machine, Workload("true")) for _ in range(3)]
    for instance in instances:
        instance.start()
    for instance in instances:
        instance.remove()
"""


def mentioning(text):
    """Return the processes with a text in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and text.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 10))]
)
def test_dies_with_its_owner(tmp_path, seed):
    """SIGKILL of the owner at any instant leaves neither QEMU nor watcher."""
    folders = [str(tmp_path), str(Path(__file__).parent)]
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, *folders], stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout.readline() == "ready\n"
        time.sleep(random.Random(seed).uniform(0, 0.1))
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()
    deadline = time.monotonic() + 5
    while mentioning(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert mentioning(str(tmp_path)) == []


def test_guest_that_does_not_go(guest):
    """A guest that told its exit status but had to be killed did not end with it."""
    instance = guest(fake_qemu.STUCK)
    instance.start()
    instance.signal("TERM")
    await_lines(instance.output, ["got TERM"], 5)
    with pytest.raises(DeadlineExceeded):
        instance.wait(0.1)
    instance.signal("KILL")
    assert instance.wait(5) == 137


@pytest.mark.parametrize("name", ["vmlinuz", "initramfs"])
def test_missing_file(guest, tmp_path, monkeypatch, name):
    """A file that has vanished since the place was opened is named."""
    machine = fake_qemu.machine(tmp_path, fake_qemu.DEAF)
    (tmp_path / name).unlink()
    with pytest.raises(Unavailable, match=f"'{name}' is missing"):
        qemu.Guest(machine, IDLE)


def test_missing_qemu(monkeypatch):
    """Without QEMU the error names the package."""
    monkeypatch.setattr(qemu.programs, "find", lambda name: None)
    with pytest.raises(Unavailable, match="qemu-system-x86"):
        qemu.program()


def test_no_folder_in_the_command(guest, tmp_path):
    """QEMU is told nothing that names a folder of the user."""
    machine = fake_qemu.machine(tmp_path, fake_qemu.DEAF)
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"")
    line = qemu.command(dataclasses.replace(machine, disk=disk), 3, 4)[1:]
    assert not any(str(tmp_path) in argument for argument in line)
    assert any("snapshot=on" in argument for argument in line)


def test_port_zero(guest):
    """A workload without a port cannot be connected to."""
    with pytest.raises(UsageError, match="port 0"):
        guest(fake_qemu.DEAF).connect(1)


def test_other_hardware(guest, tmp_path):
    """What a CPU lacks, and further devices, are told to QEMU as they are named."""
    machine = fake_qemu.machine(tmp_path, fake_qemu.DEAF)
    line = qemu.command(machine, 3, 4)
    assert line[line.index("-cpu") + 1] in ("max", "host")
    other = dataclasses.replace(machine, cpu="-rdrand", devices=("virtio-rng-device",))
    line = qemu.command(other, 3, 4)
    assert line[line.index("-cpu") + 1] in ("max,-rdrand", "host,-rdrand")
    assert line[line.index("virtio-rng-device") - 1] == "-device"


def test_counting_is_told_to_qemu(guest, tmp_path):
    """The clock is the number of instructions, and the seed decides all else."""
    machine = fake_qemu.machine(tmp_path, fake_qemu.DEAF)
    assert "-icount" not in qemu.command(machine, 3, 4)
    counted = dataclasses.replace(machine, counting=qemu.Counting(seed=7, shift=1))
    line = qemu.command(counted, 3, 4)
    assert line[line.index("-icount") + 1] == "shift=1,sleep=off"
    assert line[line.index("-seed") + 1] == "7"
    assert line[line.index("-rtc") + 1].endswith("clock=vm")


def test_boot_words(guest, tmp_path):
    """Words that remove waits are the default; others come after them."""
    machine = fake_qemu.machine(tmp_path, fake_qemu.DEAF)

    def words(**changes):
        line = qemu.command(dataclasses.replace(machine, **changes), 3, 4)
        return line[line.index("-append") + 1]

    assert qemu.WAITLESS in words()
    assert qemu.WAITLESS not in words(waiting=True)
    assert words(words="initcall_debug", tsc_khz=5).endswith("tsc=reliable initcall_debug")


def test_several_disks(guest, tmp_path):
    """The root comes first, in its format, and each must be there."""
    machine = fake_qemu.machine(tmp_path, fake_qemu.DEAF)
    for name in ("root.qcow2", "data.raw"):
        (tmp_path / name).write_bytes(b"")
    disks = {"disk": tmp_path / "root.qcow2", "disk_format": "qcow2"}
    machine = dataclasses.replace(machine, **disks, more_disks=(tmp_path / "data.raw",))
    drives = [word for word in qemu.command(machine, 3, 4) if word.startswith("if=none")]
    assert [drive.rpartition("=")[2] for drive in drives] == ["root.qcow2", "data.raw"]
    assert "format=qcow2,snapshot=on" in drives[0]
    assert "format=raw,snapshot=on" in drives[1]
    (tmp_path / "data.raw").unlink()
    with pytest.raises(Unavailable, match=r"'data\.raw' is missing"):
        qemu.Guest(machine, IDLE)


TELLING = """#!/bin/sh
for argument; do
    case $argument in
        if=none*file=/proc/self/fd/*) disk=${argument##*file=} ;;
        /proc/self/fd/*) initrd=$argument ;;
    esac
done
echo "tar: $(tar -xOf $disk trial/workload.sh)"
echo "initrd: $(cat $initrd)"
"""


def test_another_system_gets_the_trial_on_a_disk(guest, tmp_path):
    """Its own initial RAM file system stays as it is; the trial comes as a tar, the last disk."""
    machine = fake_qemu.machine(tmp_path, TELLING)
    (tmp_path / "disk.raw").write_bytes(b"")
    machine = dataclasses.replace(machine, disk=tmp_path / "disk.raw", own_system=True)
    before = set(os.listdir("/proc/self/fd"))
    instance = qemu.Guest(machine, Workload("echo the trial"))
    try:
        instance.start()
        await_lines(instance.output, ["tar: echo the trial", "initrd: files"], 5)
    finally:
        instance.remove()
    assert set(os.listdir("/proc/self/fd")) <= before
