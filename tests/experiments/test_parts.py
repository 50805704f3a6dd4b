"""Everything that reads trials works on whatever part of them there is, machine by machine."""

import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from experiments.contract.machines import mixed, text_of
from experiments.contract.parts import parts, two_machines
from experiments.contract.subjects import (
    EXPERIMENTS,
    patched,
    readers,
    readers_here,
    tables_once,
)

from caveatlib import claims, stats

pytestmark = [
    pytest.mark.beside,
    pytest.mark.usefixtures("as_patched"),
    pytest.mark.parametrize("experiment", EXPERIMENTS, ids=[e.NAME for e in EXPERIMENTS]),
]


@pytest.fixture
def as_patched(experiment, monkeypatch):
    """Let what simulates do so once for all parts, what judges or makes a table once for each.

    So that each finds the same trials of a machine, those are told apart once, too.
    """
    judge, judged = claims.judge, {}
    by_machine, parted = stats.by_machine, {}

    def judge_once(trials, decisions):
        key = id(trials), id(decisions)
        if key not in judged:
            of = trials, decisions  # kept, so that no others have their ids
            judged[key] = of, judge(trials, decisions)
        return judged[key][1]

    def part_once(trials):
        if id(trials) not in parted:
            parted[id(trials)] = trials, by_machine(trials)
        return parted[id(trials)][1]

    monkeypatch.setattr(claims, "judge", judge_once)
    monkeypatch.setattr(stats, "by_machine", part_once)
    tables_once(experiment, monkeypatch)
    with patched(experiment):
        yield


HOLES = re.compile(r"\bnan\b|\bNone\b|: \.|, \.|\(\)|: ,| {2,}")
"""What a sentence has where a value is missing that it was made for."""


def _failures(experiment, rows, **how) -> list[str]:
    """Return which function raised what, or left a hole in which sentence, on which part."""
    raised, functions = [], readers(experiment) | readers_here(experiment)
    for what, part in parts(experiment, rows, **how):
        for name, read in functions.items():
            try:
                result = read(part)
            except Exception as error:  # whatever it is, a reader sees a traceback
                raised.append(f"{name}, {what}: {type(error).__name__}: {error}")
            else:
                told = text_of(result)
                found = HOLES.search(told)
                if found and not what.startswith("nothing read"):  # no trial succeeds without
                    hole = told[max(0, found.start() - 40) : found.end()]
                    raised.append(f"{name}, {what}: {hole!r} in {told!r}")
        plt.close("all")
    return raised


def test_nothing_raises_on_part_of_the_trials(experiment, measured):
    """Designs, places and arms missing, or failed; one block only; nothing at all.

    What is said has no holes where a number would stand.
    """
    assert not _failures(experiment, measured(experiment))


@pytest.mark.slow
def test_nothing_raises_whatever_is_missing_alone(experiment, measured):
    """The same for each design, place, arm and measure without the others that it went with."""
    assert not _failures(experiment, measured(experiment), apart=True)


@pytest.mark.parametrize("whence", ["measured", pytest.param("at hand", marks=pytest.mark.slow)])
def test_machines_are_never_mixed(experiment, whence, measured, at_hand):
    """Of two machines, one with KVM and ten times slower, each is told what it is told alone."""
    rows = at_hand(experiment) if whence == "at hand" else measured(experiment)
    machines = two_machines(experiment, rows)
    together = pd.concat(machines.values(), ignore_index=True)
    problems = {}
    for name, read in readers(experiment).items():
        alone = {machine: read(part) for machine, part in machines.items()}
        if problem := mixed(read(together), alone):
            problems[name] = problem
        plt.close("all")
    assert not problems
