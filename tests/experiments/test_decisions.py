"""What decides each claim, and what the calibration reads: each is disturbed, and must tell."""

import pytest
from experiments.contract.disturb import (
    calibrated,
    measured_in,
    miscalibrated,
    problems,
    reading,
    signature,
)
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
        for rows in (recorded(experiment), measured(experiment)):
            if there(rows, subject):
                return rows
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


def test_the_calibration_sees_a_reading_that_is_off(experiment, rows_of):
    """A known value read twice as large, and an A/A control that is 1.2x, do not pass."""
    wrong = []
    for case in (*experiment.KNOWN, *experiment.CONTROLS):
        wrong += miscalibrated(rows_of(case, calibrated), case)
    assert not wrong


def test_every_mutant_dies(experiment, tried, rows_of):
    """No mistake in a declaration is missed by the tests above, or by what is kept."""
    survivors = []
    for decision, rows in tried:
        for what, mutant in mutants(rows, decision):
            kept = isinstance(decision, claims.Whole) or signature(rows, mutant) == signature(
                rows, decision
            )
            if kept and not problems(experiment, rows, mutant):
                survivors.append(f"{decision.claim.id}: {what}")
    for case in (*experiment.KNOWN, *experiment.CONTROLS):
        rows = rows_of(case, calibrated)
        for what, mutant in miscalibrations(case):
            if reading(rows, mutant) == reading(rows, case) and not miscalibrated(rows, mutant):
                survivors.append(f"{case.name}: {what}")
    assert not survivors
