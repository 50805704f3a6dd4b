"""What decides the claims of `startup`, and the answer in words."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims, literature, stats
from caveatlib.claims import Effect, Whole
from caveatlib.experiments.kit.sentences import listed, per_machine, ranged
from caveatlib.experiments.startup.claims import (
    BUILDERS,
    BUILDING,
    BUILT_FROM,
    KERNEL,
    NESTING,
    PACKING,
    PAIRS,
    START,
    STARTING,
    STOPPING,
    WORKED,
    WORKING,
)
from caveatlib.experiments.startup.counting import SETTLES_S
from caveatlib.experiments.startup.designs import FROM
from caveatlib.experiments.startup.tables import (
    PLAIN,
    RUNC,
    SLOWDOWNS,
    UNSETTLED,
    UNTESTED,
    counts,
    needed,
    phases,
    slowdown,
    where_counted,
)
from caveatlib.experiments.startup.waterfall import largest
from caveatlib.support.quantities import format_quantity

WORDS = ("Slower", "Faster")
INSTRUCTIONS = "instructions"
CALLED = {"inception": "a container in a microVM"}
"""Places that go by another name in a sentence."""
PUBLISHED = ("fc_boot_total_api", "qemu_boot_total", "qemu_uvm_total")
CLASSIC = (
    "The classic builder is deprecated and not the default since Docker 23: it sends the whole "
    "context for each build, and takes one step after the other."
)
"""Known limits of it (docs.docker.com, "Deprecated Docker Engine features")."""
BUILT = (
    "An image of the same files against a disk without an operating system; "
    "its context packed beforehand. The engine takes the files over its socket "
    "as a tar, unpacks and hashes them, copies them into a layer, and reads that again for its "
    f"digest; mkfs.ext4 writes them into one file. {CLASSIC}"
)
"""What the seconds of packing are of, and why they differ."""


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


def _span(values, unit: str = "") -> str:
    """Return the least and the greatest of values: ``2.04 to 2.13 billion``."""
    low, high = (format_quantity(value, unit) for value in (min(values), max(values)))
    if low == high:
        return low
    number, _, name = low.partition(" ")
    return f"{number} to {high}" if high.endswith(f" {name}") and name else f"{low} to {high}"


def _seen(here: pd.DataFrame, place: tuple[str, str], column: str) -> pd.Series:
    return claims.values_of(here, where_counted(place), column)


def _containers(counted: pd.DataFrame, pair: str) -> pd.Series:
    """Return for each session how many first containers a boot is worth, from `counts`."""
    found = stats.pairs(counted, WORKED_OUT[pair])
    return found["arm"] / found["baseline"]


AT_ONCE = "unsettled-"
GUESTS = {f"left alone for {SETTLES_S} s after their boot": "", "just booted": AT_ONCE}
"""Guests that a first container starts in, and how its pairs with a boot begin."""


def _worth(here: pd.DataFrame, pair: str) -> dict[str, pd.Series]:
    """Return how many first containers a boot is worth, by the guests that these start in."""
    guests = {guest: f"{kind}{pair}" for guest, kind in GUESTS.items()}
    counted = counts(here, list(guests.values()))
    found = {guest: _containers(counted, each) for guest, each in guests.items()}
    return {guest: values for guest, values in found.items() if len(values)}


def _in_guests(worth: dict[str, pd.Series]) -> str:
    return listed([f"{_span(values)} in guests {which}" for which, values in worth.items()])


def _booting(here: pd.DataFrame) -> str:
    """Return what a boot executes, and how many first containers that is; empty if not counted."""
    worth = _worth(here, "boot")
    if not worth:
        return ""
    boots, all_of_them = _seen(here, PLAIN, "boot_instructions"), pd.concat(list(worth.values()))
    return (
        f"Booting Debian's cloud kernel executes {_span(boots, INSTRUCTIONS)} instructions, as "
        f"many as {_span(all_of_them)} first containers."
    )


def _starting(here: pd.DataFrame) -> str:
    """Return the same, by the guests that the containers start in, and for the least of a boot."""
    boot = _booting(here)
    if not boot:
        return ""
    said = [boot, f"It is worth {_in_guests(_worth(here, 'boot'))}."]
    if least := _worth(here, "untested"):
        said.append(
            f"Without firmware, unpacking and self-tests it is worth {_in_guests(least)}; the "
            "guests that the containers start in have their self-tests all the same."
        )
    return " ".join([*said, "What the host executes is not counted."])


def _settling(here: pd.DataFrame) -> str:
    """Return what a guest that is left alone executes before its first container."""
    put_off, untested = (_seen(here, each, "settling_instructions") for each in (RUNC, UNTESTED))
    if put_off.empty:
        return ""
    less = f" ({_span(untested, INSTRUCTIONS)} without self-tests)" if len(untested) else ""
    return (
        f"Before a container that does not start at once, the guest is left alone for {SETTLES_S} "
        f"s and executes {_span(put_off, INSTRUCTIONS)} instructions that its kernel had put "
        f"off{less}: no boot is counted with these, and a container at once only with those that "
        "run meanwhile."
    )


def _stopping(here: pd.DataFrame) -> str:
    """Return what a power-off executes, and what the stop of a container does."""
    off = _seen(here, PLAIN, "end_instructions")
    stops = _seen(here, RUNC, "first_stop_instructions")
    if off.empty or stops.empty:
        return ""
    return (
        f"A microVM's power-off executes {_span(off, INSTRUCTIONS)} instructions, waits included; "
        f"a stop by runc {_span(stops, INSTRUCTIONS)}."
    )


def _nesting(here: pd.DataFrame) -> str:
    """Return what a boot and a container right after it execute, and a container alone."""
    boots, starts = (
        _seen(here, UNSETTLED, column)
        for column in ("boot_instructions", "first_start_instructions")
    )
    both, alone = (boots + starts).dropna(), _seen(here, RUNC, "first_start_instructions")
    if both.empty or alone.empty:
        return ""
    return (
        f"A boot and a container right after it execute {_span(both, INSTRUCTIONS)} instructions, "
        f"a container alone {_span(alone, INSTRUCTIONS)}."
    )


def _shown(one: stats.Contrast, work, *, published: bool = True):
    """Return what says of an emulated machine its work, what was seen, and why none decides."""

    def unfair(here: pd.DataFrame) -> str:
        if not _emulated(here) or stats.pairs(here, one).empty:
            return ""
        seen = [
            f"{CALLED.get(where['place'], where['place'])} "
            + format_quantity(claims.values_of(here, where, one.measure).median(), "s")
            for where in (one.arm, one.baseline)
        ]
        said = [work(here), f"The virtual machine was emulated. Medians: {', '.join(seen)}."]
        factors = slowdown(here)
        if len(factors):
            ratios = ", ".join(f"{SLOWDOWNS[c]} {factors[c].iloc[0]:.3g}x" for c in SLOWDOWNS)
            said.append(f"Slowdown by the emulator: {ratios}.")
        said += [_published()] if published else []
        return " ".join(filter(None, said))

    return unfair


def _published() -> str:
    figures = literature.figures("startup").set_index("id").loc[list(PUBLISHED)]
    cited = "; ".join(
        f"{setting.replace('; ', ', ')}: {format_quantity(value, 's')} ({year})"
        for setting, value, year in zip(
            figures["setting"], figures["value_si"], figures["year"], strict=True
        )
    )
    return f"Published, on other machines, from the start of a process to its exit: {cited}."


def _undecided(what: str, place: str, column: str, work):
    """Return what says aloud the work, why no time is decided, and what a container took."""

    def say(here: pd.DataFrame, verdict: claims.Verdict) -> str:
        if verdict.verdict != claims.NOT_MEASURED or not _emulated(here):
            return ""
        took = claims.values_of(here, arm("machine", place), column).median()
        if pd.isna(took):
            return ""
        took = format_quantity(took, "s")
        why = "Not decided: without KVM the virtual machine was emulated."
        told = [work(here), why, f"{place} took {took} {what}.", _expected(verdict.claim)]
        return " ".join(filter(None, told))

    return say


def _expected(claim: str) -> str:
    told = claims.predicted(claim)
    if told is None:
        return ""
    return f"Predicted with KVM: a ratio of {told.low:g} to {told.high:g} ({told.of})."


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


def _say_namespaces(here: pd.DataFrame, verdict: claims.Verdict) -> str:
    if not verdict.n:
        return ""
    share = f"{verdict.effect * 100:.2g} %"
    return f"A start in new namespaces alone takes {share} of a start through Docker."


def _built(start: str, place: str, replicate: int = 0) -> dict:
    """Return the filter of what a place makes of the application, from nothing or on the base."""
    where = {"design": "disks", "place": place, "workload": FROM[start]}
    return where | {"replicate": replicate}


OVER = {"ext4": "over one ext4 disk", "qcow2": "over a qcow2 on its backing file"}
BUILT_AGAIN = {
    builder: contrast(
        f"the same image built again, {words}",
        "build_s",
        _built("base", f"image-{builder}", 1),
        _built("base", f"image-{builder}"),
    )
    for builder, words in BUILDERS.items()
}


def _against_a_disk(start: str, builder: str, disk: str) -> Effect:
    claim = BUILT_FROM[start, builder, disk]
    arms = _built(start, f"image-{builder}"), _built(start, f"disk-{disk}")
    return Effect(
        claim=claim,
        contrast=contrast(claim.id, "build_s", *arms),
        direction="less",
        words=WORDS,
        null=BUILT_AGAIN[builder],
        qualify=lambda here, verdict: CLASSIC if builder == "classic" else "",
        label=f"an image by {BUILDERS[builder]} over a disk ({disk}), {START[start]}",
    )


def _tell_building(here: pd.DataFrame, parts: dict[str, claims.Verdict]) -> str:
    """Tell by how much an image takes longer than a disk that boots, for each way to begin."""
    found = {key: v for key, claim in BUILT_FROM.items() if (v := parts[claim.id]).n}
    sizes = ranged([verdict.effect for verdict in found.values()], ".2g")
    said = [f"Building an image took {sizes} times as long as making a disk that boots."]
    for start in FROM:
        against: dict[str, list[str]] = {}
        for (begun, builder, disk), verdict in found.items():
            if begun == start:
                against.setdefault(builder, []).append(f"{verdict.effect:.2g}x against {disk}")
        told = [f"{BUILDERS[builder]} {listed(each)}" for builder, each in against.items()]
        said += [f"{START[start].capitalize()}: {'; '.join(told)}."] if told else []
    said.append(
        "Each disk was booted with the kernel that lies on it, each image started. Nothing is "
        "installed in either, no boot loader is written, and mkfs.ext4 waits until the host's disk "
        "has what it wrote."
    )
    return " ".join([*said, CLASSIC])


def _worked_out(pair: str) -> stats.Contrast:
    design = needed(pair)[0]["design"]
    arms = ({"design": design, "what": what} for what in (pair, f"{pair} container"))
    return contrast(WORKED[pair].id, "instructions", *arms)


WORKED_OUT = {pair: _worked_out(pair) for pair in PAIRS}


def _over_a_container(pair: str) -> Effect:
    return Effect(
        claim=WORKED[pair],
        contrast=WORKED_OUT[pair],
        direction="greater",
        words=("More", "Less"),
        table=counts,
        needs=needed(pair),
        label=f"{PAIRS[pair]} over a first container",
    )


def _each(ranges: dict[str, pd.Series]) -> list[str]:
    """Return the containers that each boot is worth; of those at once beside those that wait."""
    told = []
    for pair, found in ranges.items():
        at_once, waiting = ranges.get(f"{AT_ONCE}{pair}"), pair.removeprefix(AT_ONCE)
        if waiting != pair and waiting in ranges:
            continue
        beside = "" if at_once is None else f" ({_span(at_once)} at once)"
        told.append(f"{PAIRS[pair].removeprefix('the boot ')} {_span(found)}{beside}")
    return told


def _tell_work(here: pd.DataFrame, parts: dict[str, claims.Verdict]) -> str:
    """Tell the range over all pairs, never one of them alone."""
    counted = counts(here)
    ranges = {pair: found for pair in PAIRS if len(found := _containers(counted, pair))}
    if not ranges:
        return ""
    all_of_them = _span(pd.concat(list(ranges.values())))
    few, many = (of(map(len, ranges.values())) for of in (min, max))
    seeds = claims.counted(many, "seed") if few == many else f"{few} to {many} seeds"
    said = [
        f"A boot executes as many instructions as {all_of_them} first containers, by what is "
        "counted.",
        _booting(here),
        f"In first containers, over {seeds}: {listed(_each(ranges))}.",
        _settling(here),
        "What the host does is not counted. Instructions are not time.",
    ]
    return " ".join(filter(None, said))


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
    Whole(
        claim=BUILDING,
        parts=tuple(claim.id for claim in BUILT_FROM.values()),
        labels=OVER | {f"{b}-{s}": f"{BUILDERS[b]}, {START[s]}" for s in FROM for b in BUILDERS},
        tell=_tell_building,
    ),
    Effect(
        claim=STARTING,
        contrast=_STARTED,
        direction="less",
        words=WORDS,
        null=START_AGAIN,
        unfair=_shown(_STARTED, _starting),
        qualify=lambda here, verdict: _starting(here),
        say=_undecided("until its first output", "runc", "first_output_s", _booting),
        label="start: runc over a microVM",
    ),
    Effect(
        claim=STOPPING,
        contrast=_STOPPED,
        direction="less",
        words=WORDS,
        null=STOP_AGAIN,
        unfair=_shown(_STOPPED, _stopping, published=False),
        qualify=lambda here, verdict: _stopping(here),
        say=_undecided("to stop", "runc", "stop_s", _stopping),
        label="stop: runc over a microVM",
    ),
    Effect(
        claim=NESTING,
        contrast=_NESTED,
        direction="greater",
        words=WORDS,
        null=START_AGAIN,
        unfair=_shown(_NESTED, _nesting),
        qualify=lambda here, verdict: _nesting(here),
        say=_undecided("until its first output", "docker-runc", "first_output_s", _nesting),
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
        qualify=lambda here, verdict: largest(here),
        say=_say_namespaces,
        label="new namespaces, over Docker",
    ),
    Whole(
        claim=WORKING,
        parts=tuple(claim.id for claim in WORKED.values()),
        labels=PAIRS,
        tell=_tell_work,
    ),
    *(_against_a_disk(*key) for key in BUILT_FROM),
    *(_over_a_container(pair) for pair in PAIRS),
)


@per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say in a few sentences what the trials of each machine show; of emulated ones the work."""
    said = [work] if (work := _booting(trials)) else []
    if said:
        said.append("What the host executes is not counted, and instructions are not time.")
    marks = phases(trials[trials["accel"] != "tcg"])["first_output_s"]
    if len(marks):
        each = [f"{place} {format_quantity(value, 's')}" for place, value in marks.items()]
        said.append(f"Median time until the first output: {', '.join(each)}.")
    (row,) = stats.jointly([(trials, _NAMESPACES)])
    if row["n"]:
        said.append(
            "A start in new pid, mount, UTS and IPC namespaces alone takes "
            f"{row['estimate'] * 100:.2g} % of a start through Docker."
        )
    if _emulated(trials[trials["ok"]]):
        said.append("Virtual machines were emulated here: their times decide nothing.")
    return " ".join(said)
