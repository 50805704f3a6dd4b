"""What the trials of `layers` say of the insides of images: each fact, and what it is read from."""

from __future__ import annotations

import pandas as pd

from caveatlib import stats
from caveatlib.claims import FAILS, HOLDS, OPEN, Finding, Reading, counted, values_of
from caveatlib.experiments.kit.sentences import listed
from caveatlib.experiments.layers import on_kernels
from caveatlib.experiments.layers.claims import COUNTED, MOSTLY
from caveatlib.experiments.layers.designs import FULL, MINIMAL, SCRATCH, SYSTEMS
from caveatlib.experiments.layers.tables import IMAGES
from caveatlib.frames import UNAVAILABLE
from caveatlib.stats import guards
from caveatlib.support.quantities import format_quantity, percent


def inside(work: str, place: str) -> dict:
    """Return the filter of what is done with one image."""
    return {"work": work, "place": place}


def _medians(here: pd.DataFrame, column: str) -> dict[str, float]:
    """Return what the images hold, those that were read."""
    found = {place: values_of(here, inside("contents", place), column) for place in IMAGES}
    return {place: float(values.median()) for place, values in found.items() if len(values)}


OLIVES = (
    Reading(inside("contents", MINIMAL), "olives"),
    Reading(inside("planted", MINIMAL), "shell_olives"),
    *(Reading(inside("contents", p), "olives", optional=True) for p in (FULL, SCRATCH)),
)


def planted(here: pd.DataFrame) -> Finding:
    """Find whether the planted shell is found, and nothing where nothing was planted."""
    before, after = (values_of(here, *reading[:2]) for reading in OLIVES[:2])
    found = bool((after > 0).all())
    word = (OPEN if (before > 0).any() else HOLDS) if found else FAILS
    line = f"A script planted as /bin/sh was {'' if found else 'not '}found by reading the image"
    counts = [f"{count:.0f} on {IMAGES[p]}" for p, count in _medians(here, "olives").items()]
    said = (
        f"{line}. Files that differ from what their packages say, nothing planted: "
        f"{listed(counts)}."
    )
    return Finding(word, line, said)


IMAGE, WHOLE, MACHINE = "pull-container", "pull-whole", "machine"
PUBLISHED = tuple(
    Reading(inside(work, place), "moved_bytes", optional=work == WHOLE)
    for place in SYSTEMS
    for work in (IMAGE, MACHINE, WHOLE)
)


def _moved_bytes(here: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return what each published machine, and the images of it, send over a link."""
    found = {
        place: {
            work: float(values.median())
            for work in (IMAGE, WHOLE, MACHINE)
            if len(values := values_of(here, inside(work, place), "moved_bytes"))
        }
        for place in SYSTEMS
    }
    return {place: sizes for place, sizes in found.items() if {IMAGE, MACHINE} <= set(sizes)}


def published(here: pd.DataFrame) -> Finding:
    """Find whether an image is less to move than the machine that it is of."""
    found = _moved_bytes(here)
    less = [sizes[IMAGE] < sizes[MACHINE] for sizes in found.values()]
    word = HOLDS if all(less) else FAILS
    line = "; ".join(
        f"{SYSTEMS[place]} is {format_quantity(sizes[IMAGE], 'B')} to move as an image, "
        f"{format_quantity(sizes[MACHINE], 'B')} as a virtual machine"
        for place, sizes in found.items()
    )
    return Finding(word, line, f"{line}. {tell_published(here)}")


def tell_published(here: pd.DataFrame) -> str:
    """Say what share of a published machine's bytes an image of it is; "" if none was moved."""
    told = []
    for place, sizes in _moved_bytes(here).items():
        shares = {work: guards.ratio(size, sizes[MACHINE]) for work, size in sizes.items()}
        whole = f"; {percent(shares[WHOLE])} with them" if WHOLE in shares else ""
        told.append(f"{percent(shares[IMAGE])} ({SYSTEMS[place]}{whole})")
    if not told:
        return ""
    return (
        "Of the bytes of a virtual machine that others publish, an image of its root file system "
        f"without kernel and modules has {listed(told)}."
    )


OPENED = (Reading(inside("opened", FULL), "opened_byte_share"),)


def share_opened(here: pd.DataFrame) -> Finding:
    """Find whether most of the bytes are in files that are never opened."""
    served = inside("opened", FULL) | {"served": 1.0}
    share = values_of(here, served, "opened_byte_share")
    if share.empty:
        return Finding(OPEN, "", "The web server on full Debian never answered with its page.")
    files = values_of(here, served, "opened_file_share").median()
    line = (
        f"A web server on full Debian opens {percent(files, 2)} of the files, which hold "
        f"{percent(share.median(), 1)} of the bytes"
    )
    most, sessions = share.max(), counted(len(share), "session")
    said = (
        f"{line}. In {sessions} it was at most {percent(most, 1)} of the bytes; the claim needs "
        f"less than {percent(MOSTLY)}. Files count whole. This is one image of our making, "
        "asked for one page."
    )
    return Finding(HOLDS if most < MOSTLY else FAILS, line, said)


SURFACE = tuple(
    Reading(inside("contents", place), name, optional=place == MINIMAL)
    for place in IMAGES
    for name in COUNTED
)


def surface(here: pd.DataFrame) -> Finding:
    """Find whether the full image has more than the smallest of all that is counted."""
    counts = {what: _medians(here, name) for name, what in COUNTED.items()}
    more = all(held[FULL] > held[SCRATCH] for held in counts.values())
    full = [f"{held[FULL]:,.0f} {what}" for what, held in counts.items()]
    scratch = [f"{held[SCRATCH]:,.0f}" for held in counts.values()]
    line = f"Full Debian has {listed(full)}; scratch has {listed(scratch)}"
    said = [line]
    if all(MINIMAL in held for held in counts.values()):
        minimal = [f"{held[MINIMAL]:,.0f} {what}" for what, held in counts.items()]
        said.append(f"Minimal Debian has {listed(minimal)}")
        same = [what for what, held in counts.items() if held[FULL] == held[MINIMAL]]
        said += [f"Full and minimal Debian tie in {listed(same)}"] if same else []
    said.append("These are counts, not attacks")
    said.append("Shells are known by name: busybox, the one program on scratch, has one built in")
    return Finding(HOLDS if more else FAILS, line, f"{'. '.join(said)}.")


OWNED = tuple(
    Reading(inside("contents", place), "owned_share", optional=place == SCRATCH) for place in IMAGES
)


def owned(here: pd.DataFrame) -> Finding:
    """Find whether packages own most of the bytes of both Debians."""
    shares = _medians(here, "owned_share")
    line = "Share of the bytes that packages own: " + listed(
        [f"{percent(share, 1)} on {IMAGES[place]}" for place, share in shares.items()]
    )
    said = f"{line}. Nothing names the rest. The Debians were made of packages, and a page added."
    return Finding(HOLDS if min(shares[FULL], shares[MINIMAL]) > MOSTLY else FAILS, line, said)


STATIC = (
    Reading(inside("opened", SCRATCH), "served", failures=True),
    Reading(inside("opened", FULL), "opened_others", optional=True),
    *on_kernels.READINGS,
)


def static(here: pd.DataFrame) -> Finding:
    """Find whether a program with nothing beside it serves its page, on whatever kernel."""
    tried = here[stats.match(here, STATIC[0].where)]
    tried = tried[~tried["error"].str.startswith(UNAVAILABLE)]
    served = int((tried["ok"] & (tried["served"] == 1)).sum())
    sessions = counted(len(tried), "session")
    line = f"The static program on scratch served its page in {served} of {sessions}"
    said = f"{line}."
    linked = values_of(here, *STATIC[1][:2])
    if len(linked):
        others = counted(int(linked.max()), "file")
        said += (
            f" On full Debian the same server, dynamically linked, opened {others} besides "
            "program and page."
        )
    everywhere = served == len(tried) and not on_kernels.failing(here)
    said += on_kernels.told(here)
    return Finding(HOLDS if everywhere else FAILS, line, said, len(tried))
