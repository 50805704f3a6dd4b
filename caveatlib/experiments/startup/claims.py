"""The claims of `startup`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger

NAME = "startup"
_NOISE = "the A/A control is docker-runc's {} in the design 'start', not a machine's"

BUILDING = from_ledger(
    "C21",
    decides="seconds to build an image over a disk that a virtual machine boots from, of the "
    "same application, ratio below 1; no such disk is built here",
)
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
CLAIMS = (BUILDING, STARTING, STOPPING, NESTING, PACKING, KERNEL)
