"""What decides each claim, and what the calibration reads: each is disturbed, and must tell."""

import pytest
from experiments.contract.calibrated import calibrated, miscalibrated, reading
from experiments.contract.disturb import problems
from experiments.contract.judging import measured_in, signature
from experiments.contract.keep import found, kept, same
from experiments.contract.mutants import miscalibrations, mutants
from experiments.contract.subjects import EXPERIMENTS, RECORDED, fakes

from caveatlib import claims

pytestmark = [
    pytest.mark.beside,
    pytest.mark.parametrize("experiment", EXPERIMENTS, ids=[e.NAME for e in EXPERIMENTS]),
]


@pytest.fixture
def rows_of(experiment, measured, at_hand):
    """Return what gives the trials that a decision can be tried on: recorded, or else of fakes."""
    found = {}

    def get(subject, there):
        for trials_of in (at_hand, measured):
            if trials_of not in found:
                found[trials_of] = trials_of(experiment)
            if there(found[trials_of], subject):
                return found[trials_of]
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
    """A known value read twice as large, and an A/A control that is off, do not pass."""
    wrong = []
    for case in (*experiment.KNOWN, *experiment.CONTROLS):
        wrong += miscalibrated(rows_of(case, calibrated), case)
    assert not wrong


def test_every_mutant_dies(experiment, at_hand):
    """No mistake in a declaration is missed both by the tests above and by what is kept.

    Of an experiment that is not recorded yet, what its fakes decide is kept meanwhile.
    """
    rows, survivors = at_hand(experiment), []
    before = kept(experiment) if experiment in RECORDED else found(experiment, rows)
    for decision in experiment.DECISIONS:
        whole = isinstance(decision, claims.Whole)
        if not whole and not measured_in(rows, decision):
            continue  # not kept: fakes decide it
        for what, mutant in mutants(rows, decision):
            seen = not whole and not same(signature(rows, mutant), before[decision.claim.id])
            if not seen and not any(problems(experiment, rows, mutant)):
                survivors.append(f"{decision.claim.id}: {what}")
    for case in (*experiment.KNOWN, *experiment.CONTROLS):
        if not calibrated(rows, case):
            continue
        for what, mutant in miscalibrations(case):
            seen = not same(reading(rows, mutant), before[case.name])
            if not seen and not miscalibrated(rows, mutant):
                survivors.append(f"{case.name}: {what}")
    assert not survivors
