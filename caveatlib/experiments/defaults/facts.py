"""What attempts come to: what is refused where, and which mechanism stops it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from caveatlib import claims
from caveatlib.claims import FAILS, HOLDS, OPEN, Finding, Reading
from caveatlib.experiments.defaults import designs
from caveatlib.experiments.defaults.designs import (
    ALL_OFF,
    APPARMOR_OFF,
    APPARMOR_ONLY,
    DEFAULTS,
    DOCKER,
    GUEST,
    INIT,
    LOCAL_LOG,
    LOG,
    LOGGED,
    MECHANISMS,
    NAMED_NETWORK,
    NAMES,
    NEITHER,
    NO_CONTAINER,
    NO_NEW,
    PRIVILEGED,
    PROBE,
    REAP,
    USERNS,
    WITHOUT_APPARMOR,
    WITHOUT_FILTER,
)
from caveatlib.experiments.defaults.operations import OPERATIONS, read
from caveatlib.experiments.defaults.schema import SEEN
from caveatlib.experiments.kit.sentences import listed
from caveatlib.support.quantities import format_quantity

Rows = pd.DataFrame
Where = Mapping[str, object]
MECHANISM = {"seccomp": "seccomp", "user_namespace": "user namespaces", "apparmor": "AppArmor"}
MOST_NAMED = 12
"""Of more operations a sentence tells the number only."""
BY_KERNEL = "the kernel, root too"
"""Stops what root may not do without a container, or what the kernel lacks."""


def at(place: str, setting: str) -> dict[str, object]:
    """Return the filter of attempts in a place."""
    return designs.where(PROBE, setting, place=place)


def refused(here: Rows, where: Where) -> dict[str, int] | None:
    """Return what was refused in any trial, with the error; None if nothing was tried there."""
    texts = claims.values_of(here, where, "refused").unique()
    if not len(texts):
        return None
    return {name: said for text in texts for name, said in read(str(text)).items()}


def allowed(here: Rows, where: Where) -> set[str]:
    """Return what was refused in no trial; empty if nothing was tried there."""
    found = refused(here, where)
    return set() if found is None else set(OPERATIONS) - set(found)


def alone(here: Rows, base: Where, off: Where, every: Where) -> set[str]:
    """Return what is refused in one place, is not in another, and could be done at all."""
    by_default = refused(here, base) or {}
    return set(by_default) & allowed(here, off) & allowed(here, every)


def possible(here: Rows, place: str = DOCKER) -> set[str]:
    """Return what the kernel there does for root, or at least for a privileged container."""
    found = refused(here, at(place, NO_CONTAINER))
    if found is None:
        return allowed(here, at(place, PRIVILEGED))
    return set(OPERATIONS) - set(found)


def stopped_by(here: Rows) -> dict[str, str]:
    """Return, for each operation that was tried, what stops it in a container with the defaults.

    A mechanism stops something alone if it is allowed as soon as that one is off. Where two or
    more stop it, each is enough, and it is allowed only when all of these are off.
    """
    by_default = refused(here, at(DOCKER, DEFAULTS))
    if by_default is None:
        return {}
    can = possible(here)
    alone_off = {m: allowed(here, at(*where)) for m, where in MECHANISMS.items()}
    together = {
        "seccomp and capabilities, each": allowed(here, at(DOCKER, NEITHER)),
        "several, each": allowed(here, at(DOCKER, ALL_OFF)),
        "what only --privileged lifts": allowed(here, at(DOCKER, PRIVILEGED)),
    }
    found = {}
    for name in OPERATIONS:
        by = [mechanism for mechanism, free in alone_off.items() if name in free]
        if name not in can:
            found[name] = BY_KERNEL
        elif name not in by_default:
            found[name] = "nothing"
        elif by:
            found[name] = f"{listed(by)} alone"
        else:
            found[name] = next((by for by, free in together.items() if name in free), "unknown")
    return found


def told(names: set[str]) -> str:
    """Return operations in words, or their number if they are many."""
    return listed(sorted(names)) if len(names) <= MOST_NAMED else f"{len(names)} operations"


def _on(here: Rows, where: Where, column: str) -> bool:
    values = claims.values_of(here, where, column)
    return bool(len(values)) and bool((values > 0).all())


BASE = at(DOCKER, DEFAULTS)
EVERY = at(DOCKER, PRIVILEGED)


def _stops(base: Where, off: Where, every: Where, seen: str) -> tuple[Reading, ...]:
    return (
        *(Reading(where, "refused") for where in (base, off, every)),
        Reading(base, f"seen_{seen}"),
    )


BY_SECCOMP = (
    *_stops(BASE, at(DOCKER, WITHOUT_FILTER), EVERY, "seccomp"),
    Reading(at(DOCKER, NEITHER), "refused", optional=True),
)
BY_APPARMOR = _stops(BASE, at(APPARMOR_OFF, WITHOUT_APPARMOR), EVERY, "apparmor")
BY_PROFILE = (
    *_stops(at(GUEST, DEFAULTS), at(GUEST, WITHOUT_APPARMOR), at(GUEST, PRIVILEGED), "apparmor"),
    Reading(at(GUEST, APPARMOR_ONLY), "refused", optional=True),
)
BY_USER_NAMESPACES = (
    Reading(BASE, "seen_user_namespace"),
    Reading(BASE, "refused"),
    Reading(at(USERNS, DEFAULTS), "refused"),
    Reading(at(USERNS, DEFAULTS), "seen_user_namespace"),
)


def _stopping(
    here: Rows, readings: tuple[Reading, ...], what: str, more: str = "", when: str = " by default"
) -> Finding:
    """Find whether a mechanism is on and alone stops something that could be done."""
    base, off, every, seen = readings[:4]
    by_it = alone(here, base.where, off.where, every.where)
    on = _on(here, seen.where, seen.column)
    n = len(claims.values_of(here, base.where, "refused"))
    count = len(allowed(here, every.where))
    line = (
        f"{what} is {'on' if on else 'off'}{when}; alone it stops {len(by_it)} of the {count} "
        "operations that a privileged container can do"
    )
    said = f"{line}."
    said += f" Alone: {told(by_it)}." if by_it else ""
    return Finding(HOLDS if on and by_it else FAILS, line, f"{said}{more}", n)


def by_seccomp(here: Rows) -> Finding:
    """Find whether the filter is on and alone stops something."""
    every = allowed(here, EVERY)
    both = set(refused(here, BASE) or {}) & allowed(here, at(DOCKER, NEITHER)) & every
    both -= allowed(here, at(DOCKER, WITHOUT_FILTER))
    both -= allowed(here, at(*MECHANISMS["capabilities"]))
    more = f" Together with capabilities, each of which is enough: {told(both)}." if both else ""
    return _stopping(here, BY_SECCOMP, "The seccomp filter", more)


def by_apparmor(here: Rows) -> Finding:
    """Find whether the profile of this machine's own kernel is on and alone stops something."""
    return _stopping(here, BY_APPARMOR, "The AppArmor profile")


def by_profile(here: Rows) -> Finding:
    """Find the same in a guest, and what the profile stops where nothing else stops anything."""
    only = refused(here, at(GUEST, APPARMOR_ONLY))
    still = set(only or {}) & allowed(here, at(GUEST, PRIVILEGED))
    more = f" In a privileged container it would stop {told(still)}." if still else ""
    return _stopping(here, BY_PROFILE, "In a guest Docker's AppArmor profile", more, when="")


def by_user_namespaces(here: Rows) -> Finding:
    """Find whether a container has one by default, and what is refused where it has."""
    remapped = at(USERNS, DEFAULTS)
    more = set(refused(here, remapped) or {}) & allowed(here, BASE)
    on, there = (_on(here, where, "seen_user_namespace") for where in (BASE, remapped))
    n = len(claims.values_of(here, remapped, "refused"))
    line = (
        f"Containers have {'a' if on else 'no'} user namespace by default; "
        f"where they have, {len(more)} more operations are refused"
    )
    said = f"{line}." + (f" These are: {told(more)}." if more else "")
    if not there:
        said = f"{line}. With userns-remap none was seen."
        return Finding(OPEN, line, said, n)
    return Finding(HOLDS if on and more else FAILS, line, said, n)


CLAIMED = tuple(
    Reading(where, f"{column}_{name}")
    for where in (BASE, at(USERNS, DEFAULTS))
    for name in SEEN
    for column in ("info", "seen")
)


def told_truly(here: Rows) -> Finding:
    """Find whether docker info names what containers with the defaults have, and nothing else."""
    wrong, named, off = [], [], []
    for name in SEEN:
        somewhere = False
        for where in (BASE, at(USERNS, DEFAULTS)):
            info, seen = (_on(here, where, f"{column}_{name}") for column in ("info", "seen"))
            somewhere |= info or seen
            if info != seen:
                wrong.append(f"{MECHANISM[name]} ({where['place']})")
            if info:
                named.append(f"{MECHANISM[name]} ({where['place']})")
        off += [] if somewhere else [MECHANISM[name]]
    n = len(claims.values_of(here, BASE, "refused"))
    asked = len(CLAIMED) // 2
    line = (
        f"docker info is right about {asked - len(wrong)} of {asked} mechanisms that containers of "
        "two engines have by default"
    )
    said = f"{line}. It names {listed(named) or 'none of them'}."
    said += f" Wrong: {listed(wrong)}." if wrong else ""
    said += f" Not tested: {listed(off)}, off in both." if off else ""
    return Finding(FAILS if wrong else HOLDS, line, said, n)


def told_of_others(here: Rows) -> str:
    """Say how many containers with other settings have not what docker info names."""
    rows = here[(here["task"] == PROBE) & here["ok"] & here["place"].isin([DOCKER, USERNS])]
    rows = rows[~rows["setting"].isin([DEFAULTS, NO_CONTAINER])]
    for name in SEEN:
        rows = rows[rows[[f"info_{name}", f"seen_{name}"]].notna().all(axis=1)]
    differ = pd.Series(False, index=rows.index)
    for name in SEEN:
        differ |= rows[f"info_{name}"] != rows[f"seen_{name}"]
    if not differ.any():
        return ""
    return (
        f"It tells of the engine: {differ.sum()} of {len(rows)} containers with another setting "
        f"are otherwise than it says ({listed(sorted(rows['setting'][differ].unique()))})."
    )


RAISED = tuple(Reading(at(DOCKER, setting), "refused") for setting in (DEFAULTS, NO_NEW))


def raised(here: Rows) -> Finding:
    """Find whether a setuid program gives root's rights, and no-new-privileges prevents that."""
    by_default, prevented = (
        "setuid-program" in (refused(here, reading.where) or {}) for reading in RAISED
    )
    words = {True: "as itself", False: "as root"}
    line = (
        f"Started by another user, a setuid program runs {words[by_default]} by default, "
        f"{words[prevented]} with no-new-privileges"
    )
    n = len(claims.values_of(here, RAISED[0].where, "refused"))
    return Finding(HOLDS if prevented and not by_default else FAILS, line, f"{line}.", n)


REAPED = tuple(Reading(designs.where(REAP, setting), "zombies") for setting in (DEFAULTS, INIT))


def reaped(here: Rows) -> Finding:
    """Find whether zombies are left without --init, and none with it."""
    without, init = (claims.values_of(here, r.where, r.column) for r in REAPED)
    line = f"Of five orphans {without.min():.0f} zombies are left by default, {init.max():.0f} " \
           "with --init"  # fmt: skip
    good = without.min() >= 1 and init.max() == 0
    return Finding(HOLDS if good else FAILS, line, f"{line}.", len(without))


RESOLVED = tuple(
    Reading(designs.where(NAMES, setting), "resolved") for setting in (DEFAULTS, NAMED_NETWORK)
)


def resolved(here: Rows) -> Finding:
    """Find whether names are resolved on a network with a name, and not by default."""
    usual, named = (claims.values_of(here, r.where, r.column) for r in RESOLVED)
    line = (
        f"A neighbour's name was found in {usual.sum():.0f} of {len(usual)} trials by default, in "
        f"{named.sum():.0f} of {len(named)} on a named network"
    )
    good = named.all() and not usual.any()
    return Finding(HOLDS if good else FAILS, line, f"{line}.", len(usual))


FILLED = designs.where(LOG, lines=LOGGED)
FILLED_LOCAL = designs.where(LOG, LOCAL_LOG, lines=LOGGED)
KEPT = (
    Reading(FILLED, "log_bytes"),
    Reading(FILLED, "log_files"),
    Reading(FILLED_LOCAL, "log_bytes", optional=True),
)


def kept(here: Rows) -> Finding:
    """Find whether all of 100 MB lies in one file of the default log driver."""
    size, files = (claims.values_of(here, reading.where, reading.column) for reading in KEPT[:2])
    line = (
        f"Of 100 MB of compressible text json-file keeps {format_quantity(size.min(), 'B')} in "
        f"{claims.counted(int(files.max()), 'file')}"
    )
    other = claims.values_of(here, FILLED_LOCAL, "log_bytes")
    if len(other):
        line += f", local {format_quantity(other.max(), 'B')}"
    whole = size.min() >= 100 * LOGGED and (files == 1).all()
    return Finding(HOLDS if whole else FAILS, line, f"{line}.", len(size))
