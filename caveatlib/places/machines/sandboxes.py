"""Probes for what else starts a workload in a virtual machine: Kata, Firecracker, Cloud Hypervisor.

None of them is in Debian and each needs hardware virtualisation. They are
looked for, and named where they are missing; gVisor's runsc is an OCI runtime
(`caveatlib.places.runc.probe`).
"""

from __future__ import annotations

import shutil
import subprocess

from caveatlib.places.base import Capability
from caveatlib.places.machines import accel

PROGRAMS = {
    "kata": ("containerd-shim-kata-v2", "kata-runtime"),
    "firecracker": ("firecracker",),
    "cloud-hypervisor": ("cloud-hypervisor",),
}
"""Capability -> the programs by any of which it is recognised."""


def probe() -> tuple[Capability, ...]:
    """Return whether each of `PROGRAMS` is installed and has what it needs."""
    return tuple(_ability(name, programs) for name, programs in PROGRAMS.items())


def _ability(name: str, programs: tuple[str, ...]) -> Capability:
    path = next(filter(None, map(shutil.which, programs)), None)
    if path is None:
        fix = f"install {name} as its own documentation says: no Debian package has it"
        return Capability(name, False, f"no program {' or '.join(programs)}", fix)
    kvm = accel.probe()
    if not kvm.available:
        return Capability(name, False, f"installed, but {kvm.reason}", kvm.fix)
    return Capability(name, True, _version(path))


def _version(program: str) -> str:
    # "Firecracker v1.7.0" / "cloud-hypervisor v40.0" / "kata-runtime  : 3.5.0"
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "installed"
    return " ".join(told.stdout.partition("\n")[0].split()) or "installed"
