"""Which system calls does a layer between program and kernel have, and what does a call cost?

The post says of Microsoft's first Subsystem for Linux that it was "targeted at the
most common Linux system calls". That layer is no longer what a new installation
gets, which is a virtual machine (Microsoft Learn, "What is the Windows Subsystem
for Linux?"), and cannot be measured on Linux; the one that is used today is
gVisor, whose kernel runs as a program. Every system call of the architecture is
tried with three patterns of harmless arguments, each in a process of its own
without rights: one that answers ENOSYS to all of them does not exist there. Under
gVisor, and never under Linux, they are tried once more by a process that keeps
its rights: gVisor gives EPERM to others for privileged calls that it does not
have. What everyday programs call is taken from strace. Two cheap calls are timed,
many at once, in a container of runc and in one of gVisor on its platform systrap;
the block is the unit of replication.

What would mislead you: a call that exists may still lack options that a program
needs, and one that answers may have nothing but an error to give; one that
answers ENOSYS to strange arguments only (syslog) counts as lacking; a call that
a program makes may be one that it does well without (the C library asks for
rseq and goes on); programs make other calls on other days; the share of all
calls counts those that hardly anybody makes as much as read and write; a
container's seccomp filter, which refuses calls that the kernel has, is not in
place where they are counted; and two cheap calls are not an application.
"""

from __future__ import annotations

from caveatlib.experiments.platform.claims import NAME
from caveatlib.experiments.platform.decisions import (
    CONTROLS,
    DECISIONS,
    KNOWN,
    answer,
)
from caveatlib.experiments.platform.designs import DESIGNS
from caveatlib.experiments.platform.figures import highlights, plot
from caveatlib.experiments.platform.places import PLACES, SYSCALLS
from caveatlib.experiments.platform.schema import Trials, check_row
from caveatlib.experiments.platform.tables import coverage
from caveatlib.experiments.platform.workloads import trial
from caveatlib.instruments.calls import CALLS

QUESTION = "Which system calls does gVisor have, and what does one cost?"
SESSIONS = 6
VERDICT_S = 240
ARTEFACTS = (SYSCALLS, CALLS)
