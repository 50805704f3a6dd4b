"""What is left of a run, in words and as a part."""

import io
import sys
from types import SimpleNamespace

import pytest

from caveatlib.measuring import progress
from caveatlib.measuring.plan import Plan

pytestmark = pytest.mark.beside


BOTH = {"sessions": 4, "budget_s": 90}


@pytest.mark.parametrize(
    ("plan", "sessions", "spent_s", "expected"),
    [
        ({"sessions": 20}, 0.0, 5.0, (0.0, "20 of 20 sessions left")),
        ({"sessions": 20}, 12.5, 5.0, (0.625, "8 of 20 sessions, about 3 s left")),
        ({"sessions": 20}, 20.0, 5.0, (1.0, "0 of 20 sessions left")),
        ({"budget_s": 90}, 3.2, 31.0, (31 / 90, "59 of 90 s left")),
        ({"budget_s": 90}, 3.2, 97.0, (1.0, "0 of 90 s left")),
        (
            {"sessions": 4, "budget_s": 90},
            1.0,
            30.0,
            (1 / 3, "3 of 4 sessions, or 60 of 90 s left"),
        ),
        ({"sessions": 4, "budget_s": 90}, 3.0, 30.0, (0.75, "1 of 4 sessions, or 60 of 90 s left")),
        ({"sessions": 2}, 5.0, 1.0, (1.0, "0 of 2 sessions left")),
    ],
)
def test_what_is_left(plan, sessions, spent_s, expected):
    """Sessions, seconds, or what ends the run first."""
    assert progress.left(Plan(**plan), sessions=sessions, spent_s=spent_s) == expected


def _written(monkeypatch, *, terminal, show=True) -> str:
    """Return what a run of two sessions writes to stderr."""
    out = io.StringIO()
    out.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stderr", out)
    loop = SimpleNamespace(
        experiment=SimpleNamespace(NAME="little"), spent_s=lambda: 1.0, now="start: runc"
    )
    with progress.shown(loop, Plan(sessions=2), show=show):
        for done in (0.5, 1.0, 1.5, 2.0):
            loop.sessions_done = lambda done=done: done
            loop.on_trial()
    return out.getvalue()


def test_the_bar_is_for_people(monkeypatch):
    """It is drawn in a terminal to its end, and nowhere else."""
    drawn = _written(monkeypatch, terminal=True)
    assert "little: 100% |" in drawn
    assert "0 of 2 sessions left; start: runc" in drawn
    assert _written(monkeypatch, terminal=False) == ""
    assert _written(monkeypatch, terminal=True, show=False) == ""
