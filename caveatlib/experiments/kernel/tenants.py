"""What a guest runs: its tenants as containers of runc or gVisor, in text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from caveatlib.places import compiled

TENANT = compiled.program(Path(__file__).with_name("tenant.c"))
NAMES = ("a", "b", "c", "d")
GO = "USR1"
"""The signal to a guest that lets its tenant's fault happen."""
TASKS, MEMORY_BYTES, DATA_BYTES = 64, 32 << 20, 4 << 20
"""The limits: tasks, memory, and a file system of its own, for each tenant."""
SHARED_BYTES = 16 << 20
"""What the tenants without a limit share, for what they append."""
PIDS = 600
"""The guest's pid_max, of which the kernel keeps 300 for itself."""
CAPABILITIES = ("bounding", "effective", "permitted")
RUNTIMES = {
    "runc": "runc run --no-pivot",
    "runsc": "runsc --root /t/state --ignore-cgroups --network=none --platform=systrap run",
}
"""Neither stays in the foreground: the OOM killer took such a one first. gVisor's control groups
are left out: what it does by itself is asked."""

# gVisor changes its root, which no process can whose root is the initial RAM file system.
MOVED = """[ -e /moved ] || {
    mkdir /new
    mount -t tmpfs tmpfs /new
    cp -a /bin /trial /new
    for tree in dev proc sys; do mkdir /new/$tree; mount -o move /$tree /new/$tree; done
    mkdir /new/tmp
    : >/new/moved
    cd /new
    mount -o move . /
    exec chroot . sh /trial/workload.sh
}
"""
# Whatever the guest runs of ours stays alive while memory or tasks run out: it forks no more
# once the tenants run.
SCRIPT = """[ -e /trial/runner ] || exit 99
{moved}echo -1000 >/proc/self/oom_score_adj
mkdir -p /t/go /t/data /t/rootfs/proc /t/rootfs/go /t/rootfs/data /t/rootfs/hog
: >/t/go/guest
cp /bin/tenant /t/rootfs/tenant
mount -t tmpfs -o size={shared} tmpfs /t/data
echo {pids} >/proc/sys/kernel/pid_max
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo '+memory +pids' >/sys/fs/cgroup/cgroup.subtree_control
{started}
trap '{act}' {go}
sleep 36000 &
while :; do wait; done
"""
STARTED = """mkdir /t/{name}
echo '{config}' >/t/{name}/config.json
{run} --detach --pid-file /t/{name}.pid --bundle /t/{name} {name} </dev/null >/dev/ttyS0 2>&1 ||
    exit 98
"""


def script(tenants: Sequence[str], culprit: str, fault: str, *, runtime: str, limited: bool) -> str:
    """Return the script of a guest with these tenants.

    Parameters
    ----------
    tenants : sequence of str
        Of `NAMES`.
    culprit : str
        The tenant whose fault happens when the guest gets `GO`; it may be in another guest.
    fault : str
        Of `schema.FAULTS`.
    runtime : {"runc", "runsc"}
    limited : bool
        Whether each tenant has the limits.
    """
    started = "".join(
        STARTED.format(
            name=name,
            run=RUNTIMES[runtime],
            config=json.dumps(config(name, fault if name == culprit else "", limited=limited)),
        )
        for name in tenants
    )
    act = ": >/t/go/now"
    if fault == "panic" and runtime == "runsc" and culprit in tenants:
        # No file of the sandbox reaches the guest's kernel. Its own is the process in which it
        # runs, and a panic of that ends it as this does.
        act = f"read -r sentry </t/{culprit}.pid; echo fault {culprit}; kill -ABRT $sentry"
    moved = MOVED if runtime == "runsc" else ""
    return SCRIPT.format(
        moved=moved, shared=SHARED_BYTES, pids=PIDS, started=started, act=act, go=GO
    )


def config(name: str, fault: str, *, limited: bool) -> dict:
    """Return the OCI runtime configuration of a tenant (runtime-spec 1.0.2)."""
    data = _mount("/data", "tmpfs", "tmpfs", f"size={DATA_BYTES}")
    memory = {"limit": MEMORY_BYTES, "swap": MEMORY_BYTES}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/tenant", name, *([fault] if fault else [])],
            "env": [],
            "cwd": "/",
            "oomScoreAdj": 0,  # else that of the script, which the OOM killer spares
            # What an engine withholds, and the fault "clock" needs.
            "capabilities": {kind: ["CAP_SYS_TIME"] for kind in CAPABILITIES},
        },
        "root": {"path": "/t/rootfs", "readonly": True},
        "mounts": [
            _mount("/proc", "proc", "proc"),
            _mount("/go", "bind", "/t/go", "bind", "ro"),
            _mount("/hog", "tmpfs", "tmpfs", "size=8g"),
            data if limited else _mount("/data", "bind", "/t/data", "bind"),
        ],
        "linux": {
            "cgroupsPath": f"/{name}",
            "namespaces": [
                {"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")
            ],
            "resources": {"memory": memory, "pids": {"limit": TASKS}} if limited else {},
        },
    }


def _mount(target: str, kind: str, source: str, *options: str) -> dict:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}
