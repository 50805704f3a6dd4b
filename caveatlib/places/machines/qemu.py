"""One virtual machine in QEMU, from the command line to its end.

QEMU's life hangs on a pipe: a small watcher holds its other end and kills QEMU
when the pipe closes, that is when the owner lets go or dies, however it dies.
(A parent-death signal would fire at the end of the creating thread.)
Nothing is written to disk: the initial RAM file system and the log of the
serial line are anonymous files in memory.
"""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL

from caveatlib.errors import DeadlineExceeded, MeasurementError, Unavailable, UsageError
from caveatlib.places import cache, compiled
from caveatlib.places.base import Workload
from caveatlib.places.machines import cpio, guest
from caveatlib.places.process import connect_local, free_port, signal_number
from caveatlib.support import programs
from caveatlib.support.processes import readable

PROGRAM = "qemu-system-x86_64"
REMOVE_S = 10
DESCRIPTORS = Path("/proc/self/fd")
"""Where a disk lies that is a file in memory."""
WAITLESS = (
    "no_timer_check rcupdate.rcu_expedited=1 i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd"
)
"""Words that spare a guest what it would wait for: timers that no emulated chip lacks, grace
periods for readers on other processors, a keyboard and a mouse. Firecracker's default has those of
i8042 (src/vmm/src/vmm_config/boot_source.rs @017a303), Kata Containers' has these and the others
(src/runtime/virtcontainers/qemu_amd64.go @01e56a7)."""
COUNTED_TSC_KHZ = 1_000_000
"""A guest whose instructions are counted has a time stamp counter of one tick per nanosecond."""


@dataclass(frozen=True)
class Counting:
    """How a guest's instructions are counted: its clock is their number, see ``-icount``.

    The same seed gives the same run, to the last instruction: of its random numbers, of where its
    kernel lies, of its clock of the day.

    Attributes
    ----------
    seed : int
    shift : int
        An instruction takes ``2 ** shift`` nanoseconds of the guest's time.
    """

    seed: int
    shift: int = 0

    def options(self) -> list[str]:
        """Return QEMU's options. A guest that idles skips to its next timer."""
        clock = ["-icount", f"shift={self.shift},sleep=off", "-rtc", "base=2026-01-01,clock=vm"]
        return [*clock, "-seed", str(self.seed)]


# Waits for "go", starts the watcher, and becomes QEMU. The watcher kills its own
# process group, which is QEMU's: by then any other id might be a stranger's.
# $1 is the owner's pipe, $2 the serial line's input, $3 is told when QEMU starts.
# By path, because a shell can name only ten descriptors, and those may be taken.
LAUNCHER = """
owner=/proc/self/fd/$1 serial=/proc/self/fd/$2 tell=/proc/self/fd/$3
shift 3
read -r go <$owner || exit 125
{ read -r gone; kill -KILL 0; } <$owner >/dev/null 2>&1 &
echo started >$tell
exec "$@" <$serial
"""


@dataclass(frozen=True)
class Machine:
    """The hardware that a guest sees.

    Attributes
    ----------
    kernel : Path
    archives : tuple of Path
        What the initial RAM file system is made of.
    board : str
        ``"microvm"`` or ``"q35"``.
    accel : str
        ``"kvm"`` or ``"tcg"``, QEMU's software emulation.
    vcpus : int
    memory_mib : int
    disk : Path, optional
        Image of the root; a guest's writes to it are thrown away.
    disk_format : str
        ``"raw"``, or ``"qcow2"`` on a backing file.
    more_disks : tuple of Path
        Raw images of further disks.
    tsc_khz : int
        Frequency of the time stamp counter, 0 to let the guest measure it.
    cpu : str
        What its CPU has more or less than the host's, or than all that QEMU emulates:
        ``"-rdrand,-rdseed"``.
    devices : tuple of str
        Further devices, as QEMU names them: ``"virtio-rng-device"``.
    words : str
        Further words of the kernel's command line.
    waiting : bool
        Whether the guest boots as without `WAITLESS`.
    counting : Counting, optional
        How its instructions are counted; needs the emulator.
    own_system : bool
        Whether it boots an initial RAM file system and a root that are not ours. Then a trial's
        files come on a further disk, which is a tar.
    """

    kernel: Path
    archives: tuple[Path, ...]
    board: str
    accel: str
    vcpus: int = 1
    memory_mib: int = 256
    disk: Path | None = None
    disk_format: str = "raw"
    more_disks: tuple[Path, ...] = ()
    tsc_khz: int = 0
    cpu: str = ""
    devices: tuple[str, ...] = ()
    words: str = ""
    waiting: bool = False
    counting: Counting | None = None
    own_system: bool = False


def program() -> str:
    """Return QEMU's path.

    Raises
    ------
    Unavailable
    """
    return programs.need(PROGRAM, "qemu-system-x86")


def command(machine: Machine, initramfs_fd: int, log_fd: int, forward: str = "") -> list[str]:
    """Return QEMU's command line, to be run in the kernel's folder.

    Parameters
    ----------
    machine : Machine
    initramfs_fd, log_fd : int
        Open files that QEMU inherits.
    forward : str
        ``"tcp:127.0.0.1:HOST-10.0.2.15:GUEST"``, empty for no network.
    """
    kernel_arguments = "console=ttyS0 quiet panic=-1 systemd.show_status=0"
    if not machine.waiting:
        kernel_arguments += f" {WAITLESS}"
    if machine.tsc_khz:
        # "reliable": on a busy host the guest loses ticks, takes its good clock
        # for the bad one, and would go on by counting ticks.
        kernel_arguments += f" tsc_early_khz={machine.tsc_khz} tsc=reliable"
    if machine.words:
        kernel_arguments += f" {machine.words}"
    line = [program(), "-machine", f"{machine.board},accel={machine.accel}"]
    model = "host" if machine.accel == "kvm" else "max"
    line += ["-cpu", ",".join(filter(None, (model, machine.cpu)))]
    if machine.counting is not None:
        line += machine.counting.options()
    line += ["-smp", str(machine.vcpus), "-m", str(machine.memory_mib)]
    line += ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
    log = f"logfile=/proc/self/fd/{log_fd},logappend=on"
    line += ["-chardev", f"stdio,id=serial,signal=off,{log}", "-serial", "chardev:serial"]
    line += ["-kernel", machine.kernel.name, "-append", kernel_arguments]
    line += ["-initrd", f"/proc/self/fd/{initramfs_fd}"]
    bus = "device" if machine.board == "microvm" else "pci"
    for device in machine.devices:
        line += ["-device", device]
    for name, disk, form in _disks(machine):
        # Relative, so that no message of QEMU holds somebody's folder.
        named = disk.is_relative_to(DESCRIPTORS)
        file = disk if named else os.path.relpath(disk, machine.kernel.parent)
        line += ["-drive", f"if=none,id={name},format={form},snapshot=on,file={file}"]
        line += ["-device", f"virtio-blk-{bus},drive={name}"]
    if forward:
        line += ["-netdev", f"user,id=net,restrict=on,hostfwd={forward}"]
        line += ["-device", f"virtio-net-{bus},netdev=net"]
    return line


def _disks(machine: Machine) -> list[tuple[str, Path, str]]:
    """Return the name, the image and the format of each disk, the root's first."""
    root = [] if machine.disk is None else [("disk", machine.disk, machine.disk_format)]
    return root + [(f"disk{i}", disk, "raw") for i, disk in enumerate(machine.more_disks, 2)]


class Guest:
    """A virtual machine that runs one workload (a `caveatlib.places.base.Instance`)."""

    def __init__(self, machine: Machine, workload: Workload):
        """Prepare everything but QEMU's process itself.

        Raises
        ------
        Unavailable
            If QEMU or a file that the guest boots from is missing.
        """
        self.output = -1
        self._files: list[int] = []
        self._started = False
        self._killed = False
        disks = (disk for _, disk, _ in _disks(machine))
        for file in (machine.kernel, *machine.archives, *disks):
            if not file.is_file():
                raise Unavailable(f"{file.name!r} is missing. Run `{cache.PREPARE}` once.")
        self._port = free_port() if workload.port else 0
        try:
            self._prepare(machine, workload)
        except BaseException:
            self._let_go()
            raise

    def _prepare(self, machine: Machine, workload: Workload) -> None:
        forward = f"tcp:127.0.0.1:{self._port}-10.0.2.15:{workload.port}" if self._port else ""
        archives = [a.read_bytes() for a in machine.archives]
        inherited = []
        if machine.own_system:
            inherited.append(self._memory_file(_tar(_trial(machine, workload))))
            disk = DESCRIPTORS / str(inherited[0])
            machine = replace(machine, more_disks=(*machine.more_disks, disk))
        else:
            archives.append(cpio.archive(_trial(machine, workload)))
        initramfs = self._memory_file(*archives)
        inherited.append(initramfs)
        self._log, self._messages = self._memory_file(), self._memory_file()
        self.output, written = self._pipe()
        life_read, self._life = self._pipe()
        serial_read, self._serial = self._pipe()
        self._told, tell = self._pipe()
        theirs = (life_read, serial_read, tell)
        line = command(machine, initramfs, self._log, forward)
        self._qemu = subprocess.Popen(
            ["/bin/sh", "-c", LAUNCHER, "sh", *map(str, theirs), *line],
            cwd=machine.kernel.parent,
            env={"PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=self._messages,
            pass_fds=(*theirs, *inherited, self._log),
            start_new_session=True,
        )
        # Kept open here, the output would never end.
        for file in (*theirs, written, *inherited):
            self._close(file)

    def start(self) -> None:
        """Start QEMU; return when its process exists."""
        if self._started or self.output < 0:
            raise UsageError("A started or removed guest. Each instance starts once.")
        os.write(self._life, b"go\n")
        self._started = readable(self._told, 10) and bool(os.read(self._told, 32))
        if not self._started:
            raise MeasurementError("QEMU did not start within 10 s.")

    def signal(self, name: str) -> None:
        """Send a line with the signal's name to the guest, which passes it to the workload.

        The guest powers off when the workload has ended. ``"KILL"`` does not
        ask: it pulls the plug.
        """
        signal_number(name)
        if name == "KILL":
            self._killed = self._killed or not programs.has_ended(self._qemu, 0)
            self._close(self._life)
        elif self._serial in self._files:
            with suppress(BrokenPipeError):  # the guest is gone
                os.write(self._serial, f"{name}\n".encode())

    def wait(self, timeout_s: float) -> int:
        """Wait until QEMU is gone; return the workload's exit status, 137 after ``"KILL"``.

        Raises
        ------
        DeadlineExceeded
            If the guest still runs after `timeout_s` seconds.
        MeasurementError
            If the guest ended without telling an exit status, e.g. by a panic.
        """
        if not programs.has_ended(self._qemu, timeout_s):
            raise DeadlineExceeded(f"The guest still runs after {timeout_s:g} s")
        if self._killed:
            return 128 + SIGKILL
        log = _content(self._log)
        # "caveatlib: exit 143"
        if told := re.findall(rb"^caveatlib: exit (\d+)\s*$", log, re.MULTILINE):
            return int(told[-1])
        raise MeasurementError(f"The guest ended early: {self._last_words(log)}.")

    def remove(self) -> None:
        """Kill what still runs and let go of everything; harmless when repeated."""
        self._close(self._life)
        try:
            if not programs.has_ended(self._qemu, REMOVE_S):
                programs.end(self._qemu)
            self._qemu.wait()  # reaped only now: until here its group is nobody else's
        finally:
            self._let_go()

    def pids(self) -> list[int]:
        """Return QEMU's process id."""
        runs = self._started and not programs.has_ended(self._qemu, 0)
        return [self._qemu.pid] if runs else []

    def memory_cgroup(self) -> Path | None:
        """Return None: a virtual machine gets no memory cgroup of its own."""
        return None

    def connect(self, timeout_s: float) -> socket.socket:
        """Connect to the port of this host that QEMU forwards to the workload's.

        QEMU accepts before anybody listens in the guest; only an answer tells
        that the workload is there.
        """
        return connect_local(self._port, timeout_s)

    def _let_go(self) -> None:
        for file in list(self._files):
            self._close(file)
        self.output = -1

    def _last_words(self, log: bytes) -> str:
        # "[    1.234567] Kernel panic - not syncing: sysrq triggered crash"
        pattern = rb"Kernel panic - [^\r\n]*|(?<=caveatlib: )[^\r\n]*"
        words = re.findall(pattern, log) or _content(self._messages).strip().splitlines()[-1:]
        return words[0].decode(errors="replace") if words else "it told no exit status"

    def _memory_file(self, *content: bytes) -> int:
        file = os.memfd_create("guest")
        self._files.append(file)
        with open(file, "wb", closefd=False) as stream:
            stream.writelines(content)
        return file

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._files += ends
        return ends

    def _close(self, file: int) -> None:
        if file in self._files:
            self._files.remove(file)
            os.close(file)


def _trial(machine: Machine, workload: Workload) -> dict[str, tuple[int, bytes]]:
    """Return the files of a trial, by path: mode and content."""
    entries = {
        "trial/workload.sh": (cpio.REGULAR, workload.script.encode()),
        "trial/runner": (cpio.EXECUTABLE, guest.RUNNER.encode()),
    }
    for each in workload.programs:
        content = compiled.path(each).read_bytes()
        entries[f"bin/{compiled.name(each)}"] = (cpio.EXECUTABLE, content)
    if workload.port:
        entries["trial/network"] = (cpio.REGULAR, b"")
    if machine.disk is not None:
        entries["trial/disk"] = (cpio.REGULAR, b"")
    return entries


def _tar(entries: Mapping[str, tuple[int, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, (mode, content) in entries.items():
            entry = tarfile.TarInfo(path)
            entry.mode, entry.size = mode & 0o777, len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _content(file: int) -> bytes:
    return os.pread(file, os.fstat(file).st_size, 0)
