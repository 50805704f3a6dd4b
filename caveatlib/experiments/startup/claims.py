"""The claims of `startup`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger
from caveatlib.experiments.startup.counting import SETTLES_S
from caveatlib.experiments.startup.designs import FROM

NAME = "startup"
_NOISE = "the A/A control is docker-runc's {} in the design 'start', not a machine's"
START = {"nothing": "from nothing", "base": "with the base there"}
BUILDERS = {"classic": "the classic builder", "buildkit": "BuildKit"}
DISKS = {
    "ext4": "one ext4 disk of everything",
    "qcow2": "an empty qcow2 on a backing file, beside an ext4 disk of the application",
}

BUILDING = from_ledger(
    "C21",
    decides="seconds to build an image over seconds to make a disk that a virtual machine boots "
    "from, of the same busybox and application, ratio below 1 for either builder against either "
    "kind of disk, from nothing and with the base there; each image was started and each disk "
    "booted; nothing is installed or downloaded, and no boot loader is written",
)
BUILT_FROM = {
    (start, builder, disk): Claim(
        f"C21/{builder}-{start}/{disk}",
        f"{BUILDERS[builder]} takes less time than making {DISKS[disk]}, {START[start]}",
        "derived",
        f"seconds to build an image by {BUILDERS[builder]} over those to make {DISKS[disk]}, "
        f"{START[start]}, ratio below 1; the A/A control is that builder's with the base there",
        NAME,
    )
    for start in FROM
    for builder in BUILDERS
    for disk in DISKS
}
STARTING = from_ledger(
    "C23",
    decides="first output, runc alone against a bare microVM, ratio below 1; "
    + _NOISE.format("start"),
)
STOPPING = from_ledger(
    "C24",
    decides="SIGTERM until gone, runc alone against a bare microVM, ratio below 1; "
    + _NOISE.format("stop"),
)
NESTING = from_ledger(
    "C25",
    decides="first container in a fresh virtual machine against docker-runc, ratio above 1; "
    + _NOISE.format("start"),
)
PACKING = Claim(
    "startup-packing",
    "packing the same files into an image takes no longer than into a bare disk",
    "ours",
    "seconds to build an image of the same files (classic builder) against a disk without an "
    "operating system, ratio below 1; the A/A control is the same build",
    NAME,
)
KERNEL = Claim(
    "startup-kernel",
    "making pid, mount, UTS and IPC namespaces is less than half of a start through Docker",
    "ours",
    "first output in new pid, mount, UTS and IPC namespaces over docker-runc, ratio below "
    "0.5; only docker-runc has the kernel make a network, an overlay mount and control "
    "groups too",
    NAME,
)
WORKING = Claim(
    "startup-work",
    "booting a virtual machine takes more instructions than starting the first container in it",
    "ours",
    "instructions of a guest's boot over those of a first container that runc starts in a guest, "
    "ratio above 1 for each pair: the boot with and without unpacking and self-tests, the "
    f"container's guest left alone for {SETTLES_S} s or not, two kernels, two rates of the guest's "
    "clock, with fast copying or without, and a machine that others publish, where it was "
    "prepared; the unit is a seed; what the host executes is not counted",
    NAME,
)
PAIRS = {
    "boot": "the whole boot",
    "unpacked": "the boot without firmware and unpacking",
    "untested": "the boot after unpacking without self-tests",
    "unsettled-boot": "the whole boot (container at once)",
    "unsettled-unpacked": "the boot without firmware and unpacking (container at once)",
    "unsettled-untested": "the boot after unpacking without self-tests (container at once)",
    "generic": "the boot of Debian's kernel for any hardware",
    "shift-1": "the boot at two nanoseconds an instruction",
    "no-erms": "the boot without fast copying",
    "alpine": "the boot of a published Alpine",
}
"""What is counted of a boot; all are over a first container under the same settings, that of a
published machine over one of the same root file system. That one's guest was left alone before, but
where it says "at once"; it has its self-tests, whether these are counted with the boot or not."""
WORKED = {
    pair: Claim(
        f"startup-work/{pair}",
        f"{words} takes more instructions than the first container in a guest",
        "ours",
        f"instructions of {words} over those of a first container under runc, ratio above 1",
        NAME,
    )
    for pair, words in PAIRS.items()
}
CLAIMS = (
    *(BUILDING, *BUILT_FROM.values()),
    *(STARTING, STOPPING, NESTING, PACKING, KERNEL),
    *(WORKING, *WORKED.values()),
)
