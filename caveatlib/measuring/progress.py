"""What is left of a run, as a bar on stderr or in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm

from caveatlib.measuring.loop import Loop
from caveatlib.measuring.plan import Plan

_FORMAT = "{desc}: {percentage:3.0f}% |{bar}| {postfix}"


@contextmanager
def shown(loop: Loop, plan: Plan, *, show: bool) -> Iterator[None]:
    """Show which part of the plan is done, what is left of it, and what is measured now."""
    seen = show and (sys.stderr.isatty() or _in_notebook())
    name = loop.experiment.NAME
    with tqdm(total=1.0, desc=name, bar_format=_FORMAT, disable=not seen) as bar:

        def step() -> None:
            done, text = left(plan, sessions=loop.sessions_done(), spent_s=loop.spent_s())
            bar.set_postfix_str(f"{text}; {loop.now}" if loop.now else text, refresh=False)
            bar.n = done  # `update` would leave out what comes soon after the last
            bar.refresh()

        loop.on_trial = step
        yield


def left(plan: Plan, *, sessions: float, spent_s: float) -> tuple[float, str]:
    """Return which part of a plan is done, from 0 to 1, and in words what is left.

    Parameters
    ----------
    plan : Plan
        With sessions or a budget, or both: the one that ends it first counts.
    sessions : float
        Sessions done, with the part of the one that runs.
    spent_s : float
        Seconds of measuring so far.
    """
    parts, words = [0.0], []
    if plan.sessions is not None:
        parts.append(sessions / plan.sessions)
        words.append(f"{max(0, plan.sessions - int(sessions))} of {plan.sessions} sessions")
    if plan.budget_s is not None:
        parts.append(spent_s / plan.budget_s)
        seconds = f"{max(0.0, plan.budget_s - spent_s):.0f} of {plan.budget_s:.0f} s"
        words.append(f"or {seconds}" if words else seconds)
    done = min(1.0, max(parts))
    if plan.budget_s is None and 0 < done < 1 and spent_s > 0:
        words.append(f"about {spent_s / done * (1 - done):.0f} s")
    return done, f"{', '.join(words)} left"


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return hasattr(shell, "kernel")
