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
    """Show after each trial which part of the plan is done, and what is left of it."""
    seen = show and (sys.stderr.isatty() or _in_notebook())
    name = loop.experiment.NAME
    with tqdm(total=1.0, desc=name, bar_format=_FORMAT, disable=not seen) as bar:

        def step() -> None:
            done, text = left(plan, sessions=loop.sessions_done(), spent_s=loop.spent_s())
            bar.set_postfix_str(text, refresh=False)
            bar.update(done - bar.n)

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
        words.append(f"{max(0.0, plan.budget_s - spent_s):.0f} of {plan.budget_s:.0f} s")
    return min(1.0, max(parts)), f"{' or '.join(words)} left"


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return hasattr(shell, "kernel")
