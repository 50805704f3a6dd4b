"""Numbers that people give: refused by name unless they can be meant."""

from __future__ import annotations

import math
from numbers import Real

from caveatlib.errors import UsageError


def check_number(
    what: str,
    value: object,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    whole: bool = False,
) -> None:
    """Refuse what is not a finite number within its bounds.

    NaN compares false with everything, so a check that asks whether a value is
    too small lets it pass; here it is asked whether the value is right.

    Parameters
    ----------
    what : str
        What to call it in the message.
    value : object
    least, most : float, optional
        Bounds that it may reach.
    above, below : float, optional
        Bounds that it may not reach.
    whole : bool
        Whether it must be an integer.

    Raises
    ------
    UsageError
    """
    bounds = ((least, ">="), (above, ">"), (most, "<="), (below, "<"))
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
    if (
        math.isfinite(number)
        and (not whole or number.is_integer())
        and (least is None or number >= least)
        and (above is None or number > above)
        and (most is None or number <= most)
        and (below is None or number < below)
    ):
        return
    kind = "a whole number" if whole else "a finite number"
    limits = " and ".join(f"{sign} {bound:,}" for bound, sign in bounds if bound is not None)
    raise UsageError(f"Invalid {what} {value!r}. Must be {kind} {limits}".rstrip() + ".")
