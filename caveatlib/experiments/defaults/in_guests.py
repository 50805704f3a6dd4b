"""What only a guest's kernel was asked for, besides AppArmor: IPVS, and project quotas."""

from __future__ import annotations

import pandas as pd

from caveatlib import claims
from caveatlib.claims import FAILS, HOLDS, Finding, Reading
from caveatlib.experiments.defaults import designs
from caveatlib.experiments.defaults.designs import (
    ASKED_BYTES,
    DEFAULTS,
    IPVS_GUEST,
    LIMIT_BYTES,
    QUOTA_GUEST,
    ROOM,
    SERVICE,
    SIZE,
    WITHOUT_IPVS,
    WITHOUT_QUOTAS,
)
from caveatlib.experiments.defaults.operations import named
from caveatlib.support.quantities import format_quantity

Rows = pd.DataFrame


def _served(setting: str) -> dict[str, object]:
    return designs.where(SERVICE, setting, place=IPVS_GUEST)


def _room(setting: str) -> dict[str, object]:
    return designs.where(ROOM, setting, place=QUOTA_GUEST)


SERVED = (
    Reading(_served(DEFAULTS), "answered"),
    Reading(_served(WITHOUT_IPVS), "answered"),
    Reading(_served(WITHOUT_IPVS), "service_error", optional=True),
)


def served(here: Rows) -> Finding:
    """Find whether the address of a service is answered with IPVS, and is not without."""
    with_it, without, refused = (claims.values_of(here, *reading[:2]) for reading in SERVED)
    line = (
        f"In a guest {with_it.sum():.0f} of {len(with_it)} connections to the address of a service "
        f"of IPVS were answered, without its module {without.sum():.0f} of {len(without)}"
    )
    good = with_it.all() and not without.any()
    said = f"{line}.{_refused('the address', refused)}"
    return Finding(HOLDS if good else FAILS, line, said, len(with_it))


SIZED = (
    Reading(_room(DEFAULTS), "written_bytes"),
    Reading(_room(SIZE), "written_bytes"),
    Reading(_room(SIZE), "beside_bytes"),
    Reading(_room(WITHOUT_QUOTAS), "limit_error"),
    Reading(_room(SIZE), "write_error", optional=True),
    Reading(_room(WITHOUT_QUOTAS), "written_bytes", optional=True),
)


def sized(here: Rows) -> Finding:
    """Find whether a limit stops the folder that has it, only that, and only by project quotas."""
    usual, limited, beside, refused, stopped, unlimited = (
        claims.values_of(here, *reading[:2]) for reading in SIZED
    )
    asked, limit = (format_quantity(size, "B") for size in (ASKED_BYTES, LIMIT_BYTES))
    line = (
        f"In a guest {_bytes(usual)} of {asked} could be written without a limit, "
        f"{_bytes(limited)} under a limit of {limit}"
    )
    said = f"{line}{_by(stopped)}, then {_bytes(beside)} beside it."
    said += _refused("the limit", refused, " Where project quotas are off")
    if len(unlimited):
        said += f" There {_bytes(unlimited)} could be written."
    good = (
        (usual == ASKED_BYTES).all()
        and limited.between(LIMIT_BYTES // 2, LIMIT_BYTES).all()
        and (beside == ASKED_BYTES).all()
        and (refused > 0).all()
    )
    return Finding(HOLDS if good else FAILS, line, said, len(limited))


def _bytes(sizes: pd.Series) -> str:
    """Return the least and the most of sizes, or what all of them are."""
    ends = dict.fromkeys(format_quantity(size, "B") for size in (sizes.min(), sizes.max()))
    return " to ".join(ends)


def _by(errors: pd.Series) -> str:
    """Return with which error a write ended: ``" (ENOSPC)"``."""
    found = sorted({named(int(error)) for error in errors if error > 0})
    return f" ({', '.join(found)})" if found else ""


def _refused(what: str, errors: pd.Series, where: str = " Without it") -> str:
    """Say with which error the kernel refused something, if it was asked and did."""
    if not len(errors):
        return ""
    if (errors == 0).any():
        return f"{where} the kernel took {what}."
    return f"{where} the kernel refuses {what}{_by(errors)}."
