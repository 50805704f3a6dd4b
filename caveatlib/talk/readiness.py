"""Whether this machine is ready for the stage: a line for each thing that has spoilt a talk."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from caveatlib import prepare, store, trials
from caveatlib.errors import CaveatError
from caveatlib.measuring.experiment import complete
from caveatlib.support import shipped
from caveatlib.support.privacy import scrub
from caveatlib.talk import acts

FREE_BYTES = 2 * 10**9
"""An engine's folder, its image and the journals of a few rehearsals."""
CHARGED = 50
"""Percent of a battery that lasts a talk, without a plug."""
SYS = Path("/sys")
UNSYNCHRONISED = 5
"""TIME_ERROR of adjtimex(2)."""
TIMEX_BYTES = 256
"""More than its structure has on any architecture."""
NEEDED = ("jupyterlab", "jupyterlab_rise", "nbconvert")


class Item(NamedTuple):
    """One thing to look at before a talk.

    Attributes
    ----------
    name : str
    ok : bool
    told : str
        What was found.
    fix : str
        What mends it; empty if nothing need be done.
    """

    name: str
    ok: bool
    told: str
    fix: str = ""


def ready(sys: Path = SYS) -> list[Item]:
    """Return what was found; the machine is ready if all are ok. Nothing is changed or downloaded.

    Parameters
    ----------
    sys : path, optional
        Where the kernel shows batteries and governors.
    """
    return [
        slides(),
        data(),
        *(live(name) for name in acts.ACTS),
        nothing_to_pull(),
        battery(sys / "class/power_supply"),
        governor(sys / "devices/system/cpu"),
        clock(),
        disk(),
    ]


def slides(find: Callable = find_spec) -> Item:
    """Whether JupyterLab, its slides and the page are installed."""
    lacking = [name for name in NEEDED if find(name) is None]
    if not lacking:
        return Item("slides", True, "JupyterLab shows slides")
    return Item("slides", False, f"{', '.join(lacking)} not installed", "make talk")


def data() -> Item:
    """Whether what live parts fall back on is there and whole."""
    try:
        for act in acts.ACTS.values():
            trials.open(act.experiment, source="recorded").table("trials")
        shipped.folder("notebooks")
    except CaveatError as error:
        return Item("recorded", False, scrub(error), "reinstall caveatlib")
    names = dict.fromkeys(act.experiment.NAME for act in acts.ACTS.values())
    versions = ", ".join(f"{n} version {store.versions(n)[-1]}" for n in names)
    return Item("recorded", True, f"to fall back on: {versions}")


def live(name: str) -> Item:
    """Whether an act can be measured here; the probes try it."""
    act = acts.ACTS[name]
    missing = trials.arms_here(act.experiment, places=act.places)[1]
    if not missing:
        return Item(f"live: {name}", True, f"{', '.join(act.places)} can run")
    place, why = next(iter(missing.items()))
    return Item(
        f"live: {name}", False, f"{place} cannot run: {why}", "make system, and run as root"
    )


def nothing_to_pull(plan: Callable[..., Sequence[prepare.Step]] = prepare.plan) -> Item:
    """Whether what the acts need is in the cache; a hall's network is not to be relied on."""
    wanted = [a for act in acts.ACTS.values() for a in complete(act.experiment).ARTEFACTS]
    lacking = [step.meaning for step in plan(list(dict.fromkeys(wanted))) if not step.ready]
    if not lacking:
        return Item("local", True, "nothing to pull: all that is measured is prepared")
    return Item("local", False, f"not prepared: {', '.join(lacking)}", "make system")


def battery(folder: Path) -> Item:
    """Whether the power lasts: on a plug, without a battery, or charged."""
    kinds = {p: _read(p / "type") for p in sorted(folder.glob("*"))}
    plugged = any(
        _read(p / "online") == "1" for p, kind in kinds.items() if kind in ("Mains", "USB")
    )
    charges = [
        int(charge)
        for p, kind in kinds.items()
        if kind == "Battery" and _read(p / "scope") != "Device"
        and (charge := _read(p / "capacity")).isdigit()
    ]  # fmt: skip
    if not charges:
        return Item("battery", True, "none: the power comes from elsewhere")
    told = f"{min(charges)} % charged, {'plugged in' if plugged else 'not plugged in'}"
    if plugged or min(charges) >= CHARGED:
        return Item("battery", True, told)
    return Item("battery", False, told, "plug it in")


def governor(folder: Path) -> Item:
    """Whether the CPU keeps its clock rate."""
    found = {_read(p) for p in folder.glob("cpu[0-9]*/cpufreq/scaling_governor")} - {""}
    if not found:
        return Item("governor", True, "not shown here: the host decides")
    told = ", ".join(sorted(found))
    if found == {"performance"}:
        return Item("governor", True, told)
    return Item("governor", False, told, "as root: cpupower frequency-set -g performance")


def clock(ask: Callable[[], int | None] | None = None) -> Item:
    """Whether the kernel's clock is synchronised; the day stands on every badge."""
    state, today = (ask or _clock_state)(), date.today().isoformat()
    if state is None:
        return Item("clock", False, f"nobody says whether {today} is right", "look at the date")
    if state == UNSYNCHRONISED:
        return Item(
            "clock",
            False,
            f"not synchronised, it says {today}",
            "as root: timedatectl set-ntp true",
        )
    return Item("clock", True, f"synchronised, {today}")


def _clock_state() -> int | None:
    """Return what adjtimex(2) says when it is asked to change nothing; None where it cannot."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return state if state >= 0 else None


def disk(usage: Callable = shutil.disk_usage) -> Item:
    """Whether runs have room."""
    state = os.environ.get("CAVEATLIB_STATE") or tempfile.gettempdir()
    free = min(usage(folder).free for folder in (state, tempfile.gettempdir()))
    told = f"{free / 1e9:.1f} GB free"
    if free >= FREE_BYTES:
        return Item("disk", True, told)
    return Item("disk", False, f"{told}, {FREE_BYTES / 1e9:.0f} GB wanted", "make room")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
