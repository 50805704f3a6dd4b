"""Why something could not be compared, in the words that the reader sees."""

import pandas as pd
import pytest

from caveatlib.claims.reasons import why_not

pytestmark = pytest.mark.beside


def _trials(*rows):
    columns = ("design", "place", "ok", "error")
    return pd.DataFrame([dict(zip(columns, row, strict=True)) for row in rows])


START = ("start", "runc", True, "")


def test_a_place_that_another_design_has_is_not_said_to_be_missing():
    """The design is named: runc itself was measured."""
    needs = [{"design": "machine", "place": "runc"}]
    assert why_not(_trials(START), needs) == (
        "No runc in the design 'machine': not asked for, or not reached within the time budget."
    )
    assert why_not(_trials(("start", "process", True, "")), needs) == (
        "No runc: not asked for, or not reached within the time budget."
    )


def test_the_first_error_is_the_reason():
    """A failure of the design; else what kept the place from being opened at all."""
    needs = [{"design": "start", "place": "vm"}]
    failed = ("start", "vm", False, "no answer in 30 s.")
    assert why_not(_trials(failed), needs) == "No vm: no answer in 30 s."
    closed = ("", "vm", False, "unavailable: no /dev/kvm")
    assert why_not(_trials(START, closed), needs) == "No vm: no /dev/kvm."
    assert why_not(_trials(START), [{"place": "runc"}]) == (
        "No block in which everything that is compared succeeded."
    )
