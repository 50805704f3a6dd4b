"""A colour per name, the same in all figures."""

from __future__ import annotations

from collections.abc import Iterable

from caveatlib.plots.canvas import INK

BLUE, ORANGE, GREEN, PINK, VERMILLION, SKY = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9",
)  # fmt: skip
BROWN, GREY = "#8C6D1F", "#8A8F98"
PALETTE = (BLUE, VERMILLION, GREEN, ORANGE, PINK, SKY, BROWN)
"""Told apart with every common kind of colour blindness (Okabe and Ito, 2008); a brown besides."""

NAMED = {
    # Bare, then managed by an engine, then virtual machines: dark and blue, warm, green.
    "process": INK,
    "namespaces": SKY,
    "cgroup": SKY,
    "runc": BLUE,
    "docker": VERMILLION,
    "docker-runc": VERMILLION,
    "docker-crun": ORANGE,
    "docker-runsc": PINK,
    "microvm": GREEN,
    "full-vm": BROWN,
    # Settings: what is usual, and what is compared with it.
    "proxy": VERMILLION,
    "no proxy": BLUE,
    "with the limit": VERMILLION,
    "without": BLUE,
    "measured": INK,
    "simulated": ORANGE,
    "opened": BLUE,
    "never opened": GREY,
    # Who is beside a victim.
    "alone": INK,
    "fork bomb": VERMILLION,
    "fork bomb, limited": BLUE,
    # What became of a neighbour.
    "unharmed": BLUE,
    "harmed": ORANGE,
    "ended": VERMILLION,
}
"""Names that more than one figure shows; what is not listed takes what is left of the palette."""


def colours(names: Iterable[object]) -> dict[str, str]:
    """Return a colour for each name: its own, or the first of the palette that is left.

    With more names than colours, some share one.
    """
    wanted = list(dict.fromkeys(map(str, names)))
    taken = {NAMED[name] for name in wanted if name in NAMED}
    left = [colour for colour in PALETTE if colour not in taken] or list(PALETTE)
    others = [name for name in wanted if name not in NAMED]
    found = {name: left[i % len(left)] for i, name in enumerate(others)}
    return {name: NAMED.get(name) or found[name] for name in wanted}
