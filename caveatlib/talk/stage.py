"""A live part with a countdown; whatever it ends in, there is a run to show, and it says which."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from types import ModuleType

import pandas as pd

from caveatlib import trials
from caveatlib.errors import CaveatError, UsageError
from caveatlib.measuring import live as folders
from caveatlib.support import processes, programs
from caveatlib.talk import acts

LIMIT_S = 20.0
"""An audience waits no longer."""
STEP_S = 0.5
CLEAN_UP_S = 15.0
"""What was interrupted removes what it made, unseen; then it is killed."""
LIVE, RECORDED, FALLBACK = "live", "recorded", "fallback"


@dataclass(frozen=True)
class Scene:
    """A run to be shown, and where it comes from.

    Attributes
    ----------
    run : trials.Run
    kind : str
        ``"live"``, ``"recorded"``, or ``"fallback"``: recorded, though it was to be live.
    reason : str
        Why it is a fallback.
    took_s : float
        Seconds that a live part took.
    act : acts.Act, optional
        Only its arms are shown, so that a fallback shows what was to be live; default all.
    """

    run: trials.Run
    kind: str
    reason: str = ""
    took_s: float = 0.0
    act: acts.Act | None = None

    @property
    def trials(self) -> pd.DataFrame:
        """The trials of one machine; of several, those of the first."""
        rows = self.run.trials
        rows = rows if self.act is None else acts.of(self.act, rows)
        return rows[rows["machine"] == rows["machine"].iloc[0]] if len(rows) else rows

    @property
    def badge(self) -> str:
        """Where the numbers come from, in words."""
        if self.kind == LIVE:
            return f"LIVE, measured just now in {self.took_s:.0f} s"
        return f"RECORDED on {day(self.trials)}"

    def __repr__(self):
        return f"{self.badge}{f'. NOT LIVE: {self.reason}' if self.reason else ''}"


def day(measured: pd.DataFrame) -> str:
    """Return the day of the first trial, ``24 November 2026``."""
    begun = pd.to_datetime(measured["started_at"], utc=True, format="ISO8601").min()
    return "an unknown day" if pd.isna(begun) else f"{begun.day} {begun:%B %Y}"


@cache
def recorded(experiment: ModuleType) -> Scene:
    """Return what is recorded of an experiment; it is read once."""
    return Scene(trials.open(experiment, source="recorded"), RECORDED)


def live(
    name: str,
    *,
    source: str | None = None,
    limit_s: float = LIMIT_S,
    tell: Callable[[float | None], None] | None = None,
    command: Sequence[str] | None = None,
) -> Scene:
    """Measure an act now, or return what is recorded; never raise for what this machine lacks.

    Parameters
    ----------
    name : str
        One of `acts.ACTS`.
    source : {"recorded", "live"}, optional
        ``"live"`` measures. Default: ``$CAVEATLIB_SOURCE`` or recorded.
    limit_s : float, optional
        Seconds after which it is given up.
    tell : callable, optional
        Is told the seconds left, about twice a second, and None at the end; default a
        countdown in a notebook.
    command : sequence of str, optional
        What measures, given a name and a folder; default this module's own.

    Returns
    -------
    Scene
        Live if all that was to be measured was, and decided what it was to decide. If
        not, what is recorded, with the reason. Ctrl-C gives the live part up, too.

    Raises
    ------
    UsageError
        If there is no such act, or the source is neither of the words.
    """
    if name not in acts.ACTS:
        raise UsageError(f"Unknown act {name!r}. Must be one of {', '.join(acts.ACTS)}.")
    act = acts.ACTS[name]
    source = source or os.environ.get("CAVEATLIB_SOURCE") or RECORDED
    if source not in (LIVE, RECORDED):
        raise UsageError(f"Source {source!r} of a talk. Must be 'live' or 'recorded'.")
    shipped = recorded(act.experiment).run
    if source == RECORDED:
        return Scene(shipped, RECORDED, act=act)
    began, folder = time.monotonic(), folders.folder()
    measured = [*(command or [sys.executable, "-m", __package__]), name, str(folder)]
    reason = _run(measured, began + limit_s, tell or countdown())
    took_s = time.monotonic() - began
    if not reason:
        try:
            run = trials.open(act.experiment, source=folder)
            if not (reason := acts.lacks(act, run)):
                return Scene(run, LIVE, took_s=took_s, act=act)
        except CaveatError as error:
            reason = str(error)
    return Scene(shipped, FALLBACK, reason, took_s, act)


def _run(command: Sequence[str], until: float, tell: Callable) -> str:
    """Run a command until a moment; return why it brought nothing, or nothing."""
    limit_s = until - time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=os.environ | processes.mark(),
            process_group=0,
        )
        try:
            while (left_s := until - time.monotonic()) > 0:
                tell(left_s)
                if programs.has_ended(process, min(STEP_S, left_s)):
                    break
            else:
                return f"it took longer than {limit_s:.0f} s"
        except KeyboardInterrupt:
            return "it was stopped by hand"
        finally:
            tell(None)
            _leave(process)
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
    if not process.wait():
        return ""
    return lines[-1] if lines else f"measuring ended with status {process.returncode}"


def _leave(process: subprocess.Popen) -> None:
    """Let a process that still runs clean up without anybody waiting for it."""
    if programs.has_ended(process, 0):
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGINT)

    def wait() -> None:
        programs.has_ended(process, CLEAN_UP_S)
        programs.end(process)

    threading.Thread(target=wait, name="talk: clean up", daemon=True).start()


def countdown() -> Callable[[float | None], None]:
    """Return what shows the seconds left, in a notebook; elsewhere nothing is shown."""
    if "IPython" not in sys.modules or sys.modules["IPython"].get_ipython() is None:
        return lambda left_s: None
    from IPython.display import HTML, display

    from caveatlib.talk.sheet import SLIDES

    handle = display(HTML(""), display_id=True)

    def tell(left_s: float | None) -> None:
        words = "" if left_s is None else f"measuring now: {max(0, round(left_s))} s left"
        style = f"<style>{SLIDES}</style>" if words else ""
        box = f'<div class="talk"><p class="count">{escape(words)}</p></div>' if words else ""
        handle.update(HTML(style + box))

    return tell
