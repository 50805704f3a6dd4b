"""This machine: its class, the facts that a reader of its numbers needs, and how busy it is.

`describe` is an allow-list: nothing in it names the machine, its owner, its
network or its folders.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import platform
import re
from pathlib import Path

from caveatlib.measuring.surroundings import surroundings


def cores() -> int:
    """Return the number of CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def label() -> str:
    """Return the class of this machine: what must agree for two runs to be pooled.

    Returns
    -------
    str
        ``"AMD EPYC 7763, 2 CPUs, 24 GiB, Linux 6.18, cgroup v1"``. No reading
        that varies on one machine (clock rate, free memory) is part of it.
    """
    kernel = ".".join(_kernel().split(".")[:2])
    parts = [
        cpu_class(_cpu_model()) or platform.machine(),
        f"{cores()} CPU{'s' if cores() > 1 else ''}",
        f"{round(_memory_bytes() / 2**30)} GiB",
        f"{platform.system()} {kernel}",
    ]
    if cgroups() != "none":
        parts.append(f"cgroup {cgroups()}")
    return ", ".join(parts)


def label_with_cpu(given: str, facts: dict[str, str]) -> str:
    """Return a recorded label with the CPU's model where it has only the architecture.

    Parameters
    ----------
    given : str
        ``"x86_64, 2 CPUs, ..."`` of a run before the class had the CPU's model,
        or any other label, which is returned as it is.
    facts : dict of str to str
        What `describe` returned then.
    """
    architecture, comma, rest = given.partition(",")
    cpu = cpu_class(facts.get("cpu_model", ""))
    if cpu and architecture == facts.get("architecture"):
        return f"{cpu}{comma}{rest}"
    return given


def cpu_class(model: str) -> str:
    """Return a CPU's model without trade marks, clock rate and count of cores.

    ``"Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz"`` is ``"Intel Xeon Platinum 8370C"``.
    """
    for noise in _NOISE:
        model = noise.sub(" ", model)
    return " ".join(model.split())


_NOISE = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        r"\((R|TM|C)\)",
        r"@.*",
        r"\b([0-9]+|dual|quad|six|eight|twelve|sixteen)-core\b",
        r"\b(CPU|processor)\b",
        r",",  # separates the parts of a label
    )
)


def describe() -> dict[str, str]:
    """Return the facts of this machine that a reader of the numbers needs.

    Returns
    -------
    dict of str to str
        CPU model and count, memory, kernel, its tick rate and TCP congestion
        control, cgroup version, mitigations of the CPU's flaws, distribution,
        Python, clock source, and what it is itself inside of.
    """
    facts = {
        "cpu_model": _cpu_model(),
        "cpus": str(cores()),
        "memory_bytes": str(_memory_bytes()),
        "architecture": platform.machine(),
        "kernel": f"{platform.system()} {_kernel()}",
        "hz": _hz(),
        "cgroup": cgroups(),
        "congestion_control": _read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "clocksource": _read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "virtualised": "yes" if _hypervisor() else "no",
        "inside": ", ".join(kind.name for kind in surroundings()),
        "mitigations": _mitigations(),
        "distribution": _distribution(),
        "python": platform.python_version(),
        "load_1min": f"{os.getloadavg()[0]:.2f}",
    }
    return {name: value for name, value in facts.items() if value}


def busy_per_cpu() -> float:
    """Return how many tasks run at this instant besides the caller, per CPU; NaN if unknown."""
    try:
        # "0.42 0.30 0.21 2/345 6789": 2 of 345 tasks are running, we are one of them.
        running = _read("/proc/loadavg").split()[3].partition("/")[0]
        return max(0.0, float(running) - 1) / (os.cpu_count() or 1)
    except (IndexError, ValueError):
        return float("nan")


def cpu_ticks() -> tuple[int, int]:
    """Return CPU ticks of all CPUs since boot: in all, and stolen by the hypervisor."""
    # "cpu  user nice system idle iowait irq softirq steal guest guest_nice"
    fields = [int(v) for v in _read("/proc/stat").partition("\n")[0].split()[1:9]]
    return (sum(fields), fields[7]) if len(fields) == 8 else (0, 0)


def stolen_share(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Return the share of CPU time stolen between two `cpu_ticks`.

    NaN if no tick passed, or if counters went back, as that of iowait may (proc_stat(5)).
    """
    total, stolen = after[0] - before[0], after[1] - before[1]
    return stolen / total if total > 0 and 0 <= stolen <= total else float("nan")


def cgroups() -> str:
    """Return the cgroup version whose controllers are in use: v1, v2 or none."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return "v2"
    if any((root / name).is_dir() for name in ("cpu", "cpu,cpuacct", "memory")):
        return "v1"
    return "none"


def _kernel() -> str:
    """Return the kernel's version number alone: what follows it may name its owner."""
    found = re.match(r"\d+(\.\d+)*", platform.release())
    return found.group() if found else ""


def _cpu_model(cpuinfo: str | None = None) -> str:
    """Return the CPU's model; an ARM kernel knows only who made which part."""
    text = _read("/proc/cpuinfo") if cpuinfo is None else cpuinfo
    found = dict(re.findall(r"^([^\n:]*?)\s*: *(.*)$", text, re.M))  # the last CPU's, of a list
    if named := found.get("model name"):
        return named.strip()
    if {"CPU implementer", "CPU part"} <= found.keys():
        return f"ARM {found['CPU implementer'].strip()}/{found['CPU part'].strip()}"
    return platform.processor()


def _hz() -> str:
    """Return CONFIG_HZ from the kernel's configuration, where it can be read."""
    texts = []
    with contextlib.suppress(OSError):
        texts.append(gzip.decompress(Path("/proc/config.gz").read_bytes()).decode())
    texts.append(_read(f"/boot/config-{platform.release()}"))
    for text in texts:
        found = re.search(r"^CONFIG_HZ=(\d+)$", text, re.M)
        if found:
            return found.group(1)
    return ""


def _hypervisor() -> bool:
    return bool(re.search(r"^flags\s*:.*\bhypervisor\b", _read("/proc/cpuinfo"), re.M))


def _mitigations(folder: str = "/sys/devices/system/cpu/vulnerabilities") -> str:
    """Return what the kernel does about each flaw that the CPU has; empty if it does not say."""
    told = {path.name: _read(str(path)) for path in sorted(Path(folder).glob("*"))}
    # "Mitigation: Retpolines; STIBP: disabled; RSB filling", "Vulnerable: no microcode"
    found = {
        name: re.split("[;:]", text.removeprefix("Mitigation: "))[0].strip()
        for name, text in told.items()
        if text != "Not affected"
    }
    if not told or found:
        return "; ".join(f"{name}: {status}" for name, status in found.items())
    return "none needed"


def _distribution() -> str:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return ""
    return " ".join(filter(None, (release.get("NAME"), release.get("VERSION_ID"))))


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _memory_bytes() -> int:
    import psutil  # only here: who replays does without

    return psutil.virtual_memory().total
