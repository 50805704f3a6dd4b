"""What the trials of `trust` say, fact by fact, and what each is read from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import pandas as pd

from caveatlib import stats
from caveatlib.claims import (
    FAILS,
    HOLDS,
    MIXED,
    NOT_MEASURED,
    OPEN,
    Finding,
    Reading,
    counted,
    values_of,
)
from caveatlib.experiments.kit.sentences import listed
from caveatlib.experiments.trust import designs, published
from caveatlib.experiments.trust.claims import FEW, FRESH_DAYS, HALF, QUARTER_DAYS
from caveatlib.experiments.trust.designs import (
    AGES_S,
    COSIGN,
    DAY_S,
    DEBIAN,
    DOCKER,
    FETCHING,
    GPG,
    PINNED,
    READER,
    SKOPEO,
    UMOCI,
    VERIFYING,
)
from caveatlib.experiments.trust.planted import HISTORIES, MADE_UP, PLANTS, STEPS
from caveatlib.experiments.trust.schema import FETCH, PLANTED, PUBLISHED, UPDATES
from caveatlib.experiments.trust.tampering import (
    ALL,
    ARCHIVE,
    CONFIG,
    DIGEST,
    INDEX,
    LAYER,
    LAYOUT,
    MANIFEST,
    MEANINGS,
    MOVED,
    PART,
    STRANGERS,
    TAG,
    UNCHANGED,
)
from caveatlib.support.quantities import percent

TOOLS = {
    DOCKER: "Docker",
    SKOPEO: "skopeo",
    UMOCI: "umoci",
    READER: "our reader",
    GPG: "skopeo with GPG",
    COSIGN: "cosign verify",
    PINNED: "skopeo by the digest that cosign verified",
}
KEYS = ["place", "form", "tampering"]
Where = dict[str, object]


def offered(design: str, form: str, *parts: str) -> tuple[Where, ...]:
    """Return filters of images of one form: untouched ones, and those changed in some part."""
    return tuple({"design": design, "form": form, "part": part} for part in (UNCHANGED, *parts))


def asked_of(place: str, *parts: str) -> tuple[Where, ...]:
    """Return the same of one tool, whatever the form."""
    return tuple({"place": place, "work": FETCH, "part": part} for part in (UNCHANGED, *parts))


def _registry(*parts: str) -> tuple[Where, ...]:
    return (*offered(FETCHING, TAG, *parts), *offered(FETCHING, DIGEST, *parts))


_OLDER, _STRANGER, _CONFIG, _INDEX = (PART[t] for t in (MOVED, STRANGERS[0], CONFIG, INDEX))
OFFERS = {
    "layer": _registry(LAYER),
    "config": _registry(_CONFIG),
    "digest": offered(FETCHING, DIGEST, MANIFEST, _INDEX),
    "manifest": offered(FETCHING, TAG, MANIFEST, _INDEX),
    "tag": offered(FETCHING, TAG, _OLDER, _STRANGER),
    "archive": offered(FETCHING, ARCHIVE, LAYER, _CONFIG),
    "layout": offered(FETCHING, LAYOUT, LAYER, _CONFIG, MANIFEST),
    "rewritten": (*offered(FETCHING, ARCHIVE, ALL), *offered(FETCHING, LAYOUT, ALL)),
    "signature": offered(VERIFYING, TAG, _STRANGER),
    "rollback": offered(VERIFYING, TAG, _OLDER),
}
"""What decides each part of C13."""
BUT_OLDER = asked_of(PINNED, LAYER, _CONFIG, MANIFEST, _INDEX, _STRANGER)
ALONE = asked_of(COSIGN, LAYER, _CONFIG)


def readings(offers: Iterable[Where]) -> tuple[Reading, ...]:
    """Return what says whether images were accepted."""
    return tuple(Reading(where, "accepted") for where in offers)


def all_noticed(offers: tuple[Where, ...]) -> Callable[[pd.DataFrame], Finding]:
    """Return what finds whether every tampered image was refused, and no other.

    It is mixed if some are refused and others are not.
    """

    def find(here: pd.DataFrame) -> Finding:
        cells = _cells(here, offers)
        tampered = cells[cells["part"] != UNCHANGED]
        refused = tampered["accepted"] <= 0
        false = cells[(cells["part"] == UNCHANGED) & (cells["least"] <= 0)]
        n = len(tampered)
        line = f"{int(refused.sum())} of {n} attempts with a tampered image were refused"
        said = [f"{line}."]
        said += [f"Accepted: {_told(tampered[~refused])}."] if len(tampered[~refused]) else []
        said += [f"Refused, though nothing was changed: {_told(false)}."] if len(false) else []
        word = HOLDS if refused.all() else MIXED if refused.any() else FAILS
        return Finding(OPEN if len(false) else word, line, " ".join(said), int(cells["n"].max()))

    return find


def _cells(here: pd.DataFrame, offers: Iterable[Where]) -> pd.DataFrame:
    """Return per tool, form and tampering the most and the least that it accepted, and n."""
    chosen = pd.Series(False, index=here.index)
    for where in offers:
        chosen |= stats.match(here, where)
    rows = here[chosen & here["ok"] & here["accepted"].notna()]
    grouped = rows.groupby([*KEYS, "part"], sort=False)["accepted"]
    found = {"accepted": grouped.max(), "least": grouped.min(), "n": grouped.size()}
    return pd.DataFrame(found).reset_index()


def _told(cells: pd.DataFrame) -> str:
    """Return cells in words, tool by tool, a tampering once for all forms of a tool."""
    told: dict[str, dict[str, list[str]]] = {}
    for place, form, tampering in sorted(zip(*(cells[k] for k in KEYS), strict=True)):
        told.setdefault(place, {}).setdefault(tampering, []).append(form)
    return "; ".join(
        f"{TOOLS[place]}: "
        + ", ".join(f"{MEANINGS[what]} ({listed(forms)})" for what, forms in whats.items())
        for place, whats in told.items()
    )


def looked_into(place: str, history: str) -> dict[str, object]:
    """Return the filter of a tool that looks into an image."""
    return designs.arm(place, PLANTED, history).where()


def _of_planted(place: str) -> tuple[Reading, ...]:
    return tuple(
        Reading(looked_into(place, history), column)
        for history in HISTORIES
        for column in ("named", "false_alarms")
    )


BY_DOCKER, BY_READER = _of_planted(DOCKER), _of_planted(READER)


class Naming(NamedTuple):
    """What a tool named of an image: least count by history, a false alarm, and both in words."""

    least: dict[str, float]
    alarm: bool
    line: str
    said: str


def _named(here: pd.DataFrame, place: str, tool: str) -> Naming:
    least, alarm = {}, False
    for history in HISTORIES:
        where = looked_into(place, history)
        least[history] = float(values_of(here, where, "named").min())
        alarm |= bool((values_of(here, where, "false_alarms") > 0).any())
    line = (
        f"{tool} named {least[MADE_UP]:.0f} of {len(PLANTS)} things planted where the history is "
        f"made up, {least[STEPS]:.0f} where it names the steps"
    )
    beside = "It named some, too," if alarm else "It named none"
    return Naming(least, alarm, line, f"{line}. {beside} in an image with nothing planted.")


def unnamed(here: pd.DataFrame) -> Finding:
    """Find whether something planted stays unnamed by Docker's own tools."""
    found = _named(here, DOCKER, "docker history and inspect")
    hidden = min(found.least.values()) < len(PLANTS)
    word = OPEN if found.alarm else HOLDS if hidden else FAILS
    return Finding(word, found.line, found.said, _trials(here, DOCKER))


def read(here: pd.DataFrame) -> Finding:
    """Find whether our reader names everything planted, whatever the history says."""
    found = _named(here, READER, "Our reader")
    named = min(found.least.values()) >= len(PLANTS) and not found.alarm
    return Finding(HOLDS if named else FAILS, found.line, found.said, _trials(here, READER))


def _trials(here: pd.DataFrame, place: str) -> int:
    return len(values_of(here, looked_into(place, MADE_UP), "named"))


def aged(image_age_s: float) -> dict[str, object]:
    """Return the filter of an image of this age."""
    return designs.arm(DEBIAN, UPDATES, image_age_s=image_age_s).where()


TODAY = tuple(Reading(aged(0), column) for column in ("index_pending", "built_age_s"))


def main_alone(here: pd.DataFrame) -> Finding:
    """Find whether apt's index knows of updates for an image just built of the main archive."""
    pending, built = (values_of(here, *reading[:2]) for reading in TODAY)
    days = built.max() / DAY_S
    age = f"{days:.0f} days" if days > 2 else f"{days * 24:.0f} hours"
    line = (
        f"{age} after a minimal Debian was built from main alone, apt's security index "
        f"had newer versions of {counted(int(pending.max()), 'package')}"
    )
    old = days > FRESH_DAYS
    word = HOLDS if pending.max() == 0 else OPEN if old else FAILS
    said = (
        f"{line}. An image older than {FRESH_DAYS} days says nothing of a fresh one." if old else ""
    )
    return Finding(word, line, said or f"{line}.", len(pending))


LACKING = (
    Reading(aged(QUARTER_DAYS * DAY_S), "lacking_share"),
    *(
        Reading(aged(age), "lacking_share", optional=True)
        for age in AGES_S
        if age not in (0, QUARTER_DAYS * DAY_S)
    ),
)


def lacking(here: pd.DataFrame) -> Finding:
    """Find on how many days an image of three months lacks an update."""
    shares = {age: values_of(here, aged(age), "lacking_share") for age in AGES_S if age}
    told = [
        f"{percent(values.max())} at {age / DAY_S:.0f} days"
        for age, values in shares.items()
        if len(values)
    ]
    share = shares[QUARTER_DAYS * DAY_S]
    line = (
        f"A minimal Debian that is {QUARTER_DAYS} days old lacked a security update on "
        f"{percent(share.max())} of the days since the release"
    )
    said = (
        f"{line}. By age: {listed(told)}. By the changelogs in it; the day is that of the upload."
    )
    return Finding(HOLDS if share.max() < HALF else FAILS, line, said, len(share))


def _one_image(differs: int) -> str:
    word = "differs from" if differs else "matches"
    return f"The one published image that lists its packages {word} its list: one is too few"


_OTHERS = designs.arm(designs.OTHERS, PUBLISHED).where()
COMPARED = tuple(Reading(_OTHERS, column) for column in ("comparable", "differing"))


def others(here: pd.DataFrame) -> Finding:
    """Find whether images that others publish differ from what their packages say."""
    n, differ = (int(values_of(here, *reading[:2]).max()) for reading in COMPARED)
    if not n:
        line = "No published image within reach has a list of packages"
        fetched = f"{line}; `{published.PYTHON.artefact.fix}` fetches one that has."
        return Finding(NOT_MEASURED, line, fetched, n)
    many = f"Of {counted(n, 'published image')} that list their packages, {differ} differ"
    line = f"{many} from the list" if n > 1 else _one_image(differ)
    _, low, high = stats.share(min(differ, n), n)
    said = f"{line}. Of all such images {low * 100:.0f} to {high * 100:.0f} % differ (95 % CI)."
    word = HOLDS if low > FEW else FAILS if high < FEW else OPEN
    return Finding(word, line, said, n)
