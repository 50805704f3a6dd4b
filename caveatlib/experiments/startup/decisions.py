"""The claims of `startup`, what is compared with what, and the verdicts."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from caveatlib import claims, literature, plots, stats
from caveatlib.experiments.startup.tables import SLOWDOWNS, phases, slowdown

NAME = "startup"
SLEPT_S, SLEPT_WITHIN_S = 0.1, 0.01
BUILT = (
    "An image of the same files against a disk without an operating system; "
    "classic builder, its context packed beforehand. The engine takes the files over its socket "
    "as a tar, unpacks and hashes them, copies them into a layer, and reads that again for its "
    "digest; mkfs.ext4 writes them into one file."
)
"""What the seconds of packing are of, and why they differ."""
UNFAIR = (
    "The disk that is made here has no operating system, kernel or boot loader, so no virtual "
    "machine boots from it, while a container starts from the image. Seen: "
)
_NOISE = "the noise is that of docker-runc's {} twice in the design 'start', not of a machine"
PACKING = claims.Claim(
    "startup-packing",
    "packing the same files into an image takes no longer than into a bare disk",
    "ours",
    "seconds to build an image of the same files (classic builder) against a disk without an "
    "operating system, ratio below 1; the noise is that of the same build twice",
    NAME,
)
CLAIMS = (
    claims.from_ledger(
        "C21",
        decides="seconds to build an image against a disk that a virtual machine boots from, of "
        "the same application; no such disk is built here",
    ),
    claims.from_ledger(
        "C23",
        decides="first output, runc alone against a bare microVM, ratio below 1; "
        + _NOISE.format("start"),
    ),
    claims.from_ledger(
        "C24",
        decides="SIGTERM until gone, runc alone against a bare microVM, ratio below 1; "
        + _NOISE.format("stop"),
    ),
    claims.from_ledger(
        "C25",
        decides="first container in a fresh virtual machine against docker-runc, ratio above 1; "
        + _NOISE.format("start"),
    ),
    PACKING,
    claims.Claim(
        "startup-kernel",
        "making pid, mount, UTS and IPC namespaces is less than half of a start through Docker",
        "ours",
        "first output in new pid, mount, UTS and IPC namespaces over docker-runc, ratio below "
        "0.5; only docker-runc has the kernel make a network, an overlay mount and control "
        "groups too",
        NAME,
    ),
)
_BY_ID = {claim.id: claim for claim in CLAIMS}


def like_with_like(trials: pd.DataFrame) -> pd.DataFrame:
    """Compare starts of stacks of the same height, and the usual unequal pair beside them.

    Returns
    -------
    pandas.DataFrame
        Indexed by what is compared: number of sessions, ratio of the first
        outputs with its interval (plain and adjusted), and what to make of it.
    """
    wanted = [
        _contrast(name, "first_output_s", _arm(design, arm), _arm(design, baseline))
        for name, (design, arm, baseline, _) in LIKE_WITH_LIKE.items()
    ]
    table = stats.contrasts(trials, wanted).set_index("name")
    emulated = set(trials.loc[trials["accel"] == "tcg", "machine"])
    told = [
        LIKE_WITH_LIKE[name][3]
        + (": emulated, decides nothing" if row["machine"] in emulated and "VM" in name else "")
        for name, row in table.iterrows()
    ]
    columns = ["machine", "n", "estimate", "low", "high", "low_adjusted", "high_adjusted"]
    return table[columns].assign(pair=told)


LIKE_WITH_LIKE = {
    "namespaces over process": ("start", "namespaces", "process", "bare with bare"),
    "runc over namespaces": ("start", "runc", "namespaces", "bare with bare"),
    "microVM over runc": ("machine", "microvm", "runc", "bare with bare"),
    "docker-crun over docker-runc": ("start", "docker-crun", "docker-runc", "managed with managed"),
    "docker-runsc over docker-runc": (
        "start",
        "docker-runsc",
        "docker-runc",
        "managed with managed",
    ),
    "docker-runc over runc": ("start", "docker-runc", "runc", "what the management costs"),
    "full VM over docker-runc": ("machine", "full-vm", "docker-runc", "unequal stacks"),
}
"""Name -> design, arm, baseline, and what kind of pair it is."""


def known_answers(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what the harness reads where the truth is fixed beforehand.

    Returns
    -------
    pandas.DataFrame
        As `stats.same_twice`: sleeps that were added, each to 10 ms, and the
        same start, stop and build twice.
    """
    added = stats.contrasts(trials, list(KNOWN))
    reads = (added["estimate"] - SLEPT_S).abs() <= SLEPT_WITHIN_S
    added = added.assign(
        check=added["name"],
        truth=SLEPT_S,
        bar=f"reads {SLEPT_S:g} +- {SLEPT_WITHIN_S:g} s",
        passes=stats.met(reads, added["estimate"]),
    )
    twice = {
        "docker-runc over itself": NULL,
        "a stop of docker-runc over itself": STOP_NULL,
        "a build over itself": BUILD_NULL,
    }
    same = stats.same_twice(trials, twice)
    return pd.concat([added[stats.KNOWN_COLUMNS], same], ignore_index=True)


def _arm(design: str, place: str, replicate: int = 0) -> dict:
    return {"design": design, "place": place, "replicate": replicate}


def _contrast(name: str, measure: str, arm: dict, baseline: dict | None, **how) -> stats.Contrast:
    # Arms live in an engine that is opened afresh for every session, and no more often.
    return stats.Contrast(name, measure, arm, baseline, pairing="session", **how)


def _again(name: str, measure: str, design: str) -> stats.Contrast:
    return _contrast(name, measure, _arm(design, "docker-runc", 1), _arm(design, "docker-runc"))


KNOWN = (
    _contrast(
        "0.1 s of sleep added to docker-runc",
        "first_output_s",
        {"design": "known-answer", "sleep_s": SLEPT_S},
        {"design": "known-answer", "sleep_s": 0.0},
        kind="difference",
    ),
    _contrast(
        "0.1 s of sleep between marks in a microVM",
        "between_s",
        {"design": "emulator", "workload": "marks"},
        None,
        kind="difference",
    ),
)
NULL = _again("docker-runc again", "first_output_s", "start")
"""The same arm twice in every block: how much the harness itself moves."""
STOP_NULL = _again("docker-runc's stop again", "stop_s", "start")
BUILD_NULL = _again("the same build again", "build_s", "build")

CONTRASTS = {
    "C23": _contrast("C23", "first_output_s", _arm("machine", "runc"), _arm("machine", "microvm")),
    "C24": _contrast("C24", "stop_s", _arm("machine", "runc"), _arm("machine", "microvm")),
    "C25": _contrast(
        "C25", "container_output_s", _arm("machine", "inception"), _arm("machine", "docker-runc")
    ),
    "startup-packing": _contrast(
        "startup-packing", "build_s", _arm("build", "docker-runc"), _arm("build", "full-vm")
    ),
    "startup-kernel": _contrast(
        "startup-kernel",
        "first_output_s",
        _arm("start", "namespaces"),
        _arm("start", "docker-runc"),
        threshold=0.5,
    ),
}
NULLS = {"C24": STOP_NULL, "startup-packing": BUILD_NULL}
"""Noise of the claims that are not about starts."""
IN_A_MACHINE = ("C23", "C24", "C25")
"""Claims that a virtual machine's speed decides: an emulated one decides nothing."""
PUBLISHED = ("fc_boot_total_api", "qemu_boot_total", "qemu_uvm_total")


def verdicts(trials: pd.DataFrame) -> claims.Verdicts:
    """Judge the claims, machine by machine.

    Returns
    -------
    Verdicts
        Those that a virtual machine decides say "not measured here" where it
        was emulated: with what was measured, the emulator's slowdown, and
        published figures. C21 always does: no disk that boots is built.
    """
    judged = claims.Verdicts()
    for _, here in trials.groupby("machine", sort=True):
        emulated = (here["accel"] == "tcg").any()
        fair = [c for name, c in CONTRASTS.items() if not (emulated and name in IN_A_MACHINE)]
        nulls = {name: stats.null_band(here, NULLS.get(name, NULL)) for name in CONTRASTS}
        rows = {row["name"]: row for row in stats.contrasts(here, fair).to_dict("records")}
        found = {
            name: _decided(here, rows[name], nulls[name])
            if name in rows
            else _emulated(here, CONTRASTS[name])
            for name in CONTRASTS
        }
        judged += [_unfair(found[PACKING.id]), *found.values()]
    return judged


def _unfair(packing: claims.Verdict) -> claims.Verdict:
    """Say why what was packed does not decide which takes a short time to build."""
    where = {"machine": packing.machine, "source": packing.source}
    if packing.verdict == claims.NOT_MEASURED:
        return claims.not_measured(_BY_ID["C21"], packing.because, **where)
    seen = {"effect": packing.effect, "unit": packing.unit, "n": packing.n}
    return claims.not_measured(_BY_ID["C21"], f"{UNFAIR}{packing.because}", **where, **seen)


def _decided(here: pd.DataFrame, row: dict, null: pd.DataFrame) -> claims.Verdict:
    claim = _BY_ID[row["name"]]
    if not row["n"]:
        why = _why_not(here, CONTRASTS[claim.id])
        return claims.not_measured(claim, why, machine=row["machine"], source=row["source"])
    direction = "greater" if claim.id == "C25" else "less"
    found = claims.by_effect(claim, row, direction=direction, words=("Slower", "Faster"), null=null)
    if claim is PACKING:
        return replace(found, because=f"{found.because} {BUILT}")
    return found


def _emulated(here: pd.DataFrame, contrast: stats.Contrast) -> claims.Verdict:
    """Say what an emulated machine showed, and why it decides nothing."""
    row = stats.contrasts(here, [contrast]).iloc[0]
    where = {"machine": row["machine"], "source": row["source"]}
    claim = _BY_ID[contrast.name]
    if not row["n"]:
        return claims.not_measured(claim, _why_not(here, contrast), **where)
    seen = [
        f"{arm['place']} {plots.format_quantity(_good(here, arm)[contrast.measure].median(), 's')}"
        for arm in (contrast.arm, contrast.baseline)
    ]
    design = contrast.arm["design"]
    said = [f"The virtual machine was emulated. Seen in the design {design!r}: {', '.join(seen)}."]
    factors = slowdown(here)
    if len(factors):
        ratios = ", ".join(f"{SLOWDOWNS[c]} {factors[c].iloc[0]:.3g}x" for c in SLOWDOWNS)
        said.append(f"The emulator slows down: {ratios}.")
    if contrast.name != "C24":
        published = literature.figures("startup").set_index("id").loc[list(PUBLISHED)]
        cited = "; ".join(
            f"{r['setting']}: {plots.format_quantity(r['value_si'], 's')} ({r['year']})"
            for _, r in published.iterrows()
        )
        said.append(f"Published, on other machines: {cited}.")
    return claims.not_measured(
        claim, " ".join(said), effect=row["estimate"], unit="x", n=row["n"], **where
    )


def _good(trials: pd.DataFrame, where: dict) -> pd.DataFrame:
    """Return the trials of one arm that succeeded."""
    rows = trials[trials["ok"]]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return rows


def _why_not(trials: pd.DataFrame, contrast: stats.Contrast) -> str:
    """Return why a comparison has no pairs: the first error of one of its arms."""
    for where in (contrast.arm, contrast.baseline):
        if len(_good(trials, where)):
            continue
        failed = trials[(trials["design"] == where["design"]) & (trials["place"] == where["place"])]
        error = failed["error"].iloc[0] if len(failed) else "not asked for, or not in the budget"
        return f"No {where['place']}: {error.removeprefix('unavailable: ')}."
    return "No block in which both arms succeeded."


def answer(trials: pd.DataFrame) -> str:
    """Say in a sentence or two what the trials show."""
    marks = phases(trials)["first_output_s"]
    parts = [f"{place} {plots.format_quantity(value, 's')}" for place, value in marks.items()]
    said = f"Median time until the first output: {', '.join(parts)}."
    row = stats.contrasts(trials, [CONTRASTS["startup-kernel"]]).iloc[0]
    if row["n"]:
        said += (
            " A start in new pid, mount, UTS and IPC namespaces alone takes "
            f"{row['estimate']:.1%} of a start through Docker."
        )
    emulated = (trials["accel"] == "tcg").any()
    return said + (" The virtual machines were emulated and decide nothing." if emulated else "")
