"""Every experiment measured on its fakes, once per session of tests."""

import fcntl

import pytest
from experiments.contract.subjects import RECORDED, fakes, patched, recorded

from caveatlib import trials

SESSIONS = 8
"""Of several claims judged together an interval needs more than six sessions."""


@pytest.fixture(scope="session")
def measured(tmp_path_factory, worker_id):
    """Return what gives the trials of an experiment on its fakes.

    Tests that run in several processes share them: whoever comes first measures.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "measured-on-fakes"
    folder.mkdir(exist_ok=True)
    loaded = {}

    def get(experiment):
        if experiment not in loaded:
            with (folder / f"{experiment.NAME}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not (folder / experiment.NAME / "datapackage.json").is_file():
                    with patched(experiment):
                        trials.measure(experiment, out=folder, sessions=SESSIONS, seed=5,
                                       specs=fakes(experiment).PLACES, progress=False)  # fmt: skip
            loaded[experiment] = trials.get(experiment, source=folder)
        return loaded[experiment].copy(deep=False)

    get.folder = folder
    return get


@pytest.fixture(scope="session")
def at_hand(measured):
    """Return what gives the trials of an experiment: recorded, or else those of its fakes."""
    return lambda experiment: (recorded if experiment in RECORDED else measured)(experiment)


@pytest.fixture
def require_places(require):
    """Return a check for all that an experiment's places need: those named, or else all."""

    def check(experiment, *names: str) -> None:
        for name in names or experiment.PLACES:
            for probe in experiment.PLACES[name].needs:
                require(probe().name)

    return check
