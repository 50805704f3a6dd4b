"""What decides the claims of `startup`, and the answer in words."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims, literature, stats
from caveatlib.claims import Effect
from caveatlib.experiments.kit.sentences import per_machine
from caveatlib.experiments.startup.claims import (
    BUILDING,
    KERNEL,
    NESTING,
    PACKING,
    STARTING,
    STOPPING,
)
from caveatlib.experiments.startup.tables import SLOWDOWNS, phases, slowdown
from caveatlib.support.quantities import format_quantity

WORDS = ("Slower", "Faster")
PUBLISHED = ("fc_boot_total_api", "qemu_boot_total", "qemu_uvm_total")
BUILT = (
    "An image of the same files against a disk without an operating system; "
    "classic builder, its context packed beforehand. The engine takes the files over its socket "
    "as a tar, unpacks and hashes them, copies them into a layer, and reads that again for its "
    "digest; mkfs.ext4 writes them into one file."
)
"""What the seconds of packing are of, and why they differ."""
UNFAIR = (
    "The disk that is built here has no operating system, kernel or boot loader, so no virtual "
    "machine boots from it, while a container starts from the image."
)


def arm(design: str, place: str, replicate: int = 0) -> dict:
    """Return the filter of a place in a design."""
    return {"design": design, "place": place, "replicate": replicate}


def contrast(name: str, measure: str, one: dict, other: dict | None, **settings) -> stats.Contrast:
    """Return a contrast over sessions: no arm's engine is opened afresh more often."""
    return stats.Contrast(name, measure, one, other, pairing="session", **settings)


def _again(name: str, measure: str, design: str) -> stats.Contrast:
    return contrast(name, measure, arm(design, "docker-runc", 1), arm(design, "docker-runc"))


START_AGAIN = _again("docker-runc started again", "first_output_s", "start")
STOP_AGAIN = _again("docker-runc stopped again", "stop_s", "start")
BUILD_AGAIN = _again("the same image built again", "build_s", "build")
MICROVM = (arm("machine", "runc"), arm("machine", "microvm"))
BUILDS = (arm("build", "docker-runc"), arm("build", "full-vm"))


def _emulated(here: pd.DataFrame) -> bool:
    return bool((here["accel"] == "tcg").any())


def _shown(one: stats.Contrast, *, published: bool = True):
    """Return what says of an emulated machine what was seen, and why it decides nothing."""

    def unfair(here: pd.DataFrame) -> str:
        if not _emulated(here) or stats.pairs(here, one).empty:
            return ""
        seen = [
            f"{where['place']} "
            + format_quantity(claims.values_of(here, where, one.measure).median(), "s")
            for where in (one.arm, one.baseline)
        ]
        said = [f"The virtual machine was emulated. Medians: {', '.join(seen)}."]
        factors = slowdown(here)
        if len(factors):
            ratios = ", ".join(f"{SLOWDOWNS[c]} {factors[c].iloc[0]:.3g}x" for c in SLOWDOWNS)
            said.append(f"Slowdown by the emulator: {ratios}.")
        return " ".join([*said, _published()] if published else said)

    return unfair


def _published() -> str:
    figures = literature.figures("startup").set_index("id").loc[list(PUBLISHED)]
    cited = "; ".join(
        f"{row['setting']}: {format_quantity(row['value_si'], 's')} ({row['year']})"
        for _, row in figures.iterrows()
    )
    return f"Published, on other machines: {cited}."


def _undecided(what: str, place: str, column: str):
    """Return what says aloud why nothing is decided, and what a container took."""

    def say(here: pd.DataFrame, verdict: claims.Verdict) -> str:
        if verdict.verdict != claims.NOT_MEASURED or not _emulated(here):
            return ""
        took = claims.values_of(here, arm("machine", place), column).median()
        if pd.isna(took):
            return ""
        return (
            f"Not decided: without KVM the virtual machine was emulated. {place} took "
            f"{format_quantity(took, 's')} to {what}.{_expected(verdict.claim)}"
        )

    return say


def _expected(claim: str) -> str:
    told = claims.predicted(claim)
    return f" Predicted with KVM: {told.low:g} to {told.high:g}, {told.of}." if told else ""


def _times(verdict: claims.Verdict) -> str:
    """Return ``17 times as long`` for 17."""
    return f"{verdict.effect:.2g} times as long"


def _say_packing(here: pd.DataFrame, verdict: claims.Verdict) -> str:
    if verdict.verdict not in claims.DECIDED:
        return ""
    return (
        f"Packing the same files into an image took {_times(verdict)} as writing them to a disk "
        "without an operating system."
    )


def _say_building(here: pd.DataFrame, verdict: claims.Verdict) -> str:
    if not verdict.n:
        return ""
    return "Not decided: the disk that is built here boots nothing, so it is not a virtual machine."


def _say_namespaces(here: pd.DataFrame, verdict: claims.Verdict) -> str:
    if not verdict.n:
        return ""
    share = f"{verdict.effect * 100:.2g} %"
    return f"A start in new namespaces alone takes {share} of a start through Docker."


def _bare_disk(here: pd.DataFrame) -> str:
    return UNFAIR  # whatever is measured: no disk that boots is built


_PACKED = contrast("startup-packing", "build_s", *BUILDS)
_STARTED = contrast("C23", "first_output_s", *MICROVM)
_STOPPED = contrast("C24", "stop_s", *MICROVM)
_NESTED = contrast(
    "C25", "container_output_s", arm("machine", "inception"), arm("machine", "docker-runc")
)
_NAMESPACES = contrast(
    "startup-kernel",
    "first_output_s",
    arm("start", "namespaces"),
    arm("start", "docker-runc"),
    threshold=0.5,
)

DECISIONS = (
    Effect(
        claim=BUILDING,
        contrast=_PACKED,
        direction="less",
        words=WORDS,
        null=BUILD_AGAIN,
        unfair=_bare_disk,
        say=_say_building,
        label="an image over a bare disk",
    ),
    Effect(
        claim=STARTING,
        contrast=_STARTED,
        direction="less",
        words=WORDS,
        null=START_AGAIN,
        unfair=_shown(_STARTED),
        say=_undecided("its first output", "runc", "first_output_s"),
        label="start: runc over a microVM",
    ),
    Effect(
        claim=STOPPING,
        contrast=_STOPPED,
        direction="less",
        words=WORDS,
        null=STOP_AGAIN,
        unfair=_shown(_STOPPED, published=False),
        say=_undecided("stop", "runc", "stop_s"),
        label="stop: runc over a microVM",
    ),
    Effect(
        claim=NESTING,
        contrast=_NESTED,
        direction="greater",
        words=WORDS,
        null=START_AGAIN,
        unfair=_shown(_NESTED),
        say=_undecided("its first output", "docker-runc", "first_output_s"),
        label="a container in a fresh VM, over Docker",
    ),
    Effect(
        claim=PACKING,
        contrast=_PACKED,
        direction="less",
        words=WORDS,
        null=BUILD_AGAIN,
        qualify=lambda here, verdict: BUILT,
        say=_say_packing,
        label="packing an image, over a bare disk",
    ),
    Effect(
        claim=KERNEL,
        contrast=_NAMESPACES,
        direction="less",
        words=WORDS,
        null=START_AGAIN,
        say=_say_namespaces,
        label="new namespaces, over Docker",
    ),
)


def verdicts(trials: pd.DataFrame) -> claims.Verdicts:
    """Judge the claims, machine by machine.

    Returns
    -------
    Verdicts
        Those that a virtual machine decides say "not measured here" where it
        was emulated: with what was measured, the emulator's slowdown, and
        published figures. C21 always does: no disk that boots is built.
    """
    return claims.judge(trials, DECISIONS)


@per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say in a sentence or two what the trials of each machine show."""
    marks = phases(trials)["first_output_s"]
    if marks.empty:
        return ""
    parts = [f"{place} {format_quantity(value, 's')}" for place, value in marks.items()]
    said = f"Median time until the first output: {', '.join(parts)}."
    (row,) = stats.jointly([(trials, _NAMESPACES)])
    if row["n"]:
        said += (
            " A start in new pid, mount, UTS and IPC namespaces alone takes "
            f"{row['estimate']:.1%} of a start through Docker."
        )
    if _emulated(trials):
        said += " The virtual machines were emulated, so their times decide nothing."
    return said
