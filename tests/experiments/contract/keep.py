"""What the recorded trials of an experiment decide, kept in a file beside its tests.

`python tools/keep_verdicts.py NAME` writes it. Read it before you commit it: from then on the
contract holds decisions and calibration to it, so that arms exchanged, a fact turned round or a
share taken elsewhere are seen.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from experiments.contract.calibrated import calibrated, reading
from experiments.contract.judging import measured_in, signature
from experiments.contract.subjects import fakes, recorded

from caveatlib import claims

COLUMNS = ["name", "says", "value", "n", "verdict"]


def path_of(experiment) -> Path:
    """Return where an experiment's file lies."""
    return Path(fakes(experiment).__file__).with_name("kept.csv")


def kept(experiment) -> dict[str, tuple]:
    """Return what is kept: claim or case of the calibration -> word or `passes`, value, n.

    The fourth of a claim is its verdict where all are judged together, and only what is fair.
    """
    table = pd.read_csv(path_of(experiment), index_col="name", keep_default_na=False)
    return {str(name): tuple(row) for name, row in table.iterrows()}


def found(experiment, rows: pd.DataFrame) -> dict[str, tuple]:
    """Return the same of the declarations of today: each judged alone, whether that is fair or not.

    What the trials do not hold is left out.
    """
    said: dict[str, tuple] = {}
    together = {v.claim: v.verdict for v in claims.judge(rows, experiment.DECISIONS)}
    for decision in experiment.DECISIONS:
        name, whole = decision.claim.id, isinstance(decision, claims.Whole)
        if whole or measured_in(rows, decision):
            alone = ("its parts", "nan", 0) if whole else signature(rows, decision)
            said[name] = (*alone, together[name])
    for case in (*experiment.KNOWN, *experiment.CONTROLS):
        if calibrated(rows, case):
            said[case.name] = (*reading(rows, case), "")
    return said


def same(said: tuple, before: tuple) -> bool:
    """Whether word, value and n are those that were kept."""
    values = float(said[1]), float(before[1])
    close = values[0] == pytest.approx(values[1], rel=1e-5, nan_ok=True)
    return close and (said[0], said[2]) == (before[0], before[2])


def write(experiment) -> Path:
    """Write what is found today as what is kept."""
    rows = [(name, *said) for name, said in found(experiment, recorded(experiment)).items()]
    path = path_of(experiment)
    pd.DataFrame(rows, columns=COLUMNS).to_csv(path, index=False)
    return path
