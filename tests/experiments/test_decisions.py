"""What decides each claim, and what the calibration reads: each is disturbed, and must tell."""

import pytest
from experiments.contract.calibrated import calibrated, miscalibrated, reading
from experiments.contract.disturb import problems
from experiments.contract.judging import measured_in, signature
from experiments.contract.keep import found, kept
from experiments.contract.mutants import miscalibrations, mutants
from experiments.contract.subjects import EXPERIMENTS, fakes, recorded

from caveatlib import claims

pytestmark = [
    pytest.mark.beside,
    pytest.mark.parametrize("experiment", EXPERIMENTS, ids=[e.NAME for e in EXPERIMENTS]),
]


@pytest.fixture
def rows_of(experiment, measured):
    """Return what gives the trials that a decision can be tried on: recorded, or else of fakes."""

    def get(subject, there):
        for trials_of in (recorded, measured):
            if there(trials_of(experiment), subject):
                return trials_of(experiment)
        pytest.fail(f"{subject} can be tried on neither recorded trials nor those of fakes.")

    return get


@pytest.fixture
def tried(experiment, rows_of):
    """Return each decision with trials that it can be tried on, and likewise the calibration."""
    undecided = getattr(fakes(experiment), "UNDECIDED", {})
    decisions = [d for d in experiment.DECISIONS if d.claim.id not in undecided]
    assert len(decisions) == len(experiment.DECISIONS) - len(undecided)
    return [(d, rows_of(d, measured_in)) for d in decisions]


def test_every_decision_follows_what_it_declares(experiment, tried):
    """Arms exchanged, effects moved over the threshold, facts, shares and counts changed."""
    wrong = []
    for decision, rows in tried:
        wrong += problems(experiment, rows, decision)
    assert not wrong


def _same(said: tuple, before: tuple) -> bool:
    """Whether word, value and n are those that were kept."""
    values = float(said[1]), float(before[1])
    same = values[0] == pytest.approx(values[1], rel=1e-4, nan_ok=True)
    return same and (said[0], said[2]) == (before[0], before[2])


def test_what_is_decided_is_kept(experiment):
    """The recorded trials decide and read what ``kept.csv`` says; see `contract.keep`."""
    said, before = found(experiment), kept(experiment)
    assert set(said) == set(before)
    assert not {name: (s, before[name]) for name, s in said.items() if not _same(s, before[name])}
    assert {name: s[3] for name, s in said.items()} == {name: s[3] for name, s in before.items()}


def test_the_calibration_sees_a_reading_that_is_off(experiment, rows_of):
    """A known value read twice as large, and an A/A control that is 1.2x, do not pass."""
    wrong = []
    for case in (*experiment.KNOWN, *experiment.CONTROLS):
        wrong += miscalibrated(rows_of(case, calibrated), case)
    assert not wrong


def test_every_mutant_dies(experiment):
    """No mistake in a declaration is missed both by the tests above and by what is kept."""
    rows, before, survivors = recorded(experiment), kept(experiment), []
    for decision in experiment.DECISIONS:
        whole = isinstance(decision, claims.Whole)
        if not whole and not measured_in(rows, decision):
            continue  # not kept: fakes decide it
        for what, mutant in mutants(rows, decision):
            seen = not whole and not _same(signature(rows, mutant), before[decision.claim.id])
            if not seen and not any(problems(experiment, rows, mutant)):
                survivors.append(f"{decision.claim.id}: {what}")
    for case in (*experiment.KNOWN, *experiment.CONTROLS):
        if not calibrated(rows, case):
            continue
        for what, mutant in miscalibrations(case):
            seen = not _same(reading(rows, mutant), before[case.name])
            if not seen and not miscalibrated(rows, mutant):
                survivors.append(f"{case.name}: {what}")
    assert not survivors
