"""How tests are shared out among processes."""

from pathlib import Path

import pytest
import shares

pytestmark = pytest.mark.beside

CONTRACT = "tests/experiments/test_parts.py::test_machines_are_never_mixed"


@pytest.mark.parametrize(
    ("test", "share"),
    [
        ("tests/test_store.py::test_a[x]", "test_store.py"),
        ("tests/test_page.py::test_a[x]", "test_cli.py"),
        (f"{CONTRACT}[at hand-startup]", "experiments/startup"),
        (f"{CONTRACT}[startup-measured]", "experiments/startup"),
        ("tests/experiments/test_faults.py::test_a", "experiments/test_faults.py"),
        ("tests/experiments/quota/test_cfs.py::test_a[startup]", "experiments/quota/test_cfs.py"),
    ],
)
def test_a_test_goes_with_its_file_or_its_experiment(test, share):
    """Files over all experiments are taken apart by experiment; what reads the scorecard is one."""
    assert shares.share_of(test) == share


def test_what_lasts_long_is_there():
    """Each name leads to a file or folder, so that a renamed one is not forgotten."""
    here = Path(__file__).parent
    named = (*shares.LONG, *shares.SCORED)
    assert [name for name in named if not list(here.glob(f"{name}*"))] == []
