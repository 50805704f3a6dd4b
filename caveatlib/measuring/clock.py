"""When a trial began, by a clock that only runs forwards: setting one back changes no order."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class TimeOfDay:
    """The time of day when measuring began, and what has passed since: no one sets it back.

    Parameters
    ----------
    not_before : datetime, optional
        When what was measured before an interruption was over: what goes on comes after it,
        whatever the clock says by now.
    """

    def __init__(self, not_before: datetime | None = None):
        began = datetime.now(UTC)
        self._began = began if not_before is None else max(began, not_before)
        self._since_s = passed_s()

    def now(self) -> datetime:
        """Return it, in UTC."""
        return self._began + timedelta(seconds=passed_s() - self._since_s)


def passed_s() -> float:
    """Return seconds of a clock that only runs forwards, also while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
