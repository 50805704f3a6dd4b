"""Quantities as people read them: a value with the unit that fits its size."""

from __future__ import annotations

import math

SCALES = {
    "s": ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    "B": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")),
    "bit/s": ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1, "bit/s")),
    "instructions": ((1e9, "billion"), (1e6, "million"), (1e3, "thousand"), (1, "")),
}
"""Unit -> divisors and names, the largest first."""
MOST_DIGITS = 9
"""After the point, in any number that is shown."""


def scale(value: float, unit: str) -> tuple[float, str]:
    """Return the divisor and the name of the unit in which a value is best read."""
    steps = SCALES.get(unit, ((1, unit),))
    if value == 0:
        return next((f, n) for f, n in steps if f == 1)
    return next(((f, n) for f, n in steps if abs(value) >= f), steps[-1])


def format_quantity(value: float, unit: str) -> str:
    """Return a value with the unit in which it is best read: ``"42.1 ms"``."""
    factor, name = scale(value, unit)
    shown = value / factor
    digits = ".0f" if 999.5 <= abs(shown) < 1e6 else ".3g"  # 1010 and not 1.01e+03
    return f"{shown:{digits}} {name}".strip()


def percent(share: float, digits: int = 0) -> str:
    """Return a share in percent, with so many digits after the point: ``"75 %"``."""
    return f"{share * 100:.{digits}f} %"


def format_span(seconds: float) -> str:
    """Return about how long something takes: ``"90 s"``, ``"12 minutes"``."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def digits_apart(one: float, other: float, digits: int) -> int:
    """Return so many digits after the point, or more where two numbers would print alike.

    Those that are the same do; no more than `MOST_DIGITS` tell others apart.
    """
    if math.isclose(one, other):
        return digits
    while digits < MOST_DIGITS and round(one, digits) == round(other, digits):
        digits += 1
    return digits
